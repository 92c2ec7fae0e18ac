"""Time of a network: which tensors stay on chip, and each layer in the room that is left. The values engine is not asked."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.dataflow.passes import check_known
from hwsim.graph import Graph
from hwsim.memory.compression import Scheme
from hwsim.memory.placement import Placement, Stage, place
from hwsim.memory.tiling import Room
from hwsim.sim.time.direct_layer import DirectLayer
from hwsim.sim.time.layer import LayerTime, StreamedLayer, TiledLayer, is_tiled, unhurried
from hwsim.sim.time.ports import PortBytes
from hwsim.sim.time.stages import TimedNode, fixed_tensors, timed_nodes
from hwsim.spec import ROLES, Accelerator, InputError, Role, Workload

MODEL = (
    "tiles of least DRAM traffic, found among all; cycles of the array as the RTL counts them, a job per tile; tensors stay "
    "on chip between layers where that moves fewest bytes; tiles are loaded, computed and stored in a pipeline"
)
"""What the figures mean, for reports."""


BUFFERS = ("weight_sram_bytes", "activation_sram_bytes", "result_sram_bytes")


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
    """

    workload: Workload
    time: LayerTime
    kept: tuple[bool, ...]
    placement: str

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
    return _Network([node], accelerator, {}).time(0, Placement(frozenset(), frozenset(), 0))


def time_network(graph: Graph, accelerator: Accelerator, compression: Scheme | None = None) -> tuple[TimedLayer, ...]:
    """Return every node of a network with its time, for one image; its weights are stored compressed where asked for.

    Raises
    ------
    InputError
        For an operator without a cost, or buffers that are too small for any tile of a layer.
    """
    slow = unhurried(accelerator)
    nodes, sizes, found = _kept(graph, slow) if compression is None else _placed(graph, slow, compression)
    network = _Network(nodes, accelerator, sizes)
    if found is None:
        raise InputError(network.too_small())
    fixed = fixed_tensors(graph)
    return tuple(
        TimedLayer(
            node.workload, network.time(index, placement), network.kept(index, placement),
            network.reason(index, placement, fixed),
        )
        for index, (node, placement) in enumerate(zip(nodes, found, strict=True))
    )  # fmt: skip


_Placed = tuple[list[TimedNode], dict[str, int], list[Placement] | None]


@functools.lru_cache(maxsize=4)
def _kept(graph: Graph, accelerator: Accelerator) -> _Placed:
    """Return `_placed` of a network, once for all speeds of the DRAM and the clock."""
    return _placed(graph, accelerator, None)


def _placed(graph: Graph, accelerator: Accelerator, compression: Scheme | None) -> _Placed:
    """Return the layers of a network, the sizes of tensors, and what is on chip."""
    nodes, sizes = timed_nodes(graph, accelerator.arithmetic, accelerator.datapath.fused, compression)
    network = _Network(nodes, accelerator, sizes)
    return nodes, sizes, place([node.stage for node in nodes], sizes, fixed_tensors(graph), network.traffic)


def _tiled(workload: Workload, accelerator: Accelerator) -> bool:
    """Whether a layer is more than a stream of tensors; without buffers pooling is one."""
    if not workload.operands:
        return False
    return workload.macs > 0 if accelerator.memory.direct else is_tiled(workload)


class _Network:
    """Layers on a machine; what depends on the same things is worked out once."""

    def __init__(self, nodes: Sequence[TimedNode], accelerator: Accelerator, sizes: dict[str, int]) -> None:
        self.nodes, self.accelerator, self.sizes = nodes, accelerator, sizes
        self.layers = [
            TiledLayer(node.workload, accelerator) if _tiled(node.workload, accelerator) else None for node in nodes
        ]
        self._traffic: dict[tuple[int, Room], int | None] = {}

    def traffic(self, index: int, placement: Placement) -> int | None:
        """Return the DRAM bytes of a layer, None where it finds no room."""
        room = self._room(index, placement)
        if min(room.inputs, room.shared or 0) < 0 or (self.accelerator.memory.direct and placement.occupied_bytes):
            return None
        layer = self.layers[index]
        if layer is None:
            return self._streamed(index, placement).traffic()
        if self.accelerator.memory.direct:
            # Whatever it is, there is no other way.
            return 0
        if (index, room) not in self._traffic:
            self._traffic[index, room] = layer.traffic(room)
        return self._traffic[index, room]

    def time(self, index: int, placement: Placement) -> LayerTime:
        """Return the time of a layer."""
        layer, room = self.layers[index], self._room(index, placement)
        if layer is not None and self.accelerator.memory.direct:
            return DirectLayer(layer.workload, self.accelerator).time()
        if layer is not None:
            if self.traffic(index, placement) is None:
                raise InputError(self.too_small())
            return layer.time(room)
        if not self.nodes[index].workload.operands:
            return LayerTime(dict.fromkeys(ROLES, 0), 0, 0, 0.0, PortBytes())
        return self._streamed(index, placement).time(room)

    def too_small(self) -> str:
        """Say which layer finds no room even with nothing kept."""
        memory = self.accelerator.memory
        nothing = Placement(frozenset(), frozenset(), 0)
        for index, (node, layer) in enumerate(zip(self.nodes, self.layers, strict=True)):
            if layer is not None and self.traffic(index, nothing) is None:
                sizes = (memory.weight_sram_bytes, memory.activation_sram_bytes, memory.result_sram_bytes)
                given = (memory.sram_bytes,) if memory.sram_bytes is not None else sizes
                names = ("sram_bytes",) if memory.sram_bytes is not None else BUFFERS
                least = zip(names, layer.least_rooms(self._room(index, nothing)), given, strict=True)
                lacking = [f"{name} at least {need}, not {size}" for name, need, size in least if need > (size or 0)]
                return f"buffers must hold a tile of {node.workload.name}: {', '.join(lacking)}"
        raise AssertionError("every layer finds room when nothing is kept")

    def reason(self, index: int, placement: Placement, fixed: set[str]) -> str:
        """Say where a layer's output goes, and why."""
        writes = self.nodes[index].stage.writes
        if self.nodes[index].part_of:
            return f"part of {self.nodes[index].part_of}"
        if not writes:
            return "nothing moves"
        size, name = self.sizes[writes[0]], writes[0]
        memory = self.accelerator.memory
        capacity = memory.sram_bytes if memory.sram_bytes is not None else memory.activation_sram_bytes
        if memory.direct:
            return "DRAM: there are no buffers"
        if placement.kept_writes:
            return f"on chip: {placement.occupied_bytes} of {capacity} bytes hold tensors"
        if name in fixed:
            return "DRAM: the network's output"
        if size > (capacity or 0):
            return f"DRAM: {size} bytes do not fit into {capacity}"
        return f"DRAM: its {size} bytes leave too little of {capacity} for tiles and other tensors"

    def _room(self, index: int, placement: Placement) -> Room:
        memory, stage = self.accelerator.memory, self.nodes[index].stage
        kept = (
            bool(stage.reads) and stage.reads[0] in placement.kept_reads,
            bool(stage.writes) and stage.writes[0] in placement.kept_writes,
            bool(stage.reads) and stage.reads[-1] in placement.kept_reads,
        )
        if memory.sram_bytes is not None:
            return Room(memory.sram_bytes - placement.occupied_bytes, 0, 0, 0, *kept)
        return Room(
            None, memory.weight_sram_bytes or 0, (memory.activation_sram_bytes or 0) - placement.occupied_bytes,
            memory.result_sram_bytes or 0, *kept,
        )  # fmt: skip

    def _streamed(self, index: int, placement: Placement) -> StreamedLayer:
        return StreamedLayer(self.nodes[index].workload, self.accelerator, self.kept(index, placement))

    def kept(self, index: int, placement: Placement) -> tuple[bool, ...]:
        """Return for each operand of a layer whether it is on chip."""
        held = placement.kept_reads | placement.kept_writes
        return tuple(name in held for name in self.nodes[index].tensors)
