"""Softmax in fixed point, as gemmlowp computes it for the TFLite reference kernels.

A number "Qi.f" is an int32 with i integer and f = 31 - i fraction bits. The polynomial and the Newton steps are those of
gemmlowp's ``fixedpoint.h`` (``exp_on_negative_values``, ``one_over_one_plus_x_for_x_in_0_1``); their constants are the named
reals rounded to the format.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np

from hwsim.kernels.jit import jit, native
from hwsim.kernels.pointers import octets, words
from hwsim.kernels.requantize import rounding_shift
from hwsim.kernels.table import Entry, Step

_MAX = 2**31 - 1


def _fixed(real: float, integer_bits: int) -> np.int64:
    """Return a real as Qi.f, rounded to nearest, saturated."""
    return np.int64(min(round(real * 2.0 ** (31 - integer_bits)), _MAX))


_EXP_EIGHTH = _fixed(float(np.exp(-0.125)), 0)
_THIRD = _fixed(1 / 3, 0)
_EXP_POWERS = np.array([_fixed(float(np.exp(-(2.0**e))), 0) for e in range(-2, 5)], np.int64)
# Numba compiles a function once more for every literal that it is called with: these have no literal type.
_1, _2, _5, _12 = np.int64(1), np.int64(2), np.int64(5), np.int64(12)
_48_17, _32_17 = _fixed(48 / 17, 2), _fixed(-32 / 17, 2)


@jit
def _high(a: Any, b: Any) -> Any:
    """Product of two fixed-point numbers in int32 (gemmlowp's SaturatingRoundingDoublingHighMul; no -1 * -1 occurs)."""
    return (np.int64(a) * np.int64(b) + (1 << 30)) >> 31


@jit
def _shift_left(x: Any, bits: Any) -> Any:
    """Multiply by a power of two, saturating to int32."""
    return min(max(np.int64(x) << bits, -np.int64(_MAX) - 1), np.int64(_MAX))


@jit
def _exp_negative(x: Any) -> Any:
    """``exp(x)`` in Q0.31 for x <= 0 in Q5.26."""
    if x == 0:
        return np.int64(_MAX)
    quarter = np.int64(1 << 24)
    fraction = (x & (quarter - 1)) - quarter
    # exp on [-1/4, 0) by a Taylor polynomial around -1/8.
    y = _shift_left(fraction, _5) + (1 << 28)
    y2 = _high(y, y)
    y3 = _high(y2, y)
    y4 = _high(y2, y2)
    tail = rounding_shift(_high(rounding_shift(y4, _2) + y3, _THIRD) + y2, _1)
    result = _EXP_EIGHTH + _high(_EXP_EIGHTH, y + tail)
    remainder = fraction - x
    for i in range(7):
        if remainder & (np.int64(1) << (24 + i)):
            result = _high(result, _EXP_POWERS[i])
    return result


@jit
def _reciprocal(x: Any) -> Any:
    """``1 / (1 + x)`` in Q0.31 for x in [0, 1) of Q0.31, by three Newton steps."""
    half = (x + _MAX + 1) >> 1
    guess = _48_17 + _high(half, _32_17)
    for _ in range(3):
        error = (np.int64(1) << 29) - _high(half, guess)
        guess = guess + _shift_left(_high(guess, error), _2)
    return _shift_left(guess, _1)


@jit
def softmax_rows(
    values: Any, multiplier: Any, shift: Any, diff_min: Any, bits: Any, lo: Any, hi: Any, out: Any
) -> None:
    """Softmax of each row of values [rows, depth] into out, where ``out - lo`` counts steps of 2**-bits.

    multiplier and shift turn a difference of inputs into Q5.26; differences below `diff_min` count as exp = 0.
    """
    for r in range(values.shape[0]):
        largest = np.int64(values[r, 0])
        for c in range(values.shape[1]):
            largest = max(largest, np.int64(values[r, c]))
        total = np.int64(0)
        for c in range(values.shape[1]):
            diff = np.int64(values[r, c]) - largest
            if diff >= diff_min:
                total += rounding_shift(_exp_negative(_high(diff << shift, multiplier)), _12)
        # Write the sum, a Q12.19 number of at least 1, as (1 + x) * 2**over.
        leading = 0
        while (total << leading) < (np.int64(1) << 31):
            leading += 1
        over = 12 - leading
        inverse = _reciprocal((total << leading) - (np.int64(1) << 31))
        for c in range(values.shape[1]):
            diff = np.int64(values[r, c]) - largest
            if diff >= diff_min:
                exp = _exp_negative(_high(diff << shift, multiplier))
                share = rounding_shift(_high(inverse, exp), over + 31 - bits) + lo
                out[r, c] = min(max(share, lo), hi)
            else:
                out[r, c] = lo


class _Fields(IntEnum):
    """Of `_softmax_bytes`; those from `MULTIPLIER` to `HI` are arguments of `softmax_rows`."""

    SOURCE = 0
    OUT = 1
    ROWS = 2
    DEPTH = 3
    FLIP = 4
    """128 for bytes with a sign, which then are counted from 0; otherwise 0."""
    MULTIPLIER = 5
    SHIFT = 6
    DIFF_MIN = 7
    BITS = 8
    LO = 9
    HI = 10
    END = 11


def _softmax_bytes(address: Any) -> None:
    """Compute the softmax of rows of bytes, in and out, whose fields are at an address."""
    given = words(address, _Fields.END)
    depth = given[_Fields.DEPTH]
    count = given[_Fields.ROWS] * depth
    source, out = octets(given[_Fields.SOURCE], count), octets(given[_Fields.OUT], count)
    values, found = np.empty((1, depth), np.int64), np.empty((1, depth), np.int64)
    for start in range(0, count, depth):
        for c in range(depth):
            values[0, c] = np.int64(source[start + c]) ^ given[_Fields.FLIP]
        softmax_rows(
            values, given[_Fields.MULTIPLIER], given[_Fields.SHIFT], given[_Fields.DIFF_MIN], given[_Fields.BITS],
            given[_Fields.LO], given[_Fields.HI], found,
        )  # fmt: skip
        for c in range(depth):
            out[start + c] = found[0, c] & 255


@functools.cache
def _address() -> int:
    return native(_softmax_bytes)


class ByteSoftmax(Step):
    """Softmax of 8-bit rows, as `softmax_rows` computes it; signed: whether they have a sign."""

    def __init__(
        self, multiplier: int, shift: int, diff_min: int, bits: int, lo: int, hi: int, *, signed: bool
    ) -> None:
        self.fields = np.zeros(_Fields.END, np.int64)
        self.fields[_Fields.FLIP :] = 128 * signed, multiplier, shift, diff_min, bits, lo, hi

    def entry(self, shapes: Sequence[tuple[int, ...]]) -> Entry:
        """Return the softmax along the last axis, for a table."""
        fields = self.fields.copy()
        fields[_Fields.ROWS], fields[_Fields.DEPTH] = math.prod(shapes[0][:-1]), shapes[0][-1]
        return Entry(_address(), fields, (_Fields.SOURCE,), _Fields.OUT)
