"""Cycles of tiles that are loaded, computed and stored over one DRAM port."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from hwsim.memory.extents import Ints


@dataclass(frozen=True, eq=False)
class Timeline:
    """The steps of a layer one after the other; each array has an entry per step, in cycles and bytes of the DRAM bus.

    With double buffering, step 0 loads the first tile, step t + 1 computes tile t while tile t + 1 is loaded and tile t - 1
    stored, and the last step stores the last tile; the next step begins when all of a step is done. Without, each tile is
    a step: load, compute, store.

    Attributes
    ----------
    compute, transfer, cycles
        What the array needs, what the DRAM port needs, and what the step takes.
    read_bytes, write_bytes
        Moved during the step.
    """

    compute: Ints
    transfer: Ints
    cycles: Ints
    read_bytes: Ints
    write_bytes: Ints

    @functools.cached_property
    def total(self) -> int:
        """Cycles of all steps."""
        return int(self.cycles.sum())


def transfer_cycles(moved: Ints, bytes_per_cycle: float, latency: int) -> Ints:
    """Return the cycles of transfers of some bytes, see `timeline`."""
    cycles = np.ceil(moved / bytes_per_cycle).astype(np.int64)
    return np.where(moved > 0, cycles + latency, 0)


def timeline(
    load_bytes: Ints, compute: Ints, store_bytes: Ints, *, bytes_per_cycle: float, latency: int, double_buffered: bool
) -> Timeline:
    """Return the steps of tiles.

    A transfer of some bytes takes the latency and ``bytes / bytes_per_cycle`` cycles, rounded up; one of none takes no time.

    Parameters
    ----------
    load_bytes, compute, store_bytes
        By tile: bytes on the bus, cycles of the array, bytes on the bus.
    bytes_per_cycle, latency, double_buffered
        See `hwsim.spec.Accelerator` and `hwsim.spec.Memory`.
    """
    # By step: loads, work, stores.
    early = 1 if double_buffered else 0
    steps = np.zeros((3, len(compute) + 2 * early), np.int64)
    for row, values in enumerate((load_bytes, compute, store_bytes)):
        steps[row, row * early : row * early + len(values)] = values
    loads, computing, stores = steps
    moving = transfer_cycles(steps[::2], bytes_per_cycle, latency).sum(axis=0)
    cycles = np.maximum(computing, moving) if double_buffered else computing + moving
    return Timeline(computing, moving, cycles, loads, stores)
