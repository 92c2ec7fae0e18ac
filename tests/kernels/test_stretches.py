"""Bounds of stretches: what the activations of every value there is can do to a register, tried one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hwsim.kernels.finish import Finish
from hwsim.kernels.ordered_form import Form
from hwsim.kernels.registers import Kind
from hwsim.kernels.stretches import STRETCHES, fours_of_stretch, stretch_table
from hwsim.spec import Format, Overflow

ACC = Format(12)
WEIGHTS = np.array([[3, -2], [-8, 7], [5, 5], [1, -7], [-3, 0], [6, -1]])
"""[K, channels]: one whole stretch of four, and a half."""


def _form(*, fours: bool = True, stretch: int = 1, lanes: int = 1, offset: bool = False) -> Form:
    finish, kind = Finish(None, 32, whole=True), Kind(Overflow.SATURATE, full=False)
    return Form(32, 2, 1, finish, kind, lanes, stretch=stretch, fours=fours, offset=offset)


def _reach(weights: tuple[int, ...], span: tuple[int, int]) -> tuple[int, int]:
    """Return the least and the largest sum of any products of a stretch, in any order, for any activations."""
    sums = {0}
    for weight in weights:
        sums |= {known + weight * activation for known in sums for activation in range(span[0], span[1] + 1)}
    return min(sums), max(sums)


@pytest.mark.parametrize("span", [(-4, 3), (0, 7), (-5, -2), (2, 6)])
def test_bounds_are_reached_exactly(span: tuple[int, int]) -> None:
    """From a bound, some activations and some order take a register to the end of its range, and none beyond."""
    table = stretch_table(_form(), ACC, 0, WEIGHTS[np.newaxis], span)
    assert table.shape == (1, 2, 2, 2)
    for stretch, channel in product(range(2), range(2)):
        weights = tuple(int(weight) for weight in WEIGHTS[4 * stretch : 4 * stretch + 4, channel])
        falls, rises = _reach(weights, span)
        low, high = (int(bound) for bound in table[0, stretch, :, channel])
        assert (low + falls, high + rises) == (ACC.lo, ACC.hi)


def test_pairs() -> None:
    """Two pairs are the four products above: 7 * 3 + 0 * -8 + 7 * 5 + 7 * 1 = 63 is the most that they add."""
    table = stretch_table(_form(fours=False, stretch=2), ACC, 0, WEIGHTS[np.newaxis], (0, 7))
    assert int(table[0, 0, 1, 0]) == ACC.hi - 63


def test_offsets_of_groups() -> None:
    """Bytes 5 more than their activations: a group of two adds 5 times its weights too much, 5 * (3 - 8) for the first."""
    table = stretch_table(_form(lanes=2, offset=True), ACC, 5, WEIGHTS[np.newaxis], (0, 7))
    assert table[0, :, 2:, 0].tolist() == [
        [-5 * (3 - 8 + 5 + 1), -5 * (3 - 8), -5 * (5 + 1)],
        [-5 * (-3 + 6), -5 * (-3 + 6), 0],
    ]


def test_a_stretch_takes_a_quarter_of_the_range_at_most() -> None:
    """16 products of 7 * 15 are 1,680, 8 are 840: a quarter of 4,095 is 1,023, and of 131,071 more than all 32 (3,360) are."""
    weights = np.full((1, 64, 1), 7)
    assert fours_of_stretch(weights, (0, 15), Format(12), 1) == 2
    assert fours_of_stretch(weights, (0, 15), Format(17), 1) == max(STRETCHES) // 4
    assert fours_of_stretch(weights, (0, 15), Format(4), 1) == min(STRETCHES) // 4, (
        "one that never has room still has its bounds"
    )
