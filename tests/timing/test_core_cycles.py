"""The cycles of a GEMM core against a model that steps through every cycle, and what must hold for every core.

`tests/rtl` holds the hardware to the same predictions.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from core_by_cycle import count_by_cycle
from hypothesis import given, settings
from hypothesis import strategies as st
from small_core import small

from hwsim.dataflow import CoreTiming, core_cycles, plan_gemm, predict, predict_plan
from hwsim.spec import Arithmetic, BiasAt, Core, Dataflow, Format, InputError, Profile, Reduction, Register

OS = Dataflow.OUTPUT_STATIONARY


@st.composite
def cores(draw: st.DrawFn) -> Core:
    """Draw a small core; widths of buses so that all ratios of beats appear."""
    dataflow = draw(st.sampled_from((Dataflow.WEIGHT_STATIONARY, OS)))
    rows, cols, lanes = draw(st.integers(1, 4)), draw(st.sampled_from((1, 2, 4, 6))), draw(st.integers(1, 3))
    chained = draw(st.booleans())
    reduction = Reduction(
        lanes=lanes, chain=rows if chained else None, psum=Register.parse("32:wrap") if chained else None,
        bias_at=draw(st.sampled_from(BiasAt)),
    )  # fmt: skip
    profile = draw(st.sampled_from((Profile.TFLITE, Profile.POWER_OF_TWO)))
    buses = {
        name: draw(st.sampled_from((None, unit, 2 * unit)))
        for name, unit in (("weight_bus_bits", 8), ("activation_bus_bits", 8), ("result_bus_bits", 32))
    }
    return Core(
        dataflow=dataflow, rows=rows, cols=cols, arithmetic=Arithmetic(reduction, profile),
        output=draw(st.sampled_from((None, Format(8)))), pixels=40,
        requantizers=draw(st.sampled_from([d for d in (1, 2, 4, 6) if cols % d == 0])),
        outlier_lanes=draw(st.integers(0, 3)) if dataflow is not OS else 0, **buses,
    )  # fmt: skip


@st.composite
def jobs(draw: st.DrawFn) -> tuple[Core, int, int, int, list[int]]:
    """Draw a core and a job of a few thousand slots at most, outliers for groups of like output tiles."""
    core = draw(cores())
    pixels = draw(st.integers(1, 40)) if core.dataflow is not OS else core.rows
    k_tiles, tiles = draw(st.integers(1, 9)), draw(st.integers(1, 12))
    entries: list[int] = []
    while len(entries) < k_tiles * tiles:
        part = draw(st.lists(st.integers(1, 9), min_size=k_tiles, max_size=k_tiles))
        entries += part * min(draw(st.integers(1, 4)), tiles - len(entries) // k_tiles)
    return core, pixels, k_tiles, tiles, entries


def timings(draw: st.DrawFn, core: Core) -> CoreTiming:
    """Draw latencies that no core has, so that all orders of events appear."""
    own = CoreTiming.of(core)
    return replace(
        own,
        engine_latency=draw(st.integers(0, 20)),
        minimum_slots=draw(st.integers(1, 20)),
        fifo_depth=draw(st.sampled_from((4, 8, 32))),
        row_pace=draw(st.integers(1, 9)),
    )


def check(module: Any, core: Core, sizes: tuple[int, int, int], entries: list[int], timing: CoreTiming) -> None:
    expected = count_by_cycle(core, *sizes, entries, timing)
    assert asdict(module.predict(core, *sizes, entries if core.outlier_lanes else None, timing)) == expected


@settings(max_examples=250, deadline=None, derandomize=True)
@given(jobs(), st.data())
def test_equals_the_model_that_steps_through_every_cycle(
    job: tuple[Core, int, int, int, list[int]], data: st.DataObject
) -> None:
    core, *sizes, entries = job
    timing = data.draw(st.just(CoreTiming.of(core)) | st.composite(timings)(core))
    check(core_cycles, core, tuple(sizes), entries, timing)


FIXED = (
    (small(weight_bus_bits=8), 5, 3, 9),
    (small(activation_bus_bits=8), 9, 4, 7),
    (small(outlier_lanes=2), 6, 2, 8),
    (small(dataflow=OS, result_bus_bits=16), 2, 1, 40),
    (small(dataflow=OS, weight_bus_bits=8, activation_bus_bits=8), 2, 9, 12),
    (Core(rows=1, cols=4, pixels=40, requantizers=1), 40, 2, 9),
    (Core(rows=1, cols=8, pixels=8, requantizers=1, weight_bus_bits=128, outlier_lanes=1), 2, 1, 60),
    (small(outlier_lanes=1, result_bus_bits=16), 16, 1, 30),
    (small(), 1, 1, 20),
    (Core(rows=2, cols=2, dataflow=OS, weight_bus_bits=8), 2, 3, 20),
)


def check_fixed(module: Any) -> None:
    rng = np.random.default_rng(3)
    for core, *sizes in FIXED:
        timing = CoreTiming.of(core)
        if sizes[0] == 1:
            # No core has so few places that rows under way fill them all.
            timing = replace(timing, engine_latency=20, fifo_depth=4, row_pace=30)
        # The last output tile comes after a jump.
        outliers = rng.integers(1, 9, sizes[1])
        entries = np.repeat([outliers, outliers + 1], [sizes[2] - 1, 1], axis=0).ravel().tolist()
        check(module, core, (sizes[0], sizes[1], sizes[2]), entries, timing)
    # Rows that come evenly until the FIFO is full, long before the first has left: no core's latency is so long.
    core = small(pixels=64)
    check(module, core, (60, 1, 2), [], replace(CoreTiming.of(core), engine_latency=90, fifo_depth=32, row_pace=1))


ALIKE = f"{' ' * 12}if before == self._places(units):\n{' ' * 16}self._repeat"

MUTANTS = {
    "a vector can be used in the cycle of its last beat": ("self.consumed + self.late) + 1", "self.consumed + self.late)"),
    "weights are taken while others wait": ("_Unpacker(load, load if self.stationary else 0)", "_Unpacker(load)"),
    "a place is free in the cycle in which its row leaves": ("[rows - 1] + 1", "[rows - 1]"),
    "one place less": ("[LONG_AGO] * timing.fifo_depth, timing.fifo_depth)",
                       "[LONG_AGO] * (timing.fifo_depth - 1), timing.fifo_depth - 1)"),
    "a row is early": ("cycle + self.timing.engine_latency + 3", "cycle + self.timing.engine_latency + 2"),
    "rows leave one cycle faster": ("self.row_left + self.timing.row_pace)", "self.row_left + self.timing.row_pace - 1)"),
    "sets are free at once": ("self.free_sets[1], self.row_left + 1]", "self.free_sets[1], 0]"),
    "sets are free late": ("self.free_sets[1], self.row_left + 1]", "self.free_sets[1], self.row_left + 2]"),
    "one set": ("[self.free_sets[1], self.row_left + 1]", "[self.row_left + 1] * 2"),
    "entries are taken late": ("self.weights.consumed + entries + 1", "self.weights.consumed + entries + 2"),
    "activations count as outliers": ('"wait_outliers", "wait_activations"', '"wait_activations", "wait_outliers"'),
    "empty slots take no time": ("self.slot += max(0, self.timing.minimum_slots - self.pixels)", "pass"),
    "a jump does not wait until the state repeats": (
        "return (*(cycle - self.slot for cycle in (*units, *free)), *self._rows(rows, self.slot))", "return ()",
    ),
    "a jump does not move the rows": ("(cycle + cycles for cycle in self.leaving)", "self.leaving"),
    "a jump does not move the sets": ("[cycle + cycles for cycle in self.free_sets]", "list(self.free_sets)"),
    "a jump forgets the waits": ("self.waits = [now + times * (now - then)", "self.waits = [now + 0 * (now - then)"),
    "like slots forget the waits": (
        f"self._issue()\n{ALIKE}(number, slot, waits,", f"self._issue()\n{ALIKE}(number, slot, self.waits,",
    ),
    "like K tiles forget the waits": (
        f"yields=False)\n{ALIKE}(number, slot, waits,", f"yields=False)\n{ALIKE}(number, slot, self.waits,",
    ),
    "like K tiles leave the weights behind": ("units = (self.activations, self.weights)", "units = (self.activations,)"),
    "like rows forget the waits": (
        "self._repeat(number, slot, waits, (unit,))", "self._repeat(number, slot, self.waits, (unit,))",
    ),
    "like rows stay where they are": ("(cycle + number * later for cycle in self.leaving)", "self.leaving"),
    "like rows need not be alike": ("== self._rows(self.leaving, self.slot)):", "is not None):"),
    "no row is ever in the way": ("return self.row_left - self.slot <= self.harmless", "return True"),
}  # fmt: skip


def mutant(old: str, new: str) -> ModuleType:
    """Return a copy of the model in which `old`, found once, reads `new`."""
    source = Path(str(core_cycles.__file__)).read_text("utf-8")
    assert source.count(old) == 1, f"{source.count(old)} places like {old!r}; rewrite this mutant"
    copy = ModuleType(core_cycles.__name__)
    exec(compile(source.replace(old, new), "<mutant of core_cycles>", "exec"), copy.__dict__)
    return copy


def test_the_fixed_jobs_are_predicted() -> None:
    check_fixed(core_cycles)


@pytest.mark.parametrize("mistake", MUTANTS)
def test_a_mistake_in_the_model_is_found(mistake: str) -> None:
    copy = mutant(*MUTANTS[mistake])
    with pytest.raises(AssertionError):
        check_fixed(copy)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(jobs())
def test_cycles_are_slots_and_waits_and_the_way_of_the_last_row(job: tuple[Core, int, int, int, list[int]]) -> None:
    core, pixels, k_tiles, tiles, entries = job
    found, timing = predict(core, pixels, k_tiles, tiles, entries), CoreTiming.of(core)
    waits = found.wait_weights + found.wait_outliers + found.wait_activations + found.wait_results
    tail = found.cycles - found.slots - waits
    # The last slot with a pixel may be followed by empty ones, and its row by rows of its slot or a queue before it.
    rows = core.rows if core.dataflow is OS else 1
    empty = timing.minimum_slots - (k_tiles if core.dataflow is OS else pixels)
    least = timing.engine_latency + 3 + rows - 1 + timing.result_latency - max(0, empty)
    assert least <= tail <= least + max(0, empty) + timing.fifo_depth * timing.row_pace
    beats = (found.beats_weights, found.beats_activations, found.beats_outliers, found.beats_results)
    assert found.cycles > max(beats)
    # Every multiplier busy in every cycle is the least there is.
    products = k_tiles * core.tile_products * tiles * core.tile_pixels * core.cols
    busy = core.rows * core.cols * core.lanes
    share = 1 if core.dataflow is OS else pixels / core.pixels
    assert found.cycles > math.ceil(products * share / busy)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(jobs())
def test_more_requantizers_and_wider_buses_never_cost_cycles(job: tuple[Core, int, int, int, list[int]]) -> None:
    core, *sizes, entries = job
    slow = predict(core, *sizes, entries)
    for field in ("requantizers", "weight_bus_bits", "activation_bus_bits", "result_bus_bits"):
        fast = predict(replace(core, **{field: None}), *sizes, entries)
        assert fast.cycles <= slow.cycles, field
        assert fast.slots == slow.slots


def test_many_output_tiles_take_as_long_as_their_steady_state_says() -> None:
    """Each 16,000 more take as many cycles as the 16,000 before: the state repeats long before."""
    core = Core(requantizers=2)
    parts = [asdict(predict(core, 200, 3, tiles)) for tiles in (16_000, 32_000, 48_000)]
    for name in parts[0]:
        assert parts[2][name] - parts[1][name] == parts[1][name] - parts[0][name], name


@pytest.mark.parametrize(("dataflow", "lanes"), [(Dataflow.WEIGHT_STATIONARY, 2), (OS, 0)])
def test_a_plan_is_the_sum_of_its_jobs(dataflow: Dataflow, lanes: int) -> None:
    core = Core(dataflow=dataflow, rows=3, cols=4, pixels=16, outlier_lanes=lanes)
    plan = plan_gemm(core, 50, 20, 9)
    jobs = [predict(core, job.pixels, job.k_tiles, job.output_tiles) for job in plan.jobs]
    assert predict_plan(plan).cycles == sum(job.cycles for job in jobs)
    if lanes:
        entries = [np.full(job.k_tiles * job.output_tiles, 2) for job in plan.jobs]
        more = predict_plan(plan, entries)
        assert more.beats_outliers == 2 * predict_plan(plan).beats_outliers > 0


@pytest.mark.parametrize(
    ("sizes", "entries", "message"),
    [
        ((0, 1, 1), None, "pixels must be an integer from 1 to 16, not 0"),
        ((17, 1, 1), None, "pixels must be an integer from 1 to 16, not 17"),
        ((1, 65536, 1), None, "k_tiles must be an integer from 1 to 65535, not 65536"),
        ((1, 1, 0), None, "output_tiles must be an integer from 1 to 65535, not 0"),
        ((1, 2, 2), [1, 1, 1], "entries must be at least 1 for each of 4 K tiles, not [1, 1, 1]"),
        ((1, 1, 2), [1, 0], "entries must be at least 1 for each of 2 K tiles, not [1, 0]"),
    ],
)
def test_impossible_jobs_are_refused(sizes: tuple[int, int, int], entries: list[int] | None, message: str) -> None:
    with pytest.raises(InputError) as error:
        predict(small(outlier_lanes=1), *sizes, entries)
    assert str(error.value) == message
