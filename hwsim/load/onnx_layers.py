"""Layers of products with a quantizer behind them: a requantization by a multiplier, or thresholds of the accumulators.

Thresholds reproduce whatever monotone float function stands between a layer and its quantizer, bit for bit; they are taken
where a multiplier and an integer bias would not do the same, or where a quantizer has so few levels that they cost less.
"""

from __future__ import annotations

import numpy as np

from hwsim.graph import Array, Node, Quantization, Tensor
from hwsim.load.onnx_build import unique
from hwsim.load.onnx_chain import Chain, NotIntegerError, Tensors, annotate, channel_axis
from hwsim.load.onnx_quantizer import THRESHOLD_BITS, Quantizer
from hwsim.load.onnx_tables import Entries
from hwsim.load.onnx_thresholds import threshold_table
from hwsim.ops import AveragePool2D, DepthwiseConv2D, Mean, Padding, Window
from hwsim.spec import Format

FEW_BITS = 4
"""Up to here thresholds cost a layer less than a multiplier."""

MOST_STEPS = 2.0**31
"""A bias has 32 bits."""


def integer_layer(tensors: Tensors, entries: Entries, chain: Chain, core: Node, node: Node, op: Quantizer) -> Node:
    """Return a layer of products whose output is its quantizer's."""
    check_weights(tensors, core)
    affine, limits = chain.affine(tensors), chain.limits(op.quantization)
    if affine is not None and limits is not None and op.plain and affine.positive:
        unchanged = not affine.scales and not affine.term.any() and counts_steps(tensors, core)
        if unchanged or op.quantization.format.bits > FEW_BITS:
            annotate(tensors, node, op.quantization, limits)
            return Node(core.name, core.op, scaled(tensors, core, affine.factor, affine.term), node.outputs)
    if op.quantization.format.bits > THRESHOLD_BITS:
        raise NotIntegerError(
            f"what stands between it and its quantizer needs thresholds, of which {op.quantization.format} has too many"
        )
    if not chain.monotone:
        raise NotIntegerError("between it and its quantizer may stand clamps, factors, terms and rising functions only")
    levels = (op.quantization.hi - op.quantization.lo) // op.step
    entries.spend(levels * tensors[core.outputs[0]].shape[-1], "thresholds")
    return _comparing(tensors, chain, core, node, op)


def _comparing(tensors: Tensors, chain: Chain, core: Node, node: Node, op: Quantizer) -> Node:
    """Return a layer with thresholds, found by computing what follows it in float32 for whole accumulators."""
    scale = accumulator_scale(tensors, core)
    bias = tensors[core.inputs[2]].real() if len(core.inputs) > 2 else np.zeros(scale.shape, np.float32)
    middle = [1] * (len(tensors[core.outputs[0]].shape) - 2)
    lowest, levels = op.quantization.lo, (op.quantization.hi - op.quantization.lo) // op.step

    def level(acc: Array) -> Array:
        """Return how many steps above the lowest level accumulators [M, channels] come out."""
        with np.errstate(over="ignore", invalid="ignore"):
            real = (acc * scale).astype(np.float32) + bias
            shaped = chain.apply(tensors, real.reshape(-1, *middle, scale.size))
        if np.isnan(shaped).any():
            raise NotIntegerError("factors and terms between it and its quantizer must not leave float32")
        integers: Array = op.function(shaped).reshape(acc.shape).astype(np.int64)
        return (integers - lowest) // op.step

    data = threshold_table(level, scale.size, levels)
    table, zeros = unique(f"{core.name}/thresholds", tensors), unique(f"{core.name}/bias", tensors)
    tensors[table] = Tensor(table, data.shape, data=data)
    # The bias is in the thresholds already.
    tensors[zeros] = Tensor(zeros, scale.shape, data=np.zeros(scale.shape, np.int64))
    return Node(core.name, core.op, (*core.inputs[:2], zeros, table), node.outputs)


def summing(tensors: Tensors, core: Node, op: AveragePool2D | Mean) -> Node:
    """Make a mean a depthwise convolution with weights of one, for a quantizer that needs the sums themselves."""
    source = tensors[core.inputs[0]]
    if isinstance(op, Mean):
        if not (op.keep_dims and set(op.axes) == {1, 2} and len(source.shape) == 4):
            raise NotIntegerError("in front of this quantizer a mean must be one of images that keeps its axes")
        window = Window((source.shape[1], source.shape[2]))
    else:
        window = op.window
        if window.padding != Padding() and not op.include_padding:
            raise NotIntegerError("in front of this quantizer a mean must include its padding")
    name = unique(f"{core.name}/ones", tensors)
    shape = (1, *window.kernel, source.shape[3])
    ones = Quantization(Format(2), np.array(1 / (window.kernel[0] * window.kernel[1])), np.zeros((), np.int64))
    tensors[name] = Tensor(name, shape, ones, np.ones(shape, np.int8))
    return Node(core.name, DepthwiseConv2D(window), (core.inputs[0], name), core.outputs)


def check_weights(tensors: Tensors, core: Node) -> None:
    """Raise `NotIntegerError` where a layer's weights are not integers of its own."""
    weights = tensors[core.inputs[1]].quantization
    if weights is None:
        raise NotIntegerError("its weights are not quantized")
    if weights.format.bits > 16:
        raise NotIntegerError(f"its weights must have at most 16 bits, not {weights.format.bits}")
    if weights.axis not in (None, channel_axis(core.op)):
        raise NotIntegerError("its weights must have one scale, or one per output channel")


def accumulator_scale(tensors: Tensors, core: Node) -> Array:
    """Return what one step of each channel's accumulator stands for, float64 [channels]."""
    source, weights = (tensors[name].quantization for name in core.inputs[:2])
    assert source is not None and weights is not None
    found: Array = np.broadcast_to(float(source.scale) * weights.scale, tensors[core.outputs[0]].shape[-1:])
    return found


def scaled(tensors: Tensors, core: Node, factor: Array, term: Array) -> tuple[str, ...]:
    """Return a layer's inputs with a factor and a term per output channel taken into weight scales and integer bias."""
    weights, inputs = tensors[core.inputs[1]], list(core.inputs[:2])
    quantization = weights.quantization
    assert quantization is not None
    if (factor != 1).any():
        channels = tensors[core.outputs[0]].shape[-1:]
        points = np.broadcast_to(quantization.zero_point, channels)
        scale = np.broadcast_to(quantization.scale * factor, channels)
        if not (np.isfinite(scale) & (scale > 0)).all():
            raise NotIntegerError("factors behind a layer must leave its scales finite and positive")
        inputs[1] = unique(f"{weights.name}/scaled", tensors)
        own = Quantization(quantization.format, scale, points, channel_axis(core.op), quantization.limits)
        tensors[inputs[1]] = Tensor(inputs[1], weights.shape, own, weights.data)
    bias = tensors[core.inputs[2]] if len(core.inputs) > 2 else None
    if bias is None and not term.any():
        return tuple(inputs)
    steps = accumulator_scale(tensors, Node(core.name, core.op, tuple(inputs), core.outputs))
    name = unique(f"{core.name}/bias", tensors)
    exact = counts_steps(tensors, core) and not term.any() and (factor == 1).all()
    tensors[name] = Tensor(name, steps.shape, data=_stored(bias) if exact else _rounded(bias, factor, term, steps))
    return (*inputs, name)


def counts_steps(tensors: Tensors, core: Node) -> bool:
    """Whether a layer has no bias, or one stored in steps of its accumulator."""
    if len(core.inputs) < 3:
        return True
    stored = tensors[core.inputs[2]].quantization
    # Files hold the product of two scales rounded to float32.
    return stored is not None and np.allclose(stored.scale, accumulator_scale(tensors, core), rtol=1e-6, atol=0)


def _stored(bias: Tensor | None) -> Array:
    assert bias is not None and bias.data is not None and bias.quantization is not None
    found: Array = bias.data.astype(np.int64) - bias.quantization.zero_point
    return found


def _rounded(bias: Tensor | None, factor: Array, term: Array, steps: Array) -> Array:
    real = np.zeros(steps.shape) if bias is None else bias.real().astype(np.float64)
    integers = np.rint((real * factor + term) / steps)
    if not (np.abs(integers) < MOST_STEPS).all():
        raise NotIntegerError(f"a bias must fit 32 bits in steps of its accumulator, not {np.abs(integers).max():g}")
    found: Array = integers.astype(np.int64)
    return found
