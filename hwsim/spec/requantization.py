"""From an accumulator to an activation: named rounding profiles and the integer form of a real multiplier."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from hwsim.spec.errors import require

MULTIPLIER_BITS = 32
"""Bits that the hardware stores of a multiplier (a positive Q0.31 number)."""

SHIFT_BITS = 8
"""Bits that the hardware stores of a shift (-31..30)."""


class Profile(enum.Enum):
    """How ``round(acc * real_multiplier)`` is computed and rounded; zero point and clamp follow in all of them.

    TFLITE
        gemmlowp's pair: rounding doubling high multiply (ties toward +inf), then a rounding right shift
        (ties away from zero). Two roundings. What the TFLite reference kernels do, save in fully connected layers, which
        round once as in TFLITE_SINGLE.
    TFLITE_SINGLE
        One rounding: ``(acc * multiplier + half) >> (31 - shift)``, ties toward +inf. TFLite with
        TFLITE_SINGLE_ROUNDING.
    ORT_FLOAT32
        ``float32(acc) * float32(real)``, rounded half to even, as ONNX Runtime's QLinear operators. Operators without products
        compute in float32 between dequantizing and quantizing, as its QDQ models do.
    POWER_OF_TWO
        A rounding shift, ties toward +inf; every real multiplier must be a power of two.
    """

    TFLITE = "tflite"
    TFLITE_SINGLE = "tflite-single"
    ORT_FLOAT32 = "ort-float32"
    POWER_OF_TWO = "power-of-two"


@dataclass(frozen=True, slots=True)
class Multiplier:
    """A real factor as ``multiplier * 2**(shift - 31)``; shift > 0 is to the left.

    Parameters
    ----------
    multiplier
        0, or 2**30 .. 2**31 - 1.
    shift
        -31..30.
    """

    multiplier: int
    shift: int

    @classmethod
    def from_real(cls, real: float) -> Multiplier:
        """Round a non-negative real to 31 significant bits, as TFLite's ``QuantizeMultiplier`` does.

        Factors below 2**-32 become 0: no accumulator of this project survives them.
        """
        require(math.isfinite(real) and 0 <= real < 2.0**30, "real multiplier", "finite and in 0..2**30", real)
        if real == 0:
            return cls(0, 0)
        mantissa, shift = math.frexp(real)
        # TFLite's TfLiteRound is C's round: ties away from zero, here on a positive number.
        multiplier = math.floor(mantissa * (1 << 31) + 0.5)
        if multiplier == 1 << 31:
            multiplier, shift = 1 << 30, shift + 1
        if shift < -31:
            return cls(0, 0)
        if shift > 30:
            # What rounds up to 2**30: the nearest factor that there is.
            return cls((1 << 31) - 1, 30)
        return cls(multiplier, shift)

    @property
    def real(self) -> float:
        """The factor that the integers stand for."""
        return math.ldexp(self.multiplier, self.shift - 31)

    @property
    def is_power_of_two(self) -> bool:
        """Whether a shift alone does the same."""
        return self.multiplier == 1 << 30
