"""The table of all tilings of a layer, made with a few operations on arrays: rows x columns x channels of tiles at once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hwsim.memory.extents import Ints, Width, burst_bytes_of, ceil_divisors, cut, packed
from hwsim.memory.tiling import Order, TileProblem, Tiling
from hwsim.memory.tilings import TilingPart, TilingTable
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
        one = grid.in_parts([only.products]) if only.order == "outputs" else grid.keeping(only.order)
        return TilingTable((one,))
    high, wide = (tuple(ceil_divisors(size)) for size in problem.sliding.output)
    grid = _Grid.of(problem, (high, wide), ceil_divisors(problem.units))
    parts = [grid.keeping("weights")]
    if problem.groups == 1 and problem.products:
        # With one tile in a direction nothing comes twice in either order. It is the last size of each.
        parts.append(grid.keeping("activations", slice(-1)))
        if problem.accumulators:
            steps = -(-problem.products // problem.product_step)
            if steps > 1:
                parts.append(grid.in_parts([size * problem.product_step for size in ceil_divisors(steps)[:-1]]))
    return TilingTable(tuple(part for part in parts if part.size))


@dataclass(frozen=True, eq=False)
class _Channels:
    """Channels in tiles of each of some sizes: that of all but the last, their number, and what the last one has; [1, units]."""

    largest: Ints
    tiles: Ints
    last: Ints

    @classmethod
    def of(cls, problem: TileProblem, units: Ints) -> _Channels:
        largest = np.minimum(units * problem.unit_channels, problem.channels)[None, :]
        tiles = -(-problem.channels // largest)
        return cls(largest, tiles, problem.channels - (tiles - 1) * largest)

    def read(self, problem: TileProblem) -> _Channels:
        """Return the input channels of the same tiles."""
        if problem.groups == 1:
            # Every tile reads all input channels, and whether it does so again is the order's business.
            every, one = np.array([[problem.sliding.channels]], np.int64), np.ones((1, 1), np.int64)
            return _Channels(every, one, every)
        largest, last = (problem.sliding.channels * part // problem.channels for part in (self.largest, self.last))
        return _Channels(largest, self.tiles, last)

    def summed(self, of: Callable[[Ints], Ints]) -> Ints:
        """Return the sum of something over all tiles."""
        return (self.tiles - 1) * of(self.largest) + of(self.last)


@dataclass(frozen=True, eq=False)
class _Grid:
    """What tiles of all heights and widths (axis 0, the width fastest) and channel units (axis 1) move and need.

    `regions` has bus bytes in all, bus bytes of the largest tile, and its bytes in a buffer, by operand.
    """

    problem: TileProblem
    heights: Ints
    widths: Ints
    units: Ints
    image_tiles: Ints
    channels: _Channels
    pixels: Ints
    regions: dict[str, tuple[Ints, Ints, Ints]]

    @classmethod
    def of(cls, problem: TileProblem, sizes: Sizes, units: Sequence[int]) -> _Grid:
        sliding = problem.sliding
        heights, widths, images = _planes(sliding.output, sizes)
        own = np.array(units, np.int64)
        channels = _Channels.of(problem, own)
        written = problem.wide_bits or problem.output_bits
        regions = {
            "input": _regions(problem, sizes, "read", channels.read(problem), problem.input_width, problem.input_bits),
            "output": _regions(problem, sizes, "written", channels, problem.output_width, written),
        }
        if problem.residual_bits:
            width, bits = problem.residual_width, problem.residual_bits
            regions["residual"] = _regions(problem, sizes, "written", channels, width, bits)
        return cls(problem, heights, widths, own, images, channels, heights * widths, regions)

    def keeping(self, order: Order, but: slice = slice(None)) -> TilingPart:
        """Return the tilings whose outer loop keeps weights, or activations; `but`: of planes and of units those with a place."""
        problem, weights = self.problem, order == "weights"
        once, largest, payload = self._weights
        single_image, single_channels = self.image_tiles == 1, self.channels.tiles == 1
        again = problem.groups == 1 and problem.products > 0
        columns = self.common(
            self.image_tiles * self.channels.tiles, self.image_tiles * (1 if again else self.channels.tiles)
        )
        columns |= {
            "units": self.units[None, :],
            "products": np.array([[problem.products]]),
            "weight_bytes": once if weights else once * np.where(single_channels, 1, self.image_tiles),
            "weight_tile": largest,
            "weight_need": payload * self._buffers(self.channels.tiles),
        }
        if weights and again:
            columns["input_bytes"] = columns["input_bytes"] * np.where(single_image, 1, self.channels.tiles)
        shape = len(self.heights), len(self.units)
        if but != slice(None):
            columns = {name: values[_some(values, 0, but), _some(values, 1, but)] for name, values in columns.items()}
            shape = shape[0] - 1, shape[1] - 1
        return TilingPart(order, shape, columns)

    @functools.cached_property
    def _weights(self) -> tuple[Ints, Ints, Ints]:
        """Bus bytes of all weights, once; of the largest tile, and its bytes in a buffer."""
        problem, largest = self.problem, self.channels.largest
        once = self.channels.summed(lambda channels: problem.weight_bytes(channels, problem.products))
        return (
            once, problem.weight_bytes(largest, problem.products), problem.weight_payload(largest, problem.products),
        )  # fmt: skip

    def in_parts(self, parts_sizes: Sequence[int]) -> TilingPart:
        """Return the tilings that bring the weights of a column of channels in parts, with the sums in the accumulators.

        The second axis is that of the parts: there is only one size of tile along the channels.
        """
        problem, sizes = self.problem, np.array(parts_sizes, np.int64)[None, :]
        first = self._first_units(np.flatnonzero(self.pixels[:, 0] <= problem.accumulators))
        parts = -(-problem.products // sizes)

        def once(channels: Ints) -> Ints:
            # The first part brings the constants, the last one is what remains.
            bare = problem.weight_bytes(channels, sizes, False)
            last = problem.weight_bytes(channels, problem.products % sizes, False)
            return problem.weight_bytes(channels, sizes) + last + (problem.products // sizes - 1) * bare

        widest = first.channels.largest
        columns = first.common(first.image_tiles * first.channels.tiles * parts, first.image_tiles)
        columns |= {
            "units": np.ones((1, 1), np.int64),
            "products": sizes,
            "weight_bytes": first.channels.summed(once) * first.image_tiles,
            "weight_tile": problem.weight_bytes(widest, sizes),
            "weight_need": problem.weight_payload(widest, sizes) * self._buffers(parts),
        }
        return TilingPart("outputs", (len(first.heights), sizes.shape[1]), columns)

    def _first_units(self, planes: Ints) -> _Grid:
        """Return the grid of some heights and widths, with channels in tiles of one column."""
        channels = _Channels(*(values[:, :1] for values in vars(self.channels).values()))
        regions = {
            name: (total[planes, :1], largest[planes, :1], need[planes, :1])
            for name, (total, largest, need) in self.regions.items()
        }
        return replace(
            self, heights=self.heights[planes], widths=self.widths[planes], image_tiles=self.image_tiles[planes],
            pixels=self.pixels[planes], channels=channels, regions=regions,
        )  # fmt: skip

    def _buffers(self, tiles: Ints) -> Ints:
        """Return how many tiles of an operand are held at a time, of so many that come."""
        return np.minimum(tiles, 2 if self.problem.double_buffered else 1)

    def common(self, tiles: Ints, input_tiles: Ints) -> Columns:
        """Return the columns of what does not hang on the order but for the numbers of tiles."""
        output_buffers = self._buffers(self.image_tiles * self.channels.tiles)
        columns: Columns = {"height": self.heights, "width": self.widths, "tiles": tiles}
        for name, (total, largest, need) in self.regions.items():
            buffers = self._buffers(input_tiles) if name == "input" else output_buffers
            columns |= {f"{name}_bytes": total, f"{name}_tile": largest, f"{name}_need": need * buffers}
        if self.problem.wide_bits:
            columns["kept_need"] = columns["output_need"]
        return columns


def _some(values: Ints, axis: int, but: slice) -> slice:
    """Return what is left of an axis, all of one that stands for any number."""
    return but if values.shape[axis] > 1 else slice(None)


def part_weights(problem: TileProblem, part: int, at: int) -> Ints:
    """Return the bus bytes of a part along K of each column of channels; the first part brings the constants."""
    products = min(part, problem.products - at * part)
    return problem.weight_bytes(problem.channel_tiles(1), products, constants=at == 0)


Side = Literal["read", "written"]
"""Of the lines of a tile: those of the input, or those of the output."""


def _regions(
    problem: TileProblem, sizes: Sizes, side: Side, channels: _Channels, bits: Width, held_bits: int
) -> tuple[Ints, Ints, Ints]:
    """Return bus bytes in all, bus bytes of the largest tile, and its bytes in a buffer, [planes, units].

    These are sums and largest values of `region_bytes` over all tiles.
    """
    sliding, burst = problem.sliding, problem.burst_bytes
    area, largest_area = _areas(sliding, sizes, side)
    need = packed(largest_area * channels.largest, held_bits)
    alone = channels.tiles.shape[1] == 1 and channels.tiles[0, 0] == 1
    if not alone:
        # Tiles of some channels are a run of bytes per pixel.
        total = area * channels.summed(lambda some: burst_bytes_of(packed(some, bits), burst))
        largest = largest_area * burst_bytes_of(packed(channels.largest, bits), burst)
    if channels.tiles[0, -1] == 1:
        whole = _rows(sliding, sizes, side, int(channels.largest[0, -1]), bits, burst)
        if alone:
            return *whole, need
        total[:, -1:], largest[:, -1:] = whole
    return total, largest, need


@functools.lru_cache(maxsize=4096)
def _planes(output: tuple[int, int], sizes: Sizes) -> tuple[Ints, Ints, Ints]:
    """Return height, width and number of the tiles of each height and width, [planes, 1]."""
    high, wide = (np.array(part, np.int64) for part in sizes)
    heights, widths = np.repeat(high, len(wide))[:, None], np.tile(wide, len(high))[:, None]
    return heights, widths, -(-output[0] // heights) * -(-output[1] // widths)


def _lines(sliding: Sliding, sizes: Sizes, side: Side) -> tuple[list[Ints], list[Ints]]:
    """Return the lines of the tiles of each height, and of each width."""
    high, wide = ([getattr(cut(sliding, axis, tile), side) for tile in sizes[axis]] for axis in (0, 1))
    return high, wide


@functools.lru_cache(maxsize=4096)
def _areas(sliding: Sliding, sizes: Sizes, side: Side) -> tuple[Ints, Ints]:
    """Return the pixels of all tiles together, and of the largest, [planes, 1]."""
    high, wide = _lines(sliding, sizes, side)
    summed, largest = (
        np.array([int(f(lines)) for lines in high])[:, None] * np.array([int(f(lines)) for lines in wide])[None, :]
        for f in (np.sum, np.max)
    )
    return summed.reshape(-1, 1), largest.reshape(-1, 1)


@functools.lru_cache(maxsize=4096)
def _rows(sliding: Sliding, sizes: Sizes, side: Side, channels: int, bits: Width, burst: int) -> tuple[Ints, Ints]:
    """Return bus bytes in all, and of the largest tile, [planes, 1], where tiles have all channels.

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
    return (lines_sum * row_sum + block_sum * wholes).reshape(-1, 1), largest.reshape(-1, 1)
