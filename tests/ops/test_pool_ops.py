"""Pooling and mean on integers against the oracle; both padding rules, every format, clamps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_cases import windows
from op_cases import INT8, INT16, SEEDS, UINT8, draw_images, quantizations, run, tensors

import oracle
from hwsim.graph import Quantization, Tensor
from hwsim.kernels.pool import divide_rounded
from hwsim.ops import Activation, AveragePool2D, MaxPool2D, Mean, Padding, Window
from hwsim.spec import Format, InputError, Profile

POOL_FORMATS = (INT8, UINT8, INT16, Format(5))


def pool_windows(pair: tuple[Window, tuple[int, int]]) -> tuple[Window, tuple[int, int]]:
    """Take the dilation out: the importers know no dilated pooling."""
    window, size = pair
    return Window(window.kernel, window.stride, (1, 1), window.padding), size


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    windows().map(pool_windows), quantizations(POOL_FORMATS), SEEDS, st.sampled_from((1, 3, 3, 17, 66)),
    st.sampled_from(Activation), st.booleans(),
)  # fmt: skip
def test_pools_equal_the_oracle(
    case: tuple[Window, tuple[int, int]],
    q: Quantization,
    seed: int,
    channels: int,
    activation: Activation,
    include: bool,
) -> None:
    """From 64 channels on, a vector of bytes, pools of bytes have a kernel of their own."""
    window, size = case
    images = draw_images(seed, q.format, (2, *size, channels))
    pad = (window.padding.top, window.padding.bottom, window.padding.left, window.padding.right)
    lo, hi = activation.clamp(q)
    for op in (MaxPool2D(window, activation), AveragePool2D(window, activation, include)):
        inputs, output = tensors(op, [(1, *size, channels)], [q], q)
        out = run(op, inputs, output, [images])
        for image, result in zip(images.tolist(), out, strict=True):
            if isinstance(op, MaxPool2D):
                expected = oracle.max_pool(image, window.kernel, window.stride, pad, lo, hi)
            else:
                expected = oracle.average_pool(
                    image, window.kernel, window.stride, pad, lo, hi, include, int(q.zero_point)
                )
            assert result.reshape(-1, channels).tolist() == expected


def test_the_quotient_of_a_mean_is_rounded_with_ties_away_from_zero() -> None:
    for total, count in itertools.product(range(-60, 61), range(1, 13)):
        assert int(divide_rounded(np.int64(total), np.int64(count))) == oracle.round_half_away(
            oracle.Fraction(total, count)
        )


@pytest.mark.parametrize("op", [MaxPool2D, AveragePool2D])
def test_padding_as_large_as_the_kernel_is_refused(op: type[MaxPool2D] | type[AveragePool2D]) -> None:
    pool = op(Window((2, 3), padding=Padding(left=3)))
    with pytest.raises(
        InputError, match=r"^pooling padding must be smaller than the kernel \(2, 3\), not Padding\(top=0"
    ):
        pool.infer([Tensor("x", (1, 9, 9, 1))])


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    quantizations(POOL_FORMATS), quantizations(POOL_FORMATS), SEEDS, st.sampled_from(((1, 2), (2,), (-1,), (1, 2, 3))),
    st.booleans(),
    st.sampled_from((Profile.TFLITE, Profile.TFLITE, Profile.TFLITE_SINGLE, Profile.ORT_FLOAT32)),
    st.sampled_from((7, 7, 64, 70)),
)  # fmt: skip
def test_means_equal_the_oracle(
    source: Quantization,
    result: Quantization,
    seed: int,
    axes: tuple[int, ...],
    keep: bool,
    profile: Profile,
    channels: int,
) -> None:
    """From 64 channels on, a vector of bytes, means over all pixels have a kernel of their own."""
    shape = (5, 3, channels)
    images = draw_images(seed, source.format, (2, *shape))
    inputs, output = tensors(Mean(axes, keep), [(1, *shape)], [source], result)
    out = run(Mean(axes, keep), inputs, output, [images], profile)
    positive = [axis % 4 for axis in axes]
    kept = [axis for axis in (1, 2, 3) if axis not in positive]
    rows = images.transpose(0, *kept, *positive).reshape(2, -1, int(np.prod([images.shape[axis] for axis in positive])))
    scales = (float(source.scale), float(result.scale))
    zero_points = (int(source.zero_point), int(result.zero_point))
    form = result.format
    expected = [
        [oracle.mean(row, scales, zero_points, form.lo, form.hi, profile) for row in image] for image in rows.tolist()
    ]
    assert out.reshape(2, -1).tolist() == expected
