"""Single faults of the core's hardware, and the bench that must see each: ``make mutants`` prints the list and the score.

A fault is one change in the source of one unit. The core is emitted with it and given to the same cocotb bench that
`hwsim rtl verify` runs, in Icarus; the bench knows the right core only. ``test_mutants.py`` runs them all, too.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import tomllib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from gemm_core_configurations import named
from rtl_mutation import put_mutant

from hwsim.hardware.emit import core_verilog
from hwsim.hardware.verify import verify

SEED = 7
RANDOM_JOBS = 6


@dataclass(frozen=True)
class Mutant:
    """One fault: in `unit`, a file of ``rtl/``, `old` reads `new`; `core` is the configuration that it is looked for in."""

    fault: str
    unit: str
    core: str
    old: str
    new: str


_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
MUTANTS: tuple[Mutant, ...] = tuple(Mutant(**entry) for entry in _TABLE["mutant"])


def first_difference(mutant: Mutant) -> str | None:
    """Return the first thing that the bench says about a mutant, or None where it sees nothing."""
    core = named(mutant.core)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        put_mutant(patch, importlib.import_module(f"hwsim.rtl.{mutant.unit}"), mutant.old, mutant.new)
        verilog = core_verilog(core)
        found = verify(core, Path(folder), seed=SEED, jobs=RANDOM_JOBS, verilog=verilog)
    return None if found.passed else found.first_problem


def main() -> int:
    """Run all mutants; print each with what the bench says, and the score."""
    caught = 0
    with ProcessPoolExecutor() as workers:
        for mutant, problem in zip(MUTANTS, workers.map(first_difference, MUTANTS), strict=True):
            caught += problem is not None
            verdict = "SURVIVES" if problem is None else f"caught: {problem[:100]}"
            sys.stdout.write(f"{mutant.unit}: {mutant.fault} [{mutant.core}]\n    {verdict}\n")
    sys.stdout.write(f"{caught} of {len(MUTANTS)} mutants caught\n")
    return int(caught < len(MUTANTS))


if __name__ == "__main__":
    sys.exit(main())
