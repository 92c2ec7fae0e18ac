"""Cycles of a GEMM core behind a memory, against a model that steps through every cycle; and what must hold for every memory.

`tests/rtl/test_memory_on_rtl.py` holds the hardware to the same predictions.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_core import small
from stalled_by_cycle import count_stalled
from test_core_cycles import OS, jobs

from hwsim.dataflow import CoreTiming, plan_gemm, predict, predict_plan
from hwsim.spec import Core, InputError, StreamMemory
from hwsim.spec.stream_memory import beat_bytes

AMPLE = Fraction(100_000)
Job = tuple[Core, int, int, int, list[int]]


@st.composite
def memories(draw: st.DrawFn) -> StreamMemory:
    """Draw a memory: from starving to ample, FIFOs of a few beats."""
    ratios = st.builds(Fraction, st.integers(1, 60), st.integers(1, 9)) | st.just(AMPLE)
    places = [draw(st.sampled_from((1, 2, 3, 5, 20))) for _ in range(4)]
    return StreamMemory(draw(st.sampled_from((0, 1, 2, 7, 30))), draw(ratios), draw(st.none() | ratios), *places)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(jobs(), memories(), st.data())
def test_equals_the_model_that_steps_through_every_cycle(job: Job, memory: StreamMemory, data: st.DataObject) -> None:
    core, *sizes, entries = job
    timing = CoreTiming.of(core)
    if data.draw(st.booleans()):
        # Latencies that no core has, so that all orders of events appear.
        timing = replace(
            timing, engine_latency=data.draw(st.integers(0, 20)), minimum_slots=data.draw(st.integers(1, 20)),
            fifo_depth=data.draw(st.sampled_from((4, 8, 32))),
        )  # fmt: skip
    expected = count_stalled(core, *sizes, entries, memory, timing)
    assert asdict(predict(core, *sizes, entries if core.outlier_lanes else None, timing, memory)) == expected


@settings(max_examples=80, deadline=None, derandomize=True)
@given(jobs(), memories())
def test_an_ample_memory_without_latency_is_none(job: Job, memory: StreamMemory) -> None:
    core, *sizes, entries = job
    ample = replace(memory, latency_cycles=0, bytes_per_cycle=AMPLE, write_bytes_per_cycle=None)
    assert predict(core, *sizes, entries, memory=ample) == predict(core, *sizes, entries)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(jobs(), memories())
def test_no_memory_is_faster_than_none_and_none_faster_than_its_bus(job: Job, memory: StreamMemory) -> None:
    core, *sizes, entries = job
    free, found = predict(core, *sizes, entries), predict(core, *sizes, entries, memory=memory)
    assert found.cycles >= free.cycles
    for name in ("slots", "beats_weights", "beats_outliers", "beats_activations", "beats_results"):
        assert getattr(found, name) == getattr(free, name)
    beats = (found.beats_weights, found.beats_outliers, found.beats_activations)
    size = sum(number * width for number, width in zip(beats, beat_bytes(core), strict=False))
    assert found.cycles * memory.bytes_per_cycle > size
    # Whatever the results: all but those in the buffer have crossed.
    crossed = (found.beats_results - memory.result_beats) * beat_bytes(core)[3]
    assert found.cycles * memory.bandwidths[1] > crossed


@settings(max_examples=60, deadline=None, derandomize=True)
@given(jobs(), memories(), st.integers(1, 9))
def test_where_no_beat_waits_for_the_bus_latency_never_saves_and_places_never_cost(
    job: Job, memory: StreamMemory, more: int
) -> None:
    core, *sizes, entries = job
    memory = replace(memory, bytes_per_cycle=AMPLE, write_bytes_per_cycle=memory.write_bytes_per_cycle or AMPLE)
    cycles = predict(core, *sizes, entries, memory=memory).cycles
    late = replace(memory, latency_cycles=memory.latency_cycles + more)
    assert predict(core, *sizes, entries, memory=late).cycles >= cycles
    for name in ("weight_beats", "outlier_beats", "activation_beats", "result_beats"):
        deep = replace(memory, **{name: getattr(memory, name) + more})
        assert predict(core, *sizes, entries, memory=deep).cycles <= cycles


@settings(max_examples=60, deadline=None, derandomize=True)
@given(jobs(), memories(), st.integers(2, 9))
def test_bandwidth_that_nobody_competes_for_never_costs(job: Job, memory: StreamMemory, factor: int) -> None:
    """A bus of the results' own; and the shared one against one on which no beat ever waits."""
    core, *sizes, entries = job
    cycles = predict(core, *sizes, entries, memory=memory).cycles
    ample = replace(memory, bytes_per_cycle=AMPLE)
    assert predict(core, *sizes, entries, memory=ample).cycles <= cycles
    slow = replace(ample, write_bytes_per_cycle=Fraction(2, 3))
    fast = replace(slow, write_bytes_per_cycle=Fraction(2, 3) * Fraction(factor + 1, factor))
    assert predict(core, *sizes, entries, memory=fast).cycles <= predict(core, *sizes, entries, memory=slow).cycles


def test_ports_that_compete_may_gain_from_a_longer_latency_and_lose_by_a_faster_bus() -> None:
    """What orders requests by their time may order them otherwise: no mistake, the model by cycle says the same."""
    late = [StreamMemory(latency, Fraction(2), None, 2, 2, 2, 2) for latency in (5, 6)]
    fast = [StreamMemory(0, Fraction(ratio), None, 2, 2, 2, 2) for ratio in (Fraction(2), Fraction(5, 2))]
    for core, slots, sizes, pair in (
        (small(), 5, (9, 1, 2), late),
        (small(dataflow=OS, weight_bus_bits=8), 3, (2, 2, 3), fast[::-1]),
    ):
        timing = CoreTiming(engine_latency=6, minimum_slots=slots, fifo_depth=16, row_pace=1, result_latency=1)
        cycles = [predict(core, *sizes, timing=timing, memory=memory).cycles for memory in pair]
        entries = [1] * sizes[1] * sizes[2]
        assert cycles == [count_stalled(core, *sizes, entries, memory, timing)["cycles"] for memory in pair]
        assert cycles[0] > cycles[1]


def test_a_long_job_is_predicted_by_its_steady_state() -> None:
    """Each 4,000 more output tiles take as long as the 4,000 before."""
    memory = StreamMemory(20, Fraction(21, 2))
    parts = [asdict(predict(Core(), 200, 30, tiles, memory=memory)) for tiles in (4_000, 8_000, 12_000)]
    for name in parts[0]:
        assert parts[2][name] - parts[1][name] == parts[1][name] - parts[0][name], name
    assert parts[0]["wait_activations"] > 0


def test_a_plan_is_the_sum_of_its_jobs() -> None:
    core = Core(rows=3, cols=4, pixels=16)
    plan = plan_gemm(core, 50, 20, 9)
    memory = StreamMemory(5, Fraction(3))
    jobs = [predict(core, job.pixels, job.k_tiles, job.output_tiles, memory=memory) for job in plan.jobs]
    assert predict_plan(plan, memory=memory).cycles == sum(job.cycles for job in jobs) > predict_plan(plan).cycles


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"latency_cycles": -1}, "latency_cycles must be an integer from 0 to 1000000, not -1"),
        ({"bytes_per_cycle": Fraction(0)}, "bytes_per_cycle must be a positive ratio of integers up to 1000000, not 0"),
        ({"bytes_per_cycle": 1.5}, "bytes_per_cycle must be a positive ratio of integers up to 1000000, not 1.5"),
        (
            {"write_bytes_per_cycle": Fraction(1, 1000001)},
            "write_bytes_per_cycle must be a positive ratio of integers up to 1000000, not 1/1000001",
        ),
        ({"activation_beats": 0}, "activation_beats must be an integer from 1 to 65536, not 0"),
    ],
)
def test_impossible_memories_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        StreamMemory(**fields)  # type: ignore[arg-type]
    assert str(error.value) == message
