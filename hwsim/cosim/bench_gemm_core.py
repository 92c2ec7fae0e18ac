"""The cocotb tests of a `GemmCore`: runs inside the simulator; `hwsim.hardware.verify` starts it.

Monitors on the input ports see what the device accepted, the kernels say what must come out, the scoreboard compares it
with what the output monitor saw. The environment variable HWSIM_BENCH names a JSON file with the settings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import wraps
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles
from cocotb.utils import get_sim_time

from hwsim.cosim.accepted import result_vectors
from hwsim.cosim.coverage import WAITS, Coverage
from hwsim.cosim.gemm_core_driver import CLOCK_NS, Driver, JobRun, Load
from hwsim.cosim.golden import golden
from hwsim.cosim.packing import Bytes
from hwsim.cosim.register_checks import (
    check_after_reset,
    check_busy,
    check_refusals,
    check_starts,
    check_strobes,
    expect,
)
from hwsim.cosim.scoreboard import Scoreboard
from hwsim.cosim.sidecar import core_from_document
from hwsim.cosim.stimulus import NamedCase, flood_case, random_case, stimulus
from hwsim.cosim.streams import JobStreams, from_results, to_streams
from hwsim.dataflow import predict
from hwsim.spec import Core, StreamMemory
from hwsim.spec.stream_memory import beat_bytes

LOADS = (
    Load("no pauses"),
    Load("inputs pause", inputs=(0.4, 3)),
    Load("results wait", results=(0.5, 4)),
    Load("long pauses", inputs=(0.05, 25), results=(0.05, 25)),
)
"""What the streams do, in turn."""

EVENTS = ("TREE", "PSUM", "ACC")
"""Registers in the order of the kernels' events."""

RESETS = 6
"""Jobs that are broken off by a reset."""


def memories(core: Core) -> tuple[StreamMemory, ...]:
    """Return memories that hold back each port of a core in turn; none so slow that a simulation of it takes long."""
    sizes = beat_bytes(core)
    return (
        StreamMemory(0, Fraction(sum(sizes)), None, 1, 1, 1, 1),
        StreamMemory(7, Fraction(sum(sizes), 3), None, 3, 2, 4, 2),
        StreamMemory(1, Fraction(2 * sum(sizes)), Fraction(2 * sizes[3], 7), 8, 4, 16, 2),
        StreamMemory(30, Fraction(sum(sizes)), None, 8, 4, 8, 8),
    )


@dataclass(frozen=True)
class Settings:
    """What the bench is told: the core, a seed, the number of random jobs, and the file for its summary."""

    core: Core
    seed: int
    jobs: int
    summary: Path

    @classmethod
    def read(cls) -> Settings:
        """Read the file that HWSIM_BENCH names."""
        document = json.loads(Path(os.environ["HWSIM_BENCH"]).read_text("utf-8"))
        core = core_from_document(document["sidecar"])
        return cls(core, document["seed"], document["jobs"], Path(document["summary"]))


class Judge:
    """Holds what a device did to the kernels, and counts what was compared."""

    def __init__(self, core: Core, reachable: tuple[str, ...] = ()) -> None:
        self.core = core
        self.scoreboard = Scoreboard("results", axes=("channel",))
        self.coverage = Coverage(core, reachable)
        self.cases = self.jobs = 0

    def job(
        self, named: NamedCase, job: JobStreams, done: JobRun, free: bool, memory: StreamMemory | None = None
    ) -> None:
        """Compare one job; `free`: nothing but the memory made streams pause, so that its cycles are known."""
        core, name = self.core, f"job {self.jobs} of {named.name!r}"
        events = np.zeros((3, 2), np.int64)
        for tile, case in enumerate(done.accepted.cases()):
            rows, counts = golden(core, case)
            self.coverage.sample(case, counts)
            events += counts
            for pixel, row in enumerate(rows):
                self.scoreboard.expect(row, f"{name}, output tile {tile}, pixel {pixel}")
        for row in result_vectors(core, done.results):
            self.scoreboard.observe(row)
        self._events(name, done, events if core.count_events else np.zeros_like(events))
        self._time(name, job, done, free, memory)
        self.coverage.sample_job(job.registers, done.counters)
        self.jobs += 1

    def _events(self, name: str, done: JobRun, events: np.ndarray[Any, Any]) -> None:
        for register, counts in zip(EVENTS, events.tolist(), strict=True):
            for kind, count in zip(("ABOVE", "BELOW"), counts, strict=True):
                expect(done.counters[f"{register}_{kind}"], count, f"{register}_{kind} of {name}")

    def _time(self, name: str, job: JobStreams, done: JobRun, free: bool, memory: StreamMemory | None) -> None:
        """Compare all counters of time with the prediction where they are known; else what pauses do not change."""
        entries = job.outlier_entries.tolist() if self.core.outlier_lanes else None
        pixels, k_tiles, output_tiles = (job.registers[size] for size in ("PIXELS", "K_TILES", "OUTPUT_TILES"))
        predicted = predict(self.core, pixels, k_tiles, output_tiles, entries, memory=memory)
        wanted = {counter.upper(): value for counter, value in vars(predicted).items()}
        for counter, value in wanted.items():
            if free or counter == "SLOTS" or counter.startswith("BEATS_"):
                expect(done.counters[counter], value, f"{counter} of {name}")
        counters = done.counters
        tail = counters["CYCLES"] - counters["SLOTS"] - sum(counters[wait] for wait in WAITS)
        if tail <= 0:
            raise AssertionError(f"mismatch: CYCLES of {name} is only {tail} more than slots and waits")

    def case(self, named: NamedCase, results: list[list[int]]) -> None:
        """Compare a whole GEMM, put together from its jobs' results, with the kernels' answer to what was meant."""
        core, streams = self.core, to_streams(self.core, named.case)
        width = core.result_packing.bus_bits // 8
        beats: list[Bytes] = [
            np.frombuffer(b"".join(beat.to_bytes(width, "little") for beat in job), np.uint8).reshape(-1, width)
            for job in results
        ]
        got, wanted = from_results(core, streams.plan, beats), golden(core, named.case)[0]
        if not np.array_equal(got, wanted):
            at = tuple(np.argwhere(got != wanted)[0].tolist())
            raise AssertionError(
                f"mismatch: {named.name!r}, pixel {at[0]}, channel {at[1]}: expected {wanted[at]}, got {got[at]}, "
                "although every output tile is right: the streams are not what the case says"
            )
        self.cases += 1

    def summary(self, driver: Driver) -> dict[str, Any]:
        """Return what was done and found, as JSON takes it."""
        coverage, board = self.coverage, self.scoreboard
        return {
            "cases": self.cases, "jobs": self.jobs, "beats": driver.beats,
            "compared": board.compared, "mismatched": board.mismatched,
            "mismatches": [str(mismatch) for mismatch in board.mismatches[:1]],
            "coverage": {
                "reachable": len(coverage.reachable), "hit": coverage.hit, "missing": coverage.missing,
                "hits": {name: coverage.hits[name] for name in sorted(coverage.hits)},
            },
        }  # fmt: skip


def bench_test(body: Callable[[Driver, Settings], Awaitable[None]]) -> Any:
    """Make a cocotb test of a coroutine: it gets a driver of a device that was reset."""

    @wraps(body)
    async def test(dut: Any) -> None:
        settings = Settings.read()
        driver = Driver(dut, settings.core, np.random.default_rng([settings.seed, 2]))
        # The first edges settle what a simulator that knows X has never evaluated.
        await driver.reset(cycles=4)
        await body(driver, settings)

    return cocotb.test(timeout_time=100, timeout_unit="ms")(test)


def _note(settings: Settings, **found: Any) -> None:
    """Join something to the summary's file."""
    summary = json.loads(settings.summary.read_text("utf-8")) if settings.summary.exists() else {}
    cycles = round(get_sim_time("ns")) // CLOCK_NS
    settings.summary.write_text(json.dumps(summary | found | {"cycles": cycles}, indent=2) + "\n", "utf-8")


async def _run_cases(driver: Driver, judge: Judge, cases: Sequence[NamedCase], loads: Sequence[Load]) -> None:
    """Run cases one behind the other, under the loads in turn; the beats of each job wait while the one before runs."""
    jobs = [(i, job) for i, named in enumerate(cases) for job in to_streams(judge.core, named.case).jobs]
    results: list[list[list[int]]] = [[] for _ in cases]
    for (i, job), (next_i, next_job) in zip(jobs, [*jobs[1:], (None, None)], strict=True):
        named = cases[i]
        load = loads[i % len(loads)] if named.held is None else loads[0]
        driver.load(load, undefined=i // len(loads) % 2 == 0)
        # Beats that already stand on its pins cannot be held back.
        waiting = next_job if next_i is not None and cases[next_i].held is None else None
        done = await driver.run(job, named.held, waiting)
        judge.job(named, job, done, load.free and named.held is None)
        results[i].append(done.results)
        if next_i != i:
            judge.case(named, results[i])


@bench_test
async def equals_kernels(driver: Driver, settings: Settings) -> None:
    """Every case in turn under the four loads; nothing is left over, and every reachable coverage bin is hit."""
    planned = stimulus(settings.core, settings.seed, settings.jobs)
    judge = Judge(settings.core, planned.reachable)
    try:
        await _run_cases(driver, judge, planned.cases, LOADS)
        # Long enough to see a beat that should not come.
        await ClockCycles(driver.dut.clk, 100)
        judge.scoreboard.finish()
    finally:
        _note(settings, **judge.summary(driver))
    if judge.coverage.missing:
        raise AssertionError(f"coverage: nothing hit {', '.join(judge.coverage.missing)}")


@bench_test
async def reset_drops_what_is_under_way(driver: Driver, settings: Settings) -> None:
    """Resets in the middle of jobs, and after each of them a job as if nothing had been."""
    rng = np.random.default_rng([settings.seed, 3])
    judge = Judge(settings.core)
    for i in range(RESETS):
        driver.load(LOADS[i % len(LOADS)], undefined=i % 2 == 0)
        await driver.start(to_streams(settings.core, random_case(settings.core, rng)).jobs[0])
        await ClockCycles(driver.dut.clk, int(rng.integers(1, 40 + 30 * i)))
        await driver.reset(cycles=1 + i % 2)
        if i % 2:
            cases = [NamedCase(f"after reset {i}", random_case(settings.core, rng))]
            await _run_cases(driver, judge, cases, LOADS[:1])
    judge.scoreboard.finish()
    _note(settings)


@bench_test
async def waits_behind_a_memory(driver: Driver, settings: Settings) -> None:
    """Jobs behind memories of all kinds: results as ever, and every counter as predicted."""
    core, rng = settings.core, np.random.default_rng([settings.seed, 5])
    judge = Judge(core)
    driver.load(LOADS[0], undefined=True)
    for memory in memories(core):
        for named in (NamedCase("random", random_case(core, rng)), NamedCase("many rows", flood_case(core, rng))):
            jobs = to_streams(core, named.case).jobs
            done = [await driver.run(job, memory=memory) for job in jobs]
            for job, one in zip(jobs, done, strict=True):
                judge.job(named, job, one, free=True, memory=memory)
            judge.case(named, [one.results for one in done])
    judge.scoreboard.finish()
    _note(settings)


@bench_test
async def registers_answer(driver: Driver, settings: Settings) -> None:
    """Reset values, read-only and unknown addresses, byte strobes, illegal starts, writes while busy."""
    core, rng = settings.core, np.random.default_rng([settings.seed, 4])
    await check_after_reset(driver, core)
    await check_refusals(driver)
    await check_strobes(driver)
    await driver.reset()
    job = to_streams(core, flood_case(core, rng)).jobs[0]
    await check_starts(driver, core, job.registers)
    driver.load(Load("no results", results=(1.0, 1)), undefined=True)
    await check_busy(driver, job)
    await driver.reset()
    await check_after_reset(driver, core)
    judge = Judge(core)
    await _run_cases(driver, judge, [NamedCase("after all", random_case(core, rng))], LOADS[:1])
    judge.scoreboard.finish()
    _note(settings)
