"""The layers of a run as the document states them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.graph import Node
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
)
from hwsim.sim.execute import Execution
from hwsim.sim.network import Network
from hwsim.sim.observe import Observation, weight_histogram
from hwsim.sim.program import Program
from hwsim.sim.time.document import layer_times, total_times
from hwsim.sim.time.network import TimedLayer
from hwsim.spec import Accelerator, bits_for


def describe_layers(
    network: Network, program: Program, timed: Sequence[TimedLayer], accelerator: Accelerator, execution: Execution,
    observation: Observation,
) -> tuple[Layer, ...]:  # fmt: skip
    """Return every node of the network with its arithmetic, its noise and its time."""
    graph = network.integer
    return tuple(
        _layer(node, network, program, execution, observation, timed[index].workload.m,
               layer_times(graph, timed[index], accelerator, index))
        for index, node in enumerate(graph.nodes)
    )  # fmt: skip


def _layer(
    node: Node, network: Network, program: Program, execution: Execution, observation: Observation, pixels: int,
    times: dict[str, Any],
) -> Layer:  # fmt: skip
    unit = program.units[node.name]
    weights = None
    if isinstance(unit, ProductsUnit):
        # By the node: weights that layers share are copied under other names.
        real = next(network.real.inputs_of(other)[1] for other in network.real.nodes if other.name == node.name)
        weights = weight_histogram(network.integer.inputs_of(node)[1], real.real())
    return Layer(
        **times,
        reduction=_reduction(
            unit,
            pixels,
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
            sums=(reduction.writes(unit.depth) * unit.channels + _outliers(unit)) * pixels * execution.n,
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


def _outliers(unit: ProductsUnit) -> int:
    """Return how many outliers write sums of their own."""
    return 0 if unit.outliers is None else unit.outliers.entries


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


def total_of(
    layers: Sequence[Layer], timed: Sequence[TimedLayer], accelerator: Accelerator, frames_per_second: float
) -> Total:
    """Add up the layers: time for one image, overflow of the run."""
    events = sum(layer.reduction.overflow.events for layer in layers if layer.reduction is not None)
    return Total(**total_times(timed, accelerator, frames_per_second), overflow_events=events)
