"""A network on a machine: the room of each layer, and what it takes there."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

from hwsim.memory.placement import Placement
from hwsim.memory.tiling import Room
from hwsim.memory.tiling_table import tiling_table
from hwsim.sim.time.direct_layer import DirectLayer
from hwsim.sim.time.equal_machines import unlimited
from hwsim.sim.time.given import GivenTiles
from hwsim.sim.time.given_layers import AsGiven
from hwsim.sim.time.layer import TiledLayer
from hwsim.sim.time.layer_time import NO_TIME, LayerTime
from hwsim.sim.time.prefetch import Unit, with_prefetch
from hwsim.sim.time.stack import StackedLayers, stacks_of
from hwsim.sim.time.stages import TimedNodes
from hwsim.sim.time.streamed_layer import StreamedLayer
from hwsim.sim.time.tile_problem import is_tiled
from hwsim.spec import Accelerator, Fusion, Workload

_Known = dict[tuple[TiledLayer, Room], LayerTime]
"""Times that were found already: layers of one shape are the same object."""


class MappedNetwork:
    """Layers on a machine without a speed (`unhurried`); what depends on the same things is worked out once.

    Parameters
    ----------
    nodes, accelerator
        The layers, the tensors between them, and the machine.
    given
        What is not to be searched for.
    """

    def __init__(self, nodes: TimedNodes, accelerator: Accelerator, given: GivenTiles | None = None) -> None:
        self.nodes, self.sizes, self.fixed, self.accelerator = nodes.nodes, nodes.sizes, nodes.fixed, accelerator
        self.given = given or GivenTiles()
        self.as_given = AsGiven(list(_tiled_layers(nodes, unlimited(accelerator))))
        if given is not None:
            self.as_given.take(given, self.nodes, accelerator, self.fixed)
        self.layers = self.as_given.layers
        self.asked = 0
        """The last layer whose traffic anybody wanted to know."""
        self.stacks: dict[range, StackedLayers] = {}
        self._together = {index for own in self.as_given.stacks for index in own}
        """Layers that are given to be in stacks."""
        if accelerator.memory.fusion is Fusion.DEPTH_FIRST and not accelerator.memory.direct:
            nothing = Placement(frozenset(), frozenset(), 0)
            whole = self.in_dram | self.as_given.held
            found = stacks_of(self.nodes, self.layers, whole, self.room(0, nothing))
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
        self.asked = max(self.asked, index)
        written = self.nodes[index if placement.stack is None else placement.stack[-1]].stage.writes
        if self.as_given.held and self.as_given.held.intersection(written) - placement.kept_writes:
            return None
        if placement.stack is None and index in self._together:
            return None
        if placement.stack is not None:
            return self.stacks[placement.stack].traffic(*self.stack_room(placement.stack, placement))
        return self.moved(index, placement)

    def moved(self, index: int, placement: Placement) -> int | None:
        """Return the DRAM bytes of a layer by itself, None where it finds no room."""
        layer, memory = self.layers[index], self.accelerator.memory
        if memory.direct:
            # Whatever the bytes are, there is no other way; and there is nothing to keep a tensor in.
            return (
                None
                if placement.occupied_bytes
                else 0
                if layer is not None
                else self._streamed(index, placement).traffic()
            )
        if memory.sram_bytes is not None:
            # The same as below, in short: this is asked for every set of tensors.
            shared = memory.sram_bytes - placement.occupied_bytes
            if shared >= 0 and layer is not None:
                return layer.traffic_in(self.nodes[index].kept(placement), shared)
            return None if shared < 0 else self._streamed(index, placement).traffic()
        room = self.room(index, placement)
        if room.inputs < 0:
            return None
        return self._streamed(index, placement).traffic() if layer is None else layer.traffic(room)

    def _streamed(self, index: int, placement: Placement) -> StreamedLayer:
        return StreamedLayer(self.nodes[index].workload, self.accelerator, self.kept(index, placement))

    def times(self, placements: Sequence[Placement], accelerator: Accelerator) -> list[LayerTime]:
        """Return the times of all layers on the machine at its speed; each finds room."""
        memory, known = accelerator.memory, _Known()
        units: list[tuple[int, tuple[LayerTime, ...]]] = []
        done, busy = 0, [bool(node.workload.operands) for node in self.nodes]
        while done < len(self.nodes):
            stack = placements[done].stack
            if busy[done]:
                units.append((done, self._times(done, placements[done], accelerator, known)))
            done = done + 1 if stack is None else stack.stop
        times = [own for _, own in units]
        if memory.prefetch_weights and not memory.direct:
            times = with_prefetch([self._unit(index, placements[index], own) for index, own in units], accelerator)
        found = iter([time for own in times for time in own])
        return [next(found) if one else NO_TIME for one in busy]

    def _times(
        self, index: int, placement: Placement, accelerator: Accelerator, known: _Known
    ) -> tuple[LayerTime, ...]:
        """Return the times of what begins with a layer: of it by itself, or of a stack."""
        if placement.stack is not None:
            return self.stacks[placement.stack].time(*self.stack_room(placement.stack, placement), accelerator)
        layer, room = self.layers[index], self.room(index, placement)
        if layer is None:
            return (StreamedLayer(self.nodes[index].workload, accelerator, self.kept(index, placement)).time(room),)
        if (layer, room) not in known:
            direct = accelerator.memory.direct
            known[layer, room] = (
                DirectLayer(layer.workload, accelerator).time() if direct else layer.time(room, accelerator)
            )
        return (known[layer, room],)

    def _unit(self, index: int, placement: Placement, times: tuple[LayerTime, ...]) -> Unit:
        """Return what begins with a layer, with the buffer that it leaves."""
        layer, stack, time = self.layers[index], placement.stack, times[0]
        problem, need = None if layer is None else layer.problem, 0
        works: tuple[Workload, ...] = (self.nodes[index].workload,)
        if stack is not None:
            room, met = self.stack_room(stack, placement)
            works = tuple(node.workload for node in self.nodes[stack.start : stack.stop] if node.workload.operands)
            last = times[-1].tiling
            assert last is not None
            # The lines of its last layer are those of a step.
            table = replace(self.stacks[stack], rows=last.height).table
            need = int(table.needs(room, met)[0]) if room.shared is not None else table.weight_need
        else:
            room = self.room(index, placement)
            if time.tiling is not None and problem is not None:
                own = tiling_table(problem, time.tiling)
                need = int((own.needs(room) if room.shared is not None else own.weight_need)[0])
            elif time.total_bytes and room.shared is not None:
                # A pass may fill what is left of the buffer.
                need = room.shared
        return Unit(works, times, (room.weights if room.shared is None else room.shared) - need, problem)

    def room(self, index: int, placement: Placement) -> Room:
        """Return what a layer by itself may use of the buffers."""
        return self._left(placement, *self.nodes[index].kept(placement))

    def stack_room(self, stack: range, placement: Placement) -> tuple[Room, tuple[bool, ...]]:
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


@functools.lru_cache(maxsize=8)
def _tiled_layers(nodes: TimedNodes, accelerator: Accelerator) -> tuple[TiledLayer | None, ...]:
    """Return the layers that are more than a stream of tensors, None for the others; those of one shape are the same."""
    found: list[TiledLayer | None] = []
    for node, first in zip(nodes.nodes, nodes.first_alike, strict=True):
        if first < len(found):
            found.append(found[first])
        else:
            found.append(TiledLayer(node.workload, accelerator) if _is_tiled(node.workload, accelerator) else None)
    return tuple(found)


def _is_tiled(workload: Workload, accelerator: Accelerator) -> bool:
    """Whether a layer has tiles; without buffers pooling is a stream."""
    if not workload.operands:
        return False
    return workload.macs > 0 if accelerator.memory.direct else is_tiled(workload)
