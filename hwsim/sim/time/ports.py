"""What crosses the ports of an array."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hwsim.dataflow import Counters
from hwsim.dataflow.array import ModelCore
from hwsim.spec import Accelerator, Dataflow, Workload


@dataclass(frozen=True)
class PortBytes:
    """Bytes that cross the array's ports, whole beats: between its buffers and the array."""

    weights: int = 0
    activations: int = 0
    outliers: int = 0
    results: int = 0

    @property
    def total(self) -> int:
        """All ports."""
        return self.weights + self.activations + self.outliers + self.results


NO_BYTES = PortBytes()


def port_bytes(accelerator: Accelerator, core: ModelCore, total: Counters) -> PortBytes:
    """Return the bytes of counted beats; input stationary, weights and activations come by each other's port."""
    held = total.beats_weights * core.weight_packing.bus_bits // 8
    streamed = total.beats_activations * core.activation_packing.bus_bits // 8
    if accelerator.dataflow is Dataflow.INPUT_STATIONARY:
        held, streamed = streamed, held
    outliers = total.beats_outliers * core.outlier_bus_bits // 8
    return PortBytes(held, streamed, outliers, total.beats_results * core.result_packing.bus_bits // 8)


def sparse_products(workload: Workload, pixels: int, channels: int, first: int) -> int:
    """Return the products of the outliers of some channels with so many pixels."""
    return pixels * sum(map(len, workload.outliers[first : first + channels]))


def with_pass(ports: PortBytes, core: ModelCore, workload: Workload, products: int, entries: int) -> PortBytes:
    """Return the bytes with those of a pass over outliers: an activation for each product, an entry for each outlier."""
    activations = -(-products * workload.activation_bits // 8)
    outliers = entries * core.outlier_bus_bits // 8
    return replace(ports, activations=ports.activations + activations, outliers=ports.outliers + outliers)
