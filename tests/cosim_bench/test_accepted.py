"""From beats back to GEMMs: what goes in as a case comes out as that case's tiles, and wrong beats are refused."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from gemm_core_configurations import CONFIGURATIONS, named

from hwsim.cosim.accepted import Accepted, result_vectors
from hwsim.cosim.golden import golden
from hwsim.cosim.packing import pack
from hwsim.cosim.stimulus import outlier_case, random_case
from hwsim.cosim.streams import from_results, to_streams
from hwsim.spec import Core


def taken(core: Core, seed: int = 1) -> Iterator[Accepted]:
    """Yield what a device takes in each job of a random case."""
    streams = to_streams(core, random_case(core, np.random.default_rng(seed)))
    for job in streams.jobs:
        accepted = Accepted(core, job.registers)
        for port in ("weights", "activations", "outliers"):
            beats = getattr(job, port)
            if beats is not None:
                getattr(accepted, port).extend(int.from_bytes(beat.tobytes(), "little") for beat in beats)
        yield accepted


@pytest.mark.parametrize("core", CONFIGURATIONS, ids=lambda core: core.name)
def test_tiles_of_the_beats_are_the_gemm(core: Core) -> None:
    """Two ways to the same numbers: the kernels on the whole case, and on each output tile that the beats mean."""
    for seed in range(4):
        case = random_case(core, np.random.default_rng(seed))
        wanted, wanted_events = golden(core, case)
        results, events = [], np.zeros((3, 2), np.int64)
        for accepted in taken(core, seed):
            tiles = [golden(core, tile) for tile in accepted.cases()]
            results.append(pack(np.concatenate([rows for rows, _ in tiles]), core.result_packing))
            events += sum((counts for _, counts in tiles), np.zeros((3, 2), np.int64))
        plan = to_streams(core, case).plan
        assert np.array_equal(from_results(core, plan, results), wanted)
        if case.shape[0] % core.rows == 0 or core.dataflow.value == "weight_stationary":
            # Whole tiles of pixels: none is padded with zeros, whose bias may overflow as well as any.
            assert np.array_equal(events, wanted_events)


@pytest.mark.parametrize("port", ["weights", "activations"])
@pytest.mark.parametrize("change", [-1, 1])
def test_another_number_of_beats_is_seen(port: str, change: int) -> None:
    accepted = next(taken(named("os_acc32_narrow_buses")))
    beats = getattr(accepted, port)
    wanted = len(beats)
    if change > 0:
        beats.append(0)
    else:
        beats.pop()
    with pytest.raises(
        AssertionError, match=f"{port}: the device took {wanted + change} beats of a job that has {wanted}"
    ):
        list(accepted.cases())


def test_wrong_outlier_entries_are_seen() -> None:
    core = named("ws_outliers_w2")
    accepted = next(taken(core))
    accepted.outliers.pop()
    with pytest.raises(AssertionError, match="outliers: the device took"):
        list(accepted.cases())


def test_bits_outside_a_record_are_seen() -> None:
    core = named("ws_acc16_saturate")
    accepted = next(taken(core))
    accepted.weights[core.record_beats - 1] |= 1 << (core.weight_packing.bus_bits - 1)
    with pytest.raises(AssertionError, match="the record of column 0 has bits that mean nothing"):
        list(accepted.cases())


def test_outliers_come_back_in_order() -> None:
    core = named("ws_outliers_8_lanes_2")
    case = outlier_case(core, np.random.default_rng(1))
    assert case.outliers is not None and len(case.outliers.k) == 8
    (job,) = to_streams(core, case).jobs
    accepted = Accepted(core, job.registers)
    for port in ("weights", "activations", "outliers"):
        getattr(accepted, port).extend(int.from_bytes(beat.tobytes(), "little") for beat in getattr(job, port))
    (tile,) = accepted.cases()
    assert tile.outliers is not None
    for field in ("k", "column", "value"):
        assert getattr(tile.outliers, field).tolist() == getattr(case.outliers, field).tolist()


def test_results_are_signed_as_they_are_declared() -> None:
    core = named("ws_odd_widths_raw")
    rows = np.array([[-(1 << 22), (1 << 22) - 1], [-1, 0]], np.int64)
    beats = [int.from_bytes(beat.tobytes(), "little") for beat in pack(rows, core.result_packing)]
    assert result_vectors(core, beats).tolist() == rows.tolist()
