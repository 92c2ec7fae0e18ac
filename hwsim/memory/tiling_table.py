"""The table of all tilings of a layer, made with a few operations on arrays: rows x columns x channels of tiles at once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hwsim.memory.extents import Ints, Width, burst_bytes_of, ceil_divisors, cut, packed
from hwsim.memory.tiling import ORDERS, Order, TileProblem, Tiling, TilingTable, Truths
from hwsim.spec import Sliding

Columns = dict[str, Ints]


Sizes = tuple[tuple[int, ...], tuple[int, ...]]
"""Heights and widths of tiles."""


@functools.lru_cache(maxsize=4096)
def tiling_table(problem: TileProblem, only: Tiling | None = None) -> TilingTable:
    """Return all tilings of a layer, or the one that is asked for, whatever its sizes.

    Rows, columns and channels are cut into tiles of equal size, the last one apart, in every number that there can be. What
    has one tile only in a direction is listed once, under the first of the orders that are then the same.
    """
    if only is not None:
        grid = _Grid.of(problem, ((only.height,), (only.width,)), [only.units])
        one = grid.in_parts([only.products]) if only.order == "outputs" else grid.keeping(only.order, twice=True)
        return TilingTable(**one)
    high, wide = (tuple(ceil_divisors(size)) for size in problem.sliding.output)
    grid = _Grid.of(problem, (high, wide), ceil_divisors(problem.units))
    columns = [grid.keeping("weights")]
    if problem.groups == 1 and problem.products:
        columns.append(grid.keeping("activations"))
        if problem.accumulators:
            steps = -(-problem.products // problem.product_step)
            columns.append(
                grid.in_parts([size * problem.product_step for size in ceil_divisors(steps) if size < steps])
            )
    return TilingTable(**{name: np.concatenate([part[name] for part in columns]) for name in columns[0]})


@dataclass(frozen=True)
class _Grid:
    """What tiles of all heights (axis 0), widths (axis 1) and channel units (axis 2) move and need."""

    problem: TileProblem
    heights: Ints
    widths: Ints
    units: Ints
    image_tiles: Ints
    channel_tiles: Ints
    pixels: Ints
    input_bytes: Ints
    input_tile: Ints
    input_need: Ints
    output_bytes: Ints
    output_tile: Ints
    output_need: Ints
    residual_bytes: Ints
    residual_tile: Ints
    residual_need: Ints

    @classmethod
    def of(cls, problem: TileProblem, sizes: Sizes, units: Sequence[int]) -> _Grid:
        sliding = problem.sliding
        heights, widths = (np.array(part, np.int64) for part in sizes)
        channels = [problem.channel_tiles(tile) for tile in units]
        # Without groups every tile reads all input channels, and whether it does so again is the order's business.
        every = np.array([sliding.channels], np.int64)
        reads = [every if problem.groups == 1 else sliding.channels * tiles // problem.channels for tiles in channels]
        bits, wide, burst = problem.input_bits, problem.wide_bits or problem.output_bits, problem.burst_bytes
        images = -(-sliding.output[0] // heights[:, None, None]) * -(-sliding.output[1] // widths[None, :, None])
        return cls(
            problem, heights, widths, np.array(units), images, np.array([len(tiles) for tiles in channels])[None, None, :],
            (heights[:, None] * widths)[:, :, None], *_regions(sliding, sizes, "read", reads, problem.input_width, bits, burst),
            *_regions(sliding, sizes, "written", channels, problem.output_width, wide, burst),
            *_residual(problem, sizes, channels),
        )  # fmt: skip

    def keeping(self, order: Order, *, twice: bool = False) -> Columns:
        """Return the tilings whose outer loop keeps weights, or activations; `twice`: also where that is the same."""
        problem, weights = self.problem, order == "weights"
        tiles = [problem.channel_tiles(int(size)) for size in self.units]
        once = np.array([int(problem.weight_bytes(part, problem.products).sum()) for part in tiles])[None, None, :]
        largest = np.array([int(part.max()) for part in tiles])[None, None, :]
        single_image, single_channels = self.image_tiles == 1, self.channel_tiles == 1
        again = problem.groups == 1 and problem.products > 0
        input_repeats = np.where(single_image, 1, self.channel_tiles) if weights and again else np.array(1)
        weight_repeats = np.array(1) if weights else np.where(single_channels, 1, self.image_tiles)
        # With one tile in a direction nothing comes twice in either order.
        once_only = np.array(True) if weights or twice else ~(single_image | single_channels)
        legal = np.broadcast_to(once_only, self._shape)
        own_inputs = self.image_tiles * (self.channel_tiles if not again else 1)
        return self._columns(
            order, legal, np.array(problem.products), self.image_tiles * self.channel_tiles, once * weight_repeats,
            self.input_bytes * input_repeats, problem.weight_bytes(largest, problem.products),
            problem.weight_payload(largest, problem.products) * self._buffers(self.channel_tiles), own_inputs,
        )  # fmt: skip

    def in_parts(self, parts_sizes: Sequence[int]) -> Columns:
        """Return the tilings that bring the weights of a column of channels in parts, with the sums in the accumulators.

        The third axis is that of the parts: there is only one size of tile along the channels.
        """
        problem, sizes = self.problem, np.array(parts_sizes, np.int64)
        column = {name: values[:, :, :1] if np.ndim(values) == 3 else values for name, values in vars(self).items()}
        first = _Grid(**(column | {"units": np.ones_like(sizes)}))
        parts = (-(-problem.products // sizes))[None, None, :]
        channels, widest = problem.channel_tiles(1)[:, None], min(problem.columns, problem.channels)
        # The first part brings the constants, the last one is what remains.
        weights = problem.weight_bytes(channels, sizes) + problem.weight_bytes(
            channels, problem.products % sizes, False
        )
        whole = problem.products // sizes - 1
        weights = (weights + whole * problem.weight_bytes(channels, sizes, False)).sum(axis=0)
        return first._columns(
            "outputs", np.broadcast_to(first.pixels <= problem.accumulators, first._shape), sizes[None, None, :],
            first.image_tiles * first.channel_tiles * parts, weights[None, None, :] * first.image_tiles, first.input_bytes,
            problem.weight_bytes(widest, sizes)[None, None, :],
            problem.weight_payload(widest, sizes)[None, None, :] * first._buffers(parts), first.image_tiles,
        )  # fmt: skip

    @property
    def _shape(self) -> tuple[int, int, int]:
        return len(self.heights), len(self.widths), len(self.units)

    def _buffers(self, tiles: Ints) -> Ints:
        """Return how many tiles of an operand are held at a time, of so many that come."""
        return np.where(self.problem.double_buffered & (tiles > 1), 2, 1)

    def _columns(
        self, order: Order, legal: Truths, products: Ints, tiles: Ints, weight_bytes: Ints, input_bytes: Ints, weight_tile: Ints,
        weight_need: Ints, input_tiles: Ints,
    ) -> Columns:  # fmt: skip
        shape = self._shape
        output_buffers = self._buffers(self.image_tiles * self.channel_tiles)
        columns: Columns = {
            "order": np.array(ORDERS.index(order)),
            "height": self.heights[:, None, None],
            "width": self.widths[None, :, None],
            "units": self.units[None, None, :],
            "products": products,
            "tiles": tiles,
            "weight_bytes": weight_bytes,
            "input_bytes": input_bytes,
            "output_bytes": self.output_bytes,
            "residual_bytes": self.residual_bytes,
            "weight_tile": weight_tile,
            "input_tile": self.input_tile,
            "output_tile": self.output_tile,
            "residual_tile": self.residual_tile,
            "weight_need": weight_need,
            "input_need": self.input_need * self._buffers(input_tiles),
            "output_need": self.output_need * output_buffers,
            "residual_need": self.residual_need * output_buffers,
            "kept_need": self.output_need * output_buffers if self.problem.wide_bits else np.array(0),
        }
        return {name: np.broadcast_to(values, shape)[legal] for name, values in columns.items()}


def part_weights(problem: TileProblem, part: int, at: int) -> Ints:
    """Return the bus bytes of a part along K of each column of channels; the first part brings the constants."""
    products = min(part, problem.products - at * part)
    return problem.weight_bytes(problem.channel_tiles(1), products, constants=at == 0)


def _residual(problem: TileProblem, sizes: Sizes, channels: Sequence[Ints]) -> tuple[Ints, Ints, Ints]:
    """Return the same of what meets the results on their way out."""
    bits = problem.residual_bits
    if not bits:
        nothing = np.zeros((1, 1, 1), np.int64)
        return nothing, nothing, nothing
    return _regions(problem.sliding, sizes, "written", channels, problem.residual_width, bits, problem.burst_bytes)


Side = Literal["read", "written"]
"""Of the lines of a tile: those of the input, or those of the output."""


def _regions(
    sliding: Sliding, sizes: Sizes, side: Side, channels: Sequence[Ints], bits: Width, held_bits: int, burst: int
) -> tuple[Ints, Ints, Ints]:
    """Return bus bytes in all, bus bytes of the largest tile, and its bytes in a buffer, [heights, widths, units].

    These are sums and largest values of `region_bytes` over all tiles; `channels` are those of each tile, by units.
    """
    area, largest_area = _areas(sliding, sizes, side)
    shape = (*area.shape, len(channels))
    total, largest, need = (np.empty(shape, np.int64) for _ in range(3))
    for unit, tiles in enumerate(channels):
        most = int(tiles.max())
        if len(tiles) > 1:
            pixels = burst_bytes_of(packed(tiles, bits), burst)
            total[:, :, unit] = area * pixels.sum()
            largest[:, :, unit] = largest_area * pixels.max()
        else:
            total[:, :, unit], largest[:, :, unit] = _rows(sliding, sizes, side, most, bits, burst)
        need[:, :, unit] = packed(largest_area * most, held_bits)
    return total, largest, need


def _lines(sliding: Sliding, sizes: Sizes, side: Side) -> tuple[list[Ints], list[Ints]]:
    """Return the lines of the tiles of each height, and of each width."""
    high, wide = ([getattr(cut(sliding, axis, tile), side) for tile in sizes[axis]] for axis in (0, 1))
    return high, wide


@functools.lru_cache(maxsize=4096)
def _areas(sliding: Sliding, sizes: Sizes, side: Side) -> tuple[Ints, Ints]:
    """Return the pixels of all tiles together, and of the largest, [heights, widths]."""
    high, wide = _lines(sliding, sizes, side)
    summed, largest = (
        np.array([int(f(lines)) for lines in high])[:, None] * np.array([int(f(lines)) for lines in wide])[None, :]
        for f in (np.sum, np.max)
    )
    return summed, largest


@functools.lru_cache(maxsize=4096)
def _rows(sliding: Sliding, sizes: Sizes, side: Side, channels: int, bits: Width, burst: int) -> tuple[Ints, Ints]:
    """Return bus bytes in all, and of the largest tile, [heights, widths], where tiles have all channels.

    Tiles of whole rows are one run each, others one per row; so the sum over tiles falls apart into sums over heights and
    widths.
    """
    high, wide = _lines(sliding, sizes, side)
    full_width = sliding.image[1] if side == "read" else sliding.output[1]
    runs = [burst_bytes_of(packed(lines * channels, bits), burst) for lines in wide]
    whole = [lines == full_width for lines in wide]
    row_sum = np.array([int(run[~full].sum()) for run, full in zip(runs, whole, strict=True)])
    row_max = np.array([int(run[~full].max(initial=0)) for run, full in zip(runs, whole, strict=True)])
    wholes = np.array([int(full.sum()) for full in whole])
    blocks = [burst_bytes_of(packed(lines * full_width * channels, bits), burst) for lines in high]
    lines_sum, lines_max = (np.array([int(f(lines)) for lines in high])[:, None] for f in (np.sum, np.max))
    block_sum, block_max = (np.array([int(f(block)) for block in blocks])[:, None] for f in (np.sum, np.max))
    largest = np.maximum(lines_max * row_max, np.where(wholes > 0, block_max, 0))
    return lines_sum * row_sum + block_sum * wholes, largest
