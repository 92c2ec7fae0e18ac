"""Time of a layer whose streams come straight from the DRAM: no buffers and no tiles, and the waits are those of the RTL.

The memory is `hwsim.spec.StreamMemory`, behind which `hwsim.dataflow.predict` counts what the hardware does, cycle by cycle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from hwsim.dataflow.array import ModelCore, array_of, gemm_counters, gemm_tiles
from hwsim.dataflow.core_cycles import Counters
from hwsim.dataflow.outliers import gemms_counters
from hwsim.memory.pipeline import Timeline
from hwsim.sim.time.layer_time import LayerTime
from hwsim.sim.time.ports import PortBytes, port_bytes
from hwsim.sim.time.tile_problem import product_shape
from hwsim.spec import Accelerator, Dataflow, Role, StreamMemory, Workload, require
from hwsim.spec.stream_memory import MOST_BEATS, MOST_RATIO

LEAST_BEATS = 64
"""Of each FIFO before a port; more where the latency needs them."""


def stream_memory(accelerator: Accelerator) -> StreamMemory:
    """Return the memory before the ports: FIFOs deep enough that the latency alone never stops a stream."""
    latency = accelerator.memory.dram_latency_cycles
    beats = min(max(LEAST_BEATS, latency + 1), MOST_BEATS)
    bandwidth = Fraction(accelerator.dram_bytes_per_cycle).limit_denominator(1000)
    bandwidth = max(bandwidth, Fraction(1, MOST_RATIO))
    return StreamMemory(latency, bandwidth, None, beats, beats, beats, beats)


@dataclass(frozen=True)
class DirectLayer:
    """A layer of products without buffers."""

    workload: Workload
    accelerator: Accelerator

    def time(self) -> LayerTime:
        """Return the time of the layer; every beat of a port is traffic, as often as the array asks for it."""
        work, machine = self.workload, self.accelerator
        output = next(part for part in work.operands if part.role == "activations_out")
        core = array_of(machine, work.weight_bits, work.activation_bits, output.element_bits)
        n, groups = product_shape(work)
        ideal, found = (self._counters(core, n, groups, memory) for memory in (None, stream_memory(machine)))
        ports = port_bytes(machine, core, found)
        records = groups * gemm_tiles(machine, core, work.m, work.k, n) * core.cols * core.record_beats
        constants = records * core.weight_packing.bus_bits // 8
        biases = constants * core.bias_bits // max(core.record_bits, 1)
        by: Role = "activations_in" if machine.dataflow is Dataflow.INPUT_STATIONARY else "weights"
        moved: dict[Role, int] = {
            "weights": ports.weights + (0 if work.outliers else ports.outliers),
            "outliers": ports.outliers if work.outliers else 0,
            "biases": biases,
            "scales": constants - biases,
            "activations_in": ports.activations,
            "activations_out": ports.results,
        }
        moved[by] -= constants
        line = _line(machine, ideal.cycles, found.cycles, ports)
        return LayerTime(
            moved, ideal.cycles, line.total - ideal.cycles, work.macs / (line.total * machine.multipliers), ports, line
        )

    def _counters(self, core: ModelCore, n: int, groups: int, memory: StreamMemory | None) -> Counters:
        work = self.workload
        if not work.outliers:
            return gemm_counters(self.accelerator, core, work.m, work.k, n, memory).times(groups)
        # A pass of their own would need a buffer of activations.
        require(
            core.outlier_lanes > 0, "outlier_lanes", "1 to 8 for weights with outliers on a machine without buffers",
            core.outlier_lanes,
        )  # fmt: skip
        return gemms_counters(core, work.m, work.k, work.outliers, n, memory)


def _line(machine: Accelerator, compute: int, cycles: int, ports: PortBytes) -> Timeline:
    """Return the layer as one step: how its waits are spread is not kept.

    The core is done when the write buffer has its last beat. The layer is, when all its bytes have crossed the bus.
    """
    transfer = math.ceil(ports.total / machine.dram_bytes_per_cycle)
    columns = (compute, transfer, max(cycles, transfer), ports.total - ports.results, ports.results)
    return Timeline(*(np.array([value], np.int64) for value in columns))
