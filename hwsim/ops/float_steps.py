"""What ONNX Runtime computes around a float operator: dequantize, and quantize again, each step rounded to float32."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwsim.graph import Array, Quantization


def to_real(source: Quantization, values: Array) -> Array:
    """Return ``float32(q - zero_point) * float32(scale)``, as DequantizeLinear; per tensor."""
    centered = values.astype(np.int32) - np.int32(source.zero_point)
    real: Array = centered.astype(np.float32) * np.float32(source.scale)
    return real


def to_integers(result: Quantization, real: Array, lo: int, hi: int) -> Array:
    """Return ``round(real / scale) + zero_point``, ties to even, clamped to ``lo..hi``, as QuantizeLinear; per tensor."""
    zero_point = int(result.zero_point)
    with np.errstate(over="ignore"):  # a quotient beyond float32 is clamped like any other
        steps = np.rint(real.astype(np.float32) / np.float32(result.scale))
    # Bounds less a zero point of 16 bits are exact in float32, and so is what remains after the clamp.
    steps = np.clip(steps, np.float32(lo - zero_point), np.float32(hi - zero_point))
    integers: Array = (steps.astype(np.int32) + zero_point).astype(result.format.storage)
    return integers


def table(source: Quantization, function: Callable[[Array], Array], result: Quantization, lo: int, hi: int) -> Array:
    """Return what every integer of the source becomes under a function of float32 reals, lowest integer first."""
    integers = np.arange(source.format.lo, source.format.hi + 1)
    return to_integers(result, function(to_real(source, integers)), lo, hi)


def from_table(entries: Array, source: Quantization) -> Callable[[Array], Array]:
    """Return a function that looks integers of the source up."""
    lowest = source.format.lo
    return lambda values: entries[values.astype(np.int32) - lowest]
