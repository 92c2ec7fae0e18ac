# amaranth: UnusedElaboratable=no
"""The core as machine code, held to the kernels over a million transactions, and to the time model cycle by cycle."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from compiled import check_run, everywhere, needs_compiler, run_case
from gemm_core_configurations import CONFIGURATIONS, named
from rtl_mutation import put_mutant

from hwsim.cosim.golden import GemmCase
from hwsim.cosim.stimulus import random_case, stimulus
from hwsim.hardware.compiled import CompiledCore
from hwsim.rtl import register_add
from hwsim.spec import Core

pytestmark = needs_compiler
TRANSACTIONS = 1_200_000
"""Beats on all streams of all configurations together."""

PAUSES = (0.0, 0.1, 0.5, 0.9)

QUICK = [named(name) for name in ("ws_outliers_w2", "os_chain_fold_end")]


def cases(core: Core) -> Iterator[GemmCase]:
    """Yield the constructed cases of the bench, then random ones without end."""
    yield from (case.case for case in stimulus(core, 1, 0).cases)
    yield from (random_case(core, np.random.default_rng([2, i])) for i in itertools.count())


def transact(core: Core, beats: int) -> int:
    """Run cases on a core, each with other pauses, until so many beats have moved; return how many did."""
    device, moved = CompiledCore(core), 0
    for number, case in enumerate(cases(core)):
        chance = PAUSES[number % len(PAUSES)]
        run = run_case(device, case, everywhere(chance, number))
        check_run(device, case, run)
        assert run.beats == _beats_predicted(run), (core.name, number)
        if chance == 0.0:
            assert run.timed == run.predicted, (core.name, number)
        moved += run.beats
        if moved >= beats:
            break
    return moved


def _beats_predicted(run: object) -> int:
    predicted = run.predicted  # type: ignore[attr-defined]
    return int(
        predicted.beats_weights + predicted.beats_activations + predicted.beats_outliers + predicted.beats_results
    )


@pytest.mark.parametrize("core", QUICK, ids=lambda core: core.name)
def test_equals_the_kernels_in_the_cycles_predicted(core: Core) -> None:
    assert transact(core, 20_000) >= 20_000


@pytest.mark.slow
@pytest.mark.parametrize("core", CONFIGURATIONS, ids=lambda core: core.name)
def test_a_million_transactions_equal_the_kernels(core: Core) -> None:
    """Each configuration has its share, so that all of them together have the million, wherever they run."""
    share = -(-TRANSACTIONS // len(CONFIGURATIONS))
    moved = transact(core, share)
    assert moved >= share
    assert share * len(CONFIGURATIONS) >= 1_000_000
    total = f"{len(CONFIGURATIONS)} configurations: at least {share * len(CONFIGURATIONS):,}"
    print(f"{core.name}: {moved:,} transactions; {total}")  # noqa: T201 (pytest -rP shows it)


def test_pauses_change_cycles_and_nothing_else() -> None:
    core = QUICK[0]
    device, case = CompiledCore(core), random_case(core, np.random.default_rng(5))
    steady, paused = run_case(device, case), run_case(device, case, everywhere(0.5))
    assert paused.counters["CYCLES"] > steady.counters["CYCLES"]
    assert np.array_equal(paused.results, steady.results)
    assert np.array_equal(paused.events, steady.events)
    for name in ("SLOTS", "BEATS_WEIGHTS", "BEATS_ACTIVATIONS", "BEATS_RESULTS"):
        assert paused.counters[name] == steady.counters[name]


def test_the_same_pauses_give_the_same_cycles() -> None:
    core = QUICK[1]
    device, case = CompiledCore(core), random_case(core, np.random.default_rng(6))
    first, second, other = (run_case(device, case, everywhere(0.3, seed)) for seed in (3, 3, 4))
    assert (first.cycles, first.counters) == (second.cycles, second.counters)
    assert first.cycles != other.cycles


def test_a_wrong_adder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An accumulator that saturates one below its largest value differs from the kernels in the constructed cases."""
    put_mutant(monkeypatch, register_add, "limits.hi, limits.lo)", "limits.hi - 1, limits.lo)")
    with pytest.raises(AssertionError):
        transact(QUICK[0], 20_000)
