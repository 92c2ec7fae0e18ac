"""The tiling of a layer: the least DRAM traffic that finds room, and of those that move as little, a few worth timing."""

from __future__ import annotations

import bisect
import functools

import numpy as np

from hwsim.memory.extents import Ints
from hwsim.memory.tiling import Room, Tiling, TilingTable

SLACK = (1.0, 1.1)
"""Of equal traffic, the least exposed tiling within each of these times the fewest cycles of the array is looked at."""


def least_traffic(table: TilingTable, room: Room) -> int | None:
    """Return the DRAM bytes of the best tiling that finds room, or None."""
    if room.shared is not None:
        needs, moved = _best_by_need(table, room.input_kept, room.output_kept, room.residual_kept)
        place = bisect.bisect_right(needs, room.shared)
        return moved[place - 1] if place else None
    fits = table.fits(room)
    return int(table.traffic(room)[fits].min()) if fits.any() else None


@functools.lru_cache(maxsize=1 << 14)
def _best_by_need(
    table: TilingTable, input_kept: bool, output_kept: bool, residual_kept: bool
) -> tuple[list[int], list[int]]:
    """Return what tilings take of a buffer, ascending, each with fewer DRAM bytes than those that take less; and these bytes."""
    room = Room(0, 0, 0, 0, input_kept, output_kept, residual_kept)
    needs, moved = table.needs(room), table.traffic(room)
    order = np.lexsort((moved, needs))
    least = np.minimum.accumulate(moved[order])
    better = np.flatnonzero(np.diff(least, prepend=least[:1] + 1))
    return needs[order][better].tolist(), least[better].tolist()


def least_rooms(table: TilingTable, room: Room) -> tuple[int, ...]:
    """Return the sizes of buffers that would do for a tiling: of the shared one, or of weights, activations and results.

    Of several buffers, those of the tiling that lacks fewest bytes of what there is.
    """
    if room.shared is not None:
        return (int(table.needs(room).min()),)
    outputs = table.kept_need if room.output_kept else table.output_need
    needs = np.stack([table.weight_need, table.needs(room) - table.weight_need - outputs, outputs])
    sizes = np.array([room.weights, room.inputs, room.outputs])[:, None]
    best = np.maximum(needs - sizes, 0).sum(axis=0).argmin()
    return tuple(needs[:, best].tolist())


def shortlist(table: TilingTable, room: Room, compute: Ints) -> list[Tiling]:
    """Return the tilings of least traffic that are worth timing, at least one.

    Which they are does not depend on the DRAM's speed, so that a faster DRAM never makes the best of them slower.

    Parameters
    ----------
    table, room
        At least one tiling finds room.
    compute
        About how many cycles the array takes for each entry of the table.
    """
    fits = np.flatnonzero(table.fits(room))
    moved = table.traffic(room)[fits]
    equal = fits[moved == moved.min()]
    cycles, exposed = compute[equal], table.exposed(room)[equal]
    found = []
    for slack in SLACK:
        near = np.flatnonzero(cycles <= slack * cycles.min())
        # Least exposed first, then fewest cycles, then fewest tiles.
        order = np.lexsort((table.tiles[equal][near], cycles[near], exposed[near]))
        found.append(int(equal[near[order[0]]]))
    return [table.tiling(index) for index in dict.fromkeys(found)]
