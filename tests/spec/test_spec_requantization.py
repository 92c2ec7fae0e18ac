"""Real factors as integers, against fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.spec import InputError, Multiplier


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.floats(2.0**-31, 2.0**30 * (1 - 2.0**-31), exclude_min=False))
def test_a_factor_is_the_nearest_number_of_31_bits_with_ties_up(real: float) -> None:
    factor = Multiplier.from_real(real)
    assert 1 << 30 <= factor.multiplier < 1 << 31
    assert -31 <= factor.shift <= 30
    held = Fraction(factor.multiplier) * Fraction(2) ** (factor.shift - 31)
    _, exponent = math.frexp(real)
    step = Fraction(2) ** (exponent - 31)
    assert held == math.floor(Fraction(real) / step + Fraction(1, 2)) * step
    assert factor.real == float(held)


@pytest.mark.parametrize(
    ("real", "multiplier", "shift"),
    [
        (0.0, 0, 0),
        (1.0, 1 << 30, 1),
        (0.5, 1 << 30, 0),
        (2.0**-32, 1 << 30, -31),
        # Just below rounds up to 2**-32; half a step further down there is nothing left.
        (math.nextafter(2.0**-32, 0), 1 << 30, -31),
        (2.0**-32 * (1 - 2.0**-30), 0, 0),
        (2.0**-33, 0, 0),
        (5e-324, 0, 0),
        # The mantissa rounds up to 1: a carry into the shift.
        (1 - 2.0**-40, 1 << 30, 1),
        # A tie: 2**30 + 1/2 rounds up.
        (0.5 + 2.0**-32, (1 << 30) + 1, 0),
        (0.5 + 2.0**-32 - 2.0**-53, 1 << 30, 0),
        (2.0**29, 1 << 30, 30),
        # 2**30 itself has no shift: the nearest factor is the largest.
        (math.nextafter(2.0**30, 0), (1 << 31) - 1, 30),
    ],
)
def test_named_factors(real: float, multiplier: int, shift: int) -> None:
    assert Multiplier.from_real(real) == Multiplier(multiplier, shift)


@pytest.mark.parametrize("real", [-1.0, -5e-324, 2.0**30, math.inf, math.nan])
def test_factors_that_cannot_be_held_are_refused(real: float) -> None:
    with pytest.raises(InputError) as error:
        Multiplier.from_real(real)
    assert str(error.value) == f"real multiplier must be finite and in 0..2**30, not {real}"


def test_powers_of_two_are_told_from_the_rest() -> None:
    assert [Multiplier.from_real(real).is_power_of_two for real in (0.25, 4.0, 0.3, 0.0)] == [True, True, False, False]
