"""Operators on integers (QLinearConv, MatMulInteger, ...): read as the float operator between dequantizing and quantizing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx

from hwsim.graph import Quantization
from hwsim.load import onnx_ops_moves as moves
from hwsim.load import onnx_ops_pointwise as pointwise
from hwsim.load import onnx_ops_pool as pool
from hwsim.load import onnx_ops_products as products
from hwsim.load.onnx_build import Constant, Feature, Value
from hwsim.load.onnx_call import Call
from hwsim.load.onnx_qdq import format_of, integers, linear, quantized
from hwsim.load.onnx_quantizer import Quantizer
from hwsim.spec import InputError, require

Float = Callable[[Call], Feature]


def qlinear_conv(call: Call) -> Feature:
    """Convolve integers; the bias counts in steps of the sums."""
    source, weights = _real(call, 0), _real(call, 3, axis=0)
    bias = call.optional_constant(8)
    inputs: list[Value | None] = [source, weights]
    if bias is not None:
        inputs.append(_sum_bias(call, bias, source, weights))
    return _requantized(call, _inner(call, products.conv, inputs), 6)


def qlinear_matmul(call: Call) -> Feature:
    """Multiply integers by a constant matrix of them."""
    return _requantized(call, _inner(call, products.matmul, [_real(call, 0), _real(call, 3, axis=1)]), 6)


def qgemm(call: Call) -> Feature:
    """Multiply integers by a constant matrix of them and add a row of sums (ONNX Runtime's QGemm)."""
    axis = 0 if call.integer("transB", 0) else 1
    source, weights = _real(call, 0), _real(call, 3, axis=axis)
    bias = call.optional_constant(6)
    inputs: list[Value | None] = [source, weights]
    if bias is not None:
        require(call.number("alpha", 1.0) == 1, "alpha", "1", call.number("alpha", 1.0))
        inputs.append(_sum_bias(call, bias, source, weights))
    made = _inner(call, products.gemm, inputs)
    return _requantized(call, made, 7) if call.optional(7) is not None else made


def qlinear_binary(convert: Float) -> Float:
    """Return the converter of a sum or a product of two tensors."""
    return lambda call: _requantized(call, _inner(call, convert, [_real(call, 0), _real(call, 3)]), 6)


def qlinear_unary(convert: Float) -> Float:
    """Return the converter of an operator with one input."""
    return lambda call: _requantized(call, _inner(call, convert, [_real(call, 0)]), 3)


def qlinear_concat(call: Call) -> Feature:
    """Join integers of several scales."""
    parts = [_real(call, place) for place in range(2, len(call.inputs), 3)]
    return _requantized(call, _inner(call, moves.concat, parts), 0)


def conv_integer(call: Call) -> Feature:
    """Convolve integers; the sums are what a later scale makes reals of."""
    return _inner(call, products.conv, _centered(call, axis=0), call.proto.output[0])


def matmul_integer(call: Call) -> Feature:
    """Multiply integers by a constant matrix of them; as above."""
    return _inner(call, products.matmul, _centered(call, axis=1), call.proto.output[0])


def _real(call: Call, place: int, *, axis: int | None = None) -> Value:
    """Return what integers, with scale and zero point in the two inputs after them, stand for."""
    value = call.optional(place)
    if isinstance(value, Constant):
        form = format_of(value.data, f"input {place}")
        # These operators count channels on a fixed axis and have no attribute for it.
        here = _with_axis(call, axis) if axis is not None else call
        return replace(integers(value, form), quantization=linear(here, place + 1, form, value.shape))
    feature = call.feature(place, integer=True)
    zero = call.constant(place + 2)
    call.build.annotate(feature.tensor, linear(call, place + 1, format_of(zero.data, "zero point"), None))
    return replace(feature, integer=False)


def _with_axis(call: Call, axis: int) -> Call:
    proto = onnx.NodeProto()
    proto.CopyFrom(call.proto)
    proto.attribute.append(onnx.helper.make_attribute("axis", axis))
    return replace(call, proto=proto)


def _sum_bias(call: Call, bias: Constant, source: Value, weights: Value) -> Constant:
    """Return an int32 bias with the scale that the operator defines for it."""
    form = format_of(bias.data, "bias")
    require(form.bits == 32, "bias", "of int32", form)
    assert isinstance(weights, Constant) and weights.quantization is not None
    known = None if not isinstance(source, Feature) else call.build.tensors[source.tensor].quantization
    if known is None:
        raise InputError("input 0 must be computed from the graph's input, not a constant")
    scale = float(known.scale) * weights.quantization.scale
    axis = 0 if scale.ndim else None
    quantization = Quantization(form, scale, np.zeros(scale.shape, np.int64), axis)
    return Constant(bias.name, bias.data, quantization)


def _centered(call: Call, *, axis: int) -> list[Value | None]:
    """Return input and weights of an operator whose result is the sum of ``(x - x_zero) * (w - w_zero)``.

    The input's integers stand for reals of a scale; the weights get the inverse of it, so that products count ones.
    """
    feature, weights = call.feature(0, integer=True), call.constant(1)
    known = call.build.tensors[feature.tensor].quantization
    if known is None:
        raise InputError("input 0 must be quantized by a node of the model")
    given, zero = call.optional_constant(2), call.optional_constant(3)
    point = 0 if given is None else int(given.data.reshape(-1)[0]) if given.data.size == 1 else None
    require(
        point == int(known.zero_point), "x_zero_point", f"that of its QuantizeLinear, {int(known.zero_point)}", point
    )
    form = format_of(weights.data, "weights")
    points = (
        np.zeros((), np.int64)
        if zero is None
        else zero.data.astype(np.int64).reshape(zero.shape if zero.data.size > 1 else ())
    )
    per_channel = points.ndim == 1 and points.shape == (weights.shape[axis],)
    require(points.ndim == 0 or per_channel, "w_zero_point", "one, or one per output channel", list(points.shape))
    scale = np.full(points.shape, 1.0 / float(known.scale))
    quantization = Quantization(form, scale, points, axis if per_channel else None)
    return [replace(feature, integer=False), replace(integers(weights, form), quantization=quantization)]


def _inner(call: Call, convert: Float, inputs: Sequence[Value | None], output: str | None = None) -> Feature:
    """Convert the float operator inside; its result gets a name of its own."""
    proto = onnx.NodeProto()
    proto.CopyFrom(call.proto)
    proto.output[0] = output or f"{call.proto.output[0]}/real"
    return convert(replace(call, proto=proto, inputs=list(inputs)))


def _requantized(call: Call, feature: Feature, place: int) -> Feature:
    """Quantize to scale and zero point in inputs `place` and the next."""
    zero = call.constant(place + 1)
    form = format_of(zero.data, "output zero point")
    require(form.bits <= 16, "output element type", "of at most 16 bits", form)
    return quantized(call, feature, Quantizer.linear(linear(call, place, form, None)), integer=True)


QOPERATORS: dict[str, Float] = {
    "ConvInteger": conv_integer,
    "MatMulInteger": matmul_integer,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "com.microsoft.QGemm": qgemm,
    "com.microsoft.QLinearAdd": qlinear_binary(pointwise.add),
    "com.microsoft.QLinearAveragePool": qlinear_unary(pool.average_pool),
    "com.microsoft.QLinearConcat": qlinear_concat,
    "com.microsoft.QLinearGlobalAveragePool": qlinear_unary(pool.global_average_pool),
    "com.microsoft.QLinearMul": qlinear_binary(pointwise.mul),
    "com.microsoft.QLinearSigmoid": qlinear_unary(pointwise.sigmoid),
}
