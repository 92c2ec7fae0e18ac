"""The tiling of a layer: the least DRAM traffic that finds room, and of those that move as little, a few worth timing."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Callable, Hashable

import numpy as np

from hwsim.memory.extents import Ints
from hwsim.memory.tiling import Kept, Room, Tiling
from hwsim.memory.tilings import TilingTable

SLACK = (1.0, 1.1)
"""Of equal traffic, the least exposed tiling within each of these times the fewest cycles of the array is looked at."""


def least_traffic(table: TilingTable, room: Room) -> int | None:
    """Return the DRAM bytes of the best tiling that finds room, or None."""
    if room.shared is not None:
        return least_in(table, room.kept, room.shared)
    fits = table.fits(room)
    return int(table.traffic(room)[fits].min()) if fits.any() else None


def least_in(table: TilingTable, kept: Kept, shared: int) -> int | None:
    """Return `least_traffic` in one buffer for everything."""
    needs, moved = _best_by_need(table, kept)
    place = bisect.bisect_right(needs, shared)
    return moved[place - 1] if place else None


@functools.lru_cache(maxsize=1 << 14)
def _best_by_need(table: TilingTable, kept: Kept) -> tuple[list[int], list[int]]:
    """Return what tilings take of a buffer, ascending, and the fewest DRAM bytes of those that take no more than each.

    Only where these become fewer; of what several tilings take, the last entry is that of the best.
    """
    room = Room(0, 0, 0, 0, *kept)
    needs, moved = table.needs(room), table.traffic(room)
    order = np.argsort(needs)
    least = np.minimum.accumulate(moved[order])
    better = np.concatenate([[0], np.flatnonzero(least[1:] < least[:-1]) + 1])
    return needs[order][better].tolist(), least[better].tolist()


def same_choice(table: TilingTable, room: Room) -> Hashable:
    """Return what is equal for rooms in which the same tilings move fewest bytes, one of which there is."""
    if room.shared is None:
        return room
    least = least_in(table, room.kept, room.shared)
    assert least is not None
    return room.kept, least, bisect.bisect_right(_needs_at(table, room.kept, least), room.shared)


@functools.lru_cache(maxsize=1 << 14)
def _needs_at(table: TilingTable, kept: Kept, moved: int) -> tuple[int, ...]:
    """Return what the tilings that move so many bytes take of a buffer, ascending."""
    room = Room(0, 0, 0, 0, *kept)
    return tuple(np.sort(table.needs(room)[table.traffic(room) == moved]).tolist())


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


def shortlist(table: TilingTable, room: Room, compute: Callable[[Ints], Ints]) -> list[Tiling]:
    """Return the tilings of least traffic that are worth timing, at least one.

    Which they are does not depend on the DRAM's speed, so that a faster DRAM never makes the best of them slower.

    Parameters
    ----------
    table, room
        At least one tiling finds room.
    compute
        Returns about how many cycles the array takes for some entries of the table.
    """
    least = least_traffic(table, room)
    equal = np.flatnonzero((table.traffic(room) == least) & table.fits(room))
    if len(equal) == 1:
        return [table.tiling(int(equal[0]))]
    cycles, exposed, tiles = compute(equal), table.exposed(room)[equal], table.tiles[equal]
    found = []
    for slack in SLACK:
        near = np.flatnonzero(cycles <= slack * cycles.min())
        # Least exposed first, then fewest cycles, then fewest tiles.
        order = np.lexsort((tiles[near], cycles[near], exposed[near]))
        found.append(int(equal[near[order[0]]]))
    return [table.tiling(index) for index in dict.fromkeys(found)]
