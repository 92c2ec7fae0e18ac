"""Time of a network: which tensors stay on chip, and each layer in the room that is left. The values engine is not asked."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from hwsim.dataflow.passes import check_known
from hwsim.graph import Graph
from hwsim.memory.compression import Scheme
from hwsim.memory.placement import Placement, Stage, place
from hwsim.memory.tiling import Room
from hwsim.memory.tiling_table import tiling_table
from hwsim.sim.time.direct_layer import DirectLayer
from hwsim.sim.time.given import GivenTiles
from hwsim.sim.time.given_layers import AsGiven
from hwsim.sim.time.layer import LayerTime, TiledLayer, is_tiled, unhurried
from hwsim.sim.time.ports import PortBytes
from hwsim.sim.time.prefetch import Unit, with_prefetch
from hwsim.sim.time.stack import StackedLayers, stacks_of
from hwsim.sim.time.stages import TimedNode, fixed_tensors, timed_nodes
from hwsim.sim.time.streamed_layer import StreamedLayer
from hwsim.spec import ROLES, Accelerator, Fusion, InputError, Role, Workload

MODEL = (
    "tiles of least DRAM traffic, found among all; cycles of the array as the RTL counts them, a job per tile; tensors stay "
    "on chip between layers where that moves fewest bytes; tiles are loaded, computed and stored in a pipeline"
)
"""What the figures mean, for reports."""


NO_TIME = LayerTime(dict.fromkeys(ROLES, 0), 0, 0, 0.0, PortBytes())
"""Of what moves nothing, or is done by another layer."""

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
    return _Network([node], unhurried(accelerator), {}).time(0, Placement(frozenset(), frozenset(), 0), accelerator)


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
    slow, searched = unhurried(accelerator), compression is None and given is None and not stored
    network, found = _kept(graph, slow) if searched else _placed(graph, slow, compression, given, stored)
    if found is None:
        raise InputError(network.too_small())
    times = network.times([where.placement for where in found], accelerator)
    return tuple(
        TimedLayer(node.workload, time, where.kept, where.reason, network.stack_names(where.placement))
        for node, time, where in zip(network.nodes, times, found, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Where:
    """What is on chip during a layer, which of its operands are, and where its output goes and why."""

    placement: Placement
    kept: tuple[bool, ...]
    reason: str


_Placed = tuple["_Network", list[_Where] | None]


@functools.lru_cache(maxsize=4)
def _kept(graph: Graph, accelerator: Accelerator) -> _Placed:
    """Return `_placed` of a network, once for all speeds of the DRAM and the clock."""
    return _placed(graph, accelerator, None, None, {})


def _placed(
    graph: Graph, accelerator: Accelerator, compression: Scheme | None, given: GivenTiles | None, stored: Mapping[str, int]
) -> _Placed:  # fmt: skip
    """Return a network on a machine, and what is on chip; None where some layer finds no room."""
    nodes, sizes = timed_nodes(graph, accelerator.arithmetic, accelerator.datapath.fused, compression, stored)
    network = _Network(nodes, accelerator, sizes, fixed_tensors(graph), given)
    found = place([node.stage for node in nodes], sizes, network.in_dram, network.traffic, network.stack_ends)
    if found is None:
        return network, None
    return network, [
        _Where(placement, network.kept(index, placement), network.reason(index, placement))
        for index, placement in enumerate(found)
    ]


def _rows(last: LayerTime) -> int:
    """Return the lines in a step of a stack, of which this is the last layer."""
    assert last.tiling is not None
    return last.tiling.height


def _tiled(workload: Workload, accelerator: Accelerator) -> bool:
    """Whether a layer is more than a stream of tensors; without buffers pooling is one."""
    if not workload.operands:
        return False
    return workload.macs > 0 if accelerator.memory.direct else is_tiled(workload)


class _Network:
    """Layers on a machine without a speed (`unhurried`); what depends on the same things is worked out once.

    Parameters
    ----------
    nodes, accelerator, sizes
        The layers, the machine, and the bytes of the tensors between layers.
    fixed
        Tensors that are in the DRAM, as they enter or leave the network.
    given
        What is not to be searched for.
    """

    def __init__(
        self, nodes: Sequence[TimedNode], accelerator: Accelerator, sizes: dict[str, int], fixed: Collection[str] = (),
        given: GivenTiles | None = None,
    ) -> None:  # fmt: skip
        self.nodes, self.accelerator, self.sizes, self.fixed = nodes, accelerator, sizes, fixed
        self.given = given or GivenTiles()
        self.as_given = AsGiven([
            TiledLayer(node.workload, accelerator) if _tiled(node.workload, accelerator) else None for node in nodes
        ])  # fmt: skip
        if given is not None:
            self.as_given.take(given, nodes, accelerator, fixed)
        self.layers = self.as_given.layers
        self._traffic: dict[tuple[int, Room], int | None] = {}
        self._asked = 0
        self.stacks: dict[range, StackedLayers] = {}
        self._together = {index for own in self.as_given.stacks for index in own}
        """Layers that are given to be in stacks."""
        if accelerator.memory.fusion is Fusion.DEPTH_FIRST and not accelerator.memory.direct:
            nothing = Placement(frozenset(), frozenset(), 0)
            whole = self.in_dram | self.as_given.held
            found = stacks_of(nodes, self.layers, whole, self._room(0, nothing))
            self.stacks = {own: stack for own, stack in found.items() if self._together.isdisjoint(own)}
            self.stacks |= self.as_given.stacks

    @property
    def stack_ends(self) -> dict[int, list[int]]:
        """By the first layer of a stack, where there may be one, the layers after its last."""
        ends: dict[int, list[int]] = {}
        for stack in self.stacks:
            ends.setdefault(stack.start, []).append(stack.stop)
        return ends

    @property
    def in_dram(self) -> set[str]:
        """Tensors that cannot stay on chip."""
        return {*self.fixed, *self.as_given.spilled}

    def traffic(self, index: int, placement: Placement) -> int | None:
        """Return the DRAM bytes of a layer, None where it finds no room, or its output is not where it is given to be."""
        self._asked = max(self._asked, index)
        written = self.nodes[index if placement.stack is None else placement.stack[-1]].stage.writes
        if self.as_given.held.intersection(written) - placement.kept_writes:
            return None
        if placement.stack is None and index in self._together:
            return None
        if placement.stack is not None:
            return self.stacks[placement.stack].traffic(*self._stack_room(placement.stack, placement))
        return self._moved(index, placement)

    def _moved(self, index: int, placement: Placement) -> int | None:
        room = self._room(index, placement)
        if min(room.inputs, room.shared or 0) < 0 or (self.accelerator.memory.direct and placement.occupied_bytes):
            return None
        layer = self.layers[index]
        if layer is None:
            return StreamedLayer(self.nodes[index].workload, self.accelerator, self.kept(index, placement)).traffic()
        if self.accelerator.memory.direct:
            # Whatever it is, there is no other way.
            return 0
        if (index, room) not in self._traffic:
            self._traffic[index, room] = layer.traffic(room)
        return self._traffic[index, room]

    def times(self, placements: Sequence[Placement], accelerator: Accelerator) -> list[LayerTime]:
        """Return the times of all layers on the machine at its speed."""
        units: list[Unit] = []
        done, busy = 0, [bool(node.workload.operands) for node in self.nodes]
        while done < len(self.nodes):
            placement = placements[done]
            if busy[done]:
                units.append(self._unit(done, placement, accelerator))
            done = done + 1 if placement.stack is None else placement.stack.stop
        if accelerator.memory.prefetch_weights and not accelerator.memory.direct:
            found = iter([time for times in with_prefetch(units, accelerator) for time in times])
        else:
            found = iter([time for unit in units for time in unit.times])
        return [next(found) if one else NO_TIME for one in busy]

    def _unit(self, index: int, placement: Placement, accelerator: Accelerator) -> Unit:
        """Return what begins with a layer: it by itself, or a stack."""
        layer, stack = self.layers[index], placement.stack
        problem = None if layer is None else layer.problem
        if stack is not None:
            room, met = self._stack_room(stack, placement)
            times = self.stacks[stack].time(room, met, accelerator)
            works = tuple(node.workload for node in self.nodes[stack.start : stack.stop] if node.workload.operands)
            table = replace(self.stacks[stack], rows=_rows(times[-1])).table
            need = int(table.needs(room, met)[0]) if room.shared is not None else table.weight_need
            return Unit(works, times, (room.weights if room.shared is None else room.shared) - need, problem)
        room, time = self._room(index, placement), self.time(index, placement, accelerator)
        need = 0
        if time.tiling is not None and problem is not None:
            own = tiling_table(problem, time.tiling)
            need = int((own.needs(room) if room.shared is not None else own.weight_need)[0])
        elif time.total_bytes and room.shared is not None:
            # A pass may fill what is left of the buffer.
            need = room.shared
        spare = (room.weights if room.shared is None else room.shared) - need
        return Unit((self.nodes[index].workload,), (time,), spare, problem)

    def time(self, index: int, placement: Placement, accelerator: Accelerator) -> LayerTime:
        """Return the time of a layer on the machine at its speed."""
        layer, room = self.layers[index], self._room(index, placement)
        if layer is not None and accelerator.memory.direct:
            return DirectLayer(layer.workload, accelerator).time()
        if layer is not None:
            if self._moved(index, placement) is None:
                raise InputError(self.too_small())
            return layer.time(room, accelerator)
        if not self.nodes[index].workload.operands:
            return NO_TIME
        return StreamedLayer(self.nodes[index].workload, accelerator, self.kept(index, placement)).time(room)

    def too_small(self) -> str:
        """Say which layer finds no room even with nothing kept, or beside what is given to be kept."""
        memory = self.accelerator.memory
        nothing = Placement(frozenset(), frozenset(), 0)
        for index, (node, layer) in enumerate(zip(self.nodes, self.layers, strict=True)):
            if layer is not None and self._moved(index, nothing) is None:
                sizes = (memory.weight_sram_bytes, memory.activation_sram_bytes, memory.result_sram_bytes)
                given = (memory.sram_bytes,) if memory.sram_bytes is not None else sizes
                names = ("sram_bytes",) if memory.sram_bytes is not None else BUFFERS
                least = zip(names, layer.least_rooms(self._room(index, nothing)), given, strict=True)
                lacking = [f"{name} at least {need}, not {size}" for name, need, size in least if need > (size or 0)]
                own = f"{self.given.source}: " if layer.given is not None else ""
                return f"{own}buffers must hold a tile of {node.workload.name}: {', '.join(lacking)}"
        for members, stack in self.as_given.stacks.items():
            if stack.traffic(*self._stack_room(members, nothing)) is None:
                called = ", ".join(self.stack_names(replace(nothing, stack=members)))
                return f"{self.given.source}: buffers must hold the weights and {stack.rows} lines of {called}, not {memory}"
        stuck = self.nodes[self._asked]
        late = {name for node in self.nodes[self._asked :] for name in (*node.stage.reads, *node.stage.writes)}
        held = self.as_given.held & late
        alive = [node for node in self.nodes[: self._asked + 1] if held.intersection(node.stage.writes)]
        largest = max(alive, key=lambda node: self.sizes[node.stage.writes[0]], default=stuck)
        return (
            f"{self.given.source}: layers.{largest.workload.name}.output must be DRAM here, not chip: beside the tensors that "
            f"are kept on chip {stuck.workload.name} finds no room"
        )

    def reason(self, index: int, placement: Placement) -> str:
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
        if name in self.as_given.held | self.as_given.spilled:
            return f"{'on chip' if name in self.as_given.held else 'DRAM'}: as given"
        if placement.stack is not None and index != placement.stack[-1]:
            return f"on chip: lines of its {size} bytes at a time"
        if placement.kept_writes:
            return f"on chip: {placement.occupied_bytes} of {capacity} bytes hold tensors"
        if name in self.fixed:
            return "DRAM: the network's output"
        if size > (capacity or 0):
            return f"DRAM: {size} bytes do not fit into {capacity}"
        return f"DRAM: its {size} bytes leave too little of {capacity} for tiles and other tensors"

    def _room(self, index: int, placement: Placement) -> Room:
        stage = self.nodes[index].stage
        return self._left(
            placement, bool(stage.reads) and stage.reads[0] in placement.kept_reads,
            bool(stage.writes) and stage.writes[0] in placement.kept_writes,
            bool(stage.reads) and stage.reads[-1] in placement.kept_reads,
        )  # fmt: skip

    def _stack_room(self, stack: range, placement: Placement) -> tuple[Room, tuple[bool, ...]]:
        """Return the room of a stack, and of each of its layers whether what meets its results is on chip."""
        reads = [self.nodes[index].stage.reads for index in stack if self.nodes[index].workload.operands]
        room = self._left(placement, reads[0][0] in placement.kept_reads, bool(placement.kept_writes), False)
        return room, tuple(own[-1] in placement.kept_reads for own in reads)

    def stack_names(self, placement: Placement) -> tuple[str, ...]:
        """Return the names of the layers that are executed together."""
        found = (self.nodes[index].workload for index in placement.stack or ())
        return tuple(work.name for work in found if work.operands)

    def _left(self, placement: Placement, *kept: bool) -> Room:
        """Return what is left of the buffers; `kept` as in `Room`."""
        memory = self.accelerator.memory
        if memory.sram_bytes is not None:
            return Room(memory.sram_bytes - placement.occupied_bytes, 0, 0, 0, *kept)
        return Room(
            None, memory.weight_sram_bytes or 0, (memory.activation_sram_bytes or 0) - placement.occupied_bytes,
            memory.result_sram_bytes or 0, *kept,
        )  # fmt: skip

    def kept(self, index: int, placement: Placement) -> tuple[bool, ...]:
        """Return for each operand of a layer whether it is on chip."""
        held = placement.kept_reads | placement.kept_writes
        if placement.stack is not None:
            # What is between its layers is there in lines.
            held |= {name for inner in placement.stack[:-1] for name in self.nodes[inner].stage.writes}
        return tuple(name in held for name in self.nodes[index].tensors)
