"""Operators that only move integers, against index arithmetic in plain Python."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from layer_cases import per_tensor
from op_cases import INT8, INT16, UINT8, draw_images, run, tensors

from hwsim.graph import Tensor
from hwsim.ops import Concat, Pad, Padding, Reshape, ResizeNearest, Transpose, Window
from hwsim.spec import Arithmetic, InputError


@pytest.mark.parametrize("form", [INT8, UINT8, INT16], ids=str)
def test_padding_is_the_zero_point_around_the_values(form: Any) -> None:
    q = per_tensor(form, 0.1, form.lo + 5)
    op = Pad(((0, 0), (1, 2), (0, 3), (2, 0)))
    values = draw_images(3, form, (2, 3, 5, 2))
    inputs, output = tensors(op, [(1, 3, 5, 2)], [q], q)
    assert output.shape == (1, 6, 8, 4)
    out = run(op, inputs, output, [values])
    for b, y, x, c in itertools.product(range(2), range(6), range(8), range(4)):
        inside = 0 <= y - 1 < 3 and x < 5 and c >= 2
        assert out[b, y, x, c] == (values[b, y - 1, x, c - 2] if inside else form.lo + 5)


def test_reshape_keeps_the_order_and_the_batch() -> None:
    q = per_tensor(INT8, 0.1)
    values = draw_images(4, INT8, (3, 2, 5, 7))
    for shape, expected in (
        ((1, -1), (1, 70)),
        ((1, 7, -1), (1, 7, 10)),
        ((-1, 10, 7), (1, 10, 7)),
        ((1, 70), (1, 70)),
    ):
        inputs, output = tensors(Reshape(shape), [(1, 2, 5, 7)], [q], q)
        assert output.shape == expected
        assert np.array_equal(run(Reshape(shape), inputs, output, [values]).reshape(-1), values.reshape(-1))


def test_transpose_moves_every_index() -> None:
    q = per_tensor(INT16, 0.1)
    values = draw_images(5, INT16, (2, 3, 5, 7))
    for permutation in ((0, 3, 1, 2), (0, 2, 1, 3), (0, 1, 2, 3)):
        inputs, output = tensors(Transpose(permutation), [(1, 3, 5, 7)], [q], q)
        out = run(Transpose(permutation), inputs, output, [values])
        assert out.flags.c_contiguous
        for index in np.ndindex(out.shape):
            place = [0] * 4
            for axis, source in enumerate(permutation):
                place[source] = index[axis]
            assert out[index] == values[tuple(place)]


@pytest.mark.parametrize(("corners", "centers"), [(False, False), (True, False), (False, True)])
def test_resize_takes_the_pixel_that_tflite_takes(corners: bool, centers: bool) -> None:
    """reference_ops::GetNearestNeighbor: floor or, with aligned corners, round half away of (i + offset) * ratio."""
    q = per_tensor(INT8, 0.1)
    for size, target in (((3, 5), (7, 4)), ((4, 4), (8, 12)), ((5, 7), (1, 3)), ((1, 2), (3, 2))):
        values = draw_images(6, INT8, (2, *size, 3))
        op = ResizeNearest(target, corners, centers)
        inputs, output = tensors(op, [(1, *size, 3)], [q], q)
        out = run(op, inputs, output, [values])

        def source(i: int, have: int, want: int) -> int:
            exact = (have - 1) / (want - 1) if corners and want > 1 else have / want
            position = (i + (0.5 if centers else 0.0)) * exact
            return min(math.floor(position + 0.5) if corners else math.floor(position + 1e-9), have - 1)

        for y, x in itertools.product(range(target[0]), range(target[1])):
            expected = values[:, source(y, size[0], target[0]), source(x, size[1], target[1])]
            assert np.array_equal(out[:, y, x], expected), (y, x)


def test_moves_keep_scale_zero_point_and_format() -> None:
    op = Transpose((0, 1))
    inputs, output = tensors(op, [(1, 2)], [per_tensor(INT8, 0.1, 1)], per_tensor(INT8, 0.1, 2))
    with pytest.raises(InputError, match=r"^tensor 'y': scale, zero point and format must be those of 'x0'"):
        op.prepare(inputs, [output], Arithmetic())


X = Tensor("x", (1, 4, 5, 6))
REFUSED = [
    (Pad(((0, 0), (1, 1))), "tensor 'x': rank must be 2, not 4 (1, 4, 5, 6)"),
    (Pad(((1, 0), (0, 0), (0, 0), (0, 0))), "pads must be 0 or more, and none on the batch axis, not ((1, 0),"),
    (Pad(((0, 0), (-1, 0), (0, 0), (0, 0))), "pads must be 0 or more, and none on the batch axis, not ((0, 0), (-1"),
    (Reshape((1, 7, -1)), "reshape: shape must be a split of 120 elements, not (1, 7, -1)"),
    (Reshape((1, 7, 11)), "reshape: shape must be [batch, ...] with 120 elements per image, not (1, 7, 11)"),
    (Reshape((2, 60)), "reshape: shape must be [batch, ...] with 120 elements per image, not (2, 60)"),
    (
        Transpose((1, 0, 2, 3)),
        "transpose: permutation must be of the 4 axes, with the batch axis first, not (1, 0, 2, 3)",
    ),
    (
        Transpose((0, 1, 1, 2)),
        "transpose: permutation must be of the 4 axes, with the batch axis first, not (0, 1, 1, 2)",
    ),
    (ResizeNearest((0, 3)), "resize: size must be 1 or more, not (0, 3)"),
    (Concat(0), "concat: axis must be 1..3, not 0"),
    (Concat(4), "concat: axis must be 1..3, not 4"),
]


@pytest.mark.parametrize(("op", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_attributes_that_do_not_fit_are_refused_in_the_house_form(op: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        op.infer([X])
    assert str(error.value).startswith(message)


def test_windows_and_padding_refuse_impossible_sizes() -> None:
    for build, message in (
        (lambda: Window((0, 3)), "kernel must be 1 or more in both directions, not (0, 3)"),
        (lambda: Window((1, 3), stride=(1, 0)), "stride must be 1 or more in both directions, not (1, 0)"),
        (lambda: Window((1, 3), dilation=(0, 1)), "dilation must be 1 or more in both directions, not (0, 1)"),
        (
            lambda: Padding(left=-1),
            "padding must be 0 or more on every side, not Padding(top=0, bottom=0, left=-1, right=0)",
        ),
        (lambda: Window((3, 3), dilation=(1, 2)).output(3, 4), "kernel must be at most the padded image of 4, not 5"),
    ):
        with pytest.raises(InputError) as error:
            build()
        assert str(error.value) == message


@pytest.mark.parametrize("extra_first", [False, True])
def test_same_padding_makes_outputs_of_ceil_size_over_stride(extra_first: bool) -> None:
    for size, taps, stride, dilation in itertools.product(range(1, 12), range(1, 6), range(1, 4), range(1, 3)):
        pad = Padding.same((size, 3), (taps, 1), (stride, 1), (dilation, 1), extra_first=extra_first)
        window = Window((taps, 1), (stride, 1), (dilation, 1), pad)
        assert window.output(size, 3) == (math.ceil(size / stride), 3)
        assert (pad.top - pad.bottom if extra_first else pad.bottom - pad.top) in (0, 1)
        assert (pad.left, pad.right) == (0, 0)
