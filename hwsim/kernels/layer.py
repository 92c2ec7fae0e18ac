"""A layer of sums of products on the generated kernels: what stays the same between batches, and one batch."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.kernels.compiled import foreign
from hwsim.kernels.convolution import Memory, Panel, Shape
from hwsim.kernels.copying import Copy
from hwsim.kernels.driver import Convolve, Places
from hwsim.kernels.fields import Call
from hwsim.kernels.finish import aligned
from hwsim.kernels.gather import Geometry
from hwsim.kernels.ordered_form import Ordering
from hwsim.kernels.panels import Calls
from hwsim.kernels.targets import Target
from hwsim.kernels.tile import Operands

BUFFER_BYTES = 96 << 10
"""Padded images of a block, about: they stay in the level-2 cache, and mostly in the first."""

SLACK = 256
"""Bytes behind a block that kernels may read: they multiply them, like the next pixel's, by a zero weight."""


@dataclass(frozen=True)
class Images:
    """What a layer reads.

    Parameters
    ----------
    operands
        How the kernels want it.
    dtype
        Of the images.
    operand
        What a copy applies to each element: see `hwsim.kernels.copying.Rows`.
    pad
        The value outside of an image, as written.
    """

    operands: Operands
    dtype: str
    operand: int
    pad: int

    @property
    def item(self) -> int:
        """Bytes of an element as written."""
        return 1 if self.operands == "bytes" else 2


class _Scratch(threading.local):
    """Memory of one worker thread, reused by every layer; `grown` counts how often any of it moved."""

    def __init__(self) -> None:
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self.grown = 0

    def take(self, name: str, size: int, dtype: str) -> npt.NDArray[Any]:
        """Return at least `size` elements, aligned to 64 bytes."""
        known = self.arrays.get(name)
        if known is None or known.size < size:
            known = self.arrays[name] = aligned(np.zeros(max(size, 1), dtype))
            self.grown += 1
        return known


@dataclass
class Record:
    """A layer for one shape of images and one thread; it lasts as long as the thread's scratch stays put.

    Parameters
    ----------
    fields
        int64 [Memory.END]: what `hwsim.kernels.driver.Convolve` reads; where images and results are, and what is counted, is
        left to fill in.
    kept
        Arrays whose addresses stand in the fields.
    grown
        Of the scratch memory, when it was made.
    """

    fields: npt.NDArray[np.int64]
    kept: tuple[npt.NDArray[Any], ...]
    grown: int

    def __post_init__(self) -> None:
        self.address = int(self.fields.ctypes.data)


class _Prepared(threading.local):
    """Records of a layer, by the shape of its images."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, ...], Record] = {}


scratch = _Scratch()


class KernelLayer:
    """A layer ready for batches of any number of images.

    Parameters
    ----------
    calls
        Of the kernels.
    images
        How they read.
    geometry
        Window, see `hwsim.kernels.gather.Geometry`, with the padding at the bottom and right appended.
    segments
        Runs of a window: "rows" where its rows are contiguous, "taps", or "quads" and "pairs" of taps for depthwise kernels.
    channels_in
        Of a pixel.
    out_pixel
        Bytes of an output pixel.
    step
        Output pixels of a row that a kernel treats as one.
    tall
        Output rows that a kernel treats as one, 1 or 2, of windows three taps high: see `hwsim.kernels.depthwise.Depthwise`.
    gathered
        Bytes of a window that is written out contiguously, or 0.
    group
        Elements of a segment that a kernel reads at once, the last ones from behind its end if need be.
    blank
        The byte of which windows past the last pixel consist: an activation that adds nothing.
    counters
        Number of int32 that ordered kernels count in, or 0; `tally` is where.
    """

    def __init__(
        self, calls: Calls, images: Images, geometry: Geometry, channels_in: int, out_pixel: int, target: Target, *,
        segment: int, together: int = 1, step: int = 1, tall: int = 1, gathered: int = 0, group: int = 4, blank: int = 0,
        counters: int = 0,
    ) -> None:  # fmt: skip
        self.calls, self.images, self.geometry = calls, images, geometry
        self.channels_in, self.out_pixel, self.step, self.tall = channels_in, out_pixel, step, tall
        self.segment, self.together, self.gathered = segment, together, gathered
        self.pad = (
            np.array([images.pad], np.int16).view(np.uint8) if images.item == 2 else np.full(2, images.pad, np.uint8)
        )
        self.counters, self.group, self.blank, self.target = counters, group, blank, target
        self.panels = np.stack(calls.rows)
        self.driver = Convolve().address(target)
        self._convolve, self._write_places = foreign(self.driver), foreign(Places().address(target))
        self._prepared = _Prepared()
        self._shapes: dict[tuple[int, ...], tuple[Any, ...]] = {}

    def run(
        self,
        source: npt.NDArray[Any],
        out: npt.NDArray[Any],
        counts: npt.NDArray[np.int64],
        first: npt.NDArray[np.int64],
    ) -> None:
        """Convolve images [B, H, W, C], contiguous.

        out: [B * OH * OW] pixels of `out_pixel` bytes; counts int64 [counters]: added to; first int64 [1]: lowered to the first
        image with an event.
        """
        known = self._prepared.known.get(source.shape)
        if known is None or known.grown != scratch.grown:
            # Kernels get addresses, not arrays: a window that does not fit the output would write over other memory.
            assert out.nbytes == source.shape[0] * self._pixels(source.shape) * self.out_pixel
            known = self._prepared.known[source.shape] = self.record(source.shape)
        fields = known.fields
        fields[Memory.SOURCE], fields[Memory.OUT] = source.ctypes.data, out.ctypes.data
        fields[Memory.COUNTS], fields[Memory.FIRST] = counts.ctypes.data, first.ctypes.data
        self._convolve(known.address)

    def record(self, images: tuple[int, ...]) -> Record:
        """Return a new record for images of a shape, for the calling thread."""
        shape, offsets, sizes = self._shape(images)
        take, pixels = scratch.take, sizes[1]
        buffer, windows = take("buffer", sizes[0], "uint8"), take("windows", sizes[2], "uint8")
        places, outs = np.empty(pixels, np.int64), np.empty(pixels, np.int64)
        sums = take("sums", pixels * self.target.lanes, "int32")
        blank, dump = np.full(sizes[3], self.blank, np.uint8), take("dump", SLACK, "uint8")
        # The driver leaves the counters at zero.
        tally = np.zeros(self.counters, np.int32)
        panels = self.panels.copy()
        starts, segments = (outs, outs) if self.gathered else (places, offsets)
        panels[:, Panel.FIELDS : Panel.FIELDS + Call.OWN] = [
            windows.ctypes.data, starts.ctypes.data, 0, segments.ctypes.data, 0, outs.ctypes.data, sums.ctypes.data,
            blank.ctypes.data, dump.ctypes.data,
        ]  # fmt: skip
        if self.counters:
            panels[panels[:, Panel.COUNTS] == 1, Panel.FIELDS + Ordering.TALLY] += tally.ctypes.data
        fields = np.zeros(Memory.END, np.int64)
        fields[: len(Shape)] = shape
        for name, value in {
            Memory.PAD: self.pad.ctypes.data, Memory.OFFSETS: offsets.ctypes.data, Memory.SEGMENTS: offsets.size,
            Memory.BUFFER: buffer.ctypes.data, Memory.BUFFER_SIZE: sizes[0], Memory.PLACES: places.ctypes.data,
            Memory.OUTS: outs.ctypes.data, Memory.PLACES_SIZE: pixels, Memory.WINDOWS: windows.ctypes.data,
            Memory.WINDOWS_SIZE: sizes[2], Memory.SUMS: sums.ctypes.data, Memory.TALLY: tally.ctypes.data,
            Memory.COUNTERS: self.counters, Memory.PANELS: panels.ctypes.data, Memory.PANELS_SIZE: panels.size,
            Memory.PANEL_WIDTH: panels.shape[1],
        }.items():  # fmt: skip
            fields[name] = value
        record = Record(fields, (tally, panels, places, outs, blank), scratch.grown)
        self._write_places(record.address)
        return record

    def _pixels(self, images: tuple[int, ...]) -> int:
        """Return the output pixels of an image."""
        numbers = self._shape(images)[0]
        # Pointwise layers may take a batch as one image.
        pixels: int = numbers[Shape.IMAGES] * numbers[Shape.OUT_HEIGHT] * numbers[Shape.OUT_WIDTH] // images[0]
        return pixels

    def _shape(self, images: tuple[int, ...]) -> tuple[Any, ...]:
        known = self._shapes.get(images)
        if known is None:
            known = self._shapes[images] = self._measure(*images)
        return known

    def _measure(self, batch: int, height: int, width: int, channels: int) -> tuple[Any, ...]:
        """Return `Shape`, the segments' offsets and the sizes of scratch for one shape of images."""
        taps_y, taps_x, stride_y, stride_x, spread_y, spread_x, top, left, bottom, right = self.geometry.tolist()
        if self._pointwise():
            # Pixels are all alike: a column of them, one pixel wide. Only counting asks which image they are of.
            height, width = height * width, 1
            if not self.counters:
                batch, height = 1, batch * height
        item, size = self.images.item, np.dtype(self.images.dtype).itemsize
        padded, source_row = (width + left + right) * channels * item, width * channels * size
        reach = (taps_y - 1) * spread_y + 1
        out_height = (height + top + bottom - reach) // stride_y + 1
        merged = left + right == 0
        if taps_y == 1 and top + bottom == 0 and height == out_height * stride_y > out_height:
            # Rows that no window reads are part of the way from one row to the next.
            height, source_row, stride_y, merged = out_height, source_row * stride_y, 1, False
        out_width = (width + left + right - (taps_x - 1) * spread_x - 1) // stride_x + 1
        direct = self._pointwise() and size == item and self.images.operand == 0 and not self.segment % self.group
        full = ((out_height - 1) * stride_y + reach) * padded
        rows, count = out_height, 1
        most = (
            BUFFER_BYTES
            if not self.gathered
            else min(BUFFER_BYTES, BUFFER_BYTES * padded // (self.gathered * out_width))
        )
        if full > most:
            rows = max(((most // padded) - reach) // stride_y + 1, self.tall)
            rows = min(rows - rows % self.tall, out_height)
        elif not self.counters:
            count = min(max(most // full, 1), batch)
        shape = np.zeros(len(Shape), np.int64)
        for name, value in {
            Shape.IMAGES: batch, Shape.HEIGHT: height, Shape.SOURCE_ROW: source_row,
            Shape.COPY: 0 if direct else Copy(self.images.dtype, self.images.operands).address(self.target),
            Shape.OPERAND: self.images.operand, Shape.COUNT: width * channels, Shape.PADDED_ROW: padded, Shape.TOP: top,
            Shape.LEFT: left * channels * item, Shape.OUT_HEIGHT: out_height, Shape.OUT_WIDTH: out_width,
            Shape.STRIDE_Y: stride_y, Shape.STRIDE_X: stride_x * channels * item, Shape.REACH: reach, Shape.BLOCK_ROWS: rows,
            Shape.BLOCK_IMAGES: count, Shape.OUT_PIXEL: self.out_pixel, Shape.RUN: self.segment * item if self.gathered else 0,
            Shape.GATHERED: self.gathered, Shape.STEP: self.step, Shape.MERGED: int(merged),
            Shape.RIGHT: right * channels * item, Shape.TALL: self.tall,
        }.items():  # fmt: skip
            shape[name] = value
        # Groups of pixels that are as wide, or as high, as they must be.
        assert out_width >= self.step
        assert out_height >= self.tall
        columns = taps_x if self._by_taps() else 1
        if self.tall > 1:
            offsets = [y * padded + kx * spread_x * channels * item for kx in range(columns) for y in range(taps_y + 1)]
        else:
            offsets = [
                ky * spread_y * padded + kx * spread_x * channels * item
                for ky in range(taps_y)
                for kx in range(columns)
            ]
        offsets += offsets[-1:] * (-len(offsets) % self.together)
        pixels = -(-rows // self.tall) * self.tall * count * out_width
        block = ((rows - 1) * stride_y + reach) * padded * count + SLACK
        return (
            shape,
            np.array(offsets, np.int64),
            (
                block,
                pixels,
                pixels * self.gathered + SLACK,
                max(offsets[-1] + self.segment * item, self.gathered) + SLACK,
            ),
        )

    def _pointwise(self) -> bool:
        # Pixels that are computed together lie in one row.
        return self.step == 1 and self.geometry.tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]

    def _by_taps(self) -> bool:
        return self.segment < int(self.geometry[1]) * self.channels_in
