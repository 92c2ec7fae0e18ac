"""The operators of a network on PyTorch tensors: what gradients flow through. Layouts are those of `hwsim.ops`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from hwsim.graph import Graph, Node, Operator
from hwsim.ops import (
    Add,
    AveragePool2D,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    Mean,
    Mul,
    Pad,
    Rectify,
    Reshape,
    Softmax,
    Transpose,
    Window,
)
from hwsim.ops.activation import Clamp
from hwsim.spec import InputError, require
from hwsim.train.extra import Value


def products(op: Operator, x: Value, weights: Value, bias: Value | None) -> Value:
    """Return the sums of a layer with weights, before its activation."""
    from torch.nn import functional

    if isinstance(op, FullyConnected):
        return functional.linear(x.flatten(1), weights, bias)
    assert isinstance(op, Conv2D | DepthwiseConv2D)
    if isinstance(op, DepthwiseConv2D):
        kernel, groups = weights.permute(3, 0, 1, 2), x.shape[3]
    else:
        kernel, groups = weights.permute(0, 3, 1, 2), op.groups
    image, padding = _padded(x, op.window, 0.0)
    sums = functional.conv2d(
        image.permute(0, 3, 1, 2), kernel, bias, op.window.stride, padding, op.window.dilation, groups
    )
    return sums.permute(0, 2, 3, 1)


def clamp(activation: Clamp, x: Value) -> Value:
    """Return what a fused activation leaves."""
    lo, hi = activation.bounds
    if (lo, hi) == (-math.inf, math.inf):
        return x
    return x.clamp(lo if math.isfinite(lo) else None, hi if math.isfinite(hi) else None)


def require_trainable(graph: Graph) -> None:
    """Raise `InputError` for a network with an operator that is not here."""
    for node in graph.nodes:
        last = isinstance(node.op, Softmax) and node is graph.nodes[-1]
        if not (node.op.weighted or last or type(node.op) in FORWARD):
            known = ", ".join(sorted(op.kind for op in FORWARD))
            raise InputError(
                f"{graph.name}: node {node.name} must be a layer with weights, a softmax at the end, or one of {known} to be "
                f"trained, not {node.op.kind}"
            )


def scores_of(graph: Graph) -> str:
    """Return the tensor that a loss reads: what enters a softmax at the end, or the output."""
    last: Node = graph.nodes[-1]
    return last.inputs[0] if isinstance(last.op, Softmax) else graph.outputs[0]


def _padded(x: Value, window: Window, value: float) -> tuple[Value, tuple[int, int] | int]:
    """Return an image and the padding that is left to the operator: that of zeros, where it is the same on both sides."""
    from torch.nn import functional

    sides = window.padding
    if value == 0.0 and (sides.top, sides.left) == (sides.bottom, sides.right):
        return x, (sides.top, sides.left)
    return functional.pad(x, (0, 0, sides.left, sides.right, sides.top, sides.bottom), value=value), 0


def _max_pool(op: MaxPool2D, inputs: Sequence[Value]) -> Value:
    from torch.nn import functional

    image, _ = _padded(inputs[0], op.window, -math.inf)
    window = op.window
    found = functional.max_pool2d(image.permute(0, 3, 1, 2), window.kernel, window.stride, 0, window.dilation)
    return clamp(op.activation, found.permute(0, 2, 3, 1))


def _average_pool(op: AveragePool2D, inputs: Sequence[Value]) -> Value:
    import torch
    from torch.nn import functional

    def pooled(image: Value, border: float) -> Value:
        sides = op.window.padding
        around = (0, 0, sides.left, sides.right, sides.top, sides.bottom)
        whole = functional.pad(image, around, value=border).permute(0, 3, 1, 2)
        return functional.avg_pool2d(whole, op.window.kernel, op.window.stride).permute(0, 2, 3, 1)

    require(op.window.dilation == (1, 1), "average pooling", "without dilation to be trained", op.window.dilation)
    inside = pooled(torch.ones_like(inputs[0][:1, :, :, :1]), float(op.include_padding))
    return clamp(op.activation, pooled(inputs[0], 0.0) / inside)


def _reshape(op: Reshape, inputs: Sequence[Value]) -> Value:
    return inputs[0].reshape(len(inputs[0]), *op.shape[1:])


def _pad(op: Pad, inputs: Sequence[Value]) -> Value:
    from torch.nn import functional

    return functional.pad(inputs[0], [side for pair in reversed(op.pads) for side in pair])


def _concat(op: Concat, inputs: Sequence[Value]) -> Value:
    import torch

    return clamp(op.activation, torch.cat(list(inputs), op.axis))


FORWARD: dict[type[Operator], Callable[[Any, Sequence[Value]], Value]] = {
    MaxPool2D: _max_pool,
    AveragePool2D: _average_pool,
    Mean: lambda op, inputs: inputs[0].mean(op.axes, keepdim=op.keep_dims),
    Add: lambda op, inputs: clamp(op.activation, inputs[0] + inputs[1]),
    Mul: lambda op, inputs: clamp(op.activation, inputs[0] * inputs[1]),
    Concat: _concat,
    Pad: _pad,
    Reshape: _reshape,
    Transpose: lambda op, inputs: inputs[0].permute(op.permutation),
    Rectify: lambda op, inputs: clamp(op.activation, inputs[0]),
}
"""What operators without weights compute, on floats."""
