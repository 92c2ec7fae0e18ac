"""The golden sum of products against the oracle, which restates `hwsim.spec.reduction` in plain Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from reduction_cases import Case, case_of, cases, check_reduction, check_starts, products_of

from hwsim.kernels.jit import ENABLED
from hwsim.kernels.monitor import NEVER, Monitor
from hwsim.kernels.reduce import reduce_panel
from hwsim.spec import BiasAt, Overflow, Reduction, Register

WIDTHS = (8, 15, 16, 17, 31, 32, 33, 48)
SATURATE, WRAP = Overflow.SATURATE, Overflow.WRAP


@settings(max_examples=500 if ENABLED else 60, deadline=None, derandomize=True)
@given(cases(40 if ENABLED else 15))
def test_random_sums_equal_the_oracle_in_every_output_counter_extreme_and_first_event(case: Case) -> None:
    check_reduction(case)


def narrow(place: str, register: Register) -> Reduction:
    """Return a reduction of which only the register at `place` can overflow in the tests below."""
    wide = Register(48, WRAP)
    if place == "acc":
        return Reduction(acc=register)
    if place == "psum":
        return Reduction(acc=wide, chain=1 << 16, psum=register)
    return Reduction(acc=wide, lanes=4, tree=register)


def stored(total: int, register: Register) -> int:
    """What the register holds, from its definition: clamped, or congruent modulo 2**bits."""
    lo, hi = -(1 << (register.bits - 1)), (1 << (register.bits - 1)) - 1
    if register.overflow is SATURATE:
        return max(lo, min(hi, total))
    return (total - lo) % (1 << register.bits) + lo


# Four products of at most 34 bits cannot reach the ends of wider tree nodes.
PLACES = [(place, bits) for place in ("acc", "psum", "tree") for bits in WIDTHS if place != "tree" or bits <= 34]


@pytest.mark.parametrize("overflow", [SATURATE, WRAP])
@pytest.mark.parametrize(("place", "bits"), PLACES)
def test_sums_on_one_below_and_one_above_each_end_of_a_register(place: str, bits: int, overflow: Overflow) -> None:
    register = Register(bits, overflow)
    reduction = narrow(place, register)
    index = ("tree", "psum", "acc").index(place)
    for end, beyond, kind in ((register.format.hi, 1, 0), (register.format.lo, -1, 1)):
        for step in (-beyond, 0, beyond):
            total = end + step
            factors = products_of(total)
            if place == "acc":
                # The bias takes what would need thousands of products.
                factors = products_of(step + 3 * beyond)
                case = case_of(factors, end - 3 * beyond, reduction)
            elif len(factors) > (100 if not ENABLED else 40000):
                continue
            else:
                case = case_of(factors, 0, reduction)
            check_reduction(case)
            monitor = Monitor(1)
            out = reduce_panel(case.panel, case.weights, case.bias, reduction, monitor)
            assert out.tolist() == [[stored(total, register)]]
            assert monitor.counts[index, kind].tolist() == [int(step == beyond)]
            assert monitor.events == int(step == beyond)


@pytest.mark.parametrize("bits", WIDTHS)
def test_a_wrapping_sum_that_comes_back_is_right_and_counts_both_ways(bits: int) -> None:
    end = (1 << (bits - 1)) - 1
    case = case_of([(5, 1), (-5, 1)], end - 2, Reduction(acc=Register(bits, WRAP)))
    sums = check_reduction(case)
    assert sums.out == [[[end - 2]]]
    assert (sums.counts["acc", "positive"], sums.counts["acc", "negative"]) == ([1], [1])


@pytest.mark.parametrize("bits", WIDTHS)
def test_a_saturating_sum_that_comes_back_is_lost_and_depends_on_the_order(bits: int) -> None:
    end = (1 << (bits - 1)) - 1
    reduction = Reduction(acc=Register(bits, SATURATE))
    up_first = check_reduction(case_of([(5, 1), (-5, 1)], end - 2, reduction))
    down_first = check_reduction(case_of([(-5, 1), (5, 1)], end - 2, reduction))
    assert up_first.out == [[[end - 5]]]
    assert down_first.out == [[[end - 2]]]
    assert up_first.counts["acc", "positive"] == [1]
    assert down_first.counts["acc", "positive"] == [0]


def test_the_tree_adds_neighbours_and_an_odd_one_moves_up() -> None:
    # 100 + 100 saturates at 127 and -100 comes after; were the pairs (100, -100) first, the sum would be 100.
    tree = Register(8, SATURATE)
    case = case_of([(100, 1), (100, 1), (-100, 1)], 0, Reduction(lanes=3, tree=tree))
    assert check_reduction(case).out == [[[27]]]
    swapped = case_of([(100, 1), (-100, 1), (100, 1)], 0, Reduction(lanes=3, tree=tree))
    assert check_reduction(swapped).out == [[[100]]]


def test_a_partial_sum_is_cleared_after_each_chain_and_after_a_shorter_last_one() -> None:
    reduction = Reduction(acc=Register(16, WRAP), chain=2, psum=Register(8, SATURATE))
    case = case_of([(100, 1)] * 5, 0, reduction)
    sums = check_reduction(case)
    assert sums.out == [[[127 + 127 + 100]]]
    assert sums.counts["psum", "positive"] == [2]


def test_a_bias_at_the_end_is_added_exactly_after_a_saturating_accumulator() -> None:
    reduction = Reduction(acc=Register(8, SATURATE), bias_at=BiasAt.END)
    assert check_reduction(case_of([(100, 1), (100, 1)], 10**6, reduction)).out == [[[10**6 + 127]]]


def test_a_bias_beyond_a_wrapping_accumulator_enters_with_its_low_bits_and_is_no_event() -> None:
    sums = check_reduction(case_of([(0, 0)], (1 << 40) + 5, Reduction(acc=Register(16, WRAP))))
    assert sums.out == [[[5]]]
    assert sums.first is None


def test_rows_can_start_from_sums_of_their_own() -> None:
    check_starts()


def test_a_monitor_without_observation_counts_the_same_and_tracks_nothing() -> None:
    rng = np.random.default_rng(1)
    panel, weights = rng.integers(-128, 128, (3, 23)), rng.integers(-128, 128, (23, 5))
    reduction = Reduction(acc=Register(16, SATURATE), chain=4, psum=Register(15, WRAP))
    plain, watching = Monitor(5), Monitor(5, observe=True)
    a = reduce_panel(panel, weights, None, reduction, plain)
    b = reduce_panel(panel, weights, None, reduction, watching)
    assert np.array_equal(a, b)
    assert np.array_equal(a, reduce_panel(panel, weights, None, reduction))
    assert np.array_equal(plain.counts, watching.counts)
    assert plain.events > 0
    assert not plain.observed
    assert watching.observed


def test_monitors_of_images_merge_to_the_monitor_of_all_in_any_order() -> None:
    rng = np.random.default_rng(2)
    panel, weights = rng.integers(-128, 128, (6, 17)), rng.integers(-128, 128, (17, 3))
    reduction = Reduction(acc=Register(16, SATURATE))
    whole = Monitor(3, observe=True)
    parts = [Monitor(3, observe=True) for _ in range(6)]
    for image in range(6):
        reduce_panel(panel[image : image + 1], weights, None, reduction, whole, image=image)
        reduce_panel(panel[image : image + 1], weights, None, reduction, parts[image], image=image)
    assert whole.events > 0
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4]):
        merged = Monitor(3, observe=True)
        for i in order:
            merged.merge(parts[i])
        for name in ("counts", "low", "high", "first"):
            assert np.array_equal(getattr(merged, name), getattr(whole, name)), name


def test_merging_groups_shifts_the_channel_of_the_first_event() -> None:
    group, layer = Monitor(2), Monitor(6)
    reduce_panel(np.array([[200]]), np.array([[0, 1]]), None, Reduction(acc=Register(8, WRAP)), group, image=3, pixel=4)
    layer.merge(Monitor(2), 0)
    layer.merge(group, 4)
    assert layer.first.tolist() == [3, 4, 5, 2]
    assert layer.counts[2, 0].tolist() == [0, 0, 0, 0, 0, 1]
    assert Monitor(2).first.tolist() == [NEVER] * 4
