"""The bench's stimulus meets every bin that it promises, and what it says is out of reach is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gemm_core_configurations import CONFIGURATIONS, core, named

from hwsim.cosim import coverage
from hwsim.cosim.coverage import WAITS, Coverage, bins_of, edge_bin, shape_bins
from hwsim.cosim.golden import GemmCase, check_case, golden
from hwsim.cosim.stimulus import Stimulus, random_case, stimulus, target_cases
from hwsim.cosim.streams import to_streams
from hwsim.cosim.targets import targets_of
from hwsim.kernels.requantize import Requantizer
from hwsim.spec import BiasAt, Core


def reached(configuration: Core, planned: Stimulus) -> set[str]:
    """Return the bins that the cases fall into; `bins_of` holds its sums to the kernels' events."""
    bins: set[str] = set()
    for named_case in planned.cases:
        check_case(configuration, named_case.case)
        bins |= bins_of(configuration, named_case.case, golden(configuration, named_case.case)[1])
        for job in to_streams(configuration, named_case.case).jobs:
            bins |= shape_bins(configuration, job.registers)
    return bins


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda c: c.name)
def test_every_promised_bin_is_met(configuration: Core) -> None:
    planned = stimulus(configuration, seed=3, jobs=2)
    missing = set(planned.reachable) - reached(configuration, planned) - set(WAITS)
    assert not missing
    assert len(set(planned.reachable)) == len(planned.reachable)


def test_edges_that_are_in_reach_are_promised() -> None:
    """An accumulator that starts at the bias can always get there; registers behind it as far as products reach."""
    for configuration in CONFIGURATIONS:
        bins = {target.name for target in targets_of(configuration)}
        if configuration.arithmetic.reduction.bias_at is BiasAt.START:
            for end in ("high", "low"):
                assert {edge_bin("acc", end, at) for at in (-1, 0, 1)} <= bins, configuration.name
                assert coverage.back_bin("acc", end) in bins
    everything = {target.name for target in targets_of(named("os_chain_tree"))}
    for register in ("tree", "psum", "acc"):
        assert edge_bin(register, "high", 1) in everything and edge_bin(register, "low", -1) in everything


@pytest.mark.parametrize(
    ("configuration", "register", "in_reach"),
    [
        # 40 K tiles of 3 products of at most 255 * 128 are 3.9 million.
        (core("end20", 3, 2, "20:wrap", bias_at=BiasAt.END), "acc", True),
        (core("end24", 3, 2, "24:wrap", bias_at=BiasAt.END), "acc", False),
        # Two products of at most 32 640 are 65 280.
        (core("tree17", 2, 2, "32:wrap", lanes=2, tree="17:wrap"), "tree", False),
        (core("tree16", 2, 2, "32:wrap", lanes=2, tree="16:wrap"), "tree", True),
        (core("psum18", 3, 2, "32:wrap", chain=3, psum="18:wrap"), "psum", False),
        (core("psum17", 3, 2, "32:wrap", chain=3, psum="17:wrap"), "psum", True),
    ],
    ids=lambda value: value.name if isinstance(value, Core) else str(value),
)
def test_reach_follows_from_the_numbers(configuration: Core, register: str, in_reach: bool) -> None:
    bins = {target.name for target in targets_of(configuration)}
    assert (edge_bin(register, "high", 1) in bins) == in_reach
    assert (edge_bin(register, "low", -1) in bins) == in_reach


@pytest.mark.parametrize("name", ["ws_acc16_saturate", "ws_chain_lanes_tree", "ws_outliers_w2", "ws_bias_end"])
def test_edges_show_in_the_results(name: str) -> None:
    """One more or one less in the accumulator of a target is another result: no clamp and no rounding hides it."""
    configuration = named(name)
    raw = replace(configuration, output=None, result_bus_bits=None)
    for target in targets_of(configuration):
        if target.reveal:
            (found,) = target_cases(configuration, [target])
            case = found.case
            accumulator = int(golden(raw, case)[0][0, 0])
            at_end = configuration.arithmetic.reduction.bias_at is BiasAt.END
            given = accumulator + (int(case.bias[0]) if at_end else 0)
            near = given - (1 if given > 0 else -1)
            results = [requantized(configuration, case, value) for value in (given, near)]
            assert results[0] == golden(configuration, case)[0][0, 0]
            assert results[0] != results[1], target.name


def requantized(configuration: Core, case: GemmCase, accumulator: int) -> int:
    """Return what the kernels make of an accumulator in a case of one output."""
    requantizer = Requantizer.from_integers(
        case.multiplier, case.shift, configuration.arithmetic.profile, case.output_zero_point, case.lo, case.hi, 48
    )
    return int(requantizer(np.array([[accumulator]], np.int64), slice(None), "int64")[0, 0])


def test_same_arguments_same_cases() -> None:
    configuration = named("ws_outliers_w2")
    first, second, other = (stimulus(configuration, seed=seed, jobs=3) for seed in (5, 5, 6))
    assert repr(first) == repr(second)
    assert repr(first) != repr(other)
    assert len(stimulus(configuration, seed=5, jobs=0).cases) == len(first.cases) - 3


def test_random_cases_differ_in_shape_and_are_allowed() -> None:
    for configuration in CONFIGURATIONS[::4]:
        cases = [random_case(configuration, np.random.default_rng(i)) for i in range(30)]
        for case in cases:
            check_case(configuration, case)
        assert len({case.shape for case in cases}) > 15


def test_coverage_that_disagrees_with_the_kernels_fails() -> None:
    configuration = named("ws_acc16_saturate")
    case = stimulus(configuration, seed=1, jobs=0).cases[0].case
    events = golden(configuration, case)[1]
    board = Coverage(configuration, ["acc high", "no such bin"])
    board.sample(case, events)
    assert "no such bin" in board.missing
    events[2, 0] += 1
    with pytest.raises(AssertionError, match="coverage has the acc events"):
        board.sample(case, events)


def test_bins_need_their_case() -> None:
    """Stimulus without the constructed cases leaves most edges unseen: the bins are not met by chance."""
    configuration = named("ws_chain_lanes_tree")
    planned = stimulus(configuration, seed=1, jobs=8)
    random_only = replace(planned, cases=tuple(case for case in planned.cases if case.name.startswith("random")))
    missing = set(planned.reachable) - reached(configuration, random_only)
    assert len([name for name in missing if name.startswith(("acc ", "psum ", "tree "))]) > 5
