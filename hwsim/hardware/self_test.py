"""The job that a core on a board tests itself with: drawn with a fixed seed, its results by the kernels."""

from __future__ import annotations

import numpy as np

from hwsim.cosim.golden import GemmCase, golden
from hwsim.cosim.packing import Bytes
from hwsim.cosim.stimulus import random_case
from hwsim.cosim.streams import GemmStreams, to_streams
from hwsim.cosim.vectors import result_beats
from hwsim.dataflow import predict_plan
from hwsim.rtl.self_test import SelfTestJob
from hwsim.spec import Core

CASES = 50
"""Random cases that are looked at."""

ENOUGH_VALUES = 40
"""Different results that are enough to stop looking."""

PATIENCE_FACTOR, PATIENCE_CYCLES = 2, 2000
"""How much longer than predicted a test may take, and cycles for the accesses to registers."""


def self_test_case(core: Core, seed: int) -> GemmCase:
    """Return a random case that is one job, with many different results; the same seed gives the same case."""
    best, most = None, 0
    for number in range(CASES):
        case = random_case(core, np.random.default_rng([seed, 7, number]))
        if len(to_streams(core, case).jobs) > 1:
            continue
        values = len(np.unique(golden(core, case)[0]))
        if values > most:
            best, most = case, values
        if most >= ENOUGH_VALUES:
            break
    assert best is not None, "one tile is one job"
    return best


def self_test_job(core: Core, case: GemmCase) -> SelfTestJob:
    """Return what the hardware needs of a case that is one job."""
    streams = to_streams(core, case)
    (job,) = streams.jobs
    return SelfTestJob(
        registers=job.registers,
        weights=_integers(job.weights),
        activations=_integers(job.activations),
        outliers=() if job.outliers is None else _integers(job.outliers),
        results=_integers(result_beats(core, job)),
        patience=PATIENCE_FACTOR * predicted_cycles(streams) + PATIENCE_CYCLES,
    )


def predicted_cycles(streams: GemmStreams) -> int:
    """Return what the counter CYCLES says after the jobs, if nothing pauses."""
    sparse = streams.plan.core.outlier_lanes > 0
    return predict_plan(streams.plan, [job.outlier_entries if sparse else None for job in streams.jobs]).cycles


def _integers(beats: Bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(beat.tobytes(), "little") for beat in beats)
