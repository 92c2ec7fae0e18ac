"""The numbers of a whole layer on the generated kernels; `hwsim.kernels.driver` does what they say.

Blocks of images are written out with their padding, summed, requantized. A fully connected layer is a 1x1 convolution of images
of one pixel. Everything is an address or a size, so that one driver serves every layer; `hwsim.kernels.layer` fills them in.
"""

from __future__ import annotations

from enum import IntEnum


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
