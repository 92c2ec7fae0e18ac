"""Numbers and names as people read them."""

from __future__ import annotations

import pytest

from hwsim.report import text


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0, "B", "0 B"),
        (0, "", "0"),
        (7, "", "7"),
        (999, "", "999"),
        (1000, "", "1.00 k"),
        (999_499, "", "999 k"),
        (999_500, "", "1.00 M"),
        (12_500_000, "", "12.5 M"),
        (9_996, "", "10.0 k"),
        (1_230_000, "B", "1.23 MB"),
        (45.6e6, "B/s", "45.6 MB/s"),
        (1.2e9, "B/s", "1.20 GB/s"),
        (-1500, "", "-1.50 k"),
        (0.25, "", "0.25"),
        (0.00605, "s", "6.05 ms"),
        (0.9999, "s", "1.00 s"),
        (323e-6, "s", "323 µs"),
        (1e21, "", "1000 E"),
    ],
)
def test_si_has_three_digits_and_the_right_prefix(value: float, unit: str, expected: str) -> None:
    assert text.si(value, unit) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.52, "0.52"), (24.3, "24.3"), (99.96, "100"), (3098.4, "3,098")])
def test_rounded_has_no_prefix(value: float, expected: str) -> None:
    assert text.rounded(value) == expected


@pytest.mark.parametrize(
    ("share", "expected"), [(0.125, "12.5 %"), (0.0, "0.0 %"), (0.0001, "< 0.1 %"), (1.0, "100.0 %")]
)
def test_a_small_share_is_never_shown_as_none(share: float, expected: str) -> None:
    assert text.percent(share) == expected


@pytest.mark.parametrize(
    ("gap", "expected"), [(-0.004, "-0.40 points"), (0.012, "+1.20 points"), (-1e-9, "0.00 points")]
)
def test_points_are_signed(gap: float, expected: str) -> None:
    assert text.points(gap) == expected


def test_shorten_keeps_both_ends_and_the_width() -> None:
    name = "model/features/stage_3/block_12/depthwise_conv2d"
    short = text.shorten(name, 24)
    assert len(short) == 24
    assert short.startswith("model/featur")
    assert short.endswith("wise_conv2d")
    assert text.shorten("conv", 24) == "conv"


def test_invisible_characters_are_spelled_out() -> None:
    assert text.visible("a\n\x00\u202eb") == r"a\n\x00\u202eb"


@pytest.mark.parametrize(
    ("parts", "expected"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_listing(parts: list[str], expected: str) -> None:
    assert text.listing(parts) == expected
