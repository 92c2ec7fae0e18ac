"""int16 x int16 -> int32 GEMM over a panel, tile by tile, for each operation of the micro-kernel generator.

``out[m, n] = start[n] + sum_k panel[m, k] * weights[k, n]`` for rows ``0..rows``, where `panel` is int16 [rows, stride],
flat; `weights` are packed by `pack_weights`; `pairs` = ceil(K / 2); `vectors` = ceil(N / LANES); `start` int32
[vectors * LANES]; `out` int32 [rows, vectors * LANES], flat; `tally` int32 [2, vectors * LANES], flat: sums above and below the
register's range, added to; `lo`, `hi` and `spare` = 32 - bits describe that register.
"""

from __future__ import annotations

from typing import Any

from hwsim.kernels.jit import jit
from hwsim.kernels.microkernel import LANES, REGISTERS, exact_step, make_kernel, saturate_step, wrap_step

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


@jit
def gemm(
    operation: Any, panel: Any, rows: Any, stride: Any, weights: Any, weights_at: Any, pairs: Any, vectors: Any, start: Any,
    start_at: Any, out: Any, tally: Any, tally_at: Any, tally_stride: Any, lo: Any, hi: Any, spare: Any,
) -> None:  # fmt: skip
    """Compute a block in one of the three operations; see the module. The offsets select a group's weights and channels."""
    width = vectors * LANES
    v = 0
    while v < vectors:
        if operation == EXACT:
            columns = _WIDE if vectors - v >= _WIDE else (2 if vectors - v >= 2 else 1)
            tile = _ROWS if columns == 1 else _HALF
        else:
            columns = _ORDERED_WIDE if vectors - v >= _ORDERED_WIDE else 1
            tile = _ORDERED_ROWS
        at, n = weights_at + v * pairs * 2 * LANES, v * LANES
        m = 0
        while m < rows:
            if operation == EXACT and m + tile > rows and rows >= tile:
                # The last tile overlaps the one before: the same rows get the same sums again. (Not where events count.)
                m = rows - tile
            height = tile if m + tile <= rows else 1
            if operation == EXACT:
                _exact(
                    height, columns, panel, m * stride, stride, weights, at, pairs, start, start_at + n,
                    out, m * width + n, width, tally, tally_at + n, tally_stride, lo, hi, spare,
                )  # fmt: skip
            elif operation == SATURATE:
                _saturate(
                    height, columns, panel, m * stride, stride, weights, at, pairs, start, start_at + n,
                    out, m * width + n, width, tally, tally_at + n, tally_stride, lo, hi, spare,
                )  # fmt: skip
            else:
                _wrap(
                    height, columns, panel, m * stride, stride, weights, at, pairs, start, start_at + n,
                    out, m * width + n, width, tally, tally_at + n, tally_stride, lo, hi, spare,
                )  # fmt: skip
            m += height
        v += columns
