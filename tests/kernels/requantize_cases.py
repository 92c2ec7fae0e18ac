"""Accumulators that sit on the edges of a rounding, and the check that every implementation of `scale` has to pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

import oracle
from hwsim.kernels.requantize import PROFILES, scale
from hwsim.spec import Multiplier, Profile

Scale = Callable[..., Any]


def scaled(x: int, factor: Multiplier, profile: Profile, real: float, implementation: Scale = scale) -> int:
    """Call an implementation of `scale` with the types that the kernels use."""
    return int(
        implementation(
            np.int64(x), np.int64(factor.multiplier), np.int64(factor.shift), np.float32(real), PROFILES.index(profile)
        )
    )


def edges(factor: Multiplier, largest: int) -> list[int]:
    """Return accumulators within ``-largest..largest`` beside which the scaled value crosses a whole or a half number."""
    real = Fraction(factor.multiplier) * Fraction(2) ** (factor.shift - 31)
    found = {0, 1, -1, 2, -2, 3, -3, largest, -largest, largest - 1, 1 - largest}
    for halves in (1, 2, 3, 5, 255, 256, 257, 65535):
        centre = math.floor(Fraction(halves, 2) / real) if real else 0
        found |= {sign * (centre + step) for sign in (1, -1) for step in (-1, 0, 1, 2)}
    return sorted(x for x in found if abs(x) <= largest)


def check_scale(x: int, factor: Multiplier, implementation: Scale = scale) -> None:
    """Assert that an accumulator is scaled as the oracle says, in every profile that can hold the factor."""
    profiles = [Profile.TFLITE, Profile.TFLITE_SINGLE, Profile.ORT_FLOAT32]
    if factor.is_power_of_two:
        profiles.append(Profile.POWER_OF_TWO)
    for profile in profiles:
        is_float = profile is Profile.ORT_FLOAT32
        expected = oracle.scale_float32(x, factor.real) if is_float else oracle.scale(x, factor, profile)
        assert scaled(x, factor, profile, factor.real, implementation) == expected, (x, factor, profile)


@st.composite
def factors(draw: Any, shifts: tuple[int, int] = (-31, 30)) -> Multiplier:
    """Draw a multiplier, often a power of two or the largest, and a shift."""
    multiplier = draw(
        st.one_of(
            st.sampled_from((1 << 30, (1 << 30) + 1, (1 << 31) - 1, 3 << 29)), st.integers(1 << 30, (1 << 31) - 1)
        )
    )
    return Multiplier(multiplier, draw(st.integers(*shifts)))
