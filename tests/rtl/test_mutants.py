"""Every single fault of `mutants.py` is seen by the bench; the default run takes one of each unit that decides most."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import pytest
from mutants import MUTANTS, Mutant, first_difference

pytestmark = [
    pytest.mark.rtl,
    pytest.mark.skipif(
        shutil.which("iverilog") is None, reason="Icarus Verilog (iverilog) is not installed: apt install iverilog"
    ),
]

QUICK = ("register_add", "weight_stationary", "output_stationary", "sequencer", "packer", "requantizer")


def _cases() -> list[object]:
    seen: set[str] = set()
    cases = []
    for mutant in MUTANTS:
        quick = mutant.unit in QUICK and mutant.unit not in seen
        seen.add(mutant.unit)
        cases.append(pytest.param(mutant, id=mutant.fault.replace(" ", "_"), marks=[] if quick else [pytest.mark.slow]))
    return cases


def test_there_are_forty_at_least_and_each_changes_something() -> None:
    assert len(MUTANTS) >= 40
    assert len({(mutant.unit, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)
    assert all(mutant.old != mutant.new for mutant in MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.fault)
def test_its_words_are_in_the_source(mutant: Mutant) -> None:
    """So that a rewritten unit does not quietly lose its mutants until all of them run."""
    source = Path(str(importlib.import_module(f"hwsim.rtl.{mutant.unit}").__file__)).read_text("utf-8")
    assert source.count(mutant.old) == 1


@pytest.mark.parametrize("mutant", _cases())
def test_the_bench_sees_it(mutant: Mutant) -> None:
    assert first_difference(mutant) is not None
