"""The ordered kernels against the golden one: every register, order and width, values and counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from simd_cases import POINTWISE, Shape, check, drawn, replan

from hwsim.kernels.jit import ENABLED
from hwsim.kernels.registers import Limits, limits
from hwsim.kernels.targets import Target, runnable
from hwsim.spec import BiasAt, Reduction, Register

pytestmark = pytest.mark.skipif(not ENABLED, reason="the generated kernels need the JIT")

parse = Register.parse


def one_register() -> Iterator[Reduction]:
    """Yield accumulators of all kinds: narrower than a lane, filling it, of 32 bits."""
    for bits in (8, 12, 15, 16, 17, 18, 24, 31, 32):
        for overflow in ("saturate", "wrap"):
            yield Reduction(parse(f"{bits}:{overflow}"), bias_at=BiasAt.END if bits % 2 else BiasAt.START)


def more_registers() -> Iterator[Reduction]:
    """Yield trees and chains."""
    for overflow, other in (("saturate", "wrap"), ("wrap", "saturate")):
        for lanes in (2, 3, 4, 8, 16):
            yield Reduction(parse(f"16:{overflow}"), lanes)
            yield Reduction(parse(f"15:{overflow}"), lanes, tree=parse(f"{14 if lanes % 4 else 16}:{other}"))
        yield Reduction(parse(f"20:{overflow}"), 4, tree=parse(f"18:{other}"))
        for bits in (14, 24, 32):
            yield Reduction(parse(f"{bits}:{other}"), 1, chain=4, psum=parse(f"15:{overflow}"))
            yield Reduction(parse(f"{bits}:{other}"), 2, chain=3, psum=parse(f"16:{overflow}"))
            yield Reduction(parse(f"{bits}:{other}"), 1, chain=5, psum=parse(f"19:{overflow}"), bias_at=BiasAt.END)
        yield Reduction(parse(f"17:{other}"), 4, parse(f"15:{overflow}"), 2, parse(f"16:{other}"), bias_at=BiasAt.END)
        yield Reduction(parse(f"48:{other}"), 1, chain=6, psum=parse(f"15:{overflow}"))
        yield Reduction(parse(f"32:{other}"), 1, chain=6, psum=parse(f"15:{overflow}"), bias_at=BiasAt.END)
        for lanes in (1, 2, 8, 12):
            yield Reduction(parse(f"17:{overflow}"), lanes, bias_at=BiasAt.END)


TARGETS = [runnable()[0], runnable()[-1]]
"""The widest and the plain one; those between differ in widths only, and a few reductions try them."""


@pytest.mark.parametrize("reduction", list(one_register()), ids=str)
def test_one_register(reduction: Reduction) -> None:
    rng = np.random.default_rng(11)
    # Products of 8-bit operands overflow narrow registers; 16-bit ones reach wide ones.
    large = reduction.acc.bits > 16
    dtype, heaviest = ("int16", 16000) if large else ("int8", 127)
    for target in TARGETS:
        for shape in (Shape(), Shape(4, 8, 24, depthwise=True)):
            case = drawn(
                shape, reduction, rng, dtype=dtype, heaviest=heaviest, largest=16000 if large else None, ends=large
            )
            if case.plan.operation is None:
                assert "32 bits" in case.plan.reason
            else:
                assert check(case, target) > 0 or shape.depthwise


@pytest.mark.parametrize("reduction", list(more_registers()), ids=str)
def test_trees_and_chains(reduction: Reduction) -> None:
    rng = np.random.default_rng(12)
    for shape in (Shape(), Shape(4, 8, 24, depthwise=True)):
        case = drawn(shape, reduction, rng)
        events = check(case)
        assert events > 0 or shape.depthwise or case.plan.kernel == "exact"


@pytest.mark.parametrize("target", runnable(), ids=lambda target: target.name)
def test_every_target(target: Target) -> None:
    rng = np.random.default_rng(13)
    for text in ("14:saturate", "16:wrap", "17:saturate"):
        assert check(drawn(Shape(outputs=40), Reduction(parse(text)), rng), target) > 0
    chain = Reduction(parse("20:wrap"), 2, chain=3, psum=parse("16:saturate"))
    assert check(drawn(Shape(outputs=40), chain, rng), target) > 0


@pytest.mark.parametrize("text", ["12:saturate", "12:wrap", "16:saturate", "16:wrap", "17:saturate", "17:wrap"])
def test_the_extremes_of_operands(text: str) -> None:
    rng = np.random.default_rng(14)
    for dtype in ("int8", "uint8"):
        assert check(drawn(Shape(), Reduction(parse(text)), rng, dtype=dtype, ends=True)) > 0


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bits", [8, 15, 16, 17, 30, 31])
@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
def test_sums_on_one_below_and_one_above_each_end_of_a_register(overflow: str, bits: int, sign: int) -> None:
    """A register starts 3 below its end; one product of 2, 3 or 4 follows, and more that bring it back."""
    rng = np.random.default_rng(15)
    register = parse(f"{bits}:{overflow}")
    end = register.format.hi if sign > 0 else register.format.lo
    base = drawn(
        Shape(1, 4, 3, 5, batch=1, **POINTWISE), Reduction(register), rng, dtype="int16", heaviest=9, largest=9
    )
    for step, events in ((2, 0), (3, 0), (4, 1)):
        weights = np.repeat(np.array([[step], [0], [1]]), 5, axis=1)[None]
        products = replace(base.products, weights=weights, bias=np.full(5, end - 3 * sign), subtract=0)
        images = np.tile(np.array([sign, sign, -sign], np.int16), (1, 1, 4, 1))
        plan = replace(
            base.plan, kernel="ordered", operation="ordered-16" if bits <= 16 else "ordered-32", largest=2**31 - 1
        )
        # After an overflow by one, a wrapped register comes back with the third product: a second event.
        expected = events * (2 if overflow == "wrap" else 1) * 20
        assert check(replace(base, products=products, images=images, plan=plan)) == expected


@pytest.mark.parametrize(
    "shape",
    [
        Shape(9, 11, 6, 38, kernel=(2, 3), stride=(2, 1), dilation=(2, 1), groups=2),
        Shape(9, 11, 7, 70, **POINTWISE),
        Shape(61, 47, 12, 18, batch=1),
        Shape(1, 1, 90, 10, batch=5, **POINTWISE),
        Shape(9, 11, 40, kernel=(2, 3), stride=(2, 1), dilation=(1, 2), depthwise=True),
    ],
    ids=["groups", "pointwise", "blocks of rows", "fully connected", "depthwise"],
)
@pytest.mark.parametrize(
    "reduction",
    [
        Reduction(parse("14:saturate")), Reduction(parse("17:wrap")), Reduction(parse("15:saturate"), 4),
        Reduction(parse("18:wrap"), 1, chain=4, psum=parse("15:saturate")),
    ],
    ids=str,
)  # fmt: skip
def test_shapes(shape: Shape, reduction: Reduction) -> None:
    check(drawn(shape, reduction, np.random.default_rng(16)))


def test_a_counter_gives_back_both_counts() -> None:
    """``p (2**W - 1) = e + c 2**(W-1)`` with e = p hi + q lo and c = p + q, for all p + q that 16 bits hold."""
    for bits in (2, 9, 15, 16):
        found = limits(parse(f"{max(bits, 8)}:saturate"), 16)
        hi, lo = found[Limits.HI], found[Limits.LO]
        for p, q in ((0, 0), (1, 0), (0, 1), (40000, 20000), (65535, 0), (0, 65535), (123, 4567)):
            ends = (p * hi + q * lo + (p + q) * found[Limits.HALF]) * found[Limits.INVERSE]
            assert ends % 2**16 == p


@pytest.mark.parametrize("text", ["15:saturate", "17:wrap", "18:saturate"])
@pytest.mark.parametrize("chained", [False, True])
def test_channels_that_cannot_overflow_run_unordered(text: str, chained: bool) -> None:
    """Weights of the first 64 channels are a hundredth of the others'."""
    rng = np.random.default_rng(17)
    register = parse(text)
    reduction = (
        Reduction(parse("20:wrap"), 2, chain=3, psum=register) if chained else Reduction(register, bias_at=BiasAt.END)
    )
    shape = Shape(outputs=100)
    case = drawn(shape, reduction, rng)
    weights = case.products.weights.copy()
    weights[:, :, :64] //= 100
    again = replan(case, weights)
    assert again.plan.safe is not None
    assert 64 <= np.count_nonzero(again.plan.safe) < 100
    events = check(again)
    assert events > 0 or (chained and register.bits > 15)


@pytest.mark.parametrize("text", ["9:saturate", "16:saturate", "11:wrap", "16:wrap"])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_products_of_zero_are_left_out(dtype: str, text: str) -> None:
    """Activations of which most are zero, whole pixels among them: with a sign, and as behind a ReLU without one."""
    rng = np.random.default_rng(18)
    reduction = Reduction(parse(text), bias_at=BiasAt.END)
    info = np.iinfo(dtype)
    for shape in (
        Shape(5, 7, 16, 13), Shape(5, 7, 16, 32), Shape(7, 5, 270, 70, **POINTWISE), Shape(3, 3, 90, 20, groups=1),
    ):  # fmt: skip
        for zero in (int(info.min), int(info.min) + 100):
            case = drawn(shape, reduction, rng, dtype=dtype)
            images = np.where(rng.random(case.images.shape) < 0.7, zero, case.images).astype(dtype)
            images[:, :2, 1:4] = zero
            products = replace(case.products, subtract=zero)
            assert (products.ends[0] < 0) == (zero > info.min)
            again = replan(replace(case, images=images, products=products), products.weights)
            for target in TARGETS:
                assert check(again, target) > 0
