"""The SIMD requantization against the golden one, on every accumulator that `Requantizer.fits_int32` lets through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requantize_cases import edges
from simd_cases import check_epilogue, epilogue_runner, largest_that_fits

from hwsim.kernels.epilogue import make_epilogue
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.microkernel import LANES
from hwsim.kernels.requantize import Requantizer
from hwsim.spec import Multiplier, Profile

pytestmark = pytest.mark.skipif(not ENABLED, reason="the SIMD kernels need the JIT")

FORMATS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}


@pytest.fixture(scope="module")
def runners() -> dict[int, Any]:
    """Return the two epilogues, compiled."""
    return {bits: epilogue_runner(make_epilogue(bits)) for bits in (8, 16)} if ENABLED else {}


def panel(requantizer: Requantizer, largest: int, rng: np.random.Generator) -> Any:
    """Return accumulators [M, LANES] at the bound, beside every rounding edge, and random ones."""
    columns = []
    for multiplier, shift in zip(requantizer.multiplier.tolist(), requantizer.shift.tolist(), strict=True):
        column = edges(Multiplier(multiplier, shift), largest)
        columns.append(np.array(column + rng.integers(-largest, largest + 1, 90 - len(column)).tolist()))
    return np.stack(columns, axis=1)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(FORMATS)), st.integers(-31, 29), st.booleans())
def test_accepted_accumulators_are_requantized_like_the_golden(
    runners: dict[int, Any], seed: int, storage: str, exponent: int, alike: bool
) -> None:
    rng = np.random.default_rng(seed)
    exponents = np.full(LANES, exponent) if alike else rng.integers(-31, max(exponent, -30), LANES)
    mantissas = rng.choice([1.0, 1 + 2.0**-30, 2 - 2.0**-30, 1.5, 0.0], LANES)
    mantissas[mantissas == 0] = rng.uniform(1, 2, int(np.sum(mantissas == 0)))
    lo, hi = FORMATS[storage]
    zero_point = int(rng.choice([lo, hi, 0, int(rng.integers(lo, hi + 1))]))
    lo_clamp, hi_clamp = (lo, hi) if rng.integers(2) else sorted(rng.integers(lo, hi + 1, 2).tolist())
    requantizer = Requantizer((mantissas * 2.0**exponents).tolist(), Profile.TFLITE, zero_point, lo_clamp, hi_clamp, 32)
    largest = largest_that_fits(requantizer)
    if largest < 0:
        assert int(requantizer.shift.max()) > 0 or int(requantizer.shift.min()) <= -31
        return
    assert not requantizer.fits_int32(largest + 1)
    check_epilogue(runners[8 if storage.endswith("t8") else 16], requantizer, panel(requantizer, largest, rng), storage)


@pytest.mark.parametrize("shift", range(-31, 30))
@pytest.mark.parametrize("multiplier", [1 << 30, (1 << 30) + 1, 3 << 29, (1 << 31) - 1])
def test_every_shift_with_the_corner_multipliers(runners: dict[int, Any], multiplier: int, shift: int) -> None:
    rng = np.random.default_rng(shift + 31)
    real = Multiplier(multiplier, shift).real
    requantizer = Requantizer([real] * LANES, Profile.TFLITE, -3, -32768, 32767, 32)
    assert requantizer.multiplier[0] == multiplier
    assert requantizer.shift[0] == shift
    largest = largest_that_fits(requantizer)
    assert largest >= (1 << max(0, 29 - max(shift, 0))) - 1
    check_epilogue(runners[16], requantizer, panel(requantizer, largest, rng), "int16")


def test_channels_that_are_filled_up_have_multiplier_zero_and_give_the_zero_point(runners: dict[int, Any]) -> None:
    requantizer = Requantizer([0.0] * LANES, Profile.TFLITE, 7, -128, 127, 32)
    check_epilogue(runners[8], requantizer, np.arange(-2 * LANES, 2 * LANES).reshape(4, LANES), "int8")
