"""Activation functions that a layer may fuse into its clamp."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np

from hwsim.graph import Array, Quantization


class Clamp:
    """A clamp in real values."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Real lower and upper bound."""
        raise NotImplementedError

    def apply(self, real: Array) -> Array:
        """Clamp float values."""
        lo, hi = self.bounds
        return real if (lo, hi) == (-math.inf, math.inf) else np.clip(real, np.float32(lo), np.float32(hi))

    def clamp(self, output: Quantization) -> tuple[int, int]:
        """Return the integer clamp ``(lo, hi)`` for a per-tensor output quantization.

        TFLite's ``CalculateActivationRangeQuantized``: a bound is ``zero_point + round(bound / scale)`` with ties away
        from zero, in float32, within `output.lo..hi`.
        """
        scale, zero_point = np.float32(output.scale), int(output.zero_point)

        def integer(bound: float) -> int:
            steps = np.float32(bound) / scale
            return zero_point + int(math.copysign(math.floor(abs(float(steps)) + 0.5), bound))

        lo, hi = self.bounds
        return (
            max(output.lo, integer(lo)) if math.isfinite(lo) else output.lo,
            min(output.hi, integer(hi)) if math.isfinite(hi) else output.hi,
        )


class Activation(Clamp, enum.Enum):
    """A clamp that a layer may fuse into its output."""

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"
    RELU_N1_TO_1 = "relu-1-1"

    @property
    def bounds(self) -> tuple[float, float]:
        """Real lower and upper bound."""
        return {
            Activation.NONE: (-math.inf, math.inf),
            Activation.RELU: (0.0, math.inf),
            Activation.RELU6: (0.0, 6.0),
            Activation.RELU_N1_TO_1: (-1.0, 1.0),
        }[self]


@dataclass(frozen=True)
class Range(Clamp):
    """A clamp to any ``lo..hi``, infinity for none; also what a quantizer does besides rounding."""

    lo: float
    hi: float

    @property
    def bounds(self) -> tuple[float, float]:
        return self.lo, self.hi
