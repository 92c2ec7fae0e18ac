"""Time of a layer: the cycles of its schedule and the traffic of its memory, joined. The values engine is not asked."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.dataflow import compute_cycles
from hwsim.memory import dram_bytes, stall_cycles
from hwsim.spec import Accelerator, Role, Workload

MODEL = (
    "compulsory traffic (every operand crosses once per image, packed at its bits) and ideal cycles (every multiplier "
    "busy, transfers overlapped with computation): lower bounds of any schedule"
)
"""What the figures mean, for reports."""


@dataclass(frozen=True)
class LayerTime:
    """A layer for one image: ``compute_cycles + stall_cycles = cycles``."""

    dram_bytes: dict[Role, int]
    compute_cycles: int
    stall_cycles: int
    utilization: float

    @property
    def total_bytes(self) -> int:
        """Bytes of all operands."""
        return sum(self.dram_bytes.values())

    @property
    def cycles(self) -> int:
        """Cycles of the layer."""
        return self.compute_cycles + self.stall_cycles


def time_layer(workload: Workload, accelerator: Accelerator) -> LayerTime:
    """Return the time of a layer on a machine."""
    moved = dram_bytes(workload)
    compute = compute_cycles(workload, accelerator)
    stalls = stall_cycles(sum(moved.values()), compute, accelerator)
    slots = (compute + stalls) * accelerator.rows * accelerator.cols
    return LayerTime(moved, compute, stalls, workload.macs / slots if slots else 0.0)
