"""What layers with weights refuse, and what they tell the time engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from layer_cases import Layer, check_against_oracle, per_tensor

from hwsim.graph import Quantization, Tensor
from hwsim.ops import Activation, Conv2D, DepthwiseConv2D, FullyConnected, Padding, Window
from hwsim.spec import Arithmetic, BiasAt, Format, InputError, Overflow, Profile, Reduction, Register, ZeroPoints

INT8 = Format(8)
SATURATE, WRAP = Overflow.SATURATE, Overflow.WRAP


def small_layer(reduction: Reduction, bias: list[int], zero_point: int = 0) -> Layer:
    """Return a fully connected layer of two channels with those biases."""
    inputs = (
        Tensor("x", (1, 3), per_tensor(INT8, 0.5, zero_point)),
        Tensor("w", (2, 3), per_tensor(INT8, 0.5), np.array([[1, 2, 3], [-4, 5, -6]], np.int8)),
        Tensor("b", (2,), None, np.array(bias, np.int64)),
    )
    output = Tensor("y", (1, 2), per_tensor(INT8, 100.0))
    return Layer(FullyConnected(), inputs, output, Arithmetic(reduction), np.array([[1, -2, 3]], np.int8))


def test_a_saturating_accumulator_that_cannot_hold_a_bias_is_refused_with_channel_value_and_width() -> None:
    for bias, channel, value in (([5, 32768], 1, 32768), ([-32769, 0], 0, -32769)):
        layer = small_layer(Reduction(Register(16, SATURATE)), bias)
        with pytest.raises(InputError) as error:
            layer.prepare()
        assert str(error.value) == (
            f"acc must hold the bias, which is {value} in channel {channel}, not 16:saturate (-32768..32767); "
            "widen it, or add the bias after it with bias_at = end"
        )


def test_the_ends_of_a_saturating_accumulator_are_accepted_as_biases() -> None:
    check_against_oracle(small_layer(Reduction(Register(16, SATURATE)), [32767, -32768]))


def test_a_bias_that_does_not_fit_is_accepted_at_the_end_or_by_a_wrapping_accumulator() -> None:
    check_against_oracle(small_layer(Reduction(Register(16, SATURATE), bias_at=BiasAt.END), [70000, -70000]))
    check_against_oracle(small_layer(Reduction(Register(16, WRAP)), [70000, -70000]))


def test_a_folded_zero_point_counts_into_the_bias_that_must_fit() -> None:
    """-100 * (1 + 2 + 3) = -600 on top of -32200 is below -2**15."""
    fold = Reduction(Register(16, SATURATE), zero_points=ZeroPoints.FOLD)
    check_against_oracle(small_layer(fold, [-32168, 0], 100))
    with pytest.raises(InputError, match="acc must hold the bias, which is -32800 in channel 0"):
        small_layer(fold, [-32200, 0], 100).prepare()
    check_against_oracle(small_layer(replace(fold, zero_points=ZeroPoints.SUBTRACT), [-32200, 0], 100))


def test_folding_and_subtracting_a_zero_point_give_the_same_where_nothing_overflows() -> None:
    rng = np.random.default_rng(13)
    window = Window((3, 2), (1, 2), padding=Padding(1, 2, 1, 0))
    x = Tensor("x", (1, 5, 7, 3), per_tensor(INT8, 0.1, -77))
    w = Tensor("w", (4, 3, 2, 3), per_tensor(INT8, 0.1, 9), rng.integers(-128, 128, (4, 3, 2, 3)).astype(np.int8))
    op = Conv2D(window)
    y = Tensor("y", op.infer([x, w])[0], per_tensor(INT8, 3.0, 4))
    images = rng.integers(-128, 128, (2, 5, 7, 3)).astype(np.int8)
    first, second = (
        op.prepare([x, w], [y], Arithmetic(Reduction(zero_points=kind))).run([images])[0] for kind in ZeroPoints
    )  # fmt: skip
    assert np.array_equal(first, second)


IMAGES, MATRIX = Tensor("x", (1, 5, 7, 6)), Tensor("x", (1, 10))
REFUSED: list[tuple[Any, list[Tensor], str]] = [
    (Conv2D(Window((3, 3))), [MATRIX, Tensor("w", (4, 3, 3, 6))], "tensor 'x': rank must be 4, not 2 (1, 10)"),
    (Conv2D(Window((3, 3))), [IMAGES, Tensor("w", (4, 54))], "tensor 'w': rank must be 4, not 2 (4, 54)"),
    (Conv2D(Window((3, 3))), [IMAGES, Tensor("w", (4, 3, 2, 6))],
     "weights' height and width must be (3, 3), not (4, 3, 2, 6)"),
    (Conv2D(Window((1, 1)), 2), [IMAGES, Tensor("w", (4, 1, 1, 6))],
     "weights must be [O, KH, KW, 6 / 2] with O a multiple of 2, not (4, 1, 1, 6)"),
    (Conv2D(Window((1, 1)), 2), [IMAGES, Tensor("w", (3, 1, 1, 3))],
     "weights must be [O, KH, KW, 6 / 2] with O a multiple of 2, not (3, 1, 1, 3)"),
    (Conv2D(Window((1, 1))), [IMAGES, Tensor("w", (4, 1, 1, 6)), Tensor("b", (3,))], "bias shape must be (4,), not (3,)"),
    (DepthwiseConv2D(Window((3, 3)), 2), [IMAGES, Tensor("w", (1, 3, 3, 6))],
     "depthwise weights' shape must be (1, 3, 3, 12), not (1, 3, 3, 6)"),
    (DepthwiseConv2D(Window((3, 3))), [IMAGES, Tensor("w", (1, 3, 3, 6)), Tensor("b", (1,))],
     "bias shape must be (6,), not (1,)"),
    (FullyConnected(), [MATRIX, Tensor("w", (4, 9))], "weights must be [out, 10], not (4, 9)"),
    (FullyConnected(), [MATRIX, Tensor("w", (4, 10)), Tensor("b", (5,))], "bias shape must be (4,), not (5,)"),
    (Conv2D(Window((6, 1))), [IMAGES, Tensor("w", (4, 6, 1, 6))], "kernel must be at most the padded image of 5, not 6"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "inputs", "message"), REFUSED, ids=[f"{type(op).__name__}: {message}" for op, _, message in REFUSED]
)
def test_shapes_that_do_not_fit_are_refused_in_the_house_form(op: Any, inputs: list[Tensor], message: str) -> None:
    with pytest.raises(InputError) as error:
        op.infer(inputs)
    assert str(error.value) == message


def test_float_tensors_and_per_channel_activations_are_refused_by_name() -> None:
    layer = small_layer(Reduction(), [0, 0])
    x, w, b = layer.inputs
    with pytest.raises(InputError, match=r"^tensor 'x' must be quantized, not float$"):
        replace(layer, inputs=(replace(x, quantization=None), w, b)).prepare()
    with pytest.raises(InputError, match=r"^weights 'w' must be a quantized constant$"):
        replace(layer, inputs=(x, replace(w, quantization=None), b)).prepare()
    many = Quantization(INT8, np.full(3, 0.1), np.zeros(3, np.int64), 1)
    with pytest.raises(InputError, match=r"^tensor 'x': quantization must be per tensor, not per channel of axis 1$"):
        replace(layer, inputs=(replace(x, quantization=many), w, b)).prepare()


def test_factors_of_two_to_the_30_and_more_are_refused() -> None:
    layer = small_layer(Reduction(), [0, 0])
    with pytest.raises(InputError, match=r"^input_scale \* weight_scale / output_scale must be below 2\*\*30, not "):
        replace(layer, output=replace(layer.output, quantization=per_tensor(INT8, 2.0**-32))).prepare()
    power = replace(layer, arithmetic=Arithmetic(Reduction(), Profile.POWER_OF_TWO))
    with pytest.raises(
        InputError,
        match=r"^requantization factor must be a power of two of at least 2\*\*-32 in the profile \S+, not 0.0025$",
    ):
        power.prepare()


def test_workloads_count_products_and_bits_at_the_real_widths() -> None:
    x = Tensor("x", (1, 5, 7, 6), per_tensor(Format(5), 0.1))
    w = Tensor("w", (4, 3, 3, 3), per_tensor(Format(3), 0.1), np.zeros((4, 3, 3, 3), np.int8))
    b = Tensor("b", (4,), None, np.zeros(4, np.int64))
    op = Conv2D(Window((3, 3)), 2, Activation.RELU)
    y = Tensor("y", op.infer([x, w, b])[0], per_tensor(Format(7), 0.1))
    work = op.workload("conv", [x, w, b], [y], Arithmetic(Reduction(Register(20, WRAP))))
    assert (work.m, work.k, work.n, work.groups) == (15, 27, 2, 2)
    assert work.macs == 3 * 5 * 4 * 27
    bits = {operand.role: operand.elements * operand.element_bits for operand in work.operands}
    # A scale is a 32-bit multiplier and an 8-bit shift; a bias has the accumulator's width.
    assert bits == {
        "weights": 108 * 3, "biases": 4 * 20, "scales": 4 * 40, "activations_in": 210 * 5, "activations_out": 60 * 7,
    }  # fmt: skip
    late = op.workload("conv", [x, w, b], [y], Arithmetic(Reduction(Register(20, WRAP), bias_at=BiasAt.END)))
    assert late.role_bytes("biases") == 4 * 4
    depthwise = DepthwiseConv2D(Window((3, 3)), 2)
    wide = Tensor("w", (1, 3, 3, 12), per_tensor(INT8, 0.1), np.zeros((1, 3, 3, 12), np.int8))
    z = Tensor("z", depthwise.infer([x, wide])[0], per_tensor(INT8, 0.1))
    work = depthwise.workload("dw", [x, wide], [z], Arithmetic())
    assert (work.m, work.k, work.n, work.groups, work.macs) == (15, 9, 1, 12, 15 * 9 * 12)


@pytest.mark.parametrize("activation", Activation)
@pytest.mark.parametrize(("scale", "zero_point"), [(0.02, 5), (0.5, -128), (4.0, 0), (6 / 255, -128)])
def test_a_fused_clamp_is_the_bound_in_steps_rounded_away_from_zero(
    activation: Activation, scale: float, zero_point: int
) -> None:
    # TFLite divides in float32: 1 / (6 / 255) becomes the tie 42.5.
    least, most = (float(np.float32(end) / np.float32(scale)) for end in activation.bounds)
    lo, hi = activation.clamp(per_tensor(INT8, scale, zero_point))
    assert lo == (-128 if least == -np.inf else max(-128, zero_point + int(np.trunc(least - 0.5))))
    assert hi == (127 if most == np.inf else min(127, zero_point + int(np.trunc(most + 0.5))))
