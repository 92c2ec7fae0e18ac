"""Sums and products of two quantized activations."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.kernels.epilogue import make_epilogue
from hwsim.kernels.jit import jit
from hwsim.kernels.microkernel import LANES
from hwsim.kernels.requantize import scale

_to_8_bits = make_epilogue(8)
_BLOCK = 64 * LANES


@jit
def add(
    a: Any, b: Any, zero_a: Any, zero_b: Any, headroom: Any, factors: Any, reals: Any, profile: Any, zero_point: Any, lo: Any,
    hi: Any, out: Any,
) -> None:  # fmt: skip
    """Add flat integers on a common, finer scale, then requantize.

    factors int64 [3, 2]: multiplier and shift of a, b and the sum; reals float32 [3]: the same as reals; headroom: left shift
    that makes room for fractions.
    """
    for i in range(out.shape[0]):
        left = (np.int64(a[i]) - zero_a) << headroom
        right = (np.int64(b[i]) - zero_b) << headroom
        total = scale(left, factors[0, 0], factors[0, 1], reals[0], profile)
        total += scale(right, factors[1, 0], factors[1, 1], reals[1], profile)
        value = scale(total, factors[2, 0], factors[2, 1], reals[2], profile) + zero_point
        out[i] = min(max(value, lo), hi)


@jit
def terms(lo: Any, hi: Any, zero: Any, headroom: Any, multiplier: Any, shift: Any, real: Any, profile: Any) -> Any:
    """Return what every integer of ``lo..hi`` contributes to the sum that `add` forms: int32, for operands of at most 8 bits.

    Such a term is below 2**(9 + 20) in magnitude, so two of them stay below 2**30.
    """
    table = np.empty(hi - lo + 1, np.int32)
    for value in range(lo, hi + 1):
        table[value - lo] = scale((np.int64(value) - zero) << headroom, multiplier, shift, real, profile)
    return table


@jit
def add_terms(
    a: Any, b: Any, lo_a: Any, lo_b: Any, terms_a: Any, terms_b: Any, multiplier: Any, left: Any, right: Any, zero_point: Any,
    lo: Any, hi: Any, out: Any,
) -> None:  # fmt: skip
    """`add` in the TFLITE profile from tables of `terms`, in SIMD.

    multiplier, left and right are int32 [LANES], the other constants int32; out is flat bytes, as int8.
    """
    acc = np.empty(_BLOCK, np.int32)
    last = np.empty(LANES, np.int8)
    for first in range(0, a.shape[0], _BLOCK):
        size = min(_BLOCK, a.shape[0] - first)
        left_side, right_side = a[first : first + size], b[first : first + size]
        for i in range(size):
            acc[i] = terms_a[np.uint64(left_side[i] - lo_a)] + terms_b[np.uint64(right_side[i] - lo_b)]
        whole = size - size % LANES
        for i in range(0, whole, LANES):
            _to_8_bits(acc, i, multiplier, left, right, 0, zero_point, lo, hi, out, first + i)
        if whole < size:
            _to_8_bits(acc, whole, multiplier, left, right, 0, zero_point, lo, hi, last, 0)
            for i in range(size - whole):
                out[first + whole + i] = last[i]


@jit
def multiply(
    a: Any, b: Any, zero_a: Any, zero_b: Any, multiplier: Any, shift: Any, real: Any, profile: Any, zero_point: Any, lo: Any,
    hi: Any, out: Any,
) -> None:  # fmt: skip
    """Multiply flat integers, then requantize."""
    for i in range(out.shape[0]):
        product = (np.int64(a[i]) - zero_a) * (np.int64(b[i]) - zero_b)
        out[i] = min(max(scale(product, multiplier, shift, real, profile) + zero_point, lo), hi)


@jit
def rescale(
    a: Any,
    zero_a: Any,
    multiplier: Any,
    shift: Any,
    real: Any,
    profile: Any,
    zero_point: Any,
    lo: Any,
    hi: Any,
    out: Any,
) -> None:
    """Requantize flat integers to another scale, zero point and format."""
    for i in range(out.shape[0]):
        value = scale(np.int64(a[i]) - zero_a, multiplier, shift, real, profile) + zero_point
        out[i] = min(max(value, lo), hi)
