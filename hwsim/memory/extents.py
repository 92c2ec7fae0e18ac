"""What the tiles of an image read and write: exact halos, and bytes on the bus in whole bursts."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.spec import Sliding

Ints = npt.NDArray[np.int64]


def ceil_divisors(size: int) -> list[int]:
    """Return every ``ceil(size / i)``, ascending: tiles of other sizes are no fewer than those of the next one here."""
    found = {size, 1}
    parts = 1
    while parts < size:
        tile = -(-size // parts)
        found.add(tile)
        # The next number of parts that needs a smaller tile.
        parts = max(parts + 1, -(-size // (tile - 1)) if tile > 1 else size)
    return sorted(found)


def burst_bytes_of(payload: Ints | int, burst: int) -> Ints:
    """Return the bytes that a run of neighbouring bytes takes on the bus."""
    whole: Ints = -(-np.asarray(payload, np.int64) // burst) * burst
    return whole


Width = int | tuple[int, int]
"""Bits of an element; or, of a compressed tensor, its bits and its elements, of which every part has its share."""


def packed(elements: Ints | int, bits: Width) -> Ints:
    """Return the bytes of packed elements, rounded up."""
    all_bits, all_elements = bits if isinstance(bits, tuple) else (bits, 1)
    whole: Ints = -(-np.asarray(elements, np.int64) * all_bits // (8 * all_elements))
    return whole


@dataclass(frozen=True)
class Cuts:
    """One direction of an image cut into tiles: lines written and lines read by each, ascending; padding is not read."""

    written: Ints
    read: Ints

    @property
    def tiles(self) -> int:
        """How many."""
        return len(self.written)


def cut(sliding: Sliding, axis: int, tile: int) -> Cuts:
    """Return the tiles of `tile` output lines each (the last may be smaller) along an axis (0: height, 1: width)."""
    window = (part[axis] for part in (sliding.kernel, sliding.stride, sliding.dilation, sliding.before))
    return _cut(sliding.output[axis], sliding.image[axis], tile, *window)


@functools.lru_cache(maxsize=1 << 16)
def _cut(lines: int, size: int, tile: int, kernel: int, stride: int, dilation: int, before: int) -> Cuts:
    starts = np.arange(0, lines, tile, dtype=np.int64)
    written = np.minimum(tile, lines - starts)
    first = starts * stride - before
    end = first + (written - 1) * stride + (kernel - 1) * dilation + 1
    read = np.clip(end, 0, size) - np.clip(first, 0, size)
    return Cuts(written, np.maximum(read, 0))


def region_bytes(
    heights: Ints, widths: Ints, full_width: int, channels: int, all_channels: int, bits: Width, burst: int
) -> Ints:
    """Return the bus bytes of the regions ``heights x widths x channels`` of an NHWC tensor, [heights, widths].

    A region is read in runs of neighbouring bytes: one run where it has whole rows of all channels, one per row where it has
    all channels, else one per pixel.
    """
    high, wide = heights[:, None], widths[None, :]
    if channels < all_channels:
        return high * wide * burst_bytes_of(packed(channels, bits), burst)
    rows = high * burst_bytes_of(packed(wide * channels, bits), burst)
    whole = burst_bytes_of(packed(high * wide * channels, bits), burst)
    chosen: Ints = np.where(wide == full_width, whole, rows)
    return chosen
