"""What tests of compiled cores share: a skip where nothing can be compiled, GEMMs on a core, an own cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hwsim.cosim.golden import GemmCase, Int64, golden
from hwsim.cosim.streams import from_results, to_streams
from hwsim.dataflow import Counters, predict
from hwsim.hardware import build_cache
from hwsim.hardware.compiled import PORTS, CompiledCore
from hwsim.spec import InputError
from hwsim.spec.register_map import COUNTERS

EVENTS = COUNTERS[10:]
STREAMS = ("WEIGHTS", "ACTIVATIONS", "OUTLIERS", "RESULTS")


def has_compiler() -> bool:
    try:
        build_cache.compiler()
    except InputError:
        return False
    return True


needs_compiler = pytest.mark.skipif(not has_compiler(), reason="there is no C++ compiler: apt install g++")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build_cache.cache_folder.cache_clear()
    yield build_cache.cache_folder()
    monkeypatch.undo()
    build_cache.cache_folder.cache_clear()


def everywhere(chance: float, seed: int = 1) -> dict[str, tuple[float, int]]:
    """Return pauses of all ports."""
    return dict.fromkeys(PORTS, (chance, seed))


@dataclass(frozen=True)
class GemmRun:
    """A GEMM on a core: results [M, N], events [3, 2], sums of the counters, what the time model says of them."""

    results: Int64
    events: Int64
    counters: dict[str, int]
    predicted: Counters
    cycles: int

    @property
    def beats(self) -> int:
        """Transactions on all streams."""
        return sum(self.counters[f"BEATS_{name}"] for name in STREAMS)

    @property
    def timed(self) -> Counters:
        """The counters that do not depend on values."""
        return Counters(*(self.counters[name] for name in COUNTERS[:10]))


def run_case(device: CompiledCore, case: GemmCase, gaps: Mapping[str, tuple[float, int]] | None = None) -> GemmRun:
    streams = to_streams(device.core, case)
    total = dict.fromkeys(COUNTERS, 0)
    predicted, results, cycles = Counters(), [], 0
    for job in streams.jobs:
        done = device.run(job, gaps=gaps)
        results.append(done.results)
        cycles += done.cycles
        total = {name: total[name] + done.counters[name] for name in COUNTERS}
        sizes = (job.registers[name] for name in ("PIXELS", "K_TILES", "OUTPUT_TILES"))
        predicted += predict(device.core, *sizes, job.outlier_entries if device.core.outlier_lanes else None)
    events = np.array([total[name] for name in EVENTS]).reshape(3, 2)
    return GemmRun(from_results(device.core, streams.plan, results), events, total, predicted, cycles)


def check_run(device: CompiledCore, case: GemmCase, run: GemmRun) -> None:
    """Hold results and events to the kernels."""
    results, events = golden(device.core, case)
    assert np.array_equal(run.results, results)
    assert not device.core.count_events or np.array_equal(run.events, events)
