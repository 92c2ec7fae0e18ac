"""Stored tensors of a TFLite file as tensors of a graph: types, quantization, constants."""

from __future__ import annotations

import math

import numpy as np

from hwsim.graph import Array, Quantization, Tensor
from hwsim.load.tflite_file import StoredTensor
from hwsim.spec import Format, InputError, require

FORMATS = {"INT8": Format(8), "UINT8": Format(8, signed=False), "INT16": Format(16), "INT4": Format(4)}
"""Integer types with a real meaning; INT4 only as weights."""

ACTIVATION_TYPES = ("FLOAT32", "INT8", "UINT8", "INT16")

STORAGE = {
    "FLOAT32": "<f4",
    "FLOAT16": "<f2",
    "INT64": "<i8",
    "INT32": "<i4",
    "INT16": "<i2",
    "INT8": "i1",
    "UINT8": "u1",
}
"""NumPy types of the elements of a constant; INT4 is packed, two in a byte."""

MAX_INTEGERS = 1024
"""Longest vector of sizes, axes or paddings."""


def activation(stored: StoredTensor) -> Tensor:
    """Return a tensor that is computed; its first axis is the batch and becomes 1."""
    require(stored.type in ACTIVATION_TYPES, f"{stored}: type", f"one of {', '.join(ACTIVATION_TYPES)}", stored.type)
    require(
        len(stored.shape) >= 1 and min(stored.shape) >= 1,
        f"{stored}: shape",
        "[batch, ...] without empty axes",
        list(stored.shape),
    )
    quantization = None
    if stored.type != "FLOAT32":
        require(stored.scale.size == 1, f"{stored}: scales", "exactly one (quantized per tensor)", stored.scale.size)
        quantization = _quantization(stored)
    return Tensor(stored.name, (1, *stored.shape[1:]), quantization)


def weights(stored: StoredTensor) -> Tensor:
    """Return a constant with a real meaning: weights, or a constant operand of an element-wise operator."""
    allowed = ("FLOAT32", *FORMATS)
    require(stored.type in allowed, f"{stored}: type", f"one of {', '.join(allowed)}", stored.type)
    quantization = None
    if stored.type != "FLOAT32":
        require(stored.scale.size >= 1, f"{stored}: scales", "one, or one per channel", "none")
        quantization = _quantization(stored)
    return Tensor(stored.name, stored.shape, quantization, values(stored))


def bias(stored: StoredTensor) -> Tensor:
    """Return a bias: float32, or int64 without a quantization."""
    allowed = ("FLOAT32", "INT32", "INT64")
    require(stored.type in allowed, f"{stored}: type", f"one of {', '.join(allowed)} for a bias", stored.type)
    data = values(stored)
    return Tensor(stored.name, stored.shape, None, data if stored.type == "FLOAT32" else data.astype(np.int64))


def values(stored: StoredTensor) -> Array:
    """Return a copy of a constant's values in the native type of its elements; float16 becomes float32."""
    if stored.data is None:
        raise InputError(f"{stored} must be a constant, not computed")
    elements = math.prod(stored.shape)
    if stored.type == "INT4":
        expected = (elements + 1) // 2
    else:
        require(stored.type in STORAGE, f"{stored}: type", f"one of {', '.join([*STORAGE, 'INT4'])}", stored.type)
        expected = elements * np.dtype(STORAGE[stored.type]).itemsize
    require(
        stored.data.size == expected,
        f"{stored}: data",
        f"{expected} bytes for shape {list(stored.shape)}",
        stored.data.size,
    )
    if stored.type == "INT4":
        return _unpack_int4(stored.data, elements).reshape(stored.shape)
    array = np.frombuffer(stored.data.tobytes(), STORAGE[stored.type]).reshape(stored.shape)
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise InputError(f"{stored}: values must be finite, not {array[~np.isfinite(array)][0]}")
    return array.astype(array.dtype.newbyteorder("="))


def integers(stored: StoredTensor) -> Array:
    """Return a constant vector of sizes, axes or paddings as int64."""
    require(stored.type in ("INT32", "INT64"), f"{stored}: type", "INT32 or INT64", stored.type)
    count = math.prod(stored.shape)
    require(count <= MAX_INTEGERS, f"{stored}: elements", f"at most {MAX_INTEGERS}", count)
    return values(stored).astype(np.int64)


def _quantization(stored: StoredTensor) -> Quantization:
    scale, zero_point, fmt = stored.scale, stored.zero_point, FORMATS[stored.type]
    per_channel = scale.size > 1
    if per_channel:
        require(
            0 <= stored.axis < len(stored.shape),
            f"{stored}: quantized dimension",
            f"an axis of shape {list(stored.shape)}",
            stored.axis,
        )
        require(
            scale.size == stored.shape[stored.axis],
            f"{stored}: scales",
            f"one, or {stored.shape[stored.axis]} along axis {stored.axis}",
            scale.size,
        )
    bad = ~(np.isfinite(scale) & (scale > 0))
    if bad.any():
        raise InputError(f"{stored}: scale must be finite and positive, not {scale[bad][0]}")
    if zero_point.size == 0:
        zero_point = np.zeros(scale.size, np.int64)
    require(
        zero_point.size == scale.size, f"{stored}: zero points", f"as many as scales ({scale.size})", zero_point.size
    )
    outside = (zero_point < fmt.lo) | (zero_point > fmt.hi)
    if outside.any():
        raise InputError(f"{stored}: zero point must be from {fmt.lo} to {fmt.hi}, not {zero_point[outside][0]}")
    if per_channel:
        return Quantization(fmt, scale.astype(np.float64), zero_point.copy(), stored.axis)
    return Quantization(fmt, np.asarray(scale[0], np.float64), np.asarray(zero_point[0], np.int64))


def _unpack_int4(packed: Array, elements: int) -> Array:
    # The first of two sits in the low nibble; an odd last one leaves the high nibble unused.
    nibbles = np.stack([packed & 15, packed >> 4], axis=-1).reshape(-1)[:elements].astype(np.int8)
    return np.where(nibbles > 7, nibbles - 16, nibbles).astype(np.int8)
