"""Cycles of products with outliers: by the core's lanes with every K tile's own number of entries, or by a pass of their own.

*With lanes*, per output tile and K tile the core takes `outlier_lanes` entries; where there are more, the K tile is worked
through again with zero weights (``docs/rtl-core.md``), so the fullest K tile of a channel tile costs, not the mean: imbalance is
counted because every K tile is. *Without lanes* each outlier multiplies all pixels in a pass after the dense sum, at the rate of
the other passes: as many products per cycle as the array has columns.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.dataflow.array import ModelCore
from hwsim.dataflow.core_cycles import Counters, predict
from hwsim.dataflow.gemm_plan import plan_gemm
from hwsim.spec import StreamMemory

Positions = Sequence[Sequence[int]]
"""For each channel of a GEMM the products of its outliers."""

Rows = tuple[tuple[int, ...], ...]
"""By channel tile and K tile: numbers of outliers."""


@dataclass(frozen=True)
class Load:
    """How outliers fill the K tiles of an array.

    Attributes
    ----------
    tiles
        Channel tiles times K tiles.
    visits
        The same, each as often as it is worked through.
    most
        Outliers of the fullest.
    """

    tiles: int = 0
    visits: int = 0
    most: int = 0

    def __add__(self, other: Load) -> Load:
        """Return that of two GEMMs."""
        return Load(self.tiles + other.tiles, self.visits + other.visits, max(self.most, other.most))


def tile_rows(positions: Positions, k: int, cols: int, tile: int) -> Rows:
    """Count the outliers of each channel tile of `cols` channels and K tile of `tile` products."""
    counts = np.zeros((-(-len(positions) // cols), -(-k // tile)), np.int64)
    for channel, places in enumerate(positions):
        counts[channel // cols] += np.bincount(np.asarray(places, np.int64) // tile, minlength=counts.shape[1])
    return tuple(map(tuple, counts.tolist()))


def visit_entries(row: Sequence[int], lanes: int) -> tuple[int, ...]:
    """Return the entries of each visit of a channel tile's K tiles: all lanes but in the last visit, and at least one."""
    found: list[int] = []
    for count in row:
        full, rest = divmod(count, lanes)
        found += [lanes] * full
        if rest or not full:
            found.append(max(rest, 1))
    return tuple(found)


def load_of(rows: Rows, lanes: int) -> Load:
    """Return how outliers fill the K tiles."""
    counts = [count for row in rows for count in row]
    return Load(len(counts), sum(max(1, -(-count // max(lanes, 1))) for count in counts), max(counts, default=0))


@functools.lru_cache(maxsize=1 << 14)
def _counters(core: ModelCore, m: int, k: int, n: int, rows: Rows, memory: StreamMemory | None) -> Counters:
    entries = [visit_entries(row, core.outlier_lanes) for row in rows]
    passes = [[max(1, -(-count // core.outlier_lanes)) for count in row] for row in rows]
    total = Counters()
    for job in plan_gemm(core, m, k, n, passes).jobs:
        # The channel tiles of a job are its outer loop.
        numbers = np.concatenate([np.tile(entries[c], job.pixel_tiles) for c in job.channels])
        total = total + predict(core, job.pixels, job.k_tiles, job.output_tiles, numbers, memory=memory)
    return total


def gemms_counters(
    core: ModelCore, m: int, k: int, positions: Positions, width: int, memory: StreamMemory | None = None
) -> Counters:
    """Return the counters of GEMMs ``[m, k] x [k, width]`` side by side, with outliers, on a core with outlier lanes.

    Parameters
    ----------
    core
        Weight stationary.
    m, k
        Pixels, products per output.
    positions
        Of the channels of all GEMMs, `width` of them each.
    width
        Channels of a GEMM.
    memory
        What stands in front of the ports; None: streams never pause.
    """
    alike = Counter(
        tile_rows(positions[first : first + width], k, core.cols, core.tile_products)
        for first in range(0, len(positions), width)
    )
    total = Counters()
    for rows, number in alike.items():
        total = total + _counters(core, m, k, width, rows, memory).times(number)
    return total
