"""A whole layer on the generated kernels: blocks of images are written out with their padding, summed, requantized.

A fully connected layer is a 1x1 convolution of images of one pixel. Everything is an address or a size, so that one compiled
function serves every layer; `hwsim.kernels.layer` fills in the numbers.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np

from hwsim.kernels.compiled import call_kernel
from hwsim.kernels.copying import Rows
from hwsim.kernels.fields import Call
from hwsim.kernels.jit import jit
from hwsim.kernels.pointers import dwords, octets, words


class Shape(IntEnum):
    """Numbers of a layer for one shape of images; sizes of rows and strides in bytes."""

    IMAGES = 0
    HEIGHT = 1
    SOURCE_ROW = 2
    COPY = 3
    """Address of the copy kernel; 0: windows lie in the source itself."""
    OPERAND = 4
    COUNT = 5
    PADDED_ROW = 6
    TOP = 7
    LEFT = 8
    OUT_HEIGHT = 9
    OUT_WIDTH = 10
    STRIDE_Y = 11
    """Padded rows from one output row to the next."""
    STRIDE_X = 12
    REACH = 13
    """Padded rows that one output row reads."""
    BLOCK_ROWS = 14
    BLOCK_IMAGES = 15
    OUT_PIXEL = 16
    """Bytes of an output pixel."""
    RUN = 17
    """Bytes of a segment, for a gathered panel; 0: windows are read where they lie."""
    GATHERED = 18
    """Bytes of a pixel's window in that panel."""
    STEP = 19
    """Output pixels that a depthwise kernel treats as one."""
    MERGED = 20
    """1: rows lie one behind the other on both sides, and are copied as one."""
    RIGHT = 21
    """Bytes of padding behind a row; `LEFT` is those before it."""
    TALL = 22
    """Output rows that a depthwise kernel treats as one."""


class Memory(IntEnum):
    """Where a layer's memory is, behind the numbers of `Shape`; addresses, and sizes in elements."""

    SOURCE = len(Shape)
    """Of the images."""
    OUT = SOURCE + 1
    """Of the results."""
    PAD = SOURCE + 2
    """uint8 [2]: two bytes of padding."""
    OFFSETS = SOURCE + 3
    """int64: the segments of a window."""
    SEGMENTS = SOURCE + 4
    BUFFER = SOURCE + 5
    """uint8: a block's padded images."""
    BUFFER_SIZE = SOURCE + 6
    PLACES = SOURCE + 7
    """int64: where the windows of a block start."""
    OUTS = SOURCE + 8
    """int64: where its results go, or where its gathered windows lie."""
    PLACES_SIZE = SOURCE + 9
    WINDOWS = SOURCE + 10
    """uint8: gathered windows."""
    WINDOWS_SIZE = SOURCE + 11
    SUMS = SOURCE + 12
    """int32: row sums of a block."""
    TALLY = SOURCE + 13
    """int32: what ordered kernels count in an image; zero before and after."""
    COUNTS = SOURCE + 14
    """int64: what they count in all, added to."""
    COUNTERS = SOURCE + 15
    FIRST = SOURCE + 16
    """int64 [1]: lowered to the first image with an event."""
    PANELS = SOURCE + 17
    """A `Panel` and its kernel's fields for each channel panel, PANEL_WIDTH numbers each, flat; some are written to."""
    PANELS_SIZE = SOURCE + 18
    PANEL_WIDTH = SOURCE + 19
    END = SOURCE + 20
    """Numbers of a layer."""


class Panel(IntEnum):
    """Numbers of one kernel call, before the kernel's own fields."""

    KERNEL = 0
    IMAGE = 1
    """Bytes into a pixel: the first channel of its group."""
    OUT = 2
    """Bytes into an output pixel, or into the row of accumulators."""
    KIND = 3
    """Where results go, one of the two below."""
    COUNTS = 4
    """1: events are counted, from `hwsim.kernels.ordered_form.Ordering.TALLY` on."""
    FIELDS = 5


OUTPUT, ROW_SUMS = 0, 1
"""The output, or the row sums of the block."""


@jit
def write_places(address: Any) -> None:
    """Write where the windows of a block start, and where results go, or gathered windows lie; `convolve` reads both."""
    shape = words(address, Memory.END)
    places, outs = (
        words(shape[Memory.PLACES], shape[Memory.PLACES_SIZE]),
        words(shape[Memory.OUTS], shape[Memory.PLACES_SIZE]),
    )
    out_width, step, rows, tall = shape[Shape.OUT_WIDTH], shape[Shape.STEP], shape[Shape.BLOCK_ROWS], shape[Shape.TALL]
    per_row = (out_width + step - 1) // step
    image_bytes = ((rows - 1) * shape[Shape.STRIDE_Y] + shape[Shape.REACH]) * shape[Shape.PADDED_ROW]
    n = 0
    for image in range(shape[Shape.BLOCK_IMAGES]):
        for top in range(0, rows, tall):
            for i in range(per_row):
                # The last group of pixels of a row, or of rows, overlaps the one before: the same results again.
                x = min(i * step, out_width - step)
                for y in range(min(top, rows - tall), min(top, rows - tall) + tall):
                    down = y * shape[Shape.STRIDE_Y] * shape[Shape.PADDED_ROW]
                    places[n] = image * image_bytes + down + x * shape[Shape.STRIDE_X]
                    pixel = (image * rows + y) * out_width + x
                    outs[n] = n * shape[Shape.GATHERED] if shape[Shape.RUN] > 0 else pixel * shape[Shape.OUT_PIXEL]
                    n += 1


@jit
def _fill(buffer: Any, start: Any, stop: Any, pad: Any) -> None:
    """Write the padding, two bytes, over a part of a buffer."""
    # Of a slice, with values that are read once, LLVM makes whole vectors.
    part, even, odd = buffer[start:stop], pad[0], pad[1]
    if even == odd:
        part[:] = even
        return
    for i in range(part.size // 2):
        part[2 * i] = even
        part[2 * i + 1] = odd


@jit
def _fill_sides(shape: Any, buffer: Any, rows: Any, pad: Any) -> None:
    """Write the padding before and behind the rows of a block; nothing else is written there."""
    left, right, padded_row = shape[Shape.LEFT], shape[Shape.RIGHT], shape[Shape.PADDED_ROW]
    if left + right == 0:
        return
    for row in range(rows):
        start = row * padded_row
        _fill(buffer, start, start + left, pad)
        _fill(buffer, start + padded_row - right, start + padded_row, pad)


@jit
def _gather(origin: Any, first: Any, places: Any, pixels: Any, offsets: Any, run: Any, row: Any, panel: Any) -> None:
    """Write the windows of a block one after the other: `row` bytes for each, from byte `first` of a pixel on."""
    for m in range(pixels):
        at = m * row
        for s in range(offsets.shape[0]):
            begin = first + places[m] + offsets[s]
            source, target = origin[begin : begin + run], panel[at : at + run]
            for i in range(run):
                target[i] = source[i]
            at += run


@jit
def _write_out(
    shape: Any, source: Any, image: Any, images: Any, top: Any, needed: Any, buffer: Any, buffer_at: Any,
    pad: Any, rows: Any,
) -> None:  # fmt: skip
    """Write a block's part of the images into the buffer, padding above and below included."""
    height, padded_row = shape[Shape.HEIGHT], shape[Shape.PADDED_ROW]
    begin, end = max(top, 0), min(top + needed, height)
    for i in range(images):
        start = i * needed * padded_row
        _fill(buffer, start, start + (begin - top) * padded_row, pad)
        _fill(buffer, start + (end - top) * padded_row, start + needed * padded_row, pad)
        rows[Rows.SOURCE] = source + ((image + i) * height + begin) * shape[Shape.SOURCE_ROW]
        rows[Rows.TARGET] = buffer_at + start + (begin - top) * padded_row + shape[Shape.LEFT]
        rows[Rows.ROWS], rows[Rows.COUNT] = end - begin, shape[Shape.COUNT]
        if shape[Shape.MERGED]:
            rows[Rows.ROWS], rows[Rows.COUNT] = 1, (end - begin) * shape[Shape.COUNT]
        call_kernel(shape[Shape.COPY], rows, 0)


@jit
def _settle(tally: Any, counts: Any, first_image: Any, image: Any) -> None:
    """Add what was counted in an image, and clear it."""
    events = np.int64(0)
    for n in range(tally.shape[0]):
        events += tally[n]
        counts[n] += tally[n]
        tally[n] = 0
    if events > 0:
        first_image[0] = min(first_image[0], image)


@jit
def _call_panels(
    shape: Any, panels: Any, width: Any, origin: Any, out: Any, pixels: Any, buffer: Any, places: Any, offsets: Any,
    windows: Any, sums_at: Any,
) -> None:  # fmt: skip
    """Compute a block of `pixels` with every panel; panels flat, `width` numbers each; origin, out: of the block."""
    gathered = np.int64(-1)
    for at in range(0, panels.shape[0], width):
        fields, image = at + Panel.FIELDS, panels[at + Panel.IMAGE]
        panels[fields + Call.PIXELS] = pixels
        if shape[Shape.RUN] > 0:
            # One segment, at 0; its windows lie one after the other, for all panels of a group.
            if gathered != image:
                gathered = image
                _gather(buffer, image, places, pixels, offsets, shape[Shape.RUN], shape[Shape.GATHERED], windows)
        else:
            panels[fields + Call.IMAGE] = origin + image
        panels[fields + Call.OUT] = sums_at if panels[at + Panel.KIND] == ROW_SUMS else out + panels[at + Panel.OUT]
        call_kernel(panels[at + Panel.KERNEL], panels, fields)


@jit
def convolve(address: Any) -> None:
    """Convolve a batch: the layer whose `Shape` and `Memory` are at an address."""
    shape = words(address, Memory.END)
    panels, width = words(shape[Memory.PANELS], shape[Memory.PANELS_SIZE]), shape[Memory.PANEL_WIDTH]
    source, out, pad = shape[Memory.SOURCE], shape[Memory.OUT], octets(shape[Memory.PAD], 2)
    buffer_at, sums_at = shape[Memory.BUFFER], shape[Memory.SUMS]
    buffer, windows = (
        octets(buffer_at, shape[Memory.BUFFER_SIZE]),
        octets(shape[Memory.WINDOWS], shape[Memory.WINDOWS_SIZE]),
    )
    places = words(shape[Memory.PLACES], shape[Memory.PLACES_SIZE])
    offsets, first_image = words(shape[Memory.OFFSETS], shape[Memory.SEGMENTS]), words(shape[Memory.FIRST], 1)
    tally, counts = (
        dwords(shape[Memory.TALLY], shape[Memory.COUNTERS]),
        words(shape[Memory.COUNTS], shape[Memory.COUNTERS]),
    )
    tall = shape[Shape.TALL]
    out_height, block_rows, block_images = shape[Shape.OUT_HEIGHT], shape[Shape.BLOCK_ROWS], shape[Shape.BLOCK_IMAGES]
    image_bytes = ((block_rows - 1) * shape[Shape.STRIDE_Y] + shape[Shape.REACH]) * shape[Shape.PADDED_ROW]
    per_row = (shape[Shape.OUT_WIDTH] + shape[Shape.STEP] - 1) // shape[Shape.STEP]
    rows = np.zeros(Rows.OPERAND + 1, np.int64)
    if shape[Shape.COPY] != 0:
        _fill_sides(shape, buffer, image_bytes * block_images // shape[Shape.PADDED_ROW], pad)
        rows[Rows.SOURCE_STRIDE], rows[Rows.TARGET_STRIDE] = shape[Shape.SOURCE_ROW], shape[Shape.PADDED_ROW]
        rows[Rows.OPERAND] = shape[Shape.OPERAND]
    for image in range(0, shape[Shape.IMAGES], block_images):
        images = min(block_images, shape[Shape.IMAGES] - image)
        for start in range(0, out_height, block_rows):
            y, count = start, min(block_rows, out_height - start)
            if count % tall > 0 and start > 0:
                # The last block has whole groups of rows: it begins with one of the block before.
                y, count = start - 1, count + 1
            top = y * shape[Shape.STRIDE_Y] - shape[Shape.TOP]
            needed = (count - 1) * shape[Shape.STRIDE_Y] + shape[Shape.REACH]
            origin = buffer_at
            if shape[Shape.COPY] != 0:
                _write_out(shape, source, image, images, top, needed, buffer, buffer_at, pad, rows)
            else:
                origin = source + (image * shape[Shape.HEIGHT] + top) * shape[Shape.SOURCE_ROW]
            at = out + (image * out_height + y) * shape[Shape.OUT_WIDTH] * shape[Shape.OUT_PIXEL]
            _call_panels(
                shape, panels, width, origin, at, images * ((count + tall - 1) // tall * tall) * per_row, buffer, places,
                offsets, windows, sums_at,
            )  # fmt: skip
        _settle(tally, counts, first_image, image)
