"""Weights of the next layer that come while a layer computes: into what is left of the buffers, while the DRAM has nothing to do.

Only a layer's first tile of weights has nothing to hide behind, so that is what comes early, in pieces of whole bursts, as the
steps of the layer before leave time for a latency and more. Where they leave too little, the rest comes as ever. No step
takes longer than without, tilings stay as they are, and the bytes are the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwsim.memory.extents import Ints
from hwsim.memory.pipeline import Timeline, transfer_cycles
from hwsim.memory.tiling import TileProblem
from hwsim.sim.time.layer_time import LayerTime, layer_time
from hwsim.spec import Accelerator, Workload


@dataclass(frozen=True)
class Unit:
    """A layer, or layers that are executed together.

    Parameters
    ----------
    works, times
        Of the layers, in order.
    spare
        Bytes of the buffer for weights that nothing uses meanwhile.
    problem
        The first layer with its tiles, None where it has no weights.
    """

    works: tuple[Workload, ...]
    times: tuple[LayerTime, ...]
    spare: int
    problem: TileProblem | None

    @property
    def first_weights(self) -> tuple[int, int]:
        """The first tile of weights: bytes on the bus, and in a buffer."""
        time, problem = self.times[0], self.problem
        if problem is None or not problem.products or time.tiling is None:
            return 0, 0
        own = time.tile_channels, time.tiling.products
        return int(problem.weight_bytes(*own)), int(problem.weight_payload(*own))


def with_prefetch(units: Sequence[Unit], accelerator: Accelerator) -> list[tuple[LayerTime, ...]]:
    """Return the times of all units, where each brings the first weights of the next as far as it can."""
    found = [list(unit.times) for unit in units]
    for index, (unit, after) in enumerate(itertools.pairwise(units)):
        due, need = after.first_weights
        if need > unit.spare:
            continue
        left = due
        for at, (work, time) in enumerate(zip(unit.works, found[index], strict=True)):
            if time.steps is not None and left:
                line, taken = _filled(time.steps, left, accelerator)
                found[index][at] = _on(line, work, time, accelerator)
                left -= taken
        first = found[index + 1][0]
        if first.steps is not None and left < due:
            line = _relieved(first.steps, due - left, accelerator)
            found[index + 1][0] = replace(_on(line, after.works[0], first, accelerator), prefetched_bytes=due - left)
    return [tuple(times) for times in found]


def _filled(line: Timeline, due: int, accelerator: Accelerator) -> tuple[Timeline, int]:
    """Return a timeline in whose idle time so many bytes come, or as many as find time, and their number."""
    burst, speed = accelerator.memory.burst_bytes, accelerator.dram_bytes_per_cycle
    time = line.cycles - line.transfer - accelerator.memory.dram_latency_cycles
    room = np.floor(np.maximum(time, 0) * speed / burst).astype(np.int64) * burst
    # A division in floating point may have been rounded up.
    room -= np.where(np.ceil(room / speed) > np.maximum(time, 0), burst, 0)
    before = np.cumsum(room) - room
    taken: Ints = np.clip(due - before, 0, room)
    return replace(
        line, transfer=line.transfer + _transfer(taken, accelerator), read_bytes=line.read_bytes + taken
    ), int(taken.sum())


def _relieved(line: Timeline, there: int, accelerator: Accelerator) -> Timeline:
    """Return a timeline of whose first load, which nothing overlaps, so many bytes are there already."""
    read = line.read_bytes.copy()
    read[0] -= there
    transfer, cycles = line.transfer.copy(), line.cycles.copy()
    transfer[0] = cycles[0] = int(_transfer(read[:1], accelerator)[0])
    return replace(line, transfer=transfer, cycles=cycles, read_bytes=read)


def _transfer(moved: Ints, accelerator: Accelerator) -> Ints:
    """Return the cycles of transfers."""
    return transfer_cycles(moved, accelerator.dram_bytes_per_cycle, accelerator.memory.dram_latency_cycles)


def _on(line: Timeline, work: Workload, time: LayerTime, accelerator: Accelerator) -> LayerTime:
    """Return a layer with another timeline."""
    return layer_time(
        work, accelerator, time.dram_bytes, time.compute_cycles, time.ports, line, time.tiling, time.tile_channels, time.tiles,
        time.prefetched_bytes,
    )  # fmt: skip
