"""Converters of the operators that sum products: Conv, Gemm, MatMul."""

from __future__ import annotations

import numpy as np

from hwsim.load.onnx_build import Constant, Feature
from hwsim.load.onnx_call import Call
from hwsim.load.onnx_layout import as_image, as_plain, through_flatten
from hwsim.load.onnx_window import window_of
from hwsim.ops import Conv2D, DepthwiseConv2D, FullyConnected
from hwsim.spec import require


def conv(call: Call) -> Feature:
    """Convolve; a group per input channel is a depthwise convolution."""
    image, weights = as_image(call.build, call.feature(0)), call.constant(1)
    require(weights.data.ndim == 4, "weights", "[O, C / group, KH, KW]", f"of shape {list(weights.shape)}")
    outputs, depth, *kernel = weights.shape
    group, channels = call.integer("group", 1), image.shape[1]
    require(
        call.pair("kernel_shape", (kernel[0], kernel[1])) == tuple(kernel),
        "kernel_shape",
        f"the weights' {kernel}",
        call.attribute("kernel_shape"),
    )
    require(
        group >= 1 and depth * group == channels and outputs % group == 0,
        "group",
        f"such that weights {list(weights.shape)} fit {channels} input channels",
        group,
    )
    window = window_of(call, (kernel[0], kernel[1]), image.shape[2:])
    if group == channels > 1:
        names = [image.tensor, call.build.parameter(weights.transposed((1, 2, 3, 0)))]
        return call.emit(DepthwiseConv2D(window, outputs // channels), [*names, *_bias(call, outputs)], image=True)
    names = [image.tensor, call.build.parameter(weights.transposed((0, 2, 3, 1)))]
    return call.emit(Conv2D(window, group), [*names, *_bias(call, outputs)], image=True)


def gemm(call: Call) -> Feature:
    """Multiply by a constant matrix and add a constant row."""
    require(call.integer("transA", 0) == 0, "transA", "0", call.attribute("transA"))
    alpha, beta = call.number("alpha", 1.0), call.number("beta", 1.0)
    matrix = call.constant(1)
    require(matrix.data.ndim == 2, "B", "a matrix", f"of shape {list(matrix.shape)}")
    turned = matrix if call.integer("transB", 0) else matrix.transposed((1, 0))
    scaled = turned if alpha == 1 else Constant(matrix.name, turned.real() * alpha)
    term = call.optional_constant(2)
    if term is None:
        return _fully_connected(call, scaled, None)
    outputs = turned.shape[0]
    require(
        term.shape in ((), (1,), (1, 1), (outputs,), (1, outputs)),
        "C",
        f"a row of {outputs} numbers",
        f"of shape {list(term.shape)}",
    )
    if beta == 1 and term.shape == (outputs,):
        return _fully_connected(call, scaled, term)
    bias = np.broadcast_to(term.real().reshape(-1), (outputs,)) * beta
    return _fully_connected(call, scaled, Constant(term.name, bias))


def matmul(call: Call) -> Feature:
    """Multiply by a constant matrix."""
    matrix = call.constant(1)
    require(matrix.data.ndim == 2, "right side", "a matrix", f"of shape {list(matrix.shape)}")
    return _fully_connected(call, matrix.transposed((1, 0)), None)


def _fully_connected(call: Call, weights: Constant, bias: Constant | None) -> Feature:
    rows = as_plain(call.build, call.feature(0))
    require(
        len(rows.shape) == 2 and rows.shape[1] == weights.shape[1],
        "left side",
        f"[batch, {weights.shape[1]}] for weights of {weights.shape[1]} inputs",
        f"of shape {list(rows.shape)}",
    )
    source, matrix = through_flatten(call.build, rows.tensor, weights.data)
    names = [source, call.build.parameter(weights, matrix)]
    if bias is not None:
        names.append(call.build.parameter(bias))
    return call.emit(FullyConnected(), names)


def _bias(call: Call, outputs: int) -> list[str]:
    bias = call.optional_constant(2)
    if bias is None:
        return []
    require(
        bias.shape == (outputs,), "bias", f"{outputs} numbers, one per output channel", f"of shape {list(bias.shape)}"
    )
    return [call.build.parameter(bias)]
