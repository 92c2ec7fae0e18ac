"""Stretches of products that a register has room for, whatever the activations are: bounds, proven from the weights.

Where every register of a tile is between the bounds of a stretch, no order of its products can take one out of its range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwsim.kernels.ordered_form import Form
from hwsim.spec import Format

Int64 = npt.NDArray[np.int64]

STRETCHES = (4, 8, 16, 32)
"""Products of bytes that a register is compared with bounds for at once."""

ROOM = 4
"""The part of its range that they may take a register through, if they are not the fewest."""


def _blocks(values: Int64, size: int) -> Int64:
    """Return the sums of blocks of `size` of [segments, K, N]: [segments, blocks, N]."""
    segments, depth, width = values.shape
    filled = np.zeros((segments, -(-depth // size) * size, width), np.int64)
    filled[:, :depth] = values
    found: Int64 = filled.reshape(segments, -1, size, width).sum(axis=2)
    return found


def _ends(weights: Int64, span: tuple[int, int], products: int) -> tuple[Int64, Int64]:
    """Return what a stretch of products adds at least, and at most: the sums of its terms' negative and positive ends.

    So does any part of it. int64 [segments, stretches, N] for weights [segments, K, N].
    """
    ends = weights * span[0], weights * span[1]
    rising, falling = np.maximum(np.maximum(*ends), 0), np.minimum(np.minimum(*ends), 0)
    return _blocks(falling, products), _blocks(rising, products)


def fours_of_stretch(weights: Int64, span: tuple[int, int], acc: Format, lanes: int) -> int:
    """Return how many fours of products, in groups of `lanes`, an accumulator is compared with bounds for at once."""
    least = max(lanes, 4)
    sizes = sorted({-(-size // least) * least for size in STRETCHES})
    for size in reversed(sizes[1:]):
        falling, rising = _ends(weights, span, size)
        if max(-int(falling.min(initial=0)), int(rising.max(initial=0))) <= (acc.hi - acc.lo) // ROOM:
            return size // 4
    return sizes[0] // 4


def stretch_table(
    kernel: Form, acc: Format, offset: int, weights: Int64, span: tuple[int, int]
) -> npt.NDArray[np.int32]:
    """Return the tables of all stretches, int32 [segments, stretches, `Form.bounds`, N]; see `hwsim.kernels.gated_writer`.

    An accumulator of format `acc` that is between the bounds stays in its range whatever the activations are. offset: what
    activations in bytes are more than the multiplier sees.
    """
    products = kernel.stretch * (4 if kernel.fours else 2)
    falling, rising = _ends(weights, span, products)
    rows = [acc.lo - falling, acc.hi - rising]
    if kernel.offset:
        less = -offset * _blocks(weights, kernel.lanes)
        per = products // kernel.lanes
        by_stretch = np.zeros((less.shape[0], falling.shape[1] * per, less.shape[2]), np.int64)
        by_stretch[:, : less.shape[1]] = less
        groups = by_stretch.reshape(less.shape[0], -1, per, less.shape[2])
        rows += [groups.sum(axis=2), *np.moveaxis(groups, 2, 0)]
    return np.stack(rows, axis=2).clip(-(2**31), 2**31 - 1).astype(np.int32)
