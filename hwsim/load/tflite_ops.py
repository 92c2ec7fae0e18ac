"""TFLite operators as operators of hwsim: one function each, and the table that names them all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hwsim.graph import Operator
from hwsim.load.tflite_call import Call, dilations, fused, sliding_window
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
)
from hwsim.ops.activation import Activation
from hwsim.ops.geometry import Window
from hwsim.spec import InputError, require


def _conv_2d(call: Call) -> Operator:
    options = call.options("Conv2DOptions")
    _, kernel_h, kernel_w, group_channels = call.rank4_weights()
    channels = call.image()[2]
    require(channels % group_channels == 0, "input channels", f"a multiple of the weights' {group_channels}", channels)
    window = sliding_window(call, options, (kernel_h, kernel_w), dilations(options))
    return Conv2D(window, channels // group_channels, fused(options.FusedActivationFunction()))


def _depthwise_conv_2d(call: Call) -> Operator:
    options = call.options("DepthwiseConv2DOptions")
    _, kernel_h, kernel_w, out_channels = call.rank4_weights()
    channels = call.image()[2]
    # The stored multiplier is left 0 by some converters; the shapes decide, as in LiteRT.
    require(out_channels % channels == 0, "weight channels", f"a multiple of the input's {channels}", out_channels)
    window = sliding_window(call, options, (kernel_h, kernel_w), dilations(options))
    return DepthwiseConv2D(window, out_channels // channels, fused(options.FusedActivationFunction()))


def _fully_connected(call: Call) -> Operator:
    options = call.options("FullyConnectedOptions")
    require(options.WeightsFormat() == 0, "weights format", "DEFAULT", f"code {options.WeightsFormat()}")
    return FullyConnected(fused(options.FusedActivationFunction()))


def _pool(make: Callable[[Window, Activation], Operator]) -> Callable[[Call], Operator]:
    def build(call: Call) -> Operator:
        options = call.options("Pool2DOptions")
        window = sliding_window(call, options, (options.FilterHeight(), options.FilterWidth()))
        return make(window, fused(options.FusedActivationFunction()))

    return build


def _mean(call: Call) -> Operator:
    rank = len(call.inputs[0].shape)
    axes = [int(axis) for axis in call.integers(1).reshape(-1)]
    require(
        all(-rank <= axis < rank and axis % rank for axis in axes),
        "axes",
        f"from 1 to {rank - 1} (0 is the batch) or negative from the end",
        axes,
    )
    return Mean(tuple(sorted({axis % rank for axis in axes})), bool(call.options("ReducerOptions").KeepDims()))


def _check_broadcast(call: Call) -> None:
    """Refuse a broadcast that would mix up the batch axis, which the graph writes as 1 but runs at any size."""
    ranks = {len(tensor.shape) for tensor in call.inputs if not tensor.constant}
    shapes = [list(tensor.shape) for tensor in call.inputs]
    require(len(ranks) == 1, "inputs", "of one rank where they are computed", shapes)
    for tensor in call.inputs:
        if tensor.constant:
            beside = len(tensor.shape) < max(ranks) or (len(tensor.shape) == max(ranks) and tensor.shape[0] == 1)
            require(beside, "constant input", "the same for every image of the batch", shapes)


def _add(call: Call) -> Operator:
    _check_broadcast(call)
    return Add(fused(call.options("AddOptions").FusedActivationFunction()))


def _mul(call: Call) -> Operator:
    _check_broadcast(call)
    return Mul(fused(call.options("MulOptions").FusedActivationFunction()))


def _concatenation(call: Call) -> Operator:
    options = call.options("ConcatenationOptions")
    if any(tensor.constant for tensor in call.inputs):
        raise InputError("inputs must be computed, not constants")
    rank = len(call.inputs[0].shape)
    require(-rank <= options.Axis() < rank, "axis", f"from {-rank} to {rank - 1}", options.Axis())
    return Concat(options.Axis() % rank, fused(options.FusedActivationFunction()))


def _pad(call: Call) -> Operator:
    pads, rank = call.integers(1), len(call.inputs[0].shape)
    require(pads.shape == (rank, 2), "paddings", f"of shape [{rank}, 2]", f"of shape {list(pads.shape)}")
    require(bool((pads >= 0).all()), "paddings", "0 or more", pads.tolist())
    return Pad(tuple((int(before), int(after)) for before, after in pads))


def _pad_v2(call: Call) -> Operator:
    value = call.real(2)
    if value.any():
        raise InputError(f"padding value must be 0, not {value.reshape(-1)[0]}")
    return _pad(call)


def _reshape(call: Call) -> Operator:
    if len(call.stored.inputs) > 1:
        target = [int(size) for size in call.integers(1).reshape(-1)]
    else:
        options = call.options("ReshapeOptions")
        require(0 < options.NewShapeLength() <= 8, "new shape", "of 1 to 8 axes", options.NewShapeLength())
        target = [options.NewShape(i) for i in range(options.NewShapeLength())]
    require(len(target) >= 1, "new shape", "of at least one axis", target)
    rest = math.prod(target[1:])
    if target[0] == -1 and rest > 0:
        # The free axis is the batch only if the others hold one image; write what it stands for.
        target[0] = call.batch * call.inputs[0].elements // rest
    require(target[0] in (-1, 1, call.batch), "new shape", f"[{call.batch}, ...]: the batch stays apart", target)
    return Reshape((1, *target[1:]))


def _as_stored(call: Call) -> Operator:
    """SQUEEZE and EXPAND_DIMS: the stored output shape says it all; `Reshape.infer` checks the element count."""
    return Reshape(call.output_shape)


def _transpose(call: Call) -> Operator:
    rank = len(call.inputs[0].shape)
    permutation = [int(axis) for axis in call.integers(1).reshape(-1)]
    require(
        sorted(axis % rank for axis in permutation) == list(range(rank)),
        "permutation",
        f"an order of the {rank} axes",
        permutation,
    )
    require(permutation[0] % rank == 0, "permutation", "one that leaves the batch axis first", permutation)
    return Transpose(tuple(axis % rank for axis in permutation))


def _softmax(call: Call) -> Operator:
    return Softmax(-1, float(call.options("SoftmaxOptions").Beta()))


def _resize_nearest(call: Call) -> Operator:
    options, size = call.options("ResizeNearestNeighborOptions"), call.integers(1).reshape(-1)
    require(size.size == 2 and bool((size >= 1).all()), "size", "[height, width], each 1 or more", size.tolist())
    return ResizeNearest((int(size[0]), int(size[1])), bool(options.AlignCorners()), bool(options.HalfPixelCenters()))


@dataclass(frozen=True)
class Importer:
    """How an operator of TFLite becomes one of hwsim.

    Parameters
    ----------
    code
        TFLite's name.
    operands
        How many leading operands are tensors that the node reads; the others are settings. None for all of them.
    make
        Makes the operator.
    channel_axis
        Where operand 1 is weights (and operand 2, where given, a bias), their axis of output channels; else None.
    """

    code: str
    operands: int | None
    make: Callable[[Call], Operator]
    channel_axis: int | None = None

    @property
    def weighted(self) -> bool:
        """Whether the operator has weights."""
        return self.channel_axis is not None


IMPORTERS: tuple[Importer, ...] = (
    Importer("CONV_2D", 3, _conv_2d, channel_axis=0),
    Importer("DEPTHWISE_CONV_2D", 3, _depthwise_conv_2d, channel_axis=3),
    Importer("FULLY_CONNECTED", 3, _fully_connected, channel_axis=0),
    Importer("MAX_POOL_2D", 1, _pool(MaxPool2D)),
    Importer("AVERAGE_POOL_2D", 1, _pool(AveragePool2D)),
    Importer("MEAN", 1, _mean),
    Importer("ADD", 2, _add),
    Importer("MUL", 2, _mul),
    Importer("CONCATENATION", None, _concatenation),
    Importer("PAD", 1, _pad),
    Importer("PADV2", 1, _pad_v2),
    Importer("RESHAPE", 1, _reshape),
    Importer("SQUEEZE", 1, _as_stored),
    Importer("EXPAND_DIMS", 1, _as_stored),
    Importer("TRANSPOSE", 1, _transpose),
    Importer("RELU", 1, lambda call: Rectify(Activation.RELU)),
    Importer("RELU6", 1, lambda call: Rectify(Activation.RELU6)),
    Importer("RELU_N1_TO_1", 1, lambda call: Rectify(Activation.RELU_N1_TO_1)),
    Importer("HARD_SWISH", 1, lambda call: Lookup("hard-swish")),
    Importer("LOGISTIC", 1, lambda call: Lookup("sigmoid")),
    Importer("TANH", 1, lambda call: Lookup("tanh")),
    Importer("SOFTMAX", 1, _softmax),
    Importer("QUANTIZE", 1, lambda call: Quantize()),
    Importer("DEQUANTIZE", 1, lambda call: Dequantize()),
    Importer("RESIZE_NEAREST_NEIGHBOR", 1, _resize_nearest),
)
