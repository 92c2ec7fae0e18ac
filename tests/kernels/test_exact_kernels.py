"""The exact kernels of every target that this machine can run, against the golden one: shapes, operands, roundings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from simd_cases import POINTWISE, Shape, check, drawn

from hwsim.kernels.jit import ENABLED
from hwsim.kernels.layer import BUFFER_BYTES
from hwsim.kernels.targets import Target, host, runnable
from hwsim.spec import Profile, Reduction, Register

pytestmark = pytest.mark.skipif(not ENABLED, reason="the generated kernels need the JIT")

WIDE = Reduction(Register.parse("32:wrap"))
SHAPES = {
    "a window in segments": Shape(),
    "one output": Shape(outputs=1),
    "panels of all sizes": Shape(channels=3, outputs=64 + 17),
    "strides": Shape(9, 11, stride=(2, 3)),
    "dilation downwards": Shape(9, 11, kernel=(2, 3), dilation=(3, 1)),
    "dilation both ways": Shape(9, 11, kernel=(2, 3), dilation=(2, 2)),
    "groups": Shape(channels=6, outputs=14, groups=2),
    "a group per channel": Shape(channels=7, outputs=14, groups=7),
    "uneven padding": Shape(kernel=(2, 3), padding=(0, 2, 1, 0)),
    "pointwise": Shape(channels=8, outputs=33, **POINTWISE),
    "pointwise of odd channels": Shape(channels=9, outputs=33, **POINTWISE),
    "pointwise with stride": Shape(channels=9, outputs=33, kernel=(1, 1), stride=(2, 2), padding=(0, 0, 0, 0)),
    "pointwise with stride, rows left out": Shape(6, 5, 9, 33, kernel=(1, 1), stride=(2, 2), padding=(0, 0, 0, 0)),
    "flat with stride, rows left out": Shape(9, 7, kernel=(1, 3), stride=(3, 2), padding=(0, 1, 0, 1)),
    "a pixel": Shape(1, 1, 70, 10, **POINTWISE),
    "depthwise": Shape(9, 17, 33, depthwise=True),
    "depthwise, few channels, pixels side by side": Shape(9, 23, 8, depthwise=True),
    "depthwise, rows in pairs": Shape(8, 5, 130, depthwise=True),
    "depthwise, one pair of rows": Shape(2, 3, 64, depthwise=True, batch=3),
    "depthwise, a single row": Shape(3, 9, 70, padding=(0, 1, 0, 1), depthwise=True),
    "depthwise, narrow windows": Shape(7, 5, 9, kernel=(3, 1), padding=(1, 0, 0, 0), depthwise=True),
    "depthwise, wide windows": Shape(5, 9, 20, kernel=(3, 5), stride=(1, 2), dilation=(1, 2), depthwise=True),
    "depthwise with stride": Shape(9, 17, 24, stride=(2, 2), depthwise=True),
    "depthwise of one channel": Shape(9, 17, 1, depthwise=True),
    "depthwise, dilated": Shape(9, 17, 70, kernel=(2, 3), dilation=(2, 2), depthwise=True),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("target", runnable(), ids=lambda target: target.name)
def test_every_shape_on_every_target(name: str, target: Target) -> None:
    rng = np.random.default_rng(3)
    case = drawn(SHAPES[name], WIDE, rng)
    assert case.plan.operation == ("words" if host().byte_products is None else "bytes")
    check(case, target, finished=True)
    words = replace(case, plan=replace(case.plan, operation="words"))
    if target is runnable()[0]:
        check(words, target, finished=True)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize(
    ("dtype", "storage"),
    [("uint8", "uint8"), ("int8", "uint8"), ("uint8", "int16"), ("int16", "int8"), ("int16", "int16")],
)
@pytest.mark.parametrize("target", [runnable()[0], runnable()[-1]], ids=lambda target: target.name)
def test_every_storage(target: Target, dtype: str, storage: str, ends: bool) -> None:
    rng = np.random.default_rng(4)
    heaviest = 7 if dtype == "int16" else 127
    for shape in (Shape(outputs=35), Shape(9, 7, 24, depthwise=True)):
        check(
            drawn(shape, WIDE, rng, dtype=dtype, storage=storage, heaviest=heaviest, ends=ends), target, finished=True
        )


@pytest.mark.parametrize("target", runnable(), ids=lambda target: target.name)
def test_weights_that_need_nine_bits_go_less_a_constant_of_their_channel(target: Target) -> None:
    """As uint8 weights with a zero point: -150..105, worst case 255 * 150 * 45 products."""
    rng = np.random.default_rng(5)
    for ends in (False, True):
        case = drawn(Shape(outputs=70), WIDE, rng, dtype="uint8", heaviest=105, lightest=-150, ends=ends)
        check(case, target, finished=True)


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("target", [runnable()[0], runnable()[-1]], ids=lambda target: target.name)
def test_every_rounding(profile: Profile, target: Target) -> None:
    rng = np.random.default_rng(6)
    for storage in ("int8", "uint8", "int16"):
        check(drawn(Shape(outputs=21), WIDE, rng, profile=profile, storage=storage), target, finished=True)


def test_what_the_kernels_cannot_round_leaves_as_accumulators() -> None:
    rng = np.random.default_rng(7)
    for shape in (Shape(outputs=21), Shape(9, 7, 24, depthwise=True)):
        case = drawn(shape, WIDE, rng)
        check(replace(case, plan=replace(case.plan, largest=2**31 - 1, reach=None)), finished=False)


@pytest.mark.parametrize("channels", [16, 40])
def test_images_larger_than_a_block(channels: int) -> None:
    """Rows are written out in blocks that overlap by the window."""
    rng = np.random.default_rng(8)
    for window in ({}, {"stride": (2, 1), "padding": (2, 0, 1, 1)}, {"dilation": (2, 1)}, POINTWISE):
        shape = Shape(83, 61, channels, 18, batch=1, **window)
        assert 83 * 61 * channels * 2 > BUFFER_BYTES
        check(drawn(shape, WIDE, rng), finished=True)
        check(drawn(replace(shape, depthwise=True), WIDE, rng), finished=True)
    left_out = Shape(84, 61, channels, 18, batch=2, kernel=(1, 1), stride=(2, 1), padding=(0, 0, 0, 0))
    check(drawn(left_out, WIDE, rng), finished=True)


def test_many_small_images_share_a_block() -> None:
    rng = np.random.default_rng(9)
    for batch in (1, 7, 64):
        check(drawn(Shape(4, 4, 24, 32, batch=batch), WIDE, rng), finished=True)
        check(drawn(Shape(1, 1, 64, 10, batch=batch, **POINTWISE), WIDE, rng), finished=True)


def test_a_channel_that_rounds_to_one_number_may_have_any_bias_and_factor() -> None:
    """As networks have them where a channel died: a bias of 2**30, and a factor of 2**-31 that lets nothing of it through."""
    rng = np.random.default_rng(10)
    for shape in (Shape(outputs=21), Shape(9, 7, 24, depthwise=True)):
        case = drawn(shape, WIDE, rng)
        bias = case.products.bias.copy()
        bias[3], bias[5] = 2**30, -(2**30)
        case.requantizer.shift[[3, 5, 7]] = -31
        low, high = case.plan.reach or (bias, bias)
        moved = bias - case.products.bias
        plan = replace(case.plan, largest=2**30 + 2**22, reach=(low + moved, high + moved))
        check(replace(case, products=replace(case.products, bias=bias), plan=plan), finished=True)
