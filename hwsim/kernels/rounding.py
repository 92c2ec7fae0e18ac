"""A layer's requantization as the generated kernels do it: where they may, and which steps a layer does without."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.kernels.requantize import Requantizer
from hwsim.spec import Profile


@dataclass(frozen=True)
class Rounding:
    """A requantizer by channel, where the range of each channel's accumulators is known.

    Parameters
    ----------
    profile, lo, hi
        Of the requantizer.
    multiplier, shift, real, zero_point
        Arrays [channels].
    largest
        int64 [channels]: bound of the accumulators' magnitudes.
    """

    profile: Profile
    lo: int
    hi: int
    multiplier: npt.NDArray[np.int64]
    shift: npt.NDArray[np.int64]
    real: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int64]
    largest: npt.NDArray[np.int64]

    @classmethod
    def of(cls, requantizer: Requantizer, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> Rounding:
        """Return the rounding of accumulators in ``low..high``, int64 [channels].

        Rounding never falls where the accumulator rises. So a channel whose two ends give one result gives nothing else: its
        factor becomes 0 and its zero point that result. Networks have such channels, with biases that fit nothing.
        """
        multiplier, shift = requantizer.multiplier.astype(np.int64), requantizer.shift.astype(np.int64)
        real, zero_point = requantizer.real, np.full(multiplier.shape, requantizer.zero_point, np.int64)
        if requantizer.profile is not Profile.POWER_OF_TWO:
            first, last = requantizer(np.stack([low, high]), slice(0, low.size), "int64")
            constant = first == last
            multiplier, shift = np.where(constant, 0, multiplier), np.where(constant, 0, shift)
            real, zero_point = np.where(constant, np.float32(0), real), np.where(constant, first, zero_point)
        largest = np.maximum(np.abs(low), np.abs(high))
        return cls(requantizer.profile, requantizer.lo, requantizer.hi, multiplier, shift, real, zero_point, largest)

    @property
    def half_up(self) -> bool:
        """Whether halves of negative numbers may be rounded up like those of positive ones, in the profile TFLITE.

        A negative accumulator's high product h is 0 or less, and the rounding shift that follows takes one off it first. With
        or without that, ``(h + half) >> right`` is 0 or less: no more than the zero point leaves, and the clamp takes both
        to its lower end where that is the zero point or above. Without a shift nothing is taken off.
        """
        bounded = (self.lo >= self.zero_point) | (self.shift >= 0)
        return self.profile is Profile.TFLITE and bool(bounded.all())

    @property
    def right_only(self) -> bool:
        """Whether no accumulator is shifted left before it is multiplied, in the profile TFLITE."""
        return self.profile is Profile.TFLITE and bool((self.shift <= 0).all())

    def fits(self) -> bool:
        """Whether no accumulator takes a step below out of its integers."""
        channels = zip(
            self.multiplier.tolist(), self.shift.tolist(), self.real.tolist(), self.zero_point.tolist(), self.largest.tolist(),
            strict=True,
        )  # fmt: skip
        return all(_fits(self.profile, *channel) for channel in channels)


def _fits(profile: Profile, multiplier: int, shift: int, real: float, zero_point: int, largest: int) -> bool:
    """Whether a channel's accumulators stay in their integers; unsigned bytes have a zero point of 128 less."""
    if largest >= 2**31:
        return False
    offset, left, right = abs(zero_point) + 128, max(shift, 0), max(-shift, 0)
    if profile is Profile.TFLITE:
        if multiplier == 0 and right == 0:
            return True
        half = (1 << right) >> 1
        rounded = ((largest << left) * multiplier >> 31) + half + (offset << right) + 2
        return largest << left < 1 << 30 and rounded < 1 << 31
    if profile is Profile.POWER_OF_TWO:
        down = 1 - shift
        half = 1 << down - 1 if down > 0 else 0
        return down <= 31 and largest + half < 2**31 and largest << max(-down, 0) < 2**30
    if profile is Profile.TFLITE_SINGLE:
        result = largest * multiplier >> 31 - shift
        return result + 2 + offset < 2**30
    return real * largest + offset < 2.0**30


def fits(requantizer: Requantizer, largest: int) -> bool:
    """Whether the kernels can round all accumulators of magnitude up to `largest`."""
    ends = np.full(requantizer.multiplier.shape, min(largest, 2**40), np.int64)
    return Rounding.of(requantizer, -ends, ends).fits()
