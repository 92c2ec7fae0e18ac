"""The interval against published values and at its ends."""

from __future__ import annotations

import pytest

from hwsim.report.wilson import wilson


# R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Stat. Med. 17 (1998), table I, method 3.
@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_equals_published_values(correct: int, n: int, low: float, high: float) -> None:
    assert wilson(correct, n) == pytest.approx((low, high), abs=5e-5)


def test_all_correct_ends_at_one() -> None:
    low, high = wilson(50, 50)
    assert high == 1.0
    assert 0.9 < low < 1.0


def test_nothing_measured_is_everything_possible() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
