"""Mistakes in the weight-stationary hardware that its bench has to find."""

from __future__ import annotations

from types import ModuleType

from hwsim.rtl import accumulator_bank, outlier_unit, weight_stationary, weight_stationary_engine

PLAIN = "3x2-acc16-saturate"
WRAP = "2x5-acc17-wrap-bias-end-outlier"
TREE = "3x2-tree17-saturate-lanes3-outliers3"
LANES = "1x2-lanes65-outliers2"
SPARSE = "1x3-chain1-psum8-lanes2-outliers3"
CHAIN = "2x5-chain2-psum16-wrap-lanes2"

HIT = "self.weights.valid & (self.weights.row == self.row)"
MUTANTS: dict[ModuleType, dict[str, tuple[str, str, str]]] = {
    weight_stationary: {
        "psum is one bit narrow": (
            CHAIN,
            "RegisterAdd(register, register.bits,",
            "RegisterAdd(type(register)(register.bits - 1, register.overflow), register.bits,",
        ),
        "weights are swapped one cycle late": (PLAIN, "m.If(self.tokens.swap)", "m.If(self.tokens_down.swap)"),
        "weights of the swap's cycle are taken": (
            CHAIN,
            "active.eq(waiting)",
            f'active.eq(Mux({HIT}, self.weights["values"].as_value(), waiting.as_value()))',
        ),
        "weights that are none are taken": (PLAIN, HIT, "self.weights.row == self.row"),
        "another row's weights are taken": (PLAIN, "(self.weights.row == self.row)", "(self.weights.row == 0)"),
        "another column's weights are taken": (PLAIN, '["values"][c * lanes + lane]', '["values"][lane]'),
        "a column gets its weights early": (CHAIN, "lane], c, f", "lane], max(c - 1, 0), f"),
        "a column gets its activations early": (PLAIN, "left.activations_right", "left.activations"),
        "a row gets its activations early": (PLAIN, "lane], r, f", "lane], max(r - 1, 0), f"),
        "lanes are swapped": (
            TREE,
            "self.activations[r * lanes + lane]",
            "self.activations[r * lanes + lanes - 1 - lane]",
        ),
        "psum does not start from zero": (
            CHAIN,
            "if self.reduction.chain is None:\n                m.d.comb += element.above.eq(self.starts[c])",
            "m.d.comb += element.above.eq(self.sums[c] if self.reduction.chain else self.starts[c])",
        ),
        "a slot without a pixel counts": (PLAIN, "Mux(go, unit.overflow_negative, 0)", "unit.overflow_negative"),
        "the slot before decides what counts": (
            TREE,
            "self.tokens_down.go, PRODUCT_CYCLES,",
            "self.tokens_down.go, PRODUCT_CYCLES + 1,",
        ),
    },
    accumulator_bank: {
        "the next pixel's accumulator is read": (PLAIN, "addr.eq(read.pixel)", "addr.eq(read.pixel + 1)"),
        "the accumulator goes on from the previous tile": (TREE, 'delay(m, read.first, 1, f"first_{c}")', "0"),
        "the bias is the other set's": (CHAIN, "Mux(chosen, ", "Mux(~chosen, "),
        "the bias is that of the slot before": (
            CHAIN,
            "self._bias(m, c, read.set)",
            'self._bias(m, c, delay(m, read.set, 1, "s"))',
        ),
        "a slot without a pixel is written": (PLAIN, "entrance.en.eq(write.enable)", "entrance.en.eq(1)"),
        "what is not written is not read either": (
            CHAIN,
            "~(write.enable & (write.pixel == read.pixel))",
            "write.pixel != read.pixel",
        ),
    },
    outlier_unit: {
        "the last lane is the first": (SPARSE, "in enumerate(held)", "in enumerate(reversed(list(held)))"),
        "outliers go to another column": (WRAP, "Mux(column == c,", "Mux(column == self.core.cols - 1 - c,"),
        "outliers do not stay": (TREE, "m.If(self.swap)", "m.If(1)"),
        "outliers are those of the K tile before": (WRAP, "m.If(self.swap)", 'm.If(delay(m, self.swap, 1, "late"))'),
        "half of the index is lost": (TREE, "index[SELECT_BITS:], 1", "index[SELECT_BITS:] & 0, 1"),
        "the index is that of the slot to come": (TREE, "index[SELECT_BITS:], 1", "index[SELECT_BITS:], 0"),
        "the value is that of the slot to come": (TREE, "outlier.value, cycles", "outlier.value, cycles - 1"),
        "an outlier of a slot without a pixel counts": (SPARSE, "go & add.overflow_positive", "add.overflow_positive"),
    },
    weight_stationary_engine: {
        "padding is a pixel": (PLAIN, "go.eq(slot.valid & slot.real)", "go.eq(slot.valid)"),
        "no slot swaps": (PLAIN, "tokens.swap.eq(slot.valid & slot.swap)", "tokens.swap.eq(slot.swap)"),
        "no slot swaps outliers": (TREE, "unit.swap.eq(self.slot.valid", "unit.swap.eq(1"),
        "accumulators do not wait for the products": (LANES, "wait = self._complete_at - self._summed_at", "wait = 0"),
        "columns are not aligned": (CHAIN, "self.core.cols - 1 - c,", "max(self.core.cols - 2 - c, 0),"),
        "end comes with each row": (PLAIN, '"end": slot.end', '"end": slot.last'),
        "K tiles are one slot short": (PLAIN, "(self._start_at - READ_CYCLES) + 1", "(self._start_at - READ_CYCLES)"),
        "chains' K tiles are one slot short": (
            CHAIN,
            "(self._start_at - READ_CYCLES) + 1",
            "(self._start_at - READ_CYCLES)",
        ),
        "the pixel is that of the slot before": (
            PLAIN,
            "self.slot.pixel, self._written_at,",
            "self.slot.pixel, self._written_at + 1,",
        ),
        "psum is added to the start of the slot to come": (
            CHAIN,
            "early = self._start_at - READ_CYCLES",
            "early = self._start_at - READ_CYCLES - 1",
        ),
        "one column's events are lost": (CHAIN, "for count in counts]", "for count in counts[:-1]]"),
    },
}
"""By module and name of the mistake: the core that shows it, a text of the module, and what it reads instead."""
