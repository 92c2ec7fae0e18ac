"""QONNX's quantizers as Brevitas and FINN write them: Quant, BipolarQuant, Trunc, MultiThreshold.

What they compute is what the package ``qonnx`` executes (``qonnx/custom_op/general``), in float32.
"""

from __future__ import annotations

import math

import numpy as np

from hwsim.graph import Array, Quantization
from hwsim.load.onnx_build import Constant, Value
from hwsim.load.onnx_call import Call
from hwsim.load.onnx_qdq import check_reals, quantized
from hwsim.load.onnx_quantizer import Quantizer
from hwsim.ops.quantize import ROUNDINGS
from hwsim.spec import Format, bits_for, require

FEATURE_BITS = range(1, 17)
CONSTANT_BITS = range(1, 33)
"""Widths; biases are wider."""

BIPOLAR = "BIPOLAR"
_TWO_BITS = Format(2)


def quant(call: Call) -> Value:
    """Quantize to integers of any width, with a rounding mode."""
    constant = isinstance(call.inputs[0], Constant)
    scale, zero = call.constant(1).real(), call.constant(2).real()
    bits = _number(call, 3, "bit width")
    allowed = CONSTANT_BITS if constant else FEATURE_BITS
    require(bits in allowed, "bit width", f"an integer from {allowed[0]} to {allowed[-1]}", bits)
    signed, narrow = bool(call.integer("signed", 1)), bool(call.integer("narrow", 1))
    mode = _mode(call, "ROUND")
    if bits == 1 and signed:
        return _made(call, BIPOLAR, _TWO_BITS, (-1, 1), scale, zero)
    form = Format(bits, signed)
    lo, hi = (form.lo + narrow, form.hi) if signed else (form.lo, form.hi - narrow)
    require(lo < hi, "bit width", "2 or more with a narrow range", bits)
    return _made(call, mode, form, None if (lo, hi) == (form.lo, form.hi) else (lo, hi), scale, zero)


def bipolar_quant(call: Call) -> Value:
    """Quantize to -1 and +1 times a scale."""
    return _made(call, BIPOLAR, _TWO_BITS, (-1, 1), call.constant(1).real(), np.zeros(()))


def trunc(call: Call) -> Value:
    """Drop low bits of integers: of 4 bits fewer, every 16th is left."""
    scale, zero = _number_real(call, 1, "scale"), _number_real(call, 2, "zero point")
    bits_in = _number(call, 3, "input bit width")
    mode = _mode(call, "FLOOR")
    newer = len(call.inputs) > 5
    bits = _number(call, 5 if newer else 4, "output bit width")
    require(bits in FEATURE_BITS, "output bit width", "an integer from 1 to 16", bits)
    scale_out = _number_real(call, 4, "output scale") if newer else scale
    require(scale > 0 and scale_out > 0, "scale", "positive", min(scale, scale_out))
    check_reals(Format(16), np.array([scale, scale_out]), call.proto.input[1])
    # Version 1 keeps the scale, although a dropped bit doubles a step; version 2 says the new one.
    step = 2.0 ** round(math.log2(scale_out / scale)) if newer else 2.0 ** (bits_in - bits)
    zero_out = zero / step if newer else zero
    require(float(zero_out).is_integer(), "zero point", "an integer after the truncation", zero_out)
    signed, narrow = bool(call.integer("signed", 1)), bool(call.integer("narrow", 0))
    form = Format(bits, signed) if newer else Format(bits + 1)
    lo, hi = (form.lo + narrow, form.hi) if signed or not newer else (form.lo, form.hi - narrow)
    quantization = Quantization(form, np.array(scale_out), np.array(int(zero_out)), None, (lo, hi) if narrow else None)
    rounding = ROUNDINGS[mode]

    def function(real: Array) -> Array:
        steps = np.rint(real.astype(np.float32) / np.float32(scale) + np.float32(zero)) / np.float32(step)
        found: Array = np.clip(rounding(np.clip(steps, lo, hi)), lo, hi).astype(form.storage)
        return found

    return quantized(call, call.feature(0), Quantizer(quantization, function, None))


def multi_threshold(call: Call) -> Value:
    """Count the thresholds that a value reaches."""
    feature, table = call.feature(0), call.constant(1).real()
    rank = len(feature.shape)
    layout = call.text("data_layout", "") or {2: "NC", 3: "NWC", 4: "NCHW"}.get(rank, "NC")
    channel = layout.index("C") if "C" in layout else 1
    channels = feature.shape[channel] if channel < rank else 0
    require(
        table.ndim == 2 and table.shape[0] in (1, channels) and table.shape[1] >= 1,
        "thresholds",
        f"[1 or {channels} channels, levels]",
        list(table.shape),
    )
    last = feature.image if channel == 1 and rank == 4 else channel == rank - 1
    require(last or table.shape[0] == 1, "data_layout", "one whose channels are the graph's last axis", layout)
    require(bool((np.diff(table, axis=1) >= 0).all()), "thresholds", "rising", "others")
    levels, scale, bias = table.shape[1], call.number("out_scale", 1.0), call.number("out_bias", 0.0)
    require(0 < scale < math.inf, "out_scale", "positive and finite", scale)
    check_reals(Format(16), np.array([scale]), "out_scale")
    step, lowest = (1, bias / scale) if float(bias / scale).is_integer() else (2, 2 * bias / scale)
    require(
        math.isfinite(lowest) and float(lowest).is_integer() and abs(lowest) < 2**15,
        "out_bias",
        "a multiple of half of out_scale, within 16 bits",
        bias,
    )
    lo, hi = int(lowest), int(lowest) + step * levels
    form = Format(max(2, bits_for(lo, hi)), True) if lo < 0 else Format(max(1, hi.bit_length()), False)
    require(form.bits <= 16, "levels", "few enough for 16 bits", levels)
    limits = None if (lo, hi) == (form.lo, form.hi) else (lo, hi)
    quantization = Quantization(form, np.array(scale / step), np.zeros((), np.int64), None, limits)
    thresholds = table.astype(np.float32)

    def function(real: Array) -> Array:
        count = np.zeros(real.shape, np.int64)
        for level in range(levels):
            count += real >= thresholds[:, level]
        found: Array = (lo + step * count).astype(form.storage)
        return found

    return quantized(call, feature, Quantizer(quantization, function, None, step, table.shape[0] > 1))


def _made(
    call: Call, mode: str, form: Format, limits: tuple[int, int] | None, scale: Array, zero: Array
) -> Value:  # fmt: skip
    value = call.inputs[0]
    points = zero.astype(np.int64)
    require(bool((points == zero).all()), "zero point", "an integer", zero.reshape(-1)[:1])
    bad = ~(scale > 0)
    require(not bad.any(), "scale", "positive and finite", scale[bad][:1])
    outside = (points < form.lo) | (points > form.hi)
    require(not outside.any(), "zero point", f"from {form.lo} to {form.hi} of {form}", points[outside][:1])
    check_reals(form, scale, call.proto.input[1])
    if not isinstance(value, Constant):
        require(scale.size == zero.size == 1, "scale", "one number for a computed tensor", f"{scale.size}")
        quantization = Quantization(form, scale.reshape(()), points.reshape(()), None, limits)
        return quantized(call, call.feature(0), Quantizer.rounding(quantization, mode))
    axis, scales, zeros = _per_axis(value.shape, scale, points)
    quantization = Quantization(form, scales, zeros, axis, limits)
    real = value.real().astype(np.float32)
    along = [1] * real.ndim
    if axis is not None:
        along[axis] = -1
    lo, hi = quantization.lo, quantization.hi
    with np.errstate(over="ignore"):
        steps = real / scales.astype(np.float32).reshape(along) + zeros.astype(np.float32).reshape(along)
    integers = ROUNDINGS[mode](np.clip(steps, np.float32(lo), np.float32(hi))).reshape(value.shape)
    return Constant(
        call.proto.output[0], np.clip(integers.astype(np.float64), lo, hi).astype(form.storage), quantization
    )


def _per_axis(shape: tuple[int, ...], scale: Array, zero: Array) -> tuple[int | None, Array, Array]:
    """Return the axis along which scales broadcast, None for one scale, with scales and zero points."""
    if scale.size == zero.size == 1:
        return None, scale.reshape(()), zero.reshape(())
    found = []
    for values in (scale, zero):
        full = (1,) * (len(shape) - values.ndim) + values.shape
        wide = [axis for axis, size in enumerate(full) if size != 1]
        fits = len(full) == len(shape) and len(wide) <= 1 and all(full[axis] == shape[axis] for axis in wide)
        require(fits, "scale and zero point", f"one, or one along an axis of {list(shape)}", list(values.shape))
        found += wide
    require(len(set(found)) == 1, "scale and zero point", "along the same axis", sorted(set(found)))
    size = shape[found[0]]
    return found[0], np.broadcast_to(scale.reshape(-1), (size,)), np.broadcast_to(zero.reshape(-1), (size,))


def _mode(call: Call, default: str) -> str:
    mode = call.text("rounding_mode", default).upper()
    mode = {"ROUND": "HALF_EVEN", "ROUND_TO_ZERO": "DOWN"}.get(mode, mode)
    allowed = sorted({*ROUNDINGS, "ROUND", "ROUND_TO_ZERO"} - {BIPOLAR})
    require(mode in ROUNDINGS and mode != BIPOLAR, "rounding_mode", f"one of {', '.join(allowed)}", mode)
    return mode


def _number_real(call: Call, place: int, field: str) -> float:
    value = call.constant(place)
    require(value.data.size == 1, field, "a single number", f"of shape {list(value.shape)}")
    return float(value.real().reshape(()))


def _number(call: Call, place: int, field: str) -> int:
    number = _number_real(call, place, field)
    require(number.is_integer(), field, "an integer", number)
    return int(number)
