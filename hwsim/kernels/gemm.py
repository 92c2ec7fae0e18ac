"""int16 x int16 -> int32 sums over a block of output rows, tile by tile, for each operation of the micro-kernel generator.

``out[p, n] = start[n] + sum of image * weights`` for the pixels p of `rows` output rows of `pixels` each. The image is int16 with
its padding written out; pixel p of row r has its window at ``image_at + r * row_stride + p * pixel_stride``, as segments (see
`hwsim.kernels.microkernel`). `vectors` = ceil(N / LANES); `start` int32 [vectors * LANES]; `out` int32 [rows * pixels, vectors *
LANES], flat; `tally` int32 [2, tally_stride], flat: sums above and below the register's range, added to; `lo`, `hi` and
`spare` = 32 - bits describe that register.
"""

from __future__ import annotations

from typing import Any

from hwsim.kernels.jit import jit
from hwsim.kernels.microkernel import (
    LANES,
    REGISTERS,
    exact_step,
    make_depthwise,
    make_kernel,
    saturate_step,
    wrap_step,
)

EXACT, SATURATE, WRAP = 0, 1, 2
"""Sums modulo 2**32 in any order; every product in order into a saturating, or a wrapping, register."""

# Accumulators (three vectors each in the ordered kernels), one vector of weights per column and one of activations
# fit the registers.
_WIDE = 4 if REGISTERS == 32 else 2
_ROWS = 8 if REGISTERS == 32 else 4
_HALF = _ROWS // 2
_ORDERED_WIDE = 2 if REGISTERS == 32 else 1
_ORDERED_ROWS = 4 if REGISTERS == 32 else 2

_exact = make_kernel(exact_step, 1, sorted({(_HALF, _WIDE), (1, _WIDE), (_HALF, 2), (1, 2), (_ROWS, 1), (1, 1)}))
_ORDERED_TILES = sorted({(_ORDERED_ROWS, _ORDERED_WIDE), (1, _ORDERED_WIDE), (_ORDERED_ROWS, 1), (1, 1)})
_saturate = make_kernel(saturate_step, 3, _ORDERED_TILES)
_wrap = make_kernel(wrap_step, 3, _ORDERED_TILES)

_depthwise = make_depthwise(_ROWS)
_depthwise_single = make_depthwise(1)


@jit
def gemm(
    operation: Any, image: Any, image_at: Any, rows: Any, row_stride: Any, pixels: Any, pixel_stride: Any, offsets: Any,
    pairs: Any, weights: Any, weights_at: Any, vectors: Any, start: Any, start_at: Any, out: Any, tally: Any, tally_at: Any,
    tally_stride: Any, lo: Any, hi: Any, spare: Any,
) -> None:  # fmt: skip
    """Compute a block in one of the three operations; see the module. The offsets select a group's weights and channels."""
    width = vectors * LANES
    segments = offsets.shape[0]
    v = 0
    while v < vectors:
        if operation == EXACT:
            columns = _WIDE if vectors - v >= _WIDE else (2 if vectors - v >= 2 else 1)
            tile = _ROWS if columns == 1 else _HALF
        else:
            columns = _ORDERED_WIDE if vectors - v >= _ORDERED_WIDE else 1
            tile = _ORDERED_ROWS
        at, n = weights_at + v * segments * pairs * 2 * LANES, v * LANES
        for row in range(rows):
            p = 0
            while p < pixels:
                if operation == EXACT and p + tile > pixels and pixels >= tile:
                    # The last tile overlaps the one before: the same pixels get the same sums again.
                    # (Not in the ordered kernels, whose events would count twice.)
                    p = pixels - tile
                height = tile if p + tile <= pixels else 1
                window = image_at + row * row_stride + p * pixel_stride
                place = (row * pixels + p) * width + n
                if operation == EXACT:
                    _exact(
                        height, columns, image, window, pixel_stride, offsets, segments, pairs, weights, at, start,
                        start_at + n, out, place, width, tally, tally_at + n, tally_stride, lo, hi, spare,
                    )  # fmt: skip
                elif operation == SATURATE:
                    _saturate(
                        height, columns, image, window, pixel_stride, offsets, segments, pairs, weights, at, start,
                        start_at + n, out, place, width, tally, tally_at + n, tally_stride, lo, hi, spare,
                    )  # fmt: skip
                else:
                    _wrap(
                        height, columns, image, window, pixel_stride, offsets, segments, pairs, weights, at, start,
                        start_at + n, out, place, width, tally, tally_at + n, tally_stride, lo, hi, spare,
                    )  # fmt: skip
                p += height
        v += columns


@jit
def depthwise(
    image: Any, image_at: Any, rows: Any, row_stride: Any, pixels: Any, pixel_stride: Any, offsets: Any, weights: Any,
    vectors: Any, start: Any, out: Any,
) -> None:  # fmt: skip
    """The same for a depthwise layer, exact: each segment is one tap of `vectors` * LANES channels; weights int16 [taps, N]."""
    width = vectors * LANES
    taps = offsets.shape[0]
    for v in range(vectors):
        n = v * LANES
        for row in range(rows):
            p = 0
            while p < pixels:
                if p + _ROWS > pixels and pixels >= _ROWS:
                    p = pixels - _ROWS
                window = image_at + row * row_stride + p * pixel_stride + n
                place = (row * pixels + p) * width + n
                if p + _ROWS <= pixels:
                    _depthwise(
                        image, window, pixel_stride, offsets, taps, weights, n, width, start, n, out, place, width
                    )
                    p += _ROWS
                else:
                    _depthwise_single(
                        image, window, pixel_stride, offsets, taps, weights, n, width, start, n, out, place, width
                    )
                    p += 1
