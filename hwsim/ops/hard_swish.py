"""Hard-swish of 8-bit integers as TFLite's reference kernel computes it, in 16-bit fixed point, for every input value.

Its result can be a step off the exact function; `hwsim.ops.lookup` rounds that one for other formats.
"""

from __future__ import annotations

import numpy as np

from hwsim.graph import Array, Quantization
from hwsim.kernels.requantize import rounding_shift
from hwsim.spec import Multiplier

_LO, _HI = -(2**15), 2**15 - 1


def hard_swish_table(source: Quantization, result: Quantization) -> Array:
    """Return the output integer of every input integer, lowest first; int64 [2**bits].

    With x the centred input in steps of 1/128: ``x * relu6(x + 3) / 6``, where ``relu6(x + 3) / 6`` is found by scaling x so
    that -3..3 fills int16, saturating, and halving around the middle. Scales meet in float32, multipliers have 16 bits.
    """
    fine = np.float32(1 / 128) * np.float32(source.scale)
    outward = Multiplier.from_real(float(fine / np.float32(result.scale)))
    gate = Multiplier.from_real(float(fine / np.float32(3.0 / 32768.0)))
    form = source.format
    x = (np.arange(form.lo, form.hi + 1) - int(source.zero_point)) * 128
    x = ((x - _LO) & 0xFFFF) + _LO

    relu = x if gate.shift <= 0 else _saturate(x << (gate.shift - 1))
    relu = _rounded_product(relu, _to_16_bits(gate.multiplier))
    if gate.shift > 0:
        relu = _saturate(relu << 1)
    elif gate.shift < 0:
        relu = _rounding_shift(relu, -gate.shift)
    relu = (relu - _LO) >> 1

    product = relu * _rounded_product(x, _to_16_bits(outward.multiplier))
    # A division by 2**15 that truncates toward zero, as in C.
    halves = np.where(product >= 0, product >> 15, -(-product >> 15))
    out = _rounding_shift(halves, -outward.shift) if outward.shift <= 0 else _saturate(halves << outward.shift)
    found: Array = np.clip(out + int(result.zero_point), result.format.lo, result.format.hi)
    return found


def _saturate(x: Array) -> Array:
    return np.clip(x, _LO, _HI)


def _to_16_bits(multiplier: int) -> int:
    """A Q0.31 multiplier as Q0.15, rounded to nearest."""
    return min((multiplier + 2**15) >> 16, _HI)


def _rounded_product(a: Array, b: int) -> Array:
    """Rounding doubling high multiply of 16 bits, as gemmlowp's: nearest, ties away from zero."""
    product = a * b
    nudged = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    return _saturate(np.where(nudged >= 0, nudged >> 15, -(-nudged >> 15)))


def _rounding_shift(x: Array, bits: int) -> Array:
    return np.array([rounding_shift(value, bits) for value in x], np.int64)
