"""Quantization schemes: which integers a weight or an activation becomes. `SCHEMES` lists them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwsim.graph import Array, Quantization
from hwsim.quant.ranges import RANGES, RangeObserver
from hwsim.spec import operand_format


@dataclass(frozen=True)
class Scheme:
    """Symmetric per-channel weights and affine per-tensor activations.

    Parameters
    ----------
    name
        What reports call it.
    weight_bits, activation_bits
        2..16.
    power_of_two
        Round scales up to powers of two, for machines that requantize by shifting.
    ranges
        How activation ranges are set.
    """

    name: str = "symmetric per-channel weights, affine per-tensor activations"
    weight_bits: int = 8
    activation_bits: int = 8
    power_of_two: bool = False
    ranges: type[RangeObserver] = RANGES[0]

    def __post_init__(self) -> None:
        operand_format(self.weight_bits, field="weight_bits")
        operand_format(self.activation_bits, field="activation_bits")

    def _scale(self, scale: float) -> float:
        # 2**(exponent) >= scale, exactly scale where that is a power of two already.
        mantissa, exponent = math.frexp(scale)
        return math.ldexp(1.0, exponent - (mantissa == 0.5)) if self.power_of_two else scale

    def weights(self, values: Array, axis: int, least: Array) -> Quantization:
        """Return the quantization of a weight tensor along its output-channel axis.

        The integers are ``-(2**(bits-1) - 1) .. 2**(bits-1) - 1``, as TFLite's: without the most negative one the product of
        two of them cannot be the odd case of its format. `least` [C] bounds the scales from below; a channel of zeros gets
        the largest scale of the others.
        """
        fmt = operand_format(self.weight_bits)
        others = tuple(i for i in range(values.ndim) if i != axis)
        scale = np.abs(values).max(axis=others).astype(np.float64) / fmt.hi
        scale = np.where(scale > 0, scale, scale.max() or 1.0)
        scale = np.array([self._scale(float(s)) for s in np.maximum(scale, least)])
        return Quantization(fmt, scale, np.zeros(scale.shape, np.int64), axis)

    def activations(self, lo: float, hi: float) -> Quantization:
        """Return the quantization of an activation whose values lie in ``lo..hi``; 0 is always represented exactly."""
        fmt = operand_format(self.activation_bits)
        lo, hi = min(lo, 0.0), max(hi, 0.0)
        scale = self._scale((hi - lo) / (fmt.hi - fmt.lo) if hi > lo else 1.0)
        zero_point = min(max(round(fmt.lo - lo / scale), fmt.lo), fmt.hi)
        return Quantization(fmt, np.array(scale), np.array(zero_point))


SCHEMES: tuple[Scheme, ...] = (Scheme(), Scheme("power-of-two scales", power_of_two=True))
"""Schemes by name; the first is the default. Bit widths are set with `dataclasses.replace`."""
