"""The tiles of a layer in the order of their work: what each loads, computes and stores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hwsim.memory.extents import Cuts, Ints, cut
from hwsim.memory.tiling import Room, TileProblem, Tiling
from hwsim.memory.tiling_table import part_weights


@dataclass(frozen=True, eq=False)
class Steps:
    """One entry per step of the pipeline, int64.

    Attributes
    ----------
    weight_bytes, input_bytes, residual_bytes
        Loaded before the step, on the bus; biases and scales are with the weights.
    output_bytes
        Stored after it.
    pixels, channels
        Output pixels and channels of the tile.
    read_pixels
        Input pixels that it reads.
    done, due
        Products along K that are summed after the step and before it; `products` and 0 but in the order ``outputs``.
    """

    weight_bytes: Ints
    input_bytes: Ints
    output_bytes: Ints
    pixels: Ints
    channels: Ints
    read_pixels: Ints
    due: Ints
    done: Ints
    residual_bytes: Ints


def steps_of(problem: TileProblem, tiling: Tiling, room: Room) -> Steps:
    """Return the steps of a layer that is cut in one way; what is kept on chip is not moved."""
    rows, columns = cut(problem.sliding, 0, tiling.height), cut(problem.sliding, 1, tiling.width)
    channels = problem.channel_tiles(tiling.units)

    def moved(of: Callable[[Cuts, Cuts, int], Ints], *, kept: bool, alike: bool = False) -> Ints:
        """Return the bytes of each tile, [image tiles, channel tiles]; `alike`: whatever its channels."""
        if kept:
            return np.zeros((rows.tiles * columns.tiles, len(channels)), np.int64)
        found = np.repeat(of(rows, columns, int(channels[0])).reshape(-1, 1), len(channels), axis=1)
        if not alike and channels[-1] != channels[0]:
            found[:, -1] = of(rows, columns, int(channels[-1])).reshape(-1)
        return found

    inputs = moved(problem.input_bytes, kept=room.input_kept, alike=problem.groups == 1)
    tiles = Tiles(
        inputs,
        moved(problem.output_bytes, kept=room.output_kept),
        moved(problem.residual_bytes, kept=room.residual_kept or not problem.residual_bits),
        np.repeat((rows.written[:, None] * columns.written).reshape(-1, 1), len(channels), axis=1),
        np.repeat((rows.read[:, None] * columns.read).reshape(-1, 1), len(channels), axis=1),
        np.repeat(channels[None, :], len(inputs), axis=0),
    )
    return _in_parts(problem, tiling, tiles) if tiling.order == "outputs" else _at_once(problem, tiling, tiles)


@dataclass(frozen=True, eq=False)
class Tiles:
    """The tiles of a layer, [image tiles, channel tiles]: bytes that each moves, its output and input pixels, its channels."""

    inputs: Ints
    outputs: Ints
    residual: Ints
    pixels: Ints
    read: Ints
    channels: Ints


def _at_once(problem: TileProblem, tiling: Tiling, tiles: Tiles) -> Steps:
    """Return the steps of tiles whose weights come as a whole."""
    inputs, (image, groups) = tiles.inputs, tiles.inputs.shape
    weights = np.zeros_like(inputs)
    bytes_ = problem.weight_bytes(tiles.channels[0], problem.products)
    if tiling.order == "weights":
        weights[0] = bytes_
        if problem.groups == 1 and image == 1:
            inputs[:, 1:] = 0
    else:
        inputs[:, 1:] = 0
        weights[: 1 if groups == 1 else image] = bytes_
    arrays = (weights, inputs, tiles.outputs, tiles.pixels, tiles.channels, tiles.read, tiles.residual)
    order: Literal["C", "F"] = "F" if tiling.order == "weights" else "C"
    weights, inputs, outputs, pixels, channels, read, residual = (values.ravel(order) for values in arrays)
    none = np.zeros_like(inputs)
    return Steps(weights, inputs, outputs, pixels, channels, read, none, none + problem.products, residual)


def first_channels(problem: TileProblem, tiling: Tiling, number: int) -> Ints:
    """Return the first output channel of each of `number` steps, which are all of a layer's."""
    tiles = problem.channel_tiles(tiling.units)
    starts = np.cumsum(tiles) - tiles
    steps = np.arange(number)
    if tiling.order == "weights":
        return starts[steps // (number // len(tiles))]
    parts = -(-problem.products // tiling.products) if tiling.order == "outputs" else 1
    return starts[steps // parts % len(tiles)]


def _in_parts(problem: TileProblem, tiling: Tiling, tiles: Tiles) -> Steps:
    """Return the steps of tiles whose weights come in parts along K."""
    parts = -(-problem.products // tiling.products)
    shape = (*tiles.inputs.shape, parts)
    loads, stores, residual = (np.zeros(shape, np.int64) for _ in range(3))
    loads[:, 0, 0] = tiles.inputs[:, 0]
    stores[:, :, -1] = tiles.outputs
    residual[:, :, -1] = tiles.residual
    weights = np.stack([part_weights(problem, tiling.products, at) for at in range(parts)], axis=1)
    done = np.minimum(np.arange(1, parts + 1) * tiling.products, problem.products)
    due = np.arange(parts) * tiling.products
    own = (np.broadcast_to(values[:, :, None], shape) for values in (tiles.pixels, tiles.channels, tiles.read))
    arrays = (
        np.broadcast_to(weights, shape), loads, stores, *own,
        *(np.broadcast_to(values, shape) for values in (due, done)), residual,
    )  # fmt: skip
    return Steps(*(values.reshape(-1) for values in arrays))
