"""The output-stationary array: each processing element keeps one accumulator, activations and weights move past it.

A slot is one step of the array: `lanes` activations for each row and `lanes` weights for each column. Row r gets its
activations r cycles after row 0, column c its weights c cycles after column 0, and both move on by one element per
cycle, so element (r, c) works on a slot that enters in cycle t in cycle t + r + c. The array never stops.
"""

from __future__ import annotations

import itertools

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import BiasAt, Core, Reduction

from .adder_tree import AdderTree
from .delay import delay, skew
from .register_add import RegisterAdd
from .shape import to_shape
from .slots import PRODUCT_CYCLES, biases_layout


def tokens_layout(reduction: Reduction) -> data.StructLayout:
    """Return what goes with a slot's weights.

    ``go``: there are products, without it the rest means nothing; ``first``, ``last`` of the output tile's slots; with a
    partial sum also ``commit``: it goes to the accumulator after this slot.
    """
    names = ["go", "first", "last", *([] if reduction.chain is None else ["commit"])]
    return data.StructLayout({name: unsigned(1) for name in names})


def element_events_layout(reduction: Reduction) -> data.StructLayout:
    """Return how often each register of an element overflowed in one cycle, for the registers that there are."""
    bits = {"acc": 1}
    if reduction.chain is not None:
        bits["psum"] = 1
    if reduction.tree is not None:
        bits["tree"] = (reduction.lanes - 1).bit_length()
    return data.StructLayout(
        {name: data.StructLayout({"positive": unsigned(n), "negative": unsigned(n)}) for name, n in bits.items()}
    )


def element_latency(reduction: Reduction) -> int:
    """Return the cycles from a slot at an element's inputs to its accumulator: products, tree, partial sum, accumulator."""
    return PRODUCT_CYCLES + 1 + (reduction.lanes > 1) + (reduction.chain is not None)


def array_latency(core: Core) -> int:
    """Return the cycles from an output tile's last slot to the results of the bottom row: skew of the far corner, drain."""
    return element_latency(core.arithmetic.reduction) + core.rows + core.cols - 1


class OutputStationaryPE(wiring.Component):
    """One processing element: a group of `lanes` products per cycle, its accumulator, and its place in the drain.

    Equals `hwsim.kernels.reduce.reduce_panel` of one row and one channel. The products of a slot are registered, twice; then
    their tree (``lanes > 1``); then the partial sum (with a chain); then the accumulator.

    Latency
        `element_latency` cycles from a slot to the accumulator; one more to the drain register.
    Throughput
        One group per cycle, across output tiles too.
    Back-pressure
        None. Cycles without ``go`` change no sum, wherever they come.
    Reset
        Synchronous; what is under way is dropped.

    Parameters
    ----------
    core
        An output-stationary configuration.

    Members
    -------
    activations, activations_right : In, Out(ArrayLayout(operand, lanes))
        Of this slot, and one cycle later to the right.
    weights, weights_down : In, Out(ArrayLayout(weight, lanes))
        Of this slot, and one cycle later to the row below.
    tokens, tokens_down : In, Out(tokens_layout)
        They come and go with the weights.
    bias, bias_down : In, Out(signed(acc.bits)), with `BiasAt.START` only
        Read in the cycle in which a slot with ``first`` is added to the accumulator, ``element_latency - 1`` cycles after
        the slot; one cycle later to the row below.
    above, below : In, Out(signed(acc.bits))
        The drain register of the row above, and this one's.
    start : In(1)
        The column's lowest row takes its result in this cycle, so in the next one all rows begin to shift down.
    shift, shift_below : In, Out(1)
        The drain register takes what is above it; the same for the row below, one cycle later.
    done : Out(1)
        The accumulator holds a finished sum, in this cycle only; the drain register takes it.
    events : Out(element_events_layout), where events are counted
        Overflows, each one cycle after the sum was formed.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.reduction = reduction = core.arithmetic.reduction
        activations = data.ArrayLayout(to_shape(core.operand), core.lanes)
        weights = data.ArrayLayout(to_shape(core.weight), core.lanes)
        acc = signed(reduction.acc.bits)
        members = {
            "activations": In(activations),
            "activations_right": Out(activations),
            "weights": In(weights),
            "weights_down": Out(weights),
            "tokens": In(tokens_layout(reduction)),
            "tokens_down": Out(tokens_layout(reduction)),
            "above": In(acc),
            "below": Out(acc),
            "start": In(1),
            "shift": In(1),
            "shift_below": Out(1),
            "done": Out(1),
        }
        if reduction.bias_at is BiasAt.START:
            members |= {"bias": In(acc), "bias_down": Out(acc)}
        if core.count_events:
            members["events"] = Out(element_events_layout(reduction))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += [
            self.activations_right.eq(self.activations),
            self.weights_down.eq(self.weights),
            self.tokens_down.eq(self.tokens),
        ]
        if self.reduction.bias_at is BiasAt.START:
            m.d.sync += self.bias_down.eq(self.bias)
        group, tokens = self._sum_group(m)
        if self.reduction.chain is not None:
            group, tokens = self._sum_chain(m, group, tokens)
        self._drain(m, self._accumulate(m, group, tokens))
        return m

    def _sum_group(self, m: Module) -> tuple[Value, data.View]:
        """Return the sum of a slot's products, registered, and its tokens in the same cycle."""
        lanes = self.core.lanes
        products = Signal(data.ArrayLayout(signed(self.core.product_bits), lanes))
        m.d.comb += [products[i].eq(self.activations[i] * self.weights[i]) for i in range(lanes)]
        products = delay(m, products, PRODUCT_CYCLES, "products")
        # The tokens on their way down are one cycle old.
        tokens = delay(m, self.tokens_down, PRODUCT_CYCLES - 1, "product_tokens")
        if lanes == 1:
            return products[0], tokens
        m.submodules.tree = tree = AdderTree(self.core.product_bits, lanes, self.reduction.tree)
        group = Signal(signed(tree.sum_bits))
        m.d.comb += tree.addends.eq(products)
        m.d.sync += group.eq(tree.sum)
        if self.reduction.tree is not None:
            self._report(m, "tree", tokens.go, tree)
        return group, delay(m, tokens, 1, "tree_tokens")

    def _sum_chain(self, m: Module, group: Value, tokens: data.View) -> tuple[Value, data.View]:
        """Return what the slot adds to the accumulator: the partial sum where it is complete, else 0; and its tokens."""
        register = self.reduction.psum
        assert register is not None
        m.submodules.psum_add = add = RegisterAdd(register, register.bits, len(group))
        psum = Signal(signed(register.bits))
        complete = Signal()
        m.d.comb += [add.a.eq(Mux(complete, 0, psum)), add.b.eq(group)]
        with m.If(tokens.go):
            m.d.sync += [psum.eq(add.sum), complete.eq(tokens.commit)]
        self._report(m, "psum", tokens.go, add)
        tokens = delay(m, tokens, 1, "psum_tokens")
        # Adding 0 is no event, and leaves the one multiplexer in front of the accumulator's adder that `first` needs.
        return Mux(complete, psum, 0), tokens

    def _accumulate(self, m: Module, addend: Value, tokens: data.View) -> Value:
        """Return the accumulator."""
        register = self.reduction.acc
        m.submodules.acc_add = add = RegisterAdd(register, register.bits, len(addend))
        acc = Signal(signed(register.bits))
        start = self.bias if self.reduction.bias_at is BiasAt.START else 0
        m.d.comb += [add.a.eq(Mux(tokens.first, start, acc)), add.b.eq(addend)]
        with m.If(tokens.go):
            m.d.sync += acc.eq(add.sum)
        m.d.sync += self.done.eq(tokens.go & tokens.last)
        self._report(m, "acc", tokens.go, add)
        return acc

    def _drain(self, m: Module, acc: Value) -> None:
        m.d.sync += self.shift_below.eq(self.start | self.shift)
        with m.If(self.done):
            m.d.sync += self.below.eq(acc)
        with m.Elif(self.shift):
            m.d.sync += self.below.eq(self.above)

    def _report(self, m: Module, register: str, go: Value, unit: AdderTree | RegisterAdd) -> None:
        """Register a unit's overflows of a slot."""
        if self.core.count_events:
            events = self.events[register]
            m.d.sync += [
                events.positive.eq(Mux(go, unit.overflow_positive, 0)),
                events.negative.eq(Mux(go, unit.overflow_negative, 0)),
            ]


class OutputStationaryArray(wiring.Component):
    """``rows`` x ``cols`` processing elements with the skew of their operands and the alignment of their results.

    Equals `hwsim.kernels.reduce.reduce_panel`; row 0 of the array works on the last pixel of an output tile.

    Latency
        `array_latency` cycles from the slot with ``last`` to the results of the bottom row; those of the rows above follow, one
        per cycle, the top row last.
    Throughput
        One slot per cycle. Slots with ``last`` have to be at least ``rows + 1`` cycles apart.
    Back-pressure
        None, the array runs freely.
    Reset
        Synchronous; what is under way is dropped.

    The drain: let the slot with `last` enter in cycle t, and s = t + c + `element_latency`. In column c the element of row
    r is done in cycle s + r and its drain register holds the sum from s + r + 1 on. The bottom row is done in cycle
    s + R - 1 (that is `start`), and from S = s + R on the column shifts: row r in the r cycles S .. S + r - 1, because the
    shift enable reaches all rows with `start` and then dies out from the top, one row per cycle. So the bottom row shows the
    sums of rows R-1 .. 0 in cycles S .. S + R - 1. Nothing is overwritten: row r holds what comes from above until cycle
    S + r, and is done with the next output tile, whose last slot enters in t' >= t + R + 1, in cycle
    t' + c + `element_latency` + r >= S + r + 1 at the earliest. Its shifts, which end with S + r - 1, are over by then.

    Parameters
    ----------
    core
        An output-stationary configuration.

    Members
    -------
    activations : In(ArrayLayout(ArrayLayout(operand, lanes), rows))
    weights : In(ArrayLayout(ArrayLayout(weight, lanes), cols))
    tokens : In(tokens_layout)
        Of the slot that enters in this cycle, all of them at once.
    set : In(1), biases : In(ArrayLayout(ArrayLayout(signed(acc.bits), cols), 2)), with `BiasAt.START` only
        The slot's set of biases; those of a set stay from a slot with ``first`` on until the output tile's results have left.
    results : Out(ArrayLayout(signed(acc.bits), cols))
        One row of the output tile per cycle.
    events : Out(ArrayLayout(element_events_layout, rows * cols)), where events are counted
        Of each element, element ``c * rows + r`` being that of row r and column c.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.reduction = reduction = core.arithmetic.reduction
        columns = data.ArrayLayout(signed(reduction.acc.bits), core.cols)
        members = {
            "activations": In(data.ArrayLayout(data.ArrayLayout(to_shape(core.operand), core.lanes), core.rows)),
            "weights": In(data.ArrayLayout(data.ArrayLayout(to_shape(core.weight), core.lanes), core.cols)),
            "tokens": In(tokens_layout(reduction)),
            "results": Out(columns),
        }
        if reduction.bias_at is BiasAt.START:
            members |= {"set": In(1), "biases": In(biases_layout(core))}
        if core.count_events:
            events = data.ArrayLayout(element_events_layout(reduction), core.rows * core.cols)
            members["events"] = Out(events)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns = [[OutputStationaryPE(self.core) for _ in range(self.core.rows)] for _ in range(self.core.cols)]
        for c, column in enumerate(columns):
            for r, element in enumerate(column):
                m.submodules[f"pe_{r}_{c}"] = element
                if self.core.count_events:
                    m.d.comb += self.events[c * self.core.rows + r].eq(element.events)
            m.d.comb += self.results[c].eq(delay(m, column[-1].below, self.core.cols - 1 - c, f"result_{c}"))
            self._connect_rows(m, column)
        self._feed_rows(m, columns)
        self._feed_columns(m, [column[0] for column in columns])
        return m

    def _connect_rows(self, m: Module, column: list[OutputStationaryPE]) -> None:
        """Connect each row of a column to the one below it; nothing shifts into the top one."""
        m.d.comb += [element.start.eq(column[-1].done) for element in column]
        for upper, lower in itertools.pairwise(column):
            m.d.comb += [
                lower.weights.eq(upper.weights_down),
                lower.tokens.eq(upper.tokens_down),
                lower.above.eq(upper.below),
                lower.shift.eq(upper.shift_below),
            ]
            if self.reduction.bias_at is BiasAt.START:
                m.d.comb += lower.bias.eq(upper.bias_down)

    def _feed_rows(self, m: Module, columns: list[list[OutputStationaryPE]]) -> None:
        """Skew the activations by one cycle per row and connect the columns."""
        for r, row in enumerate(zip(*columns, strict=True)):
            m.d.comb += row[0].activations.eq(delay(m, self.activations[r], r, f"activations_{r}"))
            for left, right in itertools.pairwise(row):
                m.d.comb += right.activations.eq(left.activations_right)

    def _feed_columns(self, m: Module, top: list[OutputStationaryPE]) -> None:
        """Skew what runs down the columns by one cycle per column."""
        entering = skew(m, self.tokens.as_value(), len(top), "tokens")
        for c, (element, tokens) in enumerate(zip(top, entering, strict=True)):
            m.d.comb += [element.weights.eq(delay(m, self.weights[c], c, f"weights_{c}")), element.tokens.eq(tokens)]
        if self.reduction.bias_at is BiasAt.START:
            self._feed_biases(m, top)

    def _feed_biases(self, m: Module, top: list[OutputStationaryPE]) -> None:
        # A bias is due at the accumulator; the register behind the choice of the set is one of the cycles on the way.
        chosen = delay(m, self.set, element_latency(self.reduction) - 2, "set")
        for c, element in enumerate(top):
            chosen = delay(m, chosen, min(c, 1), f"set_{c}")
            bias = Signal(signed(self.reduction.acc.bits), name=f"bias_{c}")
            m.d.sync += bias.eq(Mux(chosen, self.biases[1][c], self.biases[0][c]))
            m.d.comb += element.bias.eq(bias)
