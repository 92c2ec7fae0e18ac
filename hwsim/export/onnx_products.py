"""Layers of products in ONNX: weights in its order, and a bias in steps of the accumulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from hwsim.export.onnx_step import Step
from hwsim.graph import Array, Quantization, Tensor
from hwsim.load.onnx_layout import TO_NCHW, is_free
from hwsim.ops import Conv2D, DepthwiseConv2D, Window
from hwsim.spec import Format, InputError, require

BIAS = Format(32)

OIHW = (0, 3, 1, 2)
"""Axes of weights OHWI."""

CHANNELS_FIRST = (3, 0, 1, 2)
"""Axes of depthwise weights 1HWC."""


def conv(step: Step) -> str:
    """Write a convolution."""
    op = cast(Conv2D, step.node.op)
    return _convolved(step, op.window, op.groups, OIHW)


def depthwise(step: Step) -> str:
    """Write a convolution with a group per input channel."""
    op = cast(DepthwiseConv2D, step.node.op)
    return _convolved(step, op.window, step.tensors[0].shape[3], CHANNELS_FIRST)


def fully_connected(step: Step) -> str:
    """Write a Gemm; of an image, with its weights in the order of NCHW."""
    name, writer, (source, weights) = step.node.name, step.writer, step.tensors[:2]
    matrix, real = _integers(weights), step.real()
    if len(source.shape) == 4 and not is_free(source.shape, TO_NCHW):
        cube = matrix.reshape(-1, *source.shape[1:])
        matrix = cube.transpose(TO_NCHW).reshape(matrix.shape)
    if len(source.shape) != 2:
        real = writer.node("Flatten", f"{name}/flatten", [real], axis=1)
    return writer.node("Gemm", name, [real, _weights(step, matrix, 0), *_bias(step)], transB=1)


def _convolved(step: Step, window: Window, groups: int, order: Sequence[int]) -> str:
    weights = _weights(step, _integers(step.tensors[1]).transpose(order), order[0])
    around = window.padding
    return step.writer.node(
        "Conv", step.node.name, [step.real(), weights, *_bias(step)], group=groups, kernel_shape=window.kernel,
        strides=window.stride, dilations=window.dilation, pads=(around.top, around.left, around.bottom, around.right),
    )  # fmt: skip


def _integers(weights: Tensor) -> Array:
    if weights.data is None:
        raise InputError(f"weights {weights.name!r} must be a constant, not computed")
    return weights.data


def _weights(step: Step, stored: Array, channel: int) -> str:
    """Write weights in ONNX's order, whose first axis counts the channels that `channel` counts in the network."""
    tensor = step.tensors[1]
    known = tensor.quantization
    if known is None:
        return step.writer.constant(tensor.name, stored)
    require(known.axis in (None, channel), "weights' scale", f"one, or one along axis {channel}", f"axis {known.axis}")
    moved = known if known.axis is None else replace(known, axis=0)
    return step.dialect.constant(step.writer, tensor.name, stored, moved)


def _bias(step: Step) -> list[str]:
    if len(step.tensors) != 3:
        # Thresholds have the bias in them.
        return []
    bias, source, weights = step.tensors[2], step.tensors[0].quantization, step.tensors[1].quantization
    data = _integers(bias)
    if source is None or weights is None:
        return [step.writer.constant(bias.name, data)]
    require(bool((np.abs(data) < 2**31).all()), f"bias {bias.name!r}", "within 32 bits", np.abs(data).max())
    scale = np.asarray(np.float32(source.scale) * weights.scale.astype(np.float32), np.float64)
    good = bool((scale >= np.finfo(np.float32).tiny).all())
    require(good, f"bias {bias.name!r}: scale", "a normal number of float32", scale.min())
    steps = Quantization(BIAS, scale, np.zeros(scale.shape, np.int64), None if scale.ndim == 0 else 0)
    return [step.dialect.constant(step.writer, bias.name, data, steps)]
