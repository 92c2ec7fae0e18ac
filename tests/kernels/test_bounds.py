"""Proven extremes of registers: reached by a constructed worst case, never passed, and not one bit too wide."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from reduction_cases import reductions

import oracle
from hwsim.kernels.bounds import Bounds, bound
from hwsim.kernels.monitor import Monitor
from hwsim.kernels.reduce import reduce_panel
from hwsim.spec import BiasAt, Overflow, Reduction, Register, bits_for

Layer = tuple[Any, Any, int, int, Reduction]


@st.composite
def layers(draw: Any) -> Layer:
    """Draw weights [K, N], bias [N], an activation range and a reduction."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bits = draw(st.integers(2, 16))
    weights = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (draw(st.integers(1, 50)), draw(st.integers(1, 4))))
    low, high = draw(st.sampled_from(((-128, 127), (0, 255), (-8, 7), (-255, 0), (3, 17), (-65535, 0), (0, 0))))
    bias = rng.integers(-(2**20), 2**20, weights.shape[1])
    return weights, bias, low, high, draw(reductions())


def exact(reduction: Reduction) -> Reduction:
    """Return the same order with registers that hold everything."""
    wide = Register(48, Overflow.WRAP)
    return Reduction(
        wide, reduction.lanes, None if reduction.tree is None else wide, reduction.chain,
        None if reduction.psum is None else wide, reduction.bias_at,
    )  # fmt: skip


@settings(max_examples=200, deadline=None, derandomize=True)
@given(layers())
def test_the_ends_of_a_sum_are_reached_by_the_worst_input_and_need_exactly_that_many_bits(layer: Layer) -> None:
    weights, bias, low, high, reduction = layer
    bounds = bound(weights, bias, low, high, reduction)
    for n in range(weights.shape[1]):
        # A term left out counts as zero: a window at the border of an image, or an activation of 0.
        most, least = max(high, 0), min(low, 0)
        column = np.ascontiguousarray(weights[:, [n]])
        for sign, reached, leaves in ((1, bounds.acc_high, bounds.out_high), (-1, bounds.acc_low, bounds.out_low)):
            activations = np.where(sign * column.T > 0, most, least)
            out = reduce_panel(activations, column, bias[[n]], exact(reduction), Monitor(1, observe=True))
            assert int(out[0, 0]) == leaves[n]
            assert int(out[0, 0]) - (int(bias[n]) if reduction.bias_at is BiasAt.END else 0) == reached[n]
    least, most = int(bounds.acc_low.min()), int(bounds.acc_high.max())
    assert bounds.safe_bits() == bits_for(least, most)
    for bits in range(max(8, bounds.safe_bits() - 1), min(48, bounds.safe_bits() + 1) + 1):
        fits = -(1 << (bits - 1)) <= least and most < 1 << (bits - 1)
        narrow = Reduction(Register(bits, Overflow.SATURATE), bias_at=reduction.bias_at)
        assert bounds.acc_fits(narrow) == fits == (bits >= bounds.safe_bits())


@settings(max_examples=100, deadline=None, derandomize=True)
@given(layers(), st.integers(0, 2**32 - 1))
def test_no_prefix_of_a_random_input_leaves_the_bounds(layer: Layer, seed: int) -> None:
    weights, bias, low, high, reduction = layer
    bounds = bound(weights, bias, low, high, reduction)
    panel = np.random.default_rng(seed).integers(low, high + 1, (20, weights.shape[0]))
    monitor = Monitor(weights.shape[1], observe=True)
    one_by_one = Reduction(Register(48, Overflow.WRAP), bias_at=reduction.bias_at)
    reduce_panel(panel, weights, bias, one_by_one, monitor)
    assert np.all(monitor.low >= bounds.acc_low)
    assert np.all(monitor.high <= bounds.acc_high)
    assert monitor.events == 0


def worst_group(weights: Any, low: int, high: int, size: int, sign: int) -> tuple[int, int]:
    """Return where the group of `size` products with the largest (smallest) possible sum starts, and that sum."""
    sums = []
    for first in range(0, len(weights), size):
        ends = [max(sign * w * low, sign * w * high, 0) for w in weights[first : first + size].tolist()]
        sums.append((sign * sum(ends), first))
    total, first = max(sums) if sign > 0 else min(sums)
    return first, total


@settings(max_examples=150, deadline=None, derandomize=True)
@given(layers(), st.sampled_from((1, -1)))
def test_tree_and_partial_sum_bounds_are_the_worst_group_and_one_bit_less_overflows(layer: Layer, sign: int) -> None:
    weights, bias, low, high, _ = layer
    weights = np.ascontiguousarray(weights[:, :1])
    for place in ("psum", "tree"):
        reduction = Reduction(
            lanes=4 if place == "tree" else 1, tree=Register(48, Overflow.WRAP) if place == "tree" else None,
            chain=None if place == "tree" else 4, psum=None if place == "tree" else Register(48, Overflow.WRAP),
        )  # fmt: skip
        bounds = bound(weights, bias[:1], low, high, reduction)
        first, total = worst_group(weights[:, 0], low, high, 4, sign)
        assert int(getattr(bounds, f"{place}_{'high' if sign > 0 else 'low'}")[0]) == total
        bits = bits_for(0, total)
        if bits <= 8 or (len(weights) - first < 4 and place == "tree"):
            continue
        activations = np.zeros(len(weights), np.int64)
        span = slice(first, first + 4)
        choose_high = weights[span, 0] * sign > 0
        activations[span] = np.where(choose_high, max(high, 0), min(low, 0))
        for width, events in ((bits, 0), (bits - 1, 1)):
            register = Register(width, Overflow.SATURATE)
            narrow = Reduction(
                Register(48, Overflow.WRAP), reduction.lanes, register if place == "tree" else None, reduction.chain,
                register if place == "psum" else None,
            )  # fmt: skip
            monitor = Monitor(1)
            reduce_panel(activations.reshape(1, -1), weights, None, narrow, monitor)
            assert (monitor.events > 0) == (events > 0), (place, width)
            assert not (bounds.holds(narrow) and events)


def test_joined_groups_keep_their_channels_side_by_side() -> None:
    reduction = Reduction()
    parts = [bound(np.array([[w]]), np.array([b]), -1, 2, reduction) for w, b in ((3, 0), (-5, 10))]
    joined = Bounds.joined(parts)
    assert joined.acc_high.tolist() == [6, 15]
    assert joined.acc_low.tolist() == [-3, 0]
    assert joined.safe_bits() == 5


def test_the_oracle_agrees_that_a_width_is_safe() -> None:
    weights, bias = [3, -7, 5], 11
    bounds = bound(np.array(weights)[:, None], np.array([bias]), -8, 7, Reduction())
    worst = [7, -8, 7]
    total, registers, _ = oracle.reduce(
        worst, weights, bias, Reduction(Register(max(8, bounds.safe_bits()), Overflow.WRAP))
    )
    assert total == 11 + 21 + 56 + 35 == int(bounds.acc_high[0])
    assert not any(registers.counts.values())
