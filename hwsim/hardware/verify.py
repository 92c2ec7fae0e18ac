"""A core's Verilog in a simulator, held to the kernels: builds, runs `hwsim.cosim.bench_gemm_core`, and reads what it found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from hwsim.cosim.files import os_errors, write_files
from hwsim.cosim.sidecar import core_document
from hwsim.hardware.emit import core_verilog, module_name
from hwsim.hardware.simulators import check_simulator, simulator_environment
from hwsim.spec import Core, InputError, require
from hwsim.spec.errors import within

SCHEMA_VERSION: Final = 1

BENCH = "hwsim.cosim.bench_gemm_core"

RANDOM_JOBS = 8
"""Random jobs beside the constructed ones, unless told otherwise."""

_VERILATOR_ARGUMENTS = ["-Wno-fatal", "-Wno-lint", "-Wno-style"]
"""The text is generated: its style is nobody's concern."""


@dataclass(frozen=True)
class TestOutcome:
    """One test of the bench; `message` is its first error, empty where it passed."""

    __test__ = False  # for pytest, which would collect it by its name

    name: str
    passed: bool
    message: str = ""


@dataclass(frozen=True)
class Verification:
    """What a run of the bench found.

    Attributes
    ----------
    core, simulator, seed, random_jobs
        What was asked for.
    tests
        Outcome of each test; there is always at least one.
    cases, jobs
        GEMMs that were run to their end, and the jobs that they consisted of.
    beats
        Transactions by port.
    compared, mismatched
        Rows of results.
    reachable, hit, missing
        Coverage bins: how many a configuration can reach, how many were hit, and which were not.
    hits
        Outputs, jobs or cases by bin.
    cycles
        Simulated clock cycles of all tests.
    folder
        Where the Verilog, the logs, the JUnit XML (``results.xml``) and the waves lie.
    """

    core: Core
    simulator: str
    seed: int
    random_jobs: int
    tests: tuple[TestOutcome, ...]
    cases: int
    jobs: int
    beats: dict[str, int]
    compared: int
    mismatched: int
    reachable: int
    hit: int
    missing: tuple[str, ...]
    hits: dict[str, int]
    cycles: int
    folder: Path

    @property
    def passed(self) -> bool:
        """Whether every test did."""
        return all(test.passed for test in self.tests)

    @property
    def first_problem(self) -> str:
        """The first failed test's message, or nothing."""
        return next((f"{test.name}: {test.message}" for test in self.tests if not test.passed), "")

    def document(self) -> dict[str, Any]:
        """Return the findings as JSON takes them: no times and no paths, so the same run gives the same document."""
        return {
            "schema_version": SCHEMA_VERSION, "core": core_document(self.core)["core"], "simulator": self.simulator,
            "seed": self.seed, "random_jobs": self.random_jobs, "passed": self.passed,
            "tests": [{"name": test.name, "passed": test.passed, "message": test.message} for test in self.tests],
            "cases": self.cases, "jobs": self.jobs, "beats": self.beats, "compared": self.compared,
            "mismatched": self.mismatched,
            "coverage": {"reachable": self.reachable, "hit": self.hit, "missing": list(self.missing), "hits": self.hits},
            "cycles": self.cycles,
        }  # fmt: skip


def verify(
    core: Core, folder: Path, *, simulator: str = "icarus", seed: int = 1, jobs: int = RANDOM_JOBS, waves: bool = False,
    verilog: str | None = None,
) -> Verification:  # fmt: skip
    """Run the bench on a core.

    Parameters
    ----------
    core
        The configuration.
    folder
        For everything that is built and written; made where it is missing.
    simulator
        ``icarus`` or ``verilator``.
    seed
        0..2**32 - 1: the same seed gives the same stimulus.
    jobs
        Random jobs beside the constructed ones, 0..10000.
    waves
        Whether to record all signals.
    verilog
        What to run in place of the core's own Verilog, with the same top module: a netlist, or a mutant.

    Raises
    ------
    InputError
        Where a tool is missing, the folder cannot be written, or the simulator does not take the Verilog.
    """
    require(within(seed, range(1 << 32)), "--seed", f"an integer from 0 to {(1 << 32) - 1}", seed)
    require(within(jobs, range(10001)), "--jobs", "an integer from 0 to 10000", jobs)
    check_simulator(simulator)
    folder = folder.resolve()
    summary = folder / "summary.json"
    settings = {"sidecar": core_document(core), "seed": seed, "jobs": jobs, "summary": str(summary)}
    top = module_name(core)
    text = core_verilog(core) if verilog is None else verilog
    write_files(folder, {f"{top}.v": text.encode(), "settings.json": json.dumps(settings, indent=2).encode()})
    with os_errors(folder, "--output"):
        summary.unlink(missing_ok=True)
    with simulator_environment(simulator):
        _simulate(simulator, folder, top, seed, waves)
    return _read(core, simulator, seed, jobs, folder)


def _simulate(simulator: str, folder: Path, top: str, seed: int, waves: bool) -> None:
    # cocotb belongs to an extra: importing this module must not need it.
    from cocotb_tools.runner import get_runner

    runner = get_runner(simulator)
    try:
        runner.build(
            sources=[folder / f"{top}.v"], hdl_toplevel=top, build_dir=folder, timescale=("1ns", "1ps"), waves=waves,
            always=True, build_args=_VERILATOR_ARGUMENTS if simulator == "verilator" else [],
            log_file=folder / "build.log",
        )  # fmt: skip
    except RuntimeError:
        raise InputError(
            f"{simulator} must be able to build {top}.v; it says why not in {folder / 'build.log'}"
        ) from None
    environment = {
        "HWSIM_BENCH": str(folder / "settings.json"),
        # By default cocotb rewrites the assertions of every imported module, which costs seconds in numba.
        "COCOTB_REWRITE_ASSERTION_FILES": "no_module",
    }
    try:
        runner.test(
            hdl_toplevel=top, test_module=BENCH, build_dir=folder, seed=seed, waves=waves, extra_env=environment,
            results_xml=str(folder / "results.xml"), log_file=folder / "test.log",
        )  # fmt: skip
    except (SystemExit, RuntimeError):
        # A simulator that ends badly, or under pytest a failed test: what there is in results.xml counts.
        return


def _read(core: Core, simulator: str, seed: int, jobs: int, folder: Path) -> Verification:
    path = folder / "summary.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    coverage = found.get("coverage", {})
    return Verification(
        core, simulator, seed, jobs, tuple(_outcomes(folder)), found.get("cases", 0), found.get("jobs", 0),
        found.get("beats", {}), found.get("compared", 0), found.get("mismatched", 0), coverage.get("reachable", 0),
        coverage.get("hit", 0), tuple(coverage.get("missing", ())), coverage.get("hits", {}), found.get("cycles", 0), folder,
    )  # fmt: skip


def _outcomes(folder: Path) -> Iterator[TestOutcome]:
    """Yield the tests of the JUnit XML; a simulator that ended before there was any is a failed test, too."""
    path = folder / "results.xml"
    cases = list(ElementTree.parse(path).getroot().iter("testcase")) if path.is_file() else []
    if not cases:
        yield TestOutcome("simulation", False, f"it ended without results; see {folder / 'test.log'}")
    for case in cases:
        problems = [child for child in case if child.tag in ("failure", "error")]
        message = "; ".join(problem.get("message") or problem.text or problem.tag for problem in problems)
        yield TestOutcome(case.get("name", "?"), not problems, " ".join(message.split()))
