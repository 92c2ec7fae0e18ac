"""Reductions: what may be combined, and how many sums are written; the oracle counts its own writes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from hwsim.spec import BiasAt, InputError, Overflow, Reduction, Register, ZeroPoints

WIDE = Register(48, Overflow.WRAP)
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"lanes": 0}, "lanes must be an integer from 1 to 256, not 0"),
    ({"lanes": 257}, "lanes must be an integer from 1 to 256, not 257"),
    ({"chain": 0, "psum": WIDE}, "chain must be an integer from 1 to 65536, not 0"),
    ({"chain": 65537, "psum": WIDE}, "chain must be an integer from 1 to 65536, not 65537"),
    ({"psum": WIDE}, "psum must be given together with chain (groups per partial sum), not psum=48:wrap, chain=None"),
    ({"chain": 4}, "psum must be given together with chain (groups per partial sum), not psum=None, chain=4"),
    ({"tree": WIDE}, "lanes must be at least 2 when tree is given, not 1"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_does_not_fit_together_is_refused_in_the_house_form(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        Reduction(**fields)
    assert str(error.value) == message


def test_the_ends_of_every_range_are_accepted() -> None:
    Reduction(lanes=256, tree=WIDE, chain=65536, psum=WIDE)
    Reduction(lanes=2, tree=WIDE, chain=1, psum=WIDE)
    assert Reduction() == Reduction(Register(32, Overflow.WRAP), 1, None, None, None, BiasAt.START, ZeroPoints.SUBTRACT)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 9), st.booleans(), st.none() | st.integers(1, 6))
def test_writes_are_the_sums_that_the_oracle_writes(products: int, lanes: int, tree: bool, chain: int | None) -> None:
    reduction = Reduction(
        WIDE, lanes, WIDE if tree and lanes > 1 else None, chain, None if chain is None else WIDE
    )  # fmt: skip
    _, registers, _ = oracle.reduce([1] * products, [1] * products, 0, reduction)
    assert reduction.writes(products) == registers.sums


def test_a_reduction_prints_what_decides_values() -> None:
    assert str(Reduction()) == "acc 32:wrap, bias at start, zero points subtract"
    full = Reduction(
        Register(24, Overflow.SATURATE), 4, Register(18, Overflow.WRAP), 8, Register(16, Overflow.SATURATE), BiasAt.END,
        ZeroPoints.FOLD,
    )  # fmt: skip
    assert str(full) == (
        "acc 24:saturate, psum 16:saturate over 8, 4 lanes, tree 18:wrap, bias at end, zero points fold"
    )
    assert "tree exact" in str(Reduction(lanes=2))


def test_the_oracle_sums_a_dot_product_worked_by_hand() -> None:
    """8-bit saturating tree, 8-bit wrapping partial sums of two groups, 9-bit saturating accumulator, bias 100."""
    reduction = Reduction(
        Register(9, Overflow.SATURATE), 2, Register(8, Overflow.SATURATE), 2, Register(8, Overflow.WRAP)
    )  # fmt: skip
    # Groups: 100 + 100 -> 127 (event); 60 + 0; 70 + -100 = -30.
    # Partial sums: 127 + 60 = 187 -> -69 (event); then -30. Accumulator: 100 - 69 = 31; 31 - 30 = 1.
    total, registers, running = oracle.reduce([100, 100, 60, 0, 70, -100], [1] * 6, 100, reduction)
    assert total == 1
    assert {key: count for key, count in registers.counts.items() if count} == {
        ("tree", "positive"): 1,
        ("psum", "positive"): 1,
    }
    assert running == [100, 360, 330]
