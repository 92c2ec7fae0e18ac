"""From accumulators to few-bit activations by comparison: how many thresholds of its channel an accumulator reaches."""

from __future__ import annotations

from typing import Any

from hwsim.kernels.jit import jit


@jit
def apply_thresholds(acc: Any, table: Any, first: Any, lowest: Any, step: Any, out: Any) -> None:
    """Write ``lowest + step * #{i : sign * acc >= t[i]}``.

    Parameters
    ----------
    acc
        Integers [M, N].
    table
        int64 [C, 1 + L]: the sign of the channel, +1 or -1, then its thresholds in rising order.
    first
        Channel of column 0.
    lowest, step
        Integers of the output's format.
    out
        [M, N].
    """
    levels = table.shape[1] - 1
    for m in range(acc.shape[0]):
        for n in range(acc.shape[1]):
            row = table[first + n]
            value = row[0] * acc[m, n]
            low, high = 0, levels
            while low < high:
                middle = (low + high) // 2
                if row[1 + middle] <= value:
                    low = middle + 1
                else:
                    high = middle
            out[m, n] = lowest + step * low
