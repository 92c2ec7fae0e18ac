"""Time of a network: which tensors stay on chip, and each layer in the room that is left. The values engine is not asked."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hwsim.dataflow.passes import check_known
from hwsim.graph import Graph
from hwsim.memory.compression import Scheme
from hwsim.memory.placement import Placement, Stage, place
from hwsim.sim.time.equal_machines import unhurried
from hwsim.sim.time.given import GivenTiles
from hwsim.sim.time.layer_time import LayerTime
from hwsim.sim.time.mapped_network import MappedNetwork
from hwsim.sim.time.network_words import reason, too_small
from hwsim.sim.time.stages import TimedNode, TimedNodes, timed_nodes
from hwsim.spec import Accelerator, Arithmetic, InputError, Role, Workload

MODEL = (
    "tiles of least DRAM traffic, found among all; cycles of the array as the RTL counts them, a job per tile; tensors stay "
    "on chip between layers where that moves fewest bytes; tiles are loaded, computed and stored in a pipeline"
)
"""What the figures mean, for reports."""


@dataclass(frozen=True)
class TimedLayer:
    """A layer in its network.

    Attributes
    ----------
    workload
        What it asks of the machine.
    time
        What it takes.
    kept
        For each of its operands whether it is on chip before or after the layer.
    placement
        Where its output goes and why, in a few words.
    stack
        The layers that it is executed together with, its own among them; none where it is by itself.
    """

    workload: Workload
    time: LayerTime
    kept: tuple[bool, ...]
    placement: str
    stack: tuple[str, ...] = ()

    def on_chip(self, role: Role) -> bool:
        """Whether all operands of a role are, and there are some."""
        operands = zip(self.workload.operands, self.kept, strict=True)
        found = [kept for operand, kept in operands if operand.role == role]
        return bool(found) and all(found)

    @property
    def moved_bits(self) -> int:
        """Bits of the operands that have to cross the DRAM, each once."""
        operands = zip(self.workload.operands, self.kept, strict=True)
        return sum(8 * operand.packed_bytes for operand, kept in operands if not kept)


def time_layer(workload: Workload, accelerator: Accelerator) -> LayerTime:
    """Return the time of a layer by itself: everything comes from the DRAM and goes there.

    Raises
    ------
    InputError
        For an operator without a cost, or buffers that are too small for any tile.
    """
    check_known(workload)
    reads = tuple(f"in {i}" if part.role == "activations_in" else None for i, part in enumerate(workload.operands))
    node = TimedNode(workload, Stage((), ()), reads)
    network = MappedNetwork(TimedNodes((node,), {}), unhurried(accelerator))
    nothing = Placement(frozenset(), frozenset(), 0)
    if network.traffic(0, nothing) is None:
        raise InputError(too_small(network))
    return network.times([nothing], accelerator)[0]


def time_network(
    graph: Graph, accelerator: Accelerator, compression: Scheme | None = None, given: GivenTiles | None = None,
    stored: Mapping[str, int] = MappingProxyType({}),
) -> tuple[TimedLayer, ...]:  # fmt: skip
    """Return every node of a network with its time, for one image.

    Parameters
    ----------
    graph, accelerator
        The network and the machine.
    compression
        How weights are stored, or None for as they are.
    given
        How layers are cut and where their outputs go, where that is not for the search to find.
    stored
        Bits in the DRAM of activations that are compressed, by name: measured, as no value is known here.

    Raises
    ------
    InputError
        For an operator without a cost, buffers that are too small for any tile of a layer, or tiles that are none of it.
    """
    slow, fused = unhurried(accelerator), accelerator.datapath.fused
    if compression is None and not stored:
        nodes = _nodes(graph, accelerator.arithmetic, fused)
    else:
        nodes = timed_nodes(graph, accelerator.arithmetic, fused, compression, stored)
    network, found = _placed(nodes, slow) if given is None else _place(nodes, slow, given)
    if found is None:
        raise InputError(too_small(network))
    times = network.times([where.placement for where in found], accelerator)
    return tuple(
        TimedLayer(node.workload, time, where.kept, where.reason, network.stack_names(where.placement))
        for node, time, where in zip(network.nodes, times, found, strict=True)
    )


@functools.lru_cache(maxsize=16)
def _nodes(graph: Graph, arithmetic: Arithmetic, fused: tuple[str, ...]) -> TimedNodes:
    """Return the layers of a network, once for all machines that sum in one way."""
    return timed_nodes(graph, arithmetic, fused)


@dataclass(frozen=True, slots=True)
class _Where:
    """What is on chip during a layer, which of its operands are, and where its output goes and why."""

    placement: Placement
    kept: tuple[bool, ...]
    reason: str


@functools.lru_cache(maxsize=4)
def _placed(nodes: TimedNodes, accelerator: Accelerator) -> tuple[MappedNetwork, list[_Where] | None]:
    """Return `_place` of a network, once for all speeds of the DRAM and the clock."""
    return _place(nodes, accelerator, None)


def _place(
    nodes: TimedNodes, accelerator: Accelerator, given: GivenTiles | None
) -> tuple[MappedNetwork, list[_Where] | None]:
    """Return a network on a machine, and what is on chip; None where some layer finds no room."""
    network = MappedNetwork(nodes, accelerator, given)
    found = place(
        [node.stage for node in nodes.nodes], nodes.sizes, network.in_dram, network.traffic, network.stack_ends
    )
    if found is None:
        return network, None
    return network, [
        _Where(placement, network.kept(index, placement), reason(network, index, placement))
        for index, placement in enumerate(found)
    ]
