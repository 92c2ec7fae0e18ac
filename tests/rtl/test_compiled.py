# amaranth: UnusedElaboratable=no
"""The driver of a compiled core: what it notices, what it refuses, and that it goes on afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from compiled import check_run, everywhere, needs_compiler, run_case
from faulty_core import FAULTS, FaultyCore
from gemm_core_configurations import core as make_core

import hwsim.rtl
from hwsim.cosim.golden import GemmCase
from hwsim.cosim.stimulus import random_case
from hwsim.cosim.streams import JobStreams, to_streams
from hwsim.hardware.compiled import CompiledCore, CoreFailure
from hwsim.hardware.model import library
from hwsim.spec import InputError

pytestmark = needs_compiler

CORE = make_core("two", 2, 2, "20:wrap", pixels=16)


def job_of(pixels: int) -> tuple[JobStreams, GemmCase]:
    case = replace(random_case(CORE, np.random.default_rng(0)), activations=np.ones((pixels, 3), np.int64))
    rng = np.random.default_rng(1)
    case = replace(case, weights=rng.integers(-5, 5, (3, 2)), **{
        name: getattr(case, name)[:1].repeat(2) for name in ("bias", "multiplier", "shift")
    })  # fmt: skip
    (job,) = to_streams(CORE, case).jobs
    return job, case


@pytest.fixture(scope="module")
def built() -> Path:
    """One library for all faults, and without one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hwsim.rtl, "GemmCore", FaultyCore)
        path = library(CORE)
        # A name is no reason to build.
        assert library(replace(CORE, name="other")) == path
    return path


@pytest.fixture
def faulty(built: Path) -> CompiledCore:
    return CompiledCore(CORE, built)


@pytest.mark.parametrize("fault", list(FAULTS)[1:], ids=[name for name, _, _ in FAULTS.values()][1:])
def test_a_broken_rule_is_noticed_and_the_next_job_runs(faulty: CompiledCore, fault: int) -> None:
    _, port, message = FAULTS[fault]
    gaps = {port: (0.8, 3)} if port else None
    with pytest.raises(CoreFailure) as failure:
        faulty.run(job_of(fault)[0], gaps=gaps, patience=3000)
    text = str(failure.value)
    assert text.startswith(message), text
    for part in (
        "; cycle ",
        "; weights valid=",
        "; activations valid=",
        "; results valid=",
        "; aw valid=",
        "; r valid=",
    ):
        assert part in text
    # After a failure the core is as new: a job without a fault.
    case = job_of(1)[1]
    check_run(faulty, case, run_case(faulty, case, everywhere(0.5)))


def test_beats_that_the_core_does_not_want_are_noticed(faulty: CompiledCore) -> None:
    job, _ = job_of(1)
    more = replace(job, activations=np.concatenate([job.activations, job.activations[:1]]))
    with pytest.raises(CoreFailure, match=r"^the job ended before all beats had moved; .*, 2 of 3 beats"):
        faulty.run(more)


def test_a_stream_that_ends_early_is_no_hang(faulty: CompiledCore) -> None:
    job, case = job_of(1)
    with pytest.raises(
        CoreFailure, match=r"^nothing moved for 500 cycles; .*activations valid=0 ready=1, 1 of 1 beats"
    ):
        faulty.run(replace(job, activations=job.activations[:-1]), patience=500)
    check_run(faulty, case, run_case(faulty, case))


def test_what_cannot_be_streamed_is_refused(faulty: CompiledCore) -> None:
    job, _ = job_of(1)
    with pytest.raises(InputError, match=r"^weights stream must be uint8, not int16$"):
        faulty.run(replace(job, weights=job.weights.astype(np.int16)))
    with pytest.raises(InputError, match=r"^activations stream must be of shape \[beats, 2\], not \(2, 1\)$"):
        faulty.run(replace(job, activations=job.activations[:, :1]))
    with pytest.raises(InputError, match=r"^gaps of weights must be from 0 to 0.99, not 1.0$"):
        faulty.run(job, gaps={"weights": (1.0, 0)})
    with pytest.raises(
        InputError, match=r"^gaps must be by weights, activations, outliers, results, registers, not clock$"
    ):
        faulty.run(job, gaps={"clock": (0.5, 0)})


def test_two_cores_are_two(built: Path) -> None:
    """What one does must not reach another of the same library: it is loaded once."""
    first, second = CompiledCore(CORE, built), CompiledCore(CORE, built)
    job, case = job_of(1)
    with pytest.raises(CoreFailure):
        first.run(replace(job, activations=job.activations[:1]), patience=100)
    assert run_case(first, case).cycles == run_case(second, case).cycles == run_case(second, case).cycles
