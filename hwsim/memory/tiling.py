"""What a layer is that is to be cut into tiles, one way to cut it, and the room that it has.

A tile is some rows and columns of the output image and some output channels. The outer loop keeps one operand:

- ``weights``: for each tile of channels, whose weights stay, all tiles of the image; activations come again for each.
- ``activations``: for each tile of the image, whose activations stay, all tiles of channels; weights come again for each.
- ``outputs``: as ``activations``, but the weights of one column of the array at a time come in parts along K while the sums
  wait in the array's accumulators, of which the tile has no more than there are. The order of a sum stays what it is.

All products of an output are summed in the array, in one go: partial sums never leave it, and results leave at their bits.
Groups are cut between groups, and a tile of groups reads its own channels only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from hwsim.memory.extents import Cuts, Ints, Width, burst_bytes_of, packed, region_bytes
from hwsim.spec import Sliding

Order = Literal["weights", "activations", "outputs"]
ORDERS: tuple[Order, ...] = ("weights", "activations", "outputs")


@dataclass(frozen=True, slots=True)
class TileProblem:
    """A layer to be cut.

    Parameters
    ----------
    sliding
        Image, windows and output.
    products
        Per output: K. 0 for a layer without weights.
    channels, groups
        Output channels in all, and the independent groups that they are spread over.
    weight_bits, input_bits, output_bits
        Widths in memory.
    wide_bits
        Of results that wait in a buffer for a requantization outside of the array; 0 where they leave the array at `output_bits`.
    residual_bits
        Of a second tensor of activations, of the results' shape, that meets them on their way out; 0 where there is none.
    stored_bits
        Of all weights as they lie in the DRAM, where they are compressed; 0 where they are not. A tile has its share.
    bias_bits, scale_bits
        Of the constants that come with each channel's weights.
    columns
        Tiles of channels have multiples of it.
    accumulators
        Output pixels that can wait in the array for more of K; 0 where the order ``outputs`` is not for this array.
    product_step
        Parts along K have multiples of it.
    double_buffered, burst_bytes
        See `hwsim.spec.Memory`.
    sparse_bits
        Of the outliers of all weights, as they are encoded. A tile has its share.
    input_stored, residual_stored, output_stored
        Of these tensors as they lie in the DRAM, where they are compressed; 0 where they are not. A region has its share.
    """

    sliding: Sliding
    products: int
    channels: int
    groups: int
    weight_bits: int
    input_bits: int
    output_bits: int
    wide_bits: int
    residual_bits: int
    stored_bits: int
    bias_bits: int
    scale_bits: int
    columns: int
    accumulators: int
    product_step: int
    double_buffered: bool
    burst_bytes: int
    sparse_bits: int = 0
    input_stored: int = 0
    residual_stored: int = 0
    output_stored: int = 0

    @property
    def input_width(self) -> Width:
        """Of what is read, on the bus."""
        elements = math.prod(self.sliding.image) * self.sliding.channels
        return (self.input_stored, elements) if self.input_stored else self.input_bits

    @property
    def residual_width(self) -> Width:
        """Of what meets the results, on the bus."""
        return (self.residual_stored, self._results) if self.residual_stored else self.residual_bits

    @property
    def output_width(self) -> Width:
        """Of the results, on the bus."""
        return (self.output_stored, self._results) if self.output_stored else self.output_bits

    @property
    def _results(self) -> int:
        return math.prod(self.sliding.output) * self.channels

    @property
    def units(self) -> int:
        """What tiles of channels are counted in: columns of the array full of channels, or groups."""
        return -(-self.channels // self.columns) if self.groups == 1 else self.groups

    @property
    def unit_channels(self) -> int:
        """Output channels of a unit."""
        return self.columns if self.groups == 1 else self.channels // self.groups

    def channel_tiles(self, units: int) -> Ints:
        """Return the output channels of each tile of so many units."""
        size = min(units * self.unit_channels, self.channels)
        starts = np.arange(0, self.channels, size, dtype=np.int64)
        return np.minimum(size, self.channels - starts)

    def input_channels(self, channels: int) -> int:
        """Return the input channels that a tile of output channels reads."""
        return self.sliding.channels if self.groups == 1 else self.sliding.channels * channels // self.channels

    def weight_bytes(self, channels: Ints | int, products: Ints | int, constants: bool = True) -> Ints:
        """Return the bus bytes of the weights of so many channels, with biases and scales: one run, as it is used."""
        elements = np.asarray(channels) * np.asarray(products)
        weights = packed(elements, self.weight_bits)
        if self.stored_bits:
            weights = -(-elements * self.stored_bits // (8 * self.channels * self.products))
        return burst_bytes_of(weights + self._beside(channels, products, constants=constants), self.burst_bytes)

    def weight_payload(self, channels: Ints | int, products: Ints | int, constants: bool = True) -> Ints:
        """Return the same bytes in a buffer, where they are not compressed."""
        weights = packed(np.asarray(channels) * np.asarray(products), self.weight_bits)
        return weights + self._beside(channels, products, constants=constants)

    def sparse_bytes(self, channels: Ints | int, products: Ints | int) -> Ints:
        """Return the bytes of the outliers of so many weights."""
        elements = np.asarray(channels, np.int64) * np.asarray(products, np.int64)
        found: Ints = -(-elements * self.sparse_bits // (8 * max(self.channels * self.products, 1)))
        return found

    def _beside(self, channels: Ints | int, products: Ints | int, *, constants: bool) -> Ints | int:
        """Return the bytes of what comes with weights: their outliers, and constants."""
        found: Ints | int = self.sparse_bytes(channels, products) if self.sparse_bits else 0
        for bits in (self.bias_bits, self.scale_bits) if constants else ():
            found = found + packed(channels, bits) if bits else found
        return found

    def input_bytes(self, rows: Cuts, columns: Cuts, channels: int) -> Ints:
        """Return the bus bytes of the activations of each tile of the image, [rows, columns]."""
        sliding = self.sliding
        return region_bytes(
            rows.read, columns.read, sliding.image[1], self.input_channels(channels), sliding.channels, self.input_width,
            self.burst_bytes,
        )  # fmt: skip

    def residual_bytes(self, rows: Cuts, columns: Cuts, channels: int) -> Ints:
        """Return the bus bytes of what meets the results of each tile of the image, [rows, columns]."""
        return region_bytes(
            rows.written, columns.written, self.sliding.output[1], channels, self.channels, self.residual_width,
            self.burst_bytes,
        )  # fmt: skip

    def output_bytes(self, rows: Cuts, columns: Cuts, channels: int) -> Ints:
        """Return the bus bytes of the results of each tile of the image, [rows, columns]."""
        return region_bytes(
            rows.written, columns.written, self.sliding.output[1], channels, self.channels, self.output_width,
            self.burst_bytes,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tiling:
    """One way to cut: rows, columns and channel units of a tile, and products of a part along K."""

    order: Order
    height: int
    width: int
    units: int
    products: int


@dataclass(frozen=True, slots=True)
class Room:
    """What a layer may use of the buffers, in bytes, beside the tensors that are kept on chip.

    Parameters
    ----------
    shared
        One buffer for everything, or None.
    weights, inputs, outputs
        A buffer for each, where there is no shared one.
    input_kept, output_kept, residual_kept
        Whether the whole tensor is on chip: it needs no tile's buffer, and no transfer.
    """

    shared: int | None
    weights: int = 0
    inputs: int = 0
    outputs: int = 0
    input_kept: bool = False
    output_kept: bool = False
    residual_kept: bool = False

    @property
    def kept(self) -> Kept:
        """What is on chip."""
        return self.input_kept, self.output_kept, self.residual_kept


Truths = npt.NDArray[np.bool_]

Kept = tuple[bool, bool, bool]
"""Of a room: whether input, output and residual are on chip."""
