"""Weights in the layout of the listed kernels, and the tables of blocks that they go by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hwsim.kernels.finish import Finish
from hwsim.kernels.listed import ABOVE, BELOW, MOST, Listed, Listing
from hwsim.kernels.ordered_form import Ordering
from hwsim.kernels.panels import Calls
from hwsim.kernels.registers import Kind
from hwsim.kernels.targets import Target

Int64 = npt.NDArray[np.int64]

BLOCK_BYTES = 24 << 10
"""Of weights that stay in the first cache, beside lists and accumulators."""


def listed_fields(calls: Calls, kernel: Listed, weights: Int64, segments: int, target: Target) -> dict[int, int]:
    """Return the fields of a call that say what it sums.

    weights: int64 [K, lanes], K in the declared order, as many for each of the segments.
    """
    most = _most(kernel.record(target))
    blocks, pieces, entries = _blocks(segments, len(weights) // segments, most, kernel.unit(target))
    return {
        Listing.COUNT: len(blocks),
        Listing.BLOCKS: calls.address(blocks),
        Listing.PIECES: calls.address(pieces),
        # Whole vectors of them are read.
        Listing.ENTRIES: calls.address(np.pad(entries, (0, target.lanes))),
        Ordering.WEIGHTS: calls.address(_records(weights, kernel.signed)),
    }


def listed_kernel(wide: int, finish: Finish, acc: Kind, depth: int, target: Target, *, signed: bool) -> Listed:
    """Return the kernel for segments of `depth` products; wide: vectors of 32-bit lanes."""
    kernel = Listed(wide, finish, acc, signed, whole=False)
    whole = depth % target.lanes == 0 and _most(kernel.record(target)) % target.lanes == 0
    return replace(kernel, whole=whole)


def _most(record: int) -> int:
    """Return the products of a block, at most."""
    return min(MOST, BLOCK_BYTES // record)


def _blocks(segments: int, depth: int, most: int, unit: int) -> tuple[Int64, Int64, npt.NDArray[np.int32]]:
    """Split a window into blocks of at most `most` products; return the tables of `Listing`."""
    blocks: list[list[int]] = []
    pieces: list[list[int]] = []
    entries: list[int] = []
    used = most
    for segment in range(segments):
        for start in range(0, depth, most):
            size = min(most, depth - start)
            if used + size > most:
                blocks.append([len(pieces), 0, 8 * unit * len(entries), 4 * len(entries)])
                used = 0
            pieces.append([segment, 2 * start, size])
            entries += [unit * (used + k) << 16 for k in range(size)]
            used += size
            blocks[-1][1] = len(pieces)
    return np.array(blocks, np.int64), np.array(pieces, np.int64), np.array(entries, np.int64).astype(np.int32)


def _records(weights: Int64, signed: bool) -> npt.NDArray[np.int16]:
    """Return [K, signs, 2, lanes]: weights, and what an event counts for activations above zero, then for those below."""
    rising = np.where(weights > 0, ABOVE, BELOW)
    signs = [np.stack([weights, rising], axis=1)]
    if signed:
        signs.append(np.stack([weights, ABOVE + BELOW - rising], axis=1))
    return np.stack(signs, axis=1).astype(np.int16)
