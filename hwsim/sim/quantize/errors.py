"""Sums from which the error of approximate values follows, batch by batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwsim.graph import Array
from hwsim.sim.quantize.document import ErrorFigures

DIGITS = 6
"""Significant digits of what the document says: float32 sums of other processors differ beyond."""


@dataclass
class ErrorSums:
    """Exact against approximate values, float64 sums over all elements."""

    n: int = 0
    signal: float = 0.0
    noise: float = 0.0
    other: float = 0.0
    """Of the squares of the approximate values."""
    common: float = 0.0
    """Of the products of the two."""

    def add(self, exact: Array, approximate: Array) -> None:
        """Add a batch; arrays of one shape."""
        real, found = exact.astype(np.float64), approximate.astype(np.float64)
        self.n += real.size
        self.signal += float(np.square(real).sum())
        self.noise += float(np.square(found - real).sum())
        self.other += float(np.square(found).sum())
        self.common += float((real * found).sum())

    def figures(self) -> ErrorFigures:
        """Return what the document says."""
        norm = math.sqrt(self.signal * self.other)
        return ErrorFigures(
            rms=significant(math.sqrt(self.noise / max(self.n, 1))),
            sqnr_db=decibels(self.signal, self.noise),
            cosine=significant(min(self.common / norm, 1.0)) if norm else None,
        )


@dataclass
class ChannelSums:
    """Errors by output channel, the last axis of a layer's output."""

    error: Array | None = None
    square: float = 0.0
    n: int = 0

    def add(self, exact: Array, approximate: Array) -> None:
        """Add a batch."""
        difference = approximate.astype(np.float64) - exact
        by_channel = difference.reshape(-1, difference.shape[-1]).sum(axis=0)
        self.error = by_channel if self.error is None else self.error + by_channel
        self.square += float(np.square(difference).sum())
        self.n += difference.size // difference.shape[-1]

    def shift(self) -> float:
        """Return the share of the squared error that is a constant per channel."""
        if self.error is None or self.square == 0:
            return 0.0
        return significant(min(float(np.square(self.error).sum()) / self.n / self.square, 1.0))


def decibels(signal: float, noise: float) -> float | None:
    """``10 log10(signal / noise)``, to 0.001 dB; None where either is 0."""
    return round(10 * math.log10(signal / noise), 3) if signal > 0 and noise > 0 else None


def significant(value: float) -> float:
    """Return a number to `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")
