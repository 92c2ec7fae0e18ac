# amaranth: UnusedElaboratable=no
"""The output-stationary engine in Amaranth's simulator, against the kernel."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import numpy as np
import pytest
from os_bench import expected, golden, passes, per_batch, play, schedule
from os_cases import CORES, Batch, draw_batch, named, slots_of
from rtl_mutation import put_mutant

from hwsim.kernels.monitor import REGISTERS, Monitor
from hwsim.rtl import delay, output_stationary, output_stationary_engine
from hwsim.rtl.output_stationary_engine import OutputStationaryEngine
from hwsim.spec import BiasAt, Core, InputError

BATCHES, TILES = 8, 6
GAPS = (0.0, 0.5)


def draw(core: Core, batches: int, seed: int = 7) -> list[Batch]:
    rng = np.random.default_rng(seed)
    return [draw_batch(rng, core, TILES) for _ in range(batches)]


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.name)
def test_equals_kernel(core: Core) -> None:
    batches = draw(core, BATCHES)
    spacings: list[int] = []
    for i, gap in enumerate(GAPS):
        dut, part = OutputStationaryEngine(core), batches[i :: len(GAPS)]
        program = schedule(dut, part, gap)
        rows, events = play(dut, program)
        wanted_rows, wanted_events = expected(dut, part, program)
        assert rows == wanted_rows
        np.testing.assert_array_equal(per_batch(program, events), wanted_events)
        spacings += program.spacings
    # Tiles as close as they may be; and each register's overflows, by the kernel's count.
    assert min(spacings) == core.rows + 1
    assert _missing(core, batches) == []


def _missing(core: Core, batches: list[Batch]) -> list[str]:
    """Return the situations that the batches do not contain."""
    reduction = core.arithmetic.reduction
    monitor, seen = Monitor(core.cols), Counter[str]()
    acc = reduction.acc.format
    for batch in batches:
        before = monitor.counts[2].sum()
        for tile, accumulators in zip(batch.tiles, golden(core, batch, Monitor(core.cols)), strict=True):
            groups = len(list(slots_of(core, tile)))
            seen["one group"] += groups == 1
            seen["more groups than rows"] += groups > core.rows + 1
            seen["incomplete group"] += tile.weights.shape[0] % core.lanes != 0
            if reduction.chain is not None:
                seen["incomplete chain"] += groups % reduction.chain != 0
                seen["two chains"] += groups > reduction.chain
            seen["acc at its largest"] += bool((accumulators == acc.hi).any())
            seen["acc at its smallest"] += bool((accumulators == acc.lo).any())
        golden(core, batch, monitor)
        seen["batch without overflow of acc"] += monitor.counts[2].sum() == before
    wanted = {"one group", "more groups than rows"}
    if reduction.acc.overflow.value == "saturate":
        wanted |= {"acc at its largest", "acc at its smallest"}
    if core.lanes > 1:
        wanted.add("incomplete group")
    if reduction.chain is not None:
        wanted |= {"incomplete chain"} if reduction.chain > 1 else set()
        wanted |= {"two chains"} if reduction.chain < 10 else set()
    for i, register in enumerate((reduction.tree, reduction.psum, reduction.acc)):
        for sign, count in zip(("above", "below"), monitor.counts[i].sum(axis=1), strict=True):
            seen[f"{REGISTERS[i]} {sign}"] = int(count)
            if register is not None:
                wanted.add(f"{REGISTERS[i]} {sign}")
    return sorted(name for name in wanted if not seen[name])


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.name)
def test_latency_is_as_stated(core: Core) -> None:
    reduction = core.arithmetic.reduction
    stages = 3 + (core.lanes > 1) + (reduction.chain is not None)
    dut = OutputStationaryEngine(core)
    assert dut.latency == stages + core.rows + core.cols - 1
    levels = int(np.ceil(np.log2(core.rows * core.cols)))
    assert dut.event_latency == stages + core.rows + core.cols - 1 + levels
    assert hasattr(dut, "biases") == (reduction.bias_at is BiasAt.START)
    assert hasattr(dut, "events") == core.count_events


def test_reset_drops_what_is_under_way() -> None:
    core = named("5x3-tree16-saturate-lanes2")
    batches = draw(core, 2)
    dut = OutputStationaryEngine(core)
    program = schedule(dut, batches, 0.2)
    at = program.lasts[2] + dut.latency + 2
    # The rest of the first batch is not sent.
    program.slots[at : program.ends[0]] = [0] * (program.ends[0] - at)
    rows, events = play(dut, program, reset_at=at)
    wanted_rows, wanted_events = expected(dut, batches, program)
    assert rows == [row for row in wanted_rows if row[0] <= at or row[0] > program.ends[0]]
    assert len(rows) == 2 * core.rows + 3 + TILES * core.rows
    np.testing.assert_array_equal(per_batch(program, events)[1], wanted_events[1])
    assert not events[at + 1 : program.ends[0]].any()


def test_other_dataflow_is_refused() -> None:
    with pytest.raises(InputError, match="dataflow must be output_stationary, not weight_stationary"):
        OutputStationaryEngine(Core())


CHAIN = "2x5-chain3-psum16-wrap"
PLAIN = "3x2-acc16-saturate"
TREE = "5x3-tree16-saturate-lanes2"
WIDE = "2x5-acc48-saturate-w16"

NARROW = "RegisterAdd(type(register)(register.bits - 1, register.overflow), register.bits, "
MUTANTS: dict[ModuleType, dict[str, tuple[str, str, str]]] = {
    output_stationary: {
        "psum is not cleared": (CHAIN, "Mux(complete, 0, psum)", "psum"),
        "psum is added before it is complete": (CHAIN, "return Mux(complete, psum, 0),", "return psum,"),
        "psum commits late": (CHAIN, "complete.eq(tokens.commit)", 'complete.eq(delay(m, tokens.commit, 1, "late"))'),
        "a cycle without a slot advances the chain": (
            CHAIN,
            "psum.eq(add.sum), complete.eq(tokens.commit)]",
            "psum.eq(add.sum)]\n        m.d.sync += [complete.eq(tokens.commit)]",
        ),
        "a cycle without a slot is added": (
            PLAIN,
            "m.If(tokens.go):\n            m.d.sync += acc",
            "m.If(1):\n            m.d.sync += acc",
        ),
        "a cycle without a slot counts": (PLAIN, '"acc", tokens.go,', '"acc", 1,'),
        "a cycle without a slot is a tile's last": (PLAIN, "tokens.go & tokens.last", "tokens.last"),
        "the accumulator goes on from the previous tile": (TREE, "Mux(tokens.first, start, acc)", "acc"),
        "psum is one bit narrow": (CHAIN, "RegisterAdd(register, register.bits, len(group)", f"{NARROW}len(group)"),
        "acc is one bit narrow": (WIDE, "RegisterAdd(register, register.bits, len(addend)", f"{NARROW}len(addend)"),
        "the drain is one row short": (TREE, "self.start | self.shift)", "self.start)"),
        "the drain starts one row early": (TREE, "start.eq(column[-1].done)", "start.eq(column[-2].done)"),
        "a row gets its activations early": (PLAIN, "self.activations[r], r,", "self.activations[r], max(r - 1, 0),"),
        "a column gets its weights late": (PLAIN, "self.weights[c], c,", "self.weights[c], c + 1,"),
        "rows are swapped": (
            PLAIN,
            "delay(m, self.activations[r]",
            "delay(m, self.activations[self.core.rows - 1 - r]",
        ),
        "columns are swapped": (PLAIN, "delay(m, self.weights[c]", "delay(m, self.weights[self.core.cols - 1 - c]"),
        "a column's results are not aligned": (PLAIN, "self.core.cols - 1 - c,", "max(self.core.cols - 2 - c, 0),"),
        "the bias is that of the slot before": (TREE, "element_latency(self.reduction) - 2,", "1,"),
        "the bias is the other set's": (PLAIN, "Mux(chosen, ", "Mux(~chosen, "),
    },
    delay: {
        "a column wakes up late": (PLAIN, "awake: Value = Const(1)", 'awake: Value = delay(m, Const(1), 1, "late")'),
    },
    output_stationary_engine: {
        "padding is a slot": (CHAIN, "tokens.go.eq(slot.valid & slot.real)", "tokens.go.eq(slot.valid)"),
        "padding yields rows": (CHAIN, "slot.valid & slot.real & slot.last", "slot.valid & slot.last"),
        "one row too few": (TREE, "following.eq(self.core.rows - 1)", "following.eq(self.core.rows - 2)"),
        "end comes with each row": (TREE, "current.end & (following == 0)", "current.end"),
        "final is lost": (TREE, "tags.final.eq(slot.final)", "tags.final.eq(0)"),
        "rows come one cycle late": (TREE, "delay(m, tags, self.latency - 1,", "delay(m, tags, self.latency,"),
        "one element's events are lost": (PLAIN, "for element in elements]", "for element in elements[:-1]]"),
    },
}
CASES = [
    pytest.param(module, core, old, new, id=fault)
    for module, faults in MUTANTS.items()
    for fault, (core, old, new) in faults.items()
]


def _passes(name: str) -> bool:
    return passes(output_stationary_engine.OutputStationaryEngine(named(name)), draw(named(name), 2), gap=0.2)


@pytest.mark.parametrize("name", [CHAIN, PLAIN, TREE, WIDE])
def test_what_mutants_run_passes_unchanged(name: str) -> None:
    assert _passes(name)


@pytest.mark.parametrize(("module", "core", "old", "new"), CASES)
def test_mutant_is_seen(module: ModuleType, core: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_mutant(monkeypatch, module, old, new)
    assert not _passes(core)
