"""Every legal way to cut a layer into tiles: DRAM traffic, and what it needs of the buffers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from hwsim.memory.extents import Ints
from hwsim.memory.tiling import Kept, Order, Room, Tiling, Truths

NOTHING = np.zeros((1, 1), np.int64)


@dataclass(frozen=True, eq=False)
class TilingPart:
    """The tilings of one order as a grid: heights and widths together on axis 0, the third number of a tiling on axis 1.

    Attributes
    ----------
    order
        What the outer loop keeps.
    shape
        Of the grid; all its entries are legal.
    columns
        By the names of `TilingTable`, each of a shape that goes with the grid's; also bus bytes of the largest tile
        (`*_tile`). What there is none of may be left out.
    """

    order: Order
    shape: tuple[int, int]
    columns: Mapping[str, Ints]

    @property
    def size(self) -> int:
        """Number of tilings."""
        return self.shape[0] * self.shape[1]

    def flat(self, values: Ints) -> Ints:
        """Return an entry for each tiling."""
        if values.shape != self.shape:
            values = np.broadcast_to(values, self.shape)
        return values.reshape(-1)


def _column(name: str) -> functools.cached_property[Ints]:
    """Return a column of a `TilingTable`, laid out when it is asked for."""
    return functools.cached_property(lambda table: table.joined(lambda part: part.columns.get(name, NOTHING)))


@dataclass(frozen=True, eq=False)
class TilingTable:
    """All tilings of a layer as columns, one entry each; bytes are of the bus (`*_bytes`) or of a buffer (`*_need`).

    What is asked of the whole table is worked out on the grids of its parts, and kept: rooms differ in their sizes more often
    than in what is kept on chip.

    Attributes
    ----------
    parts
        The tilings by order, none of them empty.
    height, width, units, products
        As of `Tiling`.
    tiles
        Steps of the pipeline.
    weight_bytes, input_bytes, output_bytes, residual_bytes
        Traffic of the layer, where nothing is kept.
    weight_need, input_need, output_need, residual_need
        What the tiles take of the buffers.
    kept_need
        The same of results whose tensor is kept: where they wait for requantization, a tile of them is beside it.
    """

    parts: tuple[TilingPart, ...]
    known: dict[tuple[str, Kept], Ints] = field(default_factory=dict, repr=False)

    height = _column("height")
    width = _column("width")
    units = _column("units")
    products = _column("products")
    tiles = _column("tiles")
    weight_bytes = _column("weight_bytes")
    input_bytes = _column("input_bytes")
    output_bytes = _column("output_bytes")
    residual_bytes = _column("residual_bytes")
    weight_need = _column("weight_need")
    input_need = _column("input_need")
    output_need = _column("output_need")
    kept_need = _column("kept_need")
    residual_need = _column("residual_need")

    def __len__(self) -> int:
        """Return the number of tilings."""
        return sum(part.size for part in self.parts)

    def joined(self, values: Callable[[TilingPart], Ints]) -> Ints:
        """Return a column: what is asked of each part, one after the other."""
        found = [part.flat(values(part)) for part in self.parts]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def traffic(self, room: Room) -> Ints:
        """Return the DRAM bytes of each tiling."""
        return self._sum("bytes", room.kept)

    def exposed(self, room: Room) -> Ints:
        """Return the bytes of each tiling's first load and last store, about: those that nothing overlaps."""
        return self._sum("tile", room.kept)

    def needs(self, room: Room) -> Ints:
        """Return the bytes of buffer that each tiling takes in all."""
        return self._sum("need", room.kept)

    def _sum(self, what: str, kept: Kept) -> Ints:
        """Return the sum over the operands that are not kept."""
        if (what, kept) not in self.known:
            input_kept, output_kept, residual_kept = kept
            names = [f"weight_{what}"]
            names += [] if input_kept else [f"input_{what}"]
            names += [] if residual_kept else [f"residual_{what}"]
            names += [f"output_{what}"] if not output_kept else ["kept_need"] if what == "need" else []
            self.known[what, kept] = self.joined(
                lambda part: functools.reduce(np.add, [part.columns[name] for name in names if name in part.columns])
            )
        return self.known[what, kept]

    def fits(self, room: Room) -> Truths:
        """Return which tilings find room."""
        if room.shared is not None:
            fits: Truths = self.needs(room) <= room.shared
            return fits
        fits = self.weight_need <= room.weights
        inputs = 0 if room.input_kept else self.input_need
        residual = 0 if room.residual_kept else self.residual_need
        fits = fits & (inputs + residual <= room.inputs)
        return fits & ((self.kept_need if room.output_kept else self.output_need) <= room.outputs)

    def tiling(self, index: int) -> Tiling:
        """Return an entry."""
        for part in self.parts:
            if index < part.size:
                plane, other = divmod(index, part.shape[1])
                columns = part.columns
                height, width = (int(columns[name][plane, 0]) for name in ("height", "width"))
                inner = (columns[name] for name in ("units", "products"))
                units, products = (int(values[0, other if values.shape[1] > 1 else 0]) for values in inner)
                return Tiling(part.order, height, width, units, products)
            index -= part.size
        raise IndexError(index)
