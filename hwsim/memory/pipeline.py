"""Cycles of tiles that are loaded, computed and stored over one DRAM port."""

from __future__ import annotations

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

    @property
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

    def transfer(moved: Ints) -> Ints:
        return transfer_cycles(moved, bytes_per_cycle, latency)

    if not double_buffered:
        moving = transfer(load_bytes) + transfer(store_bytes)
        return Timeline(compute, moving, compute + moving, load_bytes, store_bytes)
    none = np.zeros(1, np.int64)
    loads, stores = np.concatenate([load_bytes, none, none]), np.concatenate([none, none, store_bytes])
    computing = np.concatenate([none, compute, none])
    moving = transfer(loads) + transfer(stores)
    return Timeline(computing, moving, np.maximum(computing, moving), loads, stores)
