"""The rounding in the kernels against the golden one, on the edges of every accumulator that `fits` lets through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requantize_cases import edges

from hwsim.kernels.assemble import Assembled, Products
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.plan import Plan
from hwsim.kernels.requantize import Requantizer
from hwsim.kernels.rounding import fits
from hwsim.kernels.targets import Target, host, runnable
from hwsim.spec import Multiplier, Profile, Reduction

pytestmark = pytest.mark.skipif(not ENABLED, reason="the generated kernels need the JIT")

CHANNELS = 16
FORMATS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}
STEP = 32767
"""An accumulator is ``STEP * high + low`` of a pixel with these two activations."""


def largest_that_fits(requantizer: Requantizer) -> int:
    """Return the largest accumulator that `fits` accepts, or -1."""
    low, high = -1, 2**31
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(requantizer, middle) else (low, middle)
    return low


def check_rounding(requantizer: Requantizer, storage: str, sums: Any, target: Target | None = None) -> None:
    """Assert that kernels round accumulators [M] of `CHANNELS` channels like the golden requantization."""
    high = np.rint(sums / STEP).astype(np.int64)
    images = np.stack([high, sums - STEP * high], axis=1)
    assert np.abs(images).max(initial=0) < 2**15
    weights = np.repeat(np.array([[STEP], [1]]), CHANNELS, axis=1)[None]
    geometry = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0], np.int64)
    products = Products(weights, np.zeros(CHANNELS, np.int64), Reduction(), "int16", 0, 0, geometry, 2, 1, False)
    plan = Plan("exact", "", "words", int(np.abs(sums).max(initial=0)))
    made = Assembled(products, plan, requantizer, storage, target=target)
    assert made.finished
    out = made.run(images.astype(np.int16)[:, None, None, :], 1, None)
    expected = requantizer(np.repeat(sums[:, None], CHANNELS, axis=1), slice(0, CHANNELS), storage)
    assert np.array_equal(out[:, 0], expected)


def check_edges(requantizer: Requantizer, storage: str, rng: np.random.Generator, target: Target | None = None) -> None:
    """Try the edges of every channel's rounding, and random accumulators, up to the largest that fits."""
    largest = min(largest_that_fits(requantizer), STEP * 32000)
    if largest < 0:
        return
    factors = zip(requantizer.multiplier.tolist(), requantizer.shift.tolist(), strict=True)
    found = {x for multiplier, shift in factors for x in edges(Multiplier(multiplier, shift), largest)}
    sums = np.array(sorted(found) + rng.integers(-largest, largest + 1, 50).tolist(), np.int64)
    check_rounding(requantizer, storage, sums, target)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(FORMATS)), st.integers(-31, 29), st.booleans())
def test_accepted_accumulators_are_rounded_like_the_golden(seed: int, storage: str, exponent: int, alike: bool) -> None:
    rng = np.random.default_rng(seed)
    exponents = np.full(CHANNELS, exponent) if alike else rng.integers(-31, max(exponent, -30), CHANNELS)
    mantissas = rng.choice([1.0, 1 + 2.0**-30, 2 - 2.0**-30, 1.5, 0.0], CHANNELS)
    mantissas[mantissas == 0] = rng.uniform(1, 2, int(np.sum(mantissas == 0)))
    lo, hi = FORMATS[storage]
    zero_point = int(rng.choice([lo, hi, 0, int(rng.integers(lo, hi + 1))]))
    clamp = (lo, hi) if rng.integers(2) else tuple(sorted(rng.integers(lo, hi + 1, 2).tolist()))
    profile = (Profile.TFLITE, Profile.TFLITE_SINGLE, Profile.ORT_FLOAT32)[int(rng.integers(3))]
    requantizer = Requantizer((mantissas * 2.0**exponents).tolist(), profile, zero_point, *clamp, 32)
    check_edges(requantizer, storage, rng)


@pytest.mark.parametrize("shift", range(-31, 30, 3))
@pytest.mark.parametrize("multiplier", [1 << 30, (1 << 30) + 1, 3 << 29, (1 << 31) - 1])
def test_every_shift_with_the_corner_multipliers(multiplier: int, shift: int) -> None:
    rng = np.random.default_rng(shift + 31)
    real = Multiplier(multiplier, shift).real
    for target in dict.fromkeys((host(), runnable()[-1])):
        # The last two clamps cut everything below the zero point off, which then is rounded with fewer steps.
        for lo in (-128, -4, -3, 5):
            requantizer = Requantizer([real] * CHANNELS, Profile.TFLITE, -3, lo, 127, 32)
            check_edges(requantizer, "int8", rng, target)


@pytest.mark.parametrize("shift", [-30, -12, -1, 0, 1, 7])
def test_powers_of_two(shift: int) -> None:
    requantizer = Requantizer([2.0**shift] * CHANNELS, Profile.POWER_OF_TWO, 4, -128, 100, 32)
    check_edges(requantizer, "int8", np.random.default_rng(1))


def test_a_zero_factor_gives_the_zero_point() -> None:
    check_rounding(Requantizer([0.0] * CHANNELS, Profile.TFLITE, 9, -128, 127, 32), "int8", np.arange(-99, 99))
