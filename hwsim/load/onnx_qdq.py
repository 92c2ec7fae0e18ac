"""QuantizeLinear and DequantizeLinear, and clips of integers between them (QCDQ)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import onnx

from hwsim.graph import Array, Quantization
from hwsim.load.onnx_build import Constant, Feature, Value, alike
from hwsim.load.onnx_call import Call
from hwsim.load.onnx_quantizer import Quantizer
from hwsim.spec import Format, InputError, bits_for, require

FORMATS = {
    "int2": Format(2),
    "uint2": Format(2, signed=False),
    "int4": Format(4),
    "uint4": Format(4, signed=False),
    "int8": Format(8),
    "uint8": Format(8, signed=False),
    "int16": Format(16),
    "uint16": Format(16, signed=False),
    "int32": Format(32),
}
"""Formats by the name of the element type; int32 is for biases."""


def quantize_linear(call: Call) -> Value:
    """Make integers of reals: of a constant now, of a feature in the graph."""
    value = call.inputs[0]
    form = _stored_format(call)
    if isinstance(value, Constant):
        quantization = linear(call, 1, form, value.shape)
        steps = _along(quantization, value.real().astype(np.float32), quantization.scale.astype(np.float32))
        return _typed(call.proto.output[0], steps, quantization)
    feature = call.feature(0)
    return quantized(call, feature, Quantizer.linear(linear(call, 1, form, None)), integer=True)


def dequantize_linear(call: Call) -> Value:
    """Read integers as the reals that they stand for; no node is needed."""
    value = call.inputs[0]
    if isinstance(value, Constant):
        require(value.quantization is None, "input 0", "integers", "reals")
        form = format_of(value.data, "input 0")
        quantization = linear(call, 1, form, value.shape)
        if value.limits is not None:
            quantization = narrowed(quantization, *value.limits)
        return replace(integers(value, quantization.format), quantization=quantization)
    feature = call.feature(0, integer=True)
    known = call.build.tensors[feature.tensor].quantization
    zero = call.optional_constant(2)
    form = (
        format_of(zero.data, "zero point") if zero is not None else known.format if known else Format(8, signed=False)
    )
    call.build.annotate(feature.tensor, linear(call, 1, form, None))
    return replace(feature, integer=False)


def dynamic(call: Call) -> Value:
    """Refuse what measures its range at run time."""
    raise InputError(
        "scale and zero point must be constants, not computed from each input (dynamic quantization): quantize the model "
        "statically, for example with onnxruntime.quantization.quantize_static"
    )


def clip_integers(call: Call) -> Value:
    """Narrow the integers of a quantized tensor, or of constants."""
    value = call.inputs[0]
    if isinstance(value, Constant):
        form = format_of(value.data, "input 0")
        lo, hi = _bounds(call, form.lo, form.hi)
        return Constant(
            call.proto.output[0], np.clip(value.data.astype(np.int64), lo, hi).astype(form.storage), None, (lo, hi)
        )
    feature = call.feature(0, integer=True)
    known = call.build.tensors[feature.tensor].quantization
    require(known is not None, "input", "quantized by a node of the model", "the model's input")
    assert known is not None
    return quantized(call, feature, Quantizer.linear(narrowed(known, *_bounds(call, known.lo, known.hi))), integer=True)


def _bounds(call: Call, lowest: int, highest: int) -> tuple[int, int]:
    given = (call.scalar(name, place, float(end)) for name, place, end in (("min", 1, lowest), ("max", 2, highest)))
    low, high = (min(max(value, lowest), highest) for value in given)
    require(low < high, "min and max", f"rising, within {lowest}..{highest}", f"{low:g} and {high:g}")
    return math.ceil(low), math.floor(high)


def narrowed(known: Quantization, lo: int, hi: int) -> Quantization:
    """Return a quantization with fewer integers, in the smallest format that holds them and the zero points."""
    lowest, highest = min(lo, int(known.zero_point.min())), max(hi, int(known.zero_point.max()))
    bits = bits_for(lowest, highest) if known.format.signed else max(highest.bit_length(), 1)
    form = Format(max(2, min(bits, known.format.bits)), known.format.signed)
    limits = None if (lo, hi) == (form.lo, form.hi) else (lo, hi)
    return Quantization(form, known.scale, known.zero_point, known.axis, limits)


def quantized(call: Call, feature: Feature, quantizer: Quantizer, *, integer: bool = False) -> Feature:
    """Add a quantizer; where its input is such integers already, it is its own result."""
    known, wanted = call.build.tensors[feature.tensor].quantization, quantizer.quantization
    inside = known is not None and alike(known, wanted) and wanted.lo <= known.lo and known.hi <= wanted.hi
    if inside and quantizer.direct is not None:
        return replace(feature, integer=integer)
    known_node = call.build.quantizer(feature.tensor, wanted) if quantizer.linear_only else None
    if known_node is not None:
        return Feature(known_node.outputs[0], feature.shape, feature.image, integer)
    written = call.build.apply(call.name, quantizer, [feature.tensor], call.proto.output[0])
    return Feature(written, feature.shape, feature.image, integer)


def linear(call: Call, place: int, form: Format, shape: tuple[int, ...] | None) -> Quantization:
    """Read scale (input `place`) and zero point (the one after) of a tensor of that shape, None for a feature."""
    scale, zero = call.constant(place), call.optional_constant(place + 1)
    require(call.integer("block_size", 0) == 0, "block_size", "0 (scales per tensor or per axis)", "given")
    require(scale.data.dtype.kind not in "iub", f"scale {scale.name!r}", "of floats", scale.data.dtype)
    values = scale.real()
    if zero is not None:
        same = zero.shape == scale.shape or zero.data.size == scale.data.size == 1
        require(same, "zero point", f"of the scale's shape {list(scale.shape)}", list(zero.shape))
        require(zero.data.dtype.kind != "f", "zero point", "an integer", zero.data.dtype)
    points = np.zeros(values.shape, np.int64) if zero is None else zero.data.astype(np.int64).reshape(values.shape)
    bad = ~(values > 0)
    require(not bad.any(), f"scale {scale.name!r}", "positive and finite", values[bad][:1])
    outside = (points < form.lo) | (points > form.hi)
    require(not outside.any(), "zero point", f"from {form.lo} to {form.hi} of {form}", points[outside][:1])
    check_reals(form, values, scale.name)
    if values.size == 1:
        return Quantization(form, values.reshape(()), points.reshape(()))
    if shape is None:
        raise InputError(f"scale must be one number for a computed tensor, not {values.size}")
    axis = call.integer("axis", 1)
    rank = len(shape)
    require(-rank <= axis < rank, "axis", f"from {-rank} to {rank - 1}", axis)
    require(values.shape == (shape[axis],), "scale", f"one, or {shape[axis]} along axis {axis}", list(values.shape))
    return Quantization(form, values, points, axis % rank)


def check_reals(form: Format, scale: Array, name: str) -> None:
    """Refuse scales whose reals leave float32."""
    largest = float(scale.max(initial=0.0))
    fits = largest * 2.0**form.bits <= float(np.finfo(np.float32).max)
    require(fits, f"scale {name!r}", f"small enough for {form} to stay in float32", largest)


def format_of(data: Array, field: str) -> Format:
    """Return the integer format of an array's element type."""
    name = data.dtype.name
    require(name in FORMATS, f"{field}: element type", f"one of {', '.join(FORMATS)}", name)
    return FORMATS[name]


def integers(value: Constant, form: Format) -> Constant:
    """Return a constant's integers in NumPy's own types: those of few bits come in extension types."""
    return Constant(value.name, value.data.astype(form.storage))


def _stored_format(call: Call) -> Format:
    zero = call.optional_constant(2)
    if zero is not None:
        form = format_of(zero.data, "zero point")
    else:
        code = call.integer("output_dtype", onnx.TensorProto.UINT8) or onnx.TensorProto.UINT8
        names = {number: name.lower() for name, number in onnx.TensorProto.DataType.items()}
        name = names.get(code, str(code))
        require(name in FORMATS, "output_dtype", f"one of {', '.join(FORMATS)}", name)
        form = FORMATS[name]
    require(form.bits <= 16, "quantized element type", "of at most 16 bits", form)
    return form


def _along(quantization: Quantization, real: Array, scale: Array) -> Array:
    shape = [1] * real.ndim
    if quantization.axis is not None:
        shape[quantization.axis] = -1
    with np.errstate(over="ignore"):
        steps: Array = np.rint(real / scale.reshape(shape)).astype(np.float64)
    return (steps + quantization.zero_point.reshape(shape)).reshape(real.shape)


def _typed(name: str, steps: Array, quantization: Quantization) -> Constant:
    form = quantization.format
    kept = np.clip(steps, form.lo, form.hi)
    code = onnx.TensorProto.DataType.Value(str(form).upper())
    return Constant(name, kept.astype(onnx.helper.tensor_dtype_to_np_dtype(code)))
