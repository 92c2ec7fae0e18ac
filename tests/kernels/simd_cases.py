"""The SIMD kernels called from Python, and the checks that hold them to the golden ones. Needs the JIT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from hwsim.kernels.gemm import EXACT, SATURATE, WRAP, gemm
from hwsim.kernels.microkernel import LANES, pack_weights
from hwsim.kernels.monitor import Monitor
from hwsim.kernels.reduce import reduce_panel
from hwsim.kernels.requantize import Requantizer
from hwsim.spec import Overflow, Reduction, Register

Array = npt.NDArray[Any]
Runner = Callable[..., None]

GUARD = 77
"""What memory around an output holds; a kernel that writes past its vector changes it."""


def epilogue_runner(epilogue: Any) -> Runner:
    """Wrap an intrinsic of `make_epilogue` into a compiled function of whole vectors (not cached: mutants come here too)."""

    @numba.njit
    def run(acc, multiplier, left, right, zero_point, lo, hi, out):  # type: ignore[no-untyped-def]
        for i in range(0, acc.shape[0], LANES):
            epilogue(acc, i, multiplier, left, right, 0, zero_point, lo, hi, out, i + 1)

    return run


def largest_that_fits(requantizer: Requantizer) -> int:
    """Return the largest accumulator that `fits_int32` accepts, or -1."""
    low, high = -1, 2**31
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if requantizer.fits_int32(middle) else (low, middle)
    return low


def check_epilogue(run: Runner, requantizer: Requantizer, acc: Array, storage: str) -> None:
    """Assert that the SIMD epilogue of `LANES` channels equals the golden requantization of acc [M, LANES]."""
    out = np.full(acc.size + 2, GUARD, storage)
    shift = requantizer.shift
    run(
        acc.astype(np.int32).reshape(-1), requantizer.multiplier, np.maximum(shift, 0), np.maximum(-shift, 0),
        np.int32(requantizer.zero_point), np.int32(requantizer.lo), np.int32(requantizer.hi), out.view(np.int8),
    )  # fmt: skip
    assert out[0] == out[-1] == GUARD
    assert np.array_equal(out[1:-1].reshape(acc.shape), requantizer(acc, slice(0, LANES), storage))


@dataclass(frozen=True)
class Block:
    """Arguments of a `gemm`: windows of `segments` runs of `length` elements over an int16 image."""

    operation: int
    register: Register
    image: Array
    offsets: Array
    length: int
    rows: int
    row_stride: int
    pixels: int
    pixel_stride: int
    weights: Array
    start: Array


def random_block(
    rng: np.random.Generator, operation: int, *, bits: int | None = None, pixels: int | None = None
) -> Block:
    """Draw a block whose ordered sums overflow often."""
    segments, length = int(rng.integers(1, 5)), int(rng.integers(1, 12))
    rows, channels = int(rng.integers(1, 4)), int(rng.integers(1, 5 * LANES + 2))
    pixels = int(rng.integers(1, 21)) if pixels is None else pixels
    magnitude = 2 ** int(rng.integers(3, 9))
    row_stride, pixel_stride = int(rng.integers(1, 40)), int(rng.integers(1, 9))
    offsets = np.sort(rng.choice(100, segments, replace=False)).astype(np.int64)
    size = rows * row_stride + pixels * pixel_stride + 100 + length + 2
    image = rng.integers(-magnitude, magnitude, size).astype(np.int16)
    weights = rng.integers(-magnitude, magnitude, (segments * length, channels))
    width = int(rng.integers(8, 20)) if bits is None else bits
    register = (
        Register(32, Overflow.WRAP)
        if operation == EXACT
        else Register(width, Overflow.SATURATE if operation == SATURATE else Overflow.WRAP)
    )
    start = (
        rng.integers(register.format.lo // 2, register.format.hi // 2, channels)
        if operation != EXACT
        else (rng.integers(-(2**20), 2**20, channels))
    )
    return Block(operation, register, image, offsets, length, rows, row_stride, pixels, pixel_stride, weights, start)


def golden_block(block: Block) -> tuple[Array, Array]:
    """Return sums [rows * pixels, N] and the accumulator's event counts [2, N] of the golden kernel."""
    starts = [r * block.row_stride + p * block.pixel_stride for r in range(block.rows) for p in range(block.pixels)]
    columns = (block.offsets[:, None] + np.arange(block.length)).reshape(-1)
    panel = block.image[np.array(starts)[:, None] + columns].astype(np.int64)
    monitor = Monitor(block.weights.shape[1])
    out = reduce_panel(panel, block.weights, block.start, Reduction(acc=block.register), monitor)
    return out, monitor.counts[2]


def limits_of(block: Block) -> tuple[np.int32, np.int32, np.int32]:
    """Return lo, hi and spare bits of the block's register."""
    if block.operation == EXACT:
        return np.int32(0), np.int32(0), np.int32(0)
    form = block.register.format
    return np.int32(form.lo), np.int32(form.hi), np.int32(32 - form.bits)


def check_block(block: Block, run: Runner = gemm) -> int:
    """Assert that `run`, called like `gemm`, gives the golden sums and counts; return the number of events."""
    channels = block.weights.shape[1]
    vectors = -(-channels // LANES)
    width = vectors * LANES
    start = np.zeros(width, np.int32)
    start[:channels] = block.start
    pixels = block.rows * block.pixels
    out = np.full(pixels * width + 2 * LANES, GUARD, np.int32)
    tally = np.zeros(2 * width, np.int32)
    pairs = (block.length + 1) // 2
    packed = pack_weights(block.weights, len(block.offsets))
    run(
        block.operation, block.image, 0, block.rows, block.row_stride, block.pixels, block.pixel_stride, block.offsets, pairs,
        packed, 0, vectors, start, 0, out, tally, 0, width, *limits_of(block),
    )  # fmt: skip
    expected, counts = golden_block(block)
    assert np.array_equal(out[: pixels * width].reshape(pixels, width)[:, :channels], expected)
    assert np.all(out[pixels * width :] == GUARD)
    if block.operation == EXACT:
        assert not tally.any()
    else:
        assert np.array_equal(tally.reshape(2, width)[:, :channels], counts)
        assert not tally.reshape(2, width)[:, channels:].any()
    return int(counts.sum())


def tile_runner(make_kernel: Callable[..., Any], step: Any, tiles: Sequence[tuple[int, int]] = ((1, 1),)) -> Runner:
    """Return a function with the arguments of `gemm` that computes pixel by pixel and vector by vector with one step."""
    kernel = make_kernel(step, 3, list(tiles))

    @numba.njit
    def run(operation, image, image_at, rows, row_stride, pixels, pixel_stride, offsets, pairs, weights, weights_at,  # type: ignore[no-untyped-def]
            vectors, start, start_at, out, tally, tally_at, tally_stride, lo, hi, spare):  # fmt: skip
        for v in range(vectors):
            at, n = weights_at + v * offsets.shape[0] * pairs * 2 * LANES, v * LANES
            for row in range(rows):
                for p in range(pixels):
                    kernel(
                        1, 1, image, image_at + row * row_stride + p * pixel_stride, pixel_stride, offsets, offsets.shape[0],
                        pairs, weights, at, start, start_at + n, out, (row * pixels + p) * vectors * LANES + n, vectors * LANES,
                        tally, tally_at + n, tally_stride, lo, hi, spare,
                    )  # fmt: skip

    return run


OPERATIONS = {"exact": EXACT, "saturate": SATURATE, "wrap": WRAP}
