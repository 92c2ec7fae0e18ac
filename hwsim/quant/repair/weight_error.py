"""What a scheme's integers lose of a weight tensor."""

from __future__ import annotations

import numpy as np

from hwsim.graph import Array, Quantization
from hwsim.quant.schemes import Scheme


def quantization_of(weights: Array, axis: int, scheme: Scheme, least: Array | None = None) -> Quantization:
    """Return how a scheme quantizes weights over all of their range; no scale is below `least` [channels]."""
    grid = scheme.weight_grid
    if least is None:
        least = np.zeros(weights.shape[axis])
    # "Clipped" keeps to the integers that such a range needs, so that others cannot appear when roundings change.
    if not scheme.per_channel:
        lo, hi = (np.asarray(end, np.float64) for end in (weights.min(), weights.max()))
        return grid.weights(lo, hi, None, least.max(), clipped=True)
    others = tuple(i for i in range(weights.ndim) if i != axis)
    lo = scheme.shared(weights.min(axis=others).astype(np.float64), np.minimum)
    hi = scheme.shared(weights.max(axis=others).astype(np.float64), np.maximum)
    return grid.weights(lo, hi, axis, scheme.shared(least, np.maximum), clipped=True)


def error(weights: Array, axis: int, scheme: Scheme, stored: Array | None = None) -> Array:
    """Return the squared error summed over each output channel, float64 [channels].

    Parameters
    ----------
    weights
        Real weights.
    axis
        Their output channels.
    scheme
        How they are quantized.
    stored
        What is quantized in their place, a clipped form of them for instance.
    """
    values = weights if stored is None else stored
    quantization = quantization_of(values, axis, scheme)
    lost = weights - quantization.dequantize(quantization.quantize(values))
    found: Array = (lost.astype(np.float64) ** 2).sum(axis=tuple(i for i in range(weights.ndim) if i != axis))
    return found


def sqnr_db(weights: Array, lost: float) -> float:
    """Return ``10 log10(sum(w**2) / lost)``; infinity where nothing is lost."""
    power = float((weights.astype(np.float64) ** 2).sum())
    return float("inf") if lost == 0 else 10 * float(np.log10(power / lost)) if power else 0.0
