"""The float evaluation of every operator against plain loops in double precision, written from the definitions."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from layer_cases import Array

import oracle
from hwsim.graph import Operator, Tensor
from hwsim.ops import (
    OPS,
    Activation,
    Add,
    AveragePool2D,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    FullyConnected,
    Lookup,
    MaxPool2D,
    Mean,
    Mul,
    Pad,
    Padding,
    Quantize,
    Rectify,
    Reshape,
    ResizeNearest,
    Softmax,
    Table,
    Transpose,
    Window,
)
from hwsim.spec import InputError

WINDOWS = [
    (Window((3, 2), (2, 1), (1, 2), Padding(1, 0, 1, 2)), (7, 5)),
    (Window((1, 1)), (3, 5)),
    (Window((5, 1), (1, 3), (1, 1), Padding(2, 2, 0, 0)), (4, 7)),
    (Window((3, 3), (2, 2), (1, 1), Padding(0, 1, 0, 1)), (8, 8)),
]
BOUNDS = {
    Activation.NONE: (-math.inf, math.inf), Activation.RELU: (0, math.inf), Activation.RELU6: (0, 6),
    Activation.RELU_N1_TO_1: (-1, 1),
}  # fmt: skip


def reals(seed: int, *shape: int) -> Array:
    """Draw float32 values of a few units."""
    return (np.random.default_rng(seed).normal(size=shape) * 3).astype(np.float32)


def evaluated(op: Operator, *arrays: Array, constants: int = 0) -> Array:
    """Evaluate; assert float32 and, per image, the inferred shape (the last `constants` inputs have no batch)."""
    (out,) = op.evaluate(arrays)
    shapes = [
        array.shape if i >= len(arrays) - constants else (1, *array.shape[1:]) for i, array in enumerate(arrays)
    ]  # fmt: skip
    assert out.dtype == np.float32
    assert (1, *out.shape[1:]) == op.infer([Tensor(f"t{i}", shape) for i, shape in enumerate(shapes)])[0]
    assert out.shape[0] == arrays[0].shape[0]
    return out


def close(out: Array, expected: Any) -> None:
    """Assert equality up to the rounding of float32 sums."""
    np.testing.assert_allclose(out, np.asarray(expected).reshape(out.shape), rtol=2e-5, atol=2e-5)


def places(window: Window, size: tuple[int, int]) -> list[list[tuple[int, int] | None]]:
    """Return the oracle's taps."""
    padding = window.padding
    pad = (padding.top, padding.bottom, padding.left, padding.right)
    return list(oracle.window_positions(size, window.kernel, window.stride, window.dilation, pad))


@pytest.mark.parametrize("activation", Activation)
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("case", range(len(WINDOWS)))
def test_convolution(case: int, groups: int, activation: Activation) -> None:
    window, size = WINDOWS[case]
    x, w, bias = reals(1, 2, *size, 6), reals(2, 9, *window.kernel, 6 // groups), reals(3, 9)
    lo, hi = BOUNDS[activation]
    out = evaluated(Conv2D(window, groups, activation), x, w, bias, constants=2)
    expected = []
    for image, taps in itertools.product(x.tolist(), places(window, size)):
        for o in range(9):
            first = o // (9 // groups) * (6 // groups)
            terms = [
                image[tap[0]][tap[1]][first + i] * float(w[o, k // window.kernel[1], k % window.kernel[1], i])
                for k, tap in enumerate(taps) if tap for i in range(6 // groups)
            ]  # fmt: skip
            expected.append(min(max(math.fsum(terms) + float(bias[o]), lo), hi))
    close(out, expected)


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("case", range(len(WINDOWS)))
def test_depthwise_convolution(case: int, multiplier: int) -> None:
    window, size = WINDOWS[case]
    x, w = reals(4, 2, *size, 3), reals(5, 1, *window.kernel, 3 * multiplier)
    out = evaluated(DepthwiseConv2D(window, multiplier), x, w, constants=1)
    expected = [
        math.fsum(
            image[tap[0]][tap[1]][o // multiplier] * float(w[0, k // window.kernel[1], k % window.kernel[1], o])
            for k, tap in enumerate(taps) if tap
        )
        for image in x.tolist() for taps in places(window, size) for o in range(3 * multiplier)
    ]  # fmt: skip
    close(out, expected)


def test_fully_connected() -> None:
    x, w, bias = reals(6, 3, 2, 5), reals(7, 4, 10), reals(8, 4)
    out = evaluated(FullyConnected(Activation.RELU), x, w, bias, constants=2)
    rows = x.reshape(3, 10).tolist()
    close(
        out,
        [
            max(math.fsum(map(float.__mul__, row, line)) + b, 0)
            for row in rows
            for line, b in zip(w.tolist(), bias.tolist(), strict=True)
        ],
    )


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("case", [1, 2, 3])
def test_pooling(case: int, include: bool) -> None:
    window, size = WINDOWS[case]
    x = reals(9, 2, *size, 3)
    largest, means = [], []
    for image, taps, c in itertools.product(x.tolist(), places(window, size), range(3)):
        values = [image[tap[0]][tap[1]][c] for tap in taps if tap]
        largest.append(max(values))
        means.append(math.fsum(values) / (len(taps) if include else len(values)))
    close(evaluated(MaxPool2D(window), x), largest)
    close(evaluated(AveragePool2D(window, include_padding=include), x), means)


def test_mean_softmax_and_curves() -> None:
    x = reals(10, 2, 3, 5, 4)
    close(evaluated(Mean((1, 2), False), x), [
        math.fsum(float(x[b, i, j, c]) for i in range(3) for j in range(5)) / 15 for b in range(2) for c in range(4)
    ])  # fmt: skip
    assert evaluated(Mean((-1,), True), x).shape == (2, 3, 5, 1)
    rows = x.reshape(-1, 4).tolist()
    powers = [[math.exp(2 * value) for value in row] for row in rows]
    close(evaluated(Softmax(beta=2.0), x), [[power / math.fsum(row) for power in row] for row in powers])
    large = np.array([[1000.0, 999.0, -1000.0]], np.float32)
    close(evaluated(Softmax(), large), [[1 / (1 + math.exp(-1)), 1 / (1 + math.e), 0.0]])
    for function, real in (
        ("sigmoid", lambda v: 1 / (1 + math.exp(-v))), ("tanh", math.tanh),
        ("hard-sigmoid", lambda v: min(max(v / 6 + 0.5, 0), 1)),
        ("hard-swish", lambda v: v * min(max(v / 6 + 0.5, 0), 1)),
    ):  # fmt: skip
        close(evaluated(Lookup(function), x), [real(value) for value in x.reshape(-1).tolist()])


def test_sums_products_clamps_and_joins() -> None:
    a, b = reals(11, 2, 3, 5), reals(12, 2, 1, 5)
    index = list(np.ndindex(2, 3, 5))
    close(evaluated(Add(Activation.RELU), a, b), [max(float(a[i]) + float(b[i[0], 0, i[2]]), 0) for i in index])
    close(evaluated(Mul(), a, b), [float(a[i]) * float(b[i[0], 0, i[2]]) for i in index])
    close(evaluated(Rectify(Activation.RELU6), a), [min(max(float(a[i]), 0), 6) for i in index])
    joined = evaluated(Concat(1, Activation.RELU_N1_TO_1), a, b)
    close(joined[:, :3], [min(max(float(a[i]), -1), 1) for i in index])
    close(joined[:, 3:], b.clip(-1, 1))


def test_moves_and_changes_of_format_keep_the_values() -> None:
    x = reals(13, 2, 3, 5, 4)
    padded = evaluated(Pad(((0, 0), (1, 0), (0, 2), (0, 0))), x)
    assert np.array_equal(padded[:, 1:, :5], x)
    assert not padded[:, 0].any() and not padded[:, :, 5:].any()
    assert np.array_equal(evaluated(Reshape((1, -1, 4)), x), x.reshape(2, 15, 4))
    turned = evaluated(Transpose((0, 3, 1, 2)), x)
    assert all(turned[b, c, i, j] == x[b, i, j, c] for b, i, j, c in np.ndindex(x.shape))
    doubled = evaluated(ResizeNearest((6, 10)), x)
    assert all(doubled[b, i, j, c] == x[b, i // 2, j // 2, c] for b, i, j, c in np.ndindex(doubled.shape))
    for op in (Quantize(), Dequantize()):
        assert np.array_equal(evaluated(op, x), x)
    with pytest.raises(InputError, match="a table maps integers"):
        Table().evaluate([x, x])


def test_every_operator_is_listed_with_a_name_of_its_own() -> None:
    named = [
        name
        for name, value in globals().items()
        if isinstance(value, type) and issubclass(value, Operator) and value is not Operator
    ]
    assert sorted(op.__name__ for op in OPS) == sorted(named), "an operator without a test here, or not in OPS"
    assert len({op.kind for op in OPS}) == len(OPS)
