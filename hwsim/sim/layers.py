"""The layers of a run as the document states them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwsim.graph import Graph, Node
from hwsim.kernels.monitor import REGISTERS, Monitor
from hwsim.ops.products import ProductsUnit
from hwsim.sim.document import (
    ChannelEvents,
    Events,
    FirstOverflow,
    Layer,
    Overflow,
    ReductionInfo,
    Total,
    Traffic,
)
from hwsim.sim.execute import Execution
from hwsim.sim.network import Network
from hwsim.sim.observe import Observation, weight_histogram
from hwsim.sim.program import Program
from hwsim.sim.timing import LayerTime, time_layer
from hwsim.spec import Accelerator, bits_for


def describe_layers(
    network: Network, program: Program, accelerator: Accelerator, execution: Execution, observation: Observation
) -> tuple[Layer, ...]:
    """Return every node of the network with its arithmetic, its noise and its time."""
    graph = network.integer
    return tuple(_layer(node, graph, network, program, accelerator, execution, observation) for node in graph.nodes)


def _layer(
    node: Node, graph: Graph, network: Network, program: Program, accelerator: Accelerator, execution: Execution,
    observation: Observation,
) -> Layer:  # fmt: skip
    inputs, outputs = graph.inputs_of(node), graph.outputs_of(node)
    workload = node.op.workload(node.name, inputs, outputs, accelerator.arithmetic)
    time = time_layer(workload, accelerator)
    unit = program.units[node.name]
    weights = None
    if isinstance(unit, ProductsUnit):
        # By the node: weights that layers share are copied under other names.
        real = next(network.real.inputs_of(other)[1] for other in network.real.nodes if other.name == node.name)
        weights = weight_histogram(inputs[1], real.real())
    return Layer(
        name=node.name,
        op=node.op.kind,
        input_shape=inputs[0].shape[1:],
        output_shape=outputs[0].shape[1:],
        macs=workload.macs,
        weight_bits=workload.weight_bits or None,
        activation_bits=workload.activation_bits or None,
        reduction=_reduction(
            unit,
            workload.m,
            execution,
            execution.monitors[node.name],
            observation.monitors[node.name],
            observation.images,
        )
        if isinstance(unit, ProductsUnit)
        else None,
        sqnr_db=observation.sqnr_db.get(node.name),
        weights=weights,
        activations=observation.activations.get(node.name),
        dram_bytes=_traffic(time),
        compute_cycles=time.compute_cycles,
        stall_cycles=time.stall_cycles,
        cycles=time.cycles,
        utilization=time.utilization,
    )


def _reduction(
    unit: ProductsUnit, pixels: int, execution: Execution, counted: Monitor, observed: Monitor, images: int
) -> ReductionInfo:
    reduction = unit.reduction
    tree, psum, acc = (
        Events(positive=int(counted.counts[r, 0].sum()), negative=int(counted.counts[r, 1].sum()))
        for r in range(len(REGISTERS))
    )
    needed = bits_for(int(observed.low.min()), int(observed.high.max()))
    first = counted.first.tolist()
    return ReductionInfo(
        kernel=unit.plan.kernel,
        proof=unit.plan.proof,
        acc_bits=reduction.acc.bits,
        psum_bits=reduction.psum.bits if reduction.psum is not None else None,
        overflow=Overflow(
            tree=tree,
            psum=psum,
            acc=acc,
            channels=int((counted.counts.sum(axis=(0, 1)) > 0).sum()),
            sums=reduction.writes(unit.depth) * pixels * unit.channels * execution.n,
        ),
        first=None if counted.first_image is None else FirstOverflow(
            image=first[0], pixel=first[1], channel=first[2], register_name=REGISTERS[first[3]],  # type: ignore[arg-type]
        ),
        proven_safe_bits=unit.bounds.safe_bits(),
        observed_safe_bits=needed,
        headroom_bits=reduction.acc.bits - needed,
        observed_images=images,
        channel_events=_channel_events(counted),
        channel_proven_safe_bits=_widths(unit.bounds.acc_low, unit.bounds.acc_high),
        channel_observed_safe_bits=_widths(observed.low, observed.high),
    )  # fmt: skip


def _channel_events(counted: Monitor) -> ChannelEvents | None:
    if counted.events == 0:
        return None
    return ChannelEvents(
        **{
            f"{register}_{kind}": tuple(counted.counts[r, k].tolist())
            for r, register in enumerate(REGISTERS)
            for k, kind in enumerate(("positive", "negative"))
        }
    )


def _widths(low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(bits_for(*ends) for ends in zip(low.tolist(), high.tolist(), strict=True))


def _traffic(time: LayerTime) -> Traffic:
    return Traffic(**time.dram_bytes, total=time.total_bytes)


def total_of(layers: Sequence[Layer], accelerator: Accelerator, frames_per_second: float) -> Total:
    """Add up the layers for one image, and state the bandwidth at a frame rate."""
    macs = sum(layer.macs for layer in layers)
    moved = {role: sum(getattr(layer.dram_bytes, role) for layer in layers) for role in Traffic.model_fields}
    compute = sum(layer.compute_cycles for layer in layers)
    stalls = sum(layer.stall_cycles for layer in layers)
    cycles = compute + stalls
    events = sum(layer.reduction.overflow.events for layer in layers if layer.reduction is not None)
    demand = [layer.dram_bytes.total / layer.cycles for layer in layers if layer.cycles]
    return Total(
        macs=macs,
        dram_bytes=Traffic(**moved),
        compute_cycles=compute,
        stall_cycles=stalls,
        cycles=cycles,
        utilization=macs / (cycles * accelerator.rows * accelerator.cols) if cycles else 0.0,
        seconds_per_image=cycles / accelerator.clock_hz,
        images_per_second=accelerator.clock_hz / cycles if cycles else math.inf,
        operations_per_byte=2 * macs / moved["total"] if moved["total"] else 0.0,
        peak_bytes_per_cycle=max(demand, default=0.0),
        frames_per_second=frames_per_second,
        bandwidth_bytes_per_second=moved["total"] * frames_per_second,
        overflow_events=events,
    )
