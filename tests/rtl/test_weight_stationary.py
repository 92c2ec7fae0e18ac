# amaranth: UnusedElaboratable=no
"""The weight-stationary engine in Amaranth's simulator, against the kernels."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from rtl_mutation import put_mutant
from ws_bench import PACES, Pace, by_group, passes, play, schedule
from ws_mutants import MUTANTS, PLAIN, TREE
from ws_tiles import CORES, cases_of, named

from hwsim.cosim.coverage import Coverage
from hwsim.cosim.golden import GemmCase, golden
from hwsim.rtl import outlier_unit, to_verilog, weight_stationary_engine
from hwsim.spec import BiasAt, Core, Dataflow, InputError

RANDOMS = 12


def make(core: Core) -> weight_stationary_engine.WeightStationaryEngine:
    return weight_stationary_engine.WeightStationaryEngine(core)


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.name)
def test_equals_kernels(core: Core) -> None:
    cases, bins = cases_of(core, RANDOMS)
    for i, pace in enumerate(PACES):
        dut = make(core)
        program = schedule(dut, cases[i :: len(PACES)], pace)
        rows, events = play(dut, program)
        assert rows == program.rows
        np.testing.assert_array_equal(*by_group(program, events))
        # As dense as it may be; and rows of weights as early, or as late, as they may come.
        if pace.gap == 0:
            assert min(np.diff(program.swaps)) == max(dut.minimum_slots, core.rows)
        assert min(program.ahead) == 1 or pace.weights == "early"
        assert max(program.ahead) > 1 or pace.weights == "late"
    coverage = Coverage(core, bins)
    for case in cases:
        coverage.sample(case, golden(core, case)[1])
    assert coverage.missing == []


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.name)
def test_latencies_are_as_stated(core: Core) -> None:
    reduction = core.arithmetic.reduction
    chain, tree = reduction.chain is not None, core.lanes > 1
    select = int(np.ceil(core.outlier_index_bits / 3))
    wait = max(0, select - core.rows - tree - chain) if core.outlier_lanes else 0
    dut = make(core)
    assert dut.latency == core.rows + core.cols + 2 + tree + chain + core.outlier_lanes + wait
    assert dut.minimum_slots == (4 if chain else core.rows + 3) + core.outlier_lanes + wait
    additions = core.cols * (core.outlier_lanes + (1 if chain else core.rows))
    elements = core.rows + core.cols + 2 + tree + int(np.ceil(np.log2(core.rows * core.cols)))
    assert dut.event_latency == max(dut.latency + int(np.ceil(np.log2(additions))), elements)
    assert hasattr(dut, "biases") == (reduction.bias_at is BiasAt.START)
    assert hasattr(dut, "outliers") == (core.outlier_lanes > 0)
    assert hasattr(dut, "events") == core.count_events


def test_reset_drops_what_is_under_way() -> None:
    core = named(TREE)
    dut = make(core)
    # Weights come late, so that none that the third case needs are there before the reset.
    program = schedule(dut, cases_of(core, 4)[0][-4:], Pace(0.2, "late"), together=1)
    # In the middle of the second case, whose rest is not sent.
    group = program.starts[1:3]
    at = next(row[0] for row in program.rows if row[0] > sum(group) // 2)
    nothing = range(at, group[1] - dut.event_latency)
    for cycle in nothing:
        program.slots[cycle] = 0
    rows, events = play(dut, program, reset_at=at)
    assert rows == [row for row in program.rows if row[0] <= at or row[0] >= group[1]]
    assert len(rows) < len(program.rows)
    assert not events[at + 1 : group[1]].any()
    np.testing.assert_array_equal(events[group[1] :].sum(axis=0), sum(program.events[2:]))


def test_events_are_there_in_time() -> None:
    core = named(PLAIN)
    dut = make(core)
    depth, high = 2 * core.tile_products, core.arithmetic.reduction.acc.format.hi
    none = np.zeros(core.cols, np.int64)
    # Every write overflows, also those of the last slot.
    case = GemmCase(
        np.full((core.pixels, depth), core.activation.hi), np.full((depth, core.cols), core.weight.hi),
        np.full(core.cols, high), none, none, 0, 0,
    )  # fmt: skip
    program = schedule(dut, [case], Pace())
    events = play(dut, program)[1]
    assert events.sum(axis=0)[2].tolist() == [core.pixels * depth * core.cols, 0]
    last_slot = program.starts[-1] - 1 - dut.event_latency
    assert dut.latency < np.flatnonzero(events.any(axis=(1, 2)))[-1] - last_slot <= dut.event_latency


def test_other_dataflow_is_refused() -> None:
    with pytest.raises(InputError, match="dataflow must be weight_stationary, not output_stationary"):
        make(Core(dataflow=Dataflow.OUTPUT_STATIONARY))


def test_accumulators_before_the_products_are_refused() -> None:
    with pytest.raises(InputError, match="arrival must be at least 5, not 4"):
        outlier_unit.OutlierUnit(named(TREE), 4)


def test_becomes_verilog() -> None:
    assert "module engine(" in to_verilog(make(named(TREE)), "engine")


def _passes(core: Core) -> bool:
    cases = cases_of(core, 8)[0][-12:]
    return all(passes(make(core), cases[i::2], pace) for i, pace in enumerate((Pace(0.4, "any"), Pace())))


@pytest.mark.parametrize("name", sorted({name for faults in MUTANTS.values() for name, _, _ in faults.values()}))
def test_what_mutants_run_passes_unchanged(name: str) -> None:
    assert _passes(named(name))


@pytest.mark.parametrize(
    ("module", "fault"),
    [pytest.param(module, fault, id=fault) for module, faults in MUTANTS.items() for fault in faults],
)
def test_wrong_hardware_is_seen(module: ModuleType, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, old, new = MUTANTS[module][fault]
    put_mutant(monkeypatch, module, old, new)
    assert not _passes(named(name))
