"""What goes over a core's ports, beat by beat against plain Python, and results on their way back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import slow_streams
from gemm_cases import CORES, gemm_core, random_case
from slow_streams import value_beats

from hwsim.cosim.golden import GemmCase, Outliers, golden
from hwsim.cosim.streams import GemmStreams, from_results, to_streams
from hwsim.dataflow import predict
from hwsim.spec import Core, InputError
from hwsim.spec.register_map import SETTINGS


def check_streams(core: Core, case: GemmCase, streams: GemmStreams) -> None:
    assert len(streams.jobs) == len(streams.plan.jobs)
    for planned, job in zip(streams.plan.jobs, streams.jobs, strict=True):
        for port, packing in (("weights", core.weight_packing), ("activations", core.activation_packing)):
            found = getattr(job, port)
            assert (found.dtype, found.shape[1]) == (np.uint8, packing.bus_bits // 8)
            assert value_beats(found.tolist(), packing.bus_bits) == getattr(slow_streams, port)(core, case, planned), (
                port
            )
        assert (job.outliers is None) == (core.outlier_lanes == 0)
        if job.outliers is None:
            assert job.outlier_entries.tolist() == []
        else:
            beats, numbers = slow_streams.outliers(core, case, planned)
            assert value_beats(job.outliers.tolist(), core.outlier_bus_bits) == beats
            assert job.outlier_entries.tolist() == numbers


@pytest.mark.parametrize("name", CORES)
def test_every_beat_is_as_the_document_says(name: str) -> None:
    core = CORES[name]
    for seed in range(4):
        case = random_case(core, seed)
        check_streams(core, case, to_streams(core, case))


@pytest.mark.parametrize("name", CORES)
def test_beats_are_as_many_as_predicted(name: str) -> None:
    core = CORES[name]
    streams = to_streams(core, random_case(core, 5))
    for job, planned in zip(streams.jobs, streams.plan.jobs, strict=True):
        entries = job.outlier_entries if core.outlier_lanes else None
        counters = predict(core, planned.pixels, planned.k_tiles, planned.output_tiles, entries)
        assert counters.beats_weights == len(job.weights)
        assert counters.beats_activations == len(job.activations)
        assert counters.beats_outliers == (0 if job.outliers is None else len(job.outliers))
        assert counters.beats_results == job.result_beats


@pytest.mark.parametrize("name", CORES)
def test_results_come_back_and_what_is_padded_is_dropped(name: str) -> None:
    core = CORES[name]
    for seed in range(4):
        case = random_case(core, seed)
        streams = to_streams(core, case)
        results, _ = golden(core, case)
        beats = [slow_streams.result_vectors(core, streams.plan, job, results.tolist(), 1) for job in streams.plan.jobs]
        bus = core.result_packing.bus_bits // 8
        given = [np.array([list(b.to_bytes(bus, "little")) for b in part], np.uint8) for part in beats]
        assert [len(part) for part in given] == [job.result_beats for job in streams.jobs]
        assert np.array_equal(from_results(core, streams.plan, iter(given)), results)


def test_registers_say_what_the_job_is() -> None:
    core = CORES["output stationary"]
    case = replace(
        random_case(core, 0, (9, 5, 4)), lo=-3, hi=77, activation_zero_point=5, output_zero_point=-7, single=True
    )
    (job,) = to_streams(core, case).jobs
    assert job.registers == {
        "PIXELS": 4, "K_TILES": 3, "OUTPUT_TILES": 6, "ACTIVATION_ZERO_POINT": 5, "OUTPUT_ZERO_POINT": -7,
        "CLAMP_LO": -3, "CLAMP_HI": 77, "ROUNDING": 1,
    }  # fmt: skip
    assert tuple(job.registers) == SETTINGS
    raw = CORES["output stationary, raw"]
    (job,) = to_streams(raw, replace(random_case(raw, 0, (3, 5, 2)), single=True, lo=9, hi=-9)).jobs
    assert [job.registers[name] for name in SETTINGS[4:]] == [0, 0, 0, 0]


def test_more_outliers_than_lanes_repeat_their_k_tile() -> None:
    """2 lanes; 5 outliers in the second of 3 K tiles: it comes three times, with 2, 2 and 1 of them."""
    core = gemm_core("16:wrap", 2, 3, outlier_lanes=2)
    outliers = Outliers(np.array([2, 3, 2, 3, 2]), np.zeros(5, int), np.arange(1, 6))
    case = replace(random_case(core, 0, (4, 6, 3)), outliers=outliers)
    (job,) = to_streams(core, case).jobs
    assert job.registers["K_TILES"] == 5
    assert job.outlier_entries.tolist() == [1, 2, 2, 1, 1]
    records = core.cols * core.record_beats
    by_visit = job.weights[records:].reshape(5, -1)
    assert [bool(beats.any()) for beats in by_visit] == [True, True, False, False, True]
    check_streams(core, case, to_streams(core, case))


def test_no_outliers_at_all_are_one_idle_entry_per_k_tile() -> None:
    core = gemm_core("16:wrap", 2, 3, outlier_lanes=2)
    case = random_case(core, 0, (4, 6, 3))
    none = np.zeros(0, np.int64)
    for outliers in (None, Outliers(none, none, none)):
        (job,) = to_streams(core, replace(case, outliers=outliers)).jobs
        assert job.outliers is not None
        assert job.outliers.tolist() == [[0, 0, 8]] * 3  # value 0, index 0 of 1 bit, column 0 of 2 bits, last


def test_jobs_are_a_sequence_that_is_built_when_asked() -> None:
    core = CORES["weight stationary"]
    jobs = to_streams(core, random_case(core, 0, (15, 5, 5))).jobs
    assert len(jobs) == len(list(jobs)) == len(jobs[0:]) == 1
    assert jobs[0] is not jobs[0]
    assert np.array_equal(jobs[-1].weights, jobs[0].weights)
    with pytest.raises(IndexError):
        jobs[1]


def test_wrong_results_are_refused() -> None:
    core = CORES["weight stationary"]
    streams = to_streams(core, random_case(core, 0, (15, 5, 5)))
    good = np.zeros((streams.jobs[0].result_beats, 5), np.uint8)
    for given, message in (
        ([], "jobs with results must be 1, not 0"),
        ([good, good], "jobs with results must be 1, not 2"),
        ([good[1:]], r"result beats of a job must be of shape \(15, 5\), not \(14, 5\)"),
        ([good[:, 1:]], r"result beats of a job must be of shape \(15, 5\), not \(15, 4\)"),
    ):
        with pytest.raises(InputError, match=message):
            from_results(core, streams.plan, given)


def test_operands_that_a_core_cannot_take_are_refused() -> None:
    case = random_case(CORES["outliers"], 0)
    with pytest.raises(InputError, match=r"^weights must be from -2 to 1, not 2$"):
        to_streams(CORES["outliers"], replace(case, weights=np.full_like(case.weights, 2)))


MISTAKES: dict[str, Any] = {
    "pixels the other way round": lambda case: replace(case, activations=case.activations[::-1]),
    "products the other way round": lambda case: replace(case, weights=case.weights[::-1]),
    "another zero point in the padding": lambda case: replace(case, activation_zero_point=-case.activation_zero_point - 1),
    "the order of outliers": lambda case: replace(case, outliers=Outliers(
        case.outliers.k, case.outliers.column, case.outliers.value[::-1])),
    "a shift": lambda case: replace(case, shift=case.shift - 1),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_other_streams_are_told_apart(mistake: str) -> None:
    core = CORES["outliers in chains"] if "zero point" not in mistake else CORES["outliers"]
    case = random_case(core, 2, (10, 7, 4))
    with pytest.raises(AssertionError):
        check_streams(core, case, to_streams(core, MISTAKES[mistake](case)))
