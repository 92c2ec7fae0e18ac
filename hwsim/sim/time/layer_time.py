"""The time of a layer: bytes, cycles and stalls, whatever way it was found."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.memory.extents import Ints
from hwsim.memory.pipeline import Timeline, timeline
from hwsim.memory.tiling import Tiling
from hwsim.sim.time.ports import NO_BYTES, PortBytes
from hwsim.spec import ROLES, Accelerator, Role, Workload


@dataclass(frozen=True, eq=False)
class LayerTime:
    """A layer for one image: ``compute_cycles + stall_cycles = cycles``.

    Attributes
    ----------
    dram_bytes
        On the bus, in whole bursts, by operand; biases and scales travel with the weights.
    compute_cycles
        In which the array works on the layer, fill and drain of every tile included.
    stall_cycles
        In which it waits for the DRAM, the first load and the last store included.
    utilization
        Multiply-accumulates per multiplier and cycle.
    ports
        What crosses the array's ports.
    steps
        The timeline; empty where nothing happens.
    tiling
        How the layer was cut, None where it has no tiles.
    tile_channels, tiles
        Output channels of a tile, and steps of the pipeline.
    prefetched_bytes
        Of the weights, those that came while the layer before it computed.
    """

    dram_bytes: dict[Role, int]
    compute_cycles: int
    stall_cycles: int
    utilization: float
    ports: PortBytes = NO_BYTES
    steps: Timeline | None = None
    tiling: Tiling | None = None
    tile_channels: int = 0
    tiles: int = 0
    prefetched_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """DRAM bytes of all operands."""
        return sum(self.dram_bytes.values())

    @property
    def cycles(self) -> int:
        """Cycles of the layer."""
        return self.compute_cycles + self.stall_cycles


NO_TIME = LayerTime(dict.fromkeys(ROLES, 0), 0, 0, 0.0, PortBytes())
"""Of what moves nothing, or is done by another layer."""


def timeline_of(accelerator: Accelerator, loads: Ints, compute: Ints, stores: Ints) -> Timeline:
    """Return the timeline of steps on a machine, see `hwsim.memory.pipeline.timeline`."""
    memory = accelerator.memory
    return timeline(
        loads, compute, stores, bytes_per_cycle=accelerator.dram_bytes_per_cycle, latency=memory.dram_latency_cycles,
        double_buffered=memory.double_buffered,
    )  # fmt: skip


def layer_time(
    workload: Workload, accelerator: Accelerator, moved: dict[Role, int], compute: int, ports: PortBytes, line: Timeline,
    tiling: Tiling | None = None, tile_channels: int = 0, tiles: int = 0, prefetched_bytes: int = 0,
) -> LayerTime:  # fmt: skip
    """Return what a timeline makes of a layer."""
    slots = line.total * accelerator.multipliers
    usage = workload.macs / slots if slots else 0.0
    stalls = line.total - compute
    return LayerTime(moved, compute, stalls, usage, ports, line, tiling, tile_channels, tiles, prefetched_bytes)
