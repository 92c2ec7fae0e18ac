"""What the registers of one layer saw during a run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

REGISTERS = ("tree", "psum", "acc")
"""Order of the first axis of `Monitor.counts`."""

Counts = npt.NDArray[np.int64]

NEVER = int(np.iinfo(np.int64).max)
"""An image number that no run reaches."""


MOST_BITS = 64
"""Widths that a histogram of running sums has places for: 0..63."""


@dataclass(frozen=True)
class Closer:
    """How closely `Monitor.observe` may look: at each output by itself, and where its events lie.

    Parameters
    ----------
    pixels
        Output pixels of the layer.
    places
        Equal parts of the products of an output that events are counted in.
    """

    pixels: int
    places: int = 16


class Detail:
    """What a closer look counts besides a `Monitor`; running sums are those without any overflow.

    Attributes
    ----------
    places
        int64 [3, 2, places]: events by register, kind, and part of the products: that of the first product of the group.
    pixels
        int64 [pixels]: events by output pixel.
    widths
        int64 [channels, MOST_BITS]: outputs by the bits that hold all running sums of their accumulator.
    struck
        int64 [channels]: outputs with an event in any register, or with a bias that the accumulator could not start from.
    cancelled
        int64 [channels]: those whose accumulator was left with the right sum nevertheless.
    psum
        int64 [2, channels]: smallest and largest running partial sum. Empty range where there is none.
    merged
        int64 [2, channels]: events of the accumulator, by kind, where the product of an outlier was written to it.
    """

    def __init__(self, channels: int, pixels: int, places: int) -> None:
        self.places = np.zeros((len(REGISTERS), 2, places), np.int64)
        self.pixels = np.zeros(pixels, np.int64)
        self.widths = np.zeros((channels, MOST_BITS), np.int64)
        self.struck = np.zeros(channels, np.int64)
        self.cancelled = np.zeros(channels, np.int64)
        self.psum = np.empty((2, channels), np.int64)
        self.psum[0], self.psum[1] = NEVER, -NEVER
        self.merged = np.zeros((2, channels), np.int64)

    def merge(self, other: Detail, span: slice) -> None:
        """Add what `other` saw of the channels in `span`."""
        self.places += other.places
        self.pixels += other.pixels
        self.merged[:, span] += other.merged
        self.widths[span] += other.widths
        self.struck[span] += other.struck
        self.cancelled[span] += other.cancelled
        np.minimum(self.psum[0, span], other.psum[0], out=self.psum[0, span])
        np.maximum(self.psum[1, span], other.psum[1], out=self.psum[1, span])


@dataclass
class Monitor:
    """Overflow events and extremes of a reduction with `channels` outputs; filled in by the kernels.

    Parameters
    ----------
    channels
        Output channels of the layer.
    observe
        Also track the extremes of the exact running sums (slower); `Closer` fills in `detail` besides (slower again).
    base
        Number of the batch's first image in the run.

    Attributes
    ----------
    counts
        int64 [3, 2, channels]: events by register (`REGISTERS`) and kind (0: above the largest value, 1: below the
        smallest). An event is one write of a sum that the register cannot represent.
    low, high
        int64 [channels]: extremes of the accumulator's running sum as it would be without any overflow, the bias
        included where it starts there. Empty range (low > high) where nothing was observed.
    first
        int64 [4]: the first image with an event, its lowest output pixel, of that the lowest channel, and of that the lowest
        register. The image is `NEVER` where there was none; the others are -1 where only the image is known (the SIMD
        kernels count per image).
    detail
        What a closer look saw, or None.
    """

    channels: int
    observe: bool | Closer = False
    base: int = 0
    counts: Counts = field(init=False)
    low: Counts = field(init=False)
    high: Counts = field(init=False)
    first: Counts = field(init=False)
    detail: Detail | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.counts = np.zeros((len(REGISTERS), 2, self.channels), np.int64)
        self.low = np.full(self.channels, NEVER, np.int64)
        self.high = np.full(self.channels, -NEVER, np.int64)
        self.first = np.full(4, NEVER, np.int64)
        if isinstance(self.observe, Closer):
            self.detail = Detail(self.channels, self.observe.pixels, self.observe.places)

    @property
    def events(self) -> int:
        """All overflow events."""
        return int(self.counts.sum())

    @property
    def observed(self) -> bool:
        """Whether any running sum was tracked."""
        return bool(np.any(self.low <= self.high))

    @property
    def first_image(self) -> int | None:
        """The first image with an event, or None."""
        return None if self.first[0] == NEVER else int(self.first[0])

    def merge(self, other: Monitor, start: int = 0) -> None:
        """Add what `other` saw of this layer, or of its channels from `start` on (one group of a grouped convolution).

        The order of merging does not matter.
        """
        span = slice(start, start + other.channels)
        self.counts[:, :, span] += other.counts
        np.minimum(self.low[span], other.low, out=self.low[span])
        np.maximum(self.high[span], other.high, out=self.high[span])
        if self.detail is not None and other.detail is not None:
            self.detail.merge(other.detail, span)
        # Groups of one image share its pixels: the lowest pixel, then the lowest channel, is first.
        theirs = other.first.copy()
        if other.first_image is not None and theirs[2] >= 0:
            theirs[2] += start
        if tuple(theirs[:3]) < tuple(self.first[:3]):
            self.first[:] = theirs
