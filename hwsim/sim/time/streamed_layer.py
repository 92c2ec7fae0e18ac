"""Time of a pass over whole tensors, in the room that is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.dataflow.passes import pass_cycles
from hwsim.memory.extents import Ints, burst_bytes_of
from hwsim.memory.pipeline import Timeline
from hwsim.memory.tiling import Room
from hwsim.sim.time.layer_time import LayerTime, layer_time, timeline_of
from hwsim.sim.time.ports import PortBytes
from hwsim.spec import ROLES, Accelerator, Role, Workload


@dataclass(frozen=True)
class StreamedLayer:
    """A pass over whole tensors, in any number of equal pieces.

    Parameters
    ----------
    workload, accelerator
        What is to be done, and by what.
    kept
        For each operand whether it is on chip.
    """

    workload: Workload
    accelerator: Accelerator
    kept: tuple[bool, ...]

    def moved(self) -> list[tuple[Role, int]]:
        """Return the bytes that cross the DRAM, by operand."""
        burst = self.accelerator.memory.burst_bytes
        operands = zip(self.workload.operands, self.kept, strict=True)
        return [(part.role, int(burst_bytes_of(part.packed_bytes, burst))) for part, kept in operands if not kept]

    def traffic(self) -> int:
        """Return the DRAM bytes: a pass fits into any buffer, as a burst of each tensor is enough."""
        return sum(size for _, size in self.moved())

    def time(self, room: Room) -> LayerTime:
        """Return the time of the pass."""
        moved = self.moved()
        memory = self.accelerator.memory
        elements = max((operand.elements for operand in self.workload.operands), default=0)
        compute = int(pass_cycles(np.array(elements), self.accelerator.cols))
        loads, stores = (
            sum(size for role, size in moved if (role == "activations_out") == written) for written in (False, True)
        )
        burst = memory.burst_bytes
        held = sum(
            int(burst_bytes_of(part.expanded_bytes, burst))
            for part, kept in zip(self.workload.operands, self.kept, strict=True)
            if not kept
        )
        lines = [self._pieces(pieces, loads, compute, stores) for pieces in self._numbers(loads + stores, held, room)]
        roles: dict[Role, int] = {role: sum(size for other, size in moved if other == role) for role in ROLES}
        inputs, outputs = (
            sum(part.expanded_bytes for part in self.workload.operands if (part.role == "activations_out") == written)
            for written in (False, True)
        )
        ports = PortBytes(activations=inputs, results=outputs)
        line = min(lines, key=lambda line: line.total)
        if memory.direct:
            line = _streaming(self.accelerator, loads, compute, stores)
        return layer_time(self.workload, self.accelerator, roles, compute, ports, line)

    def _numbers(self, moved: int, held: int, room: Room) -> Sequence[int]:
        """Return numbers of pieces worth timing, as few as find room and more; they do not depend on the DRAM's speed.

        `held`: what the pieces take of the buffers in all, which is more than is moved where tensors are compressed.
        """
        memory = self.accelerator.memory
        if not moved:
            return (1,)
        usable = room.shared if room.shared is not None else min(room.inputs, room.outputs)
        usable = max(usable, memory.burst_bytes) // (2 if memory.double_buffered else 1)
        fewest = -(-held // max(usable, 1))
        most = -(-moved // memory.burst_bytes)
        return sorted({min(number * fewest, most) for number in (1, 4, 16)})

    def _pieces(self, pieces: int, loads: int, compute: int, stores: int) -> Timeline:
        burst = self.accelerator.memory.burst_bytes
        bursts = [_shares(size // burst, pieces) * burst for size in (loads, stores)]
        return timeline_of(self.accelerator, bursts[0], _shares(compute, pieces), bursts[1])


def _streaming(accelerator: Accelerator, loads: int, compute: int, stores: int) -> Timeline:
    """Return a pass without buffers: one step, whose transfers and work go side by side after the first byte's latency."""
    transfer = -(-(loads + stores) // accelerator.dram_bytes_per_cycle)
    latency = accelerator.memory.dram_latency_cycles if loads + stores else 0
    columns = (compute, transfer, max(compute, transfer) + latency, loads, stores)
    return Timeline(*(np.array([int(value)], np.int64) for value in columns))


def _shares(whole: int, parts: int) -> Ints:
    """Cut a number into parts that differ by at most one."""
    edges = np.arange(parts + 1, dtype=np.int64) * whole // parts
    return np.diff(edges)
