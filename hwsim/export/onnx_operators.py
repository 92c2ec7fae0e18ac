"""How every operator is written in ONNX, on reals and in NCHW. `EMITTERS` lists them; each returns the tensor it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from hwsim.export.onnx_products import conv, depthwise, fully_connected
from hwsim.export.onnx_step import Step
from hwsim.export.onnx_writer import onnx_axis, onnx_shape
from hwsim.graph import Operator
from hwsim.load.onnx_layout import TO_NCHW, TO_NHWC
from hwsim.ops import (
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
    Quantize,
    Rectify,
    Reshape,
    ResizeNearest,
    Softmax,
    Transpose,
    Window,
)
from hwsim.spec import require

FUNCTIONS = {"sigmoid": "Sigmoid", "tanh": "Tanh", "hard-swish": "HardSwish", "hard-sigmoid": "HardSigmoid"}


def _passed(step: Step) -> str:
    """Change integers only: by the quantizer that follows."""
    return step.real()


def _max_pool(step: Step) -> str:
    op = cast(MaxPool2D, step.node.op)
    return step.writer.node(
        "MaxPool", step.node.name, [step.real()], dilations=op.window.dilation, **_window(op.window)
    )


def _average_pool(step: Step) -> str:
    op = cast(AveragePool2D, step.node.op)
    require(op.window.dilation == (1, 1), "dilation", "1", op.window.dilation)
    include = int(op.include_padding)
    return step.writer.node(
        "AveragePool", step.node.name, [step.real()], count_include_pad=include, **_window(op.window)
    )


def _window(window: Window) -> dict[str, Any]:
    around = window.padding
    pads = (around.top, around.left, around.bottom, around.right)
    return {"kernel_shape": window.kernel, "strides": window.stride, "pads": pads}


def _mean(step: Step) -> str:
    op, source = cast(Mean, step.node.op), step.tensors[0]
    rank = len(source.shape)
    axes = sorted({axis % rank for axis in op.axes})
    image = rank == 4
    if image and axes == [1, 2] and op.keep_dims:
        return step.writer.node("GlobalAveragePool", step.node.name, [step.real()])
    name, real = step.node.name, step.real()
    if image and not op.keep_dims and axes != [1, 2]:
        # What stays must be in the order of the network's axes.
        real, image = step.writer.transpose(name, real, TO_NHWC), False
    stored = sorted(onnx_axis(axis, rank) for axis in axes) if image else axes
    given = step.writer.constant(f"{name}/axes", np.array(stored, np.int64))
    return step.writer.node("ReduceMean", name, [real, given], keepdims=int(op.keep_dims))


def _element_wise(step: Step) -> str:
    kind = "Add" if isinstance(step.node.op, Add) else "Mul"
    rank = len(step.result.shape)
    inputs = []
    for position, tensor in enumerate(step.tensors):
        real = step.inputs[position]
        if real is None:
            assert tensor.data is not None
            wide = tensor.data.reshape((1,) * (rank - tensor.data.ndim) + tensor.data.shape)
            stored = wide.transpose(TO_NCHW) if rank == 4 else wide
            known = tensor.quantization
            require(known is None or known.axis is None, "constant's scale", "one number", "one per channel")
            if known is None:
                real = step.writer.constant(tensor.name, stored)
            else:
                real = step.dialect.constant(step.writer, tensor.name, stored, known)
        else:
            require(len(tensor.shape) == rank, f"rank of {tensor.name!r}", str(rank), len(tensor.shape))
        inputs.append(real)
    return step.writer.node(kind, step.node.name, inputs)


def _concat(step: Step) -> str:
    op = cast(Concat, step.node.op)
    axis = onnx_axis(op.axis, len(step.result.shape))
    inputs = [step.real(position) for position in range(len(step.tensors))]
    return step.writer.node("Concat", step.node.name, inputs, axis=axis)


def _pad(step: Step) -> str:
    op = cast(Pad, step.node.op)
    sides = [op.pads[axis] for axis in TO_NCHW] if len(op.pads) == 4 else list(op.pads)
    pads = np.array([side[0] for side in sides] + [side[1] for side in sides], np.int64)
    given = step.writer.constant(f"{step.node.name}/pads", pads)
    return step.writer.node("Pad", step.node.name, [step.real(), given])


def _reshape(step: Step) -> str:
    name, writer = step.node.name, step.writer
    held, shape = writer.row_major(name, step.real(), step.tensors[0].shape)
    return writer.from_row_major(name, held, shape, step.result.shape)


def _transpose(step: Step) -> str:
    op, rank = cast(Transpose, step.node.op), len(step.result.shape)
    order = list(op.permutation)
    if rank == 4:
        # From NCHW to the network's axes, through its permutation, and back.
        order = [TO_NHWC[order[axis]] for axis in TO_NCHW]
    return step.writer.transpose(step.node.name, step.real(), order)


def _resize(step: Step) -> str:
    op = cast(ResizeNearest, step.node.op)
    coordinates, nearest = "asymmetric", "floor"
    if op.align_corners:
        coordinates, nearest = "align_corners", "round_prefer_ceil"
    elif op.half_pixel_centers:
        coordinates, nearest = "half_pixel", "round_prefer_ceil"
    sizes = step.writer.constant(f"{step.node.name}/sizes", np.array(onnx_shape(step.result.shape), np.int64)[2:])
    return step.writer.node(
        "Resize", step.node.name, [step.real(), "", "", sizes], mode="nearest", axes=[2, 3],
        coordinate_transformation_mode=coordinates, nearest_mode=nearest,
    )  # fmt: skip


def _lookup(step: Step) -> str:
    function = cast(Lookup, step.node.op).function
    # The others have no attributes.
    alpha: dict[str, Any] = {"alpha": 1 / 6, "beta": 0.5} if function == "hard-sigmoid" else {}
    return step.writer.node(FUNCTIONS[function], step.node.name, [step.real()], **alpha)


def _softmax(step: Step) -> str:
    op = cast(Softmax, step.node.op)
    require(op.beta == 1, "beta", "1, which ONNX's Softmax means", op.beta)
    axis = onnx_axis(op.axis, len(step.result.shape))
    return step.writer.node("Softmax", step.node.name, [step.real()], axis=axis)


Emitter = Callable[[Step], str]

EMITTERS: Mapping[type[Operator], Emitter] = {
    Conv2D: conv,
    DepthwiseConv2D: depthwise,
    FullyConnected: fully_connected,
    MaxPool2D: _max_pool,
    AveragePool2D: _average_pool,
    Mean: _mean,
    Add: _element_wise,
    Mul: _element_wise,
    Concat: _concat,
    Pad: _pad,
    Reshape: _reshape,
    Transpose: _transpose,
    ResizeNearest: _resize,
    Rectify: _passed,
    Lookup: _lookup,
    Softmax: _softmax,
    Quantize: _passed,
    Dequantize: _passed,
}
