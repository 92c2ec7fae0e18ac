"""Thresholds of a layer's accumulators from the float function that follows them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwsim.graph import Array

FARTHEST = 2**47
"""Magnitude that no accumulator of up to 48 bits exceeds."""

NEVER = 2**62
"""A threshold that none reaches."""


def threshold_table(level: Callable[[Array], Array], channels: int, levels: int) -> Array:
    """Return the table for `hwsim.kernels.thresholds`: int64 [channels, 1 + levels].

    Parameters
    ----------
    level
        Maps accumulators int64 [M, channels] to levels 0..`levels`; per channel it never falls, or never rises, because each
        float32 step of it is monotone. So each threshold is found by halving, exactly.
    channels, levels
        Their numbers.
    """
    ends = level(np.array([[-FARTHEST] * channels, [FARTHEST] * channels], np.int64))
    sign = np.where(ends[1] >= ends[0], 1, -1).astype(np.int64)
    wanted = np.arange(1, levels + 1, dtype=np.int64)[:, None]
    low = np.full((levels, channels), -FARTHEST, np.int64)  # not reached here, or lowest of all
    high = np.full((levels, channels), FARTHEST + 1, np.int64)  # reached here, or nowhere
    while (high - low > 1).any():
        middle = (low + high) // 2
        reached = level(sign * middle) >= wanted
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle)
    # What the lowest accumulator reaches, all do.
    high = np.where(level(sign * np.full_like(low, -FARTHEST)) >= wanted, -FARTHEST, high)
    high = np.where(high > FARTHEST, NEVER, high)
    return np.ascontiguousarray(np.concatenate([sign[None], high]).T)
