"""Converters of the operators that treat every element alike, or every channel."""

from __future__ import annotations

import math

import numpy as np

from hwsim.load.onnx_build import Constant, Feature, Value
from hwsim.load.onnx_call import Call
from hwsim.load.onnx_layout import beside, stored_axis, unify
from hwsim.load.onnx_qdq import clip_integers
from hwsim.ops import Activation, Add, Lookup, Mul, Range, Rectify, Softmax
from hwsim.ops.activation import Clamp
from hwsim.spec import require

SIXTH_TOLERANCE = 1e-6
"""Exporters write 1/6 with 7 digits or as a float32."""

FLOAT16_MAX = 65504.0
"""Bounds from here on are no bounds: exporters write the largest number of a type for infinity."""


def identity(call: Call) -> Feature:
    """Pass on what does nothing at inference: Identity, Dropout."""
    training = call.optional_constant(2)
    require(training is None or not training.data.any(), "training_mode", "false", True)
    return call.moved(0)


def cast(call: Call) -> Feature:
    """Pass on a cast between float types: the graph computes in float32."""
    # TensorProto: FLOAT, FLOAT16, DOUBLE, BFLOAT16.
    require(call.integer("to", 0) in (1, 10, 11, 16), "to", "a float type", call.attribute("to"))
    return call.feature(0)


def relu(call: Call) -> Feature:
    """Clamp below at 0."""
    return _rectify(call, Activation.RELU)


def clip(call: Call) -> Value:
    """Clamp reals or integers to a range."""
    value = call.inputs[0]
    if value is None or isinstance(value, Constant) or value.integer:
        return clip_integers(call)
    lo, hi = call.scalar("min", 1, -math.inf), call.scalar("max", 2, math.inf)
    require(not math.isnan(lo) and not math.isnan(hi), "min and max", "rising numbers", f"{lo:g} and {hi:g}")
    bounds = (lo if lo > -FLOAT16_MAX else -math.inf, hi if hi < FLOAT16_MAX else math.inf)
    for activation in Activation:
        if activation.bounds == bounds:
            return call.feature(0) if activation is Activation.NONE else _rectify(call, activation)
    require(bounds[0] <= bounds[1], "min and max", "rising numbers", f"{lo:g} and {hi:g}")
    return _rectify(call, Range(*bounds))


def hard_sigmoid(call: Call) -> Feature:
    """Apply ``clip(x / 6 + 0.5, 0, 1)``, the form that MobileNetV3 uses."""
    alpha, beta = call.number("alpha", 0.2), call.number("beta", 0.5)
    require(
        abs(alpha - 1 / 6) < SIXTH_TOLERANCE and beta == 0.5, "alpha and beta", "1/6 and 0.5", f"{alpha:g} and {beta:g}"
    )
    return _lookup(call, "hard-sigmoid")


def hard_swish(call: Call) -> Feature:
    """Apply ``x * clip(x / 6 + 0.5, 0, 1)``."""
    return _lookup(call, "hard-swish")


def sigmoid(call: Call) -> Feature:
    """Apply the logistic function."""
    return _lookup(call, "sigmoid")


def tanh(call: Call) -> Feature:
    """Apply the hyperbolic tangent."""
    return _lookup(call, "tanh")


def add(call: Call) -> Feature:
    """Add two features, or a feature and a constant."""
    return _combine(call, Add())


def mul(call: Call) -> Feature:
    """Multiply two features, or a feature and a constant."""
    return _combine(call, Mul())


def sub(call: Call) -> Feature:
    """Subtract a constant."""
    return _with_constant(call, Add(), call.feature(0), Constant(call.constant(1).name, -call.constant(1).real()))


def div(call: Call) -> Feature:
    """Divide by a constant."""
    divisor = call.constant(1).real()
    require(bool(divisor.all()), "divisor", "other than 0", 0)
    return _with_constant(call, Mul(), call.feature(0), Constant(call.constant(1).name, 1 / divisor))


def batch_normalization(call: Call) -> Feature:
    """Scale and shift every channel; `hwsim.load.onnx_merge` takes both into the layer before."""
    require(call.integer("training_mode", 0) == 0, "training_mode", "0", 1)
    require(call.integer("spatial", 1) == 1, "spatial", "1", 0)
    feature = call.feature(0)
    require(len(feature.shape) >= 2, "input", "[batch, channels, ...]", f"of shape {list(feature.shape)}")
    channels = feature.shape[1]
    gamma, beta, mean, variance = (call.constant(index).real() for index in range(1, 5))
    for name, values in zip(("scale", "B", "input_mean", "input_var"), (gamma, beta, mean, variance), strict=True):
        require(
            values.shape == (channels,), name, f"{channels} numbers, one per channel", f"of shape {list(values.shape)}"
        )
    spread = variance + call.number("epsilon", 1e-5)
    require(bool((spread > 0).all()), "input_var + epsilon", "positive", spread.min())
    factor = gamma / np.sqrt(spread)
    term = beta - mean * factor
    if call.build.quantized:
        single = [part.astype(np.float32) for part in (gamma, beta, mean, variance)]
        with np.errstate(all="ignore"):  # what overflows is refused as a constant
            factor = single[0] * (np.float32(1) / np.sqrt(single[3] + np.float32(call.number("epsilon", 1e-5))))
            term = single[1] - single[2] * factor
    shape = (channels,) + (1,) * (len(feature.shape) - 2)
    scale = call.build.constant(f"{call.name}/scale", beside(Constant("scale", factor.reshape(shape)), feature))
    shift = call.build.constant(f"{call.name}/shift", beside(Constant("shift", term.reshape(shape)), feature))
    scaled = call.build.apply(f"{call.name}/scale", Mul(), [feature.tensor, scale])
    return call.emit(Add(), [scaled, shift], feature.image)


def softmax(call: Call) -> Feature:
    """Normalize along an axis."""
    feature = call.feature(0)
    rank = len(feature.shape)
    axis = call.integer("axis", -1 if call.opset >= 13 else 1)
    if call.opset < 13:
        # Older operator sets normalize over all axes from this one on.
        require(
            axis % rank > 0 and math.prod(feature.shape[axis % rank + 1 :]) == 1,
            "axis",
            "one after which all have size 1, before opset 13",
            axis,
        )
    return call.emit(Softmax(stored_axis(feature, axis)), [feature.tensor], feature.image)


def _rectify(call: Call, activation: Clamp) -> Feature:
    feature = call.feature(0)
    return call.emit(Rectify(activation), [feature.tensor], feature.image)


def _lookup(call: Call, function: str) -> Feature:
    feature = call.feature(0)
    return call.emit(Lookup(function), [feature.tensor], feature.image)


def _combine(call: Call, op: Add | Mul) -> Feature:
    first, second = call.optional(0), call.optional(1)
    if isinstance(first, Feature) and isinstance(second, Feature):
        left, right = unify(call.build, [first, second])
        return call.emit(op, [left.tensor, right.tensor], left.image)
    if isinstance(first, Feature):
        return _with_constant(call, op, first, call.constant(1))
    return _with_constant(call, op, call.feature(1), call.constant(0))


def _with_constant(call: Call, op: Add | Mul, feature: Feature, constant: Constant) -> Feature:
    quantization = constant.quantization
    if quantization is not None and quantization.axis is not None:
        constant, quantization = Constant(constant.name, constant.real()), None
    kept = Constant(constant.name, beside(constant, feature), quantization)
    return call.emit(op, [feature.tensor, call.build.parameter(kept)], feature.image)
