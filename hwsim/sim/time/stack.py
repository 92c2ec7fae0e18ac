"""Time of layers that are executed together: their lines (`hwsim.memory.depth_first`) and the cycles of the array, joined.

Within a step layers follow each other in the pipeline of `hwsim.memory.pipeline`, a job of the array for each: while one layer
computes its lines, what the next one needs is loaded and what the one before it made is stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hwsim.memory.depth_first import Lines, StackTable, follows, line_bytes, lines_of, loaded_bytes, stack_table
from hwsim.memory.extents import Ints
from hwsim.memory.pipeline import Timeline
from hwsim.memory.steps import Steps
from hwsim.memory.tiling import Room, Tiling
from hwsim.sim.time.layer import TiledLayer
from hwsim.sim.time.layer_time import LayerTime, layer_time, timeline_of
from hwsim.sim.time.ports import PortBytes
from hwsim.sim.time.stages import TimedNode
from hwsim.spec import Accelerator, Role


@dataclass(frozen=True, eq=False)
class _Work:
    """What a layer of a stack does: bytes and cycles of each step, its lines, and what crosses the ports."""

    loads: Ints
    compute: Ints
    stores: Ints
    most_lines: int
    ports: PortBytes
    moved: dict[Role, int]


@dataclass(frozen=True)
class StackedLayers:
    """Two or more layers, each of which reads what the one before it makes.

    Parameters
    ----------
    layers
        First to last.
    rows
        Lines of the output in a step, or None for the best number.
    """

    layers: tuple[TiledLayer, ...]
    rows: int | None = None
    known: dict[tuple[int, Room, tuple[bool, ...]], tuple[_Work, ...]] = field(
        init=False, default_factory=dict, repr=False, compare=False
    )

    @property
    def table(self) -> StackTable:
        """All numbers of lines that there may be."""
        return stack_table(tuple(layer.problem for layer in self.layers), self.rows)

    def traffic(self, room: Room, residuals_kept: tuple[bool, ...]) -> int | None:
        """Return the least DRAM bytes, or None where there is no room.

        Parameters
        ----------
        room
            Its `input_kept` and `output_kept` are of the stack.
        residuals_kept
            By layer, whether what meets its results is on chip.
        """
        table = self.table
        fits = table.fits(room, residuals_kept)
        return int(table.traffic(room, residuals_kept)[fits].min()) if fits.any() else None

    def time(self, room: Room, residuals_kept: tuple[bool, ...], accelerator: Accelerator) -> tuple[LayerTime, ...]:
        """Return the times of the layers with the number of lines that moves fewest bytes, and of those takes fewest cycles.

        A layer has the cycles of the steps in which it computes. What is loaded and stored beside that may be another's, so
        only the bytes and the stalls of all together belong to each other.
        """
        table = self.table
        fits = np.flatnonzero(table.fits(room, residuals_kept))
        moved = table.traffic(room, residuals_kept)[fits]
        best: tuple[Timeline, tuple[_Work, ...]] | None = None
        for rows in table.rows[fits[moved == moved.min()]].tolist():
            works = self._works(rows, room, residuals_kept)
            # [steps, layers], in the order of the work.
            loads, compute, stores = (
                np.stack([getattr(work, name) for work in works], axis=1).reshape(-1)
                for name in ("loads", "compute", "stores")
            )
            line = timeline_of(accelerator, loads, compute, stores)
            if best is None or line.total < best[0].total:
                best = line, works
        assert best is not None
        return self._apart(*best, accelerator)

    def _apart(self, line: Timeline, works: Sequence[_Work], accelerator: Accelerator) -> tuple[LayerTime, ...]:
        """Return the times of the layers: the steps in which each computes; the ends have the first load and the last store."""
        number, steps = len(works), len(works[0].compute)
        owner = np.arange(number * steps) % number
        if len(line.cycles) > len(owner):
            owner = np.concatenate([[0], owner, [number - 1]])
        found = []
        for index, (layer, work) in enumerate(zip(self.layers, works, strict=True)):
            own = owner == index
            columns = (line.compute, line.transfer, line.cycles, line.read_bytes, line.write_bytes)
            part = Timeline(*(values[own] for values in columns))
            problem = layer.problem
            tiling = Tiling("weights", work.most_lines, problem.sliding.output[1], problem.units, problem.products)
            found.append(layer_time(
                layer.workload, accelerator, work.moved, int(work.compute.sum()), work.ports, part, tiling, problem.channels,
                steps,
            ))  # fmt: skip
        return tuple(found)

    def _works(self, rows: int, room: Room, residuals_kept: tuple[bool, ...]) -> tuple[_Work, ...]:
        kept = replace(room, shared=None, weights=0, inputs=0, outputs=0)
        if (rows, kept, residuals_kept) not in self.known:
            lines = lines_of(tuple(layer.problem.sliding for layer in self.layers), rows)
            self.known[rows, kept, residuals_kept] = tuple(
                _work(
                    layer, own, reads=index == 0 and not room.input_kept, residual=not met,
                    writes=index == len(lines) - 1 and not room.output_kept,
                )
                for index, (layer, own, met) in enumerate(zip(self.layers, lines, residuals_kept, strict=True))
            )  # fmt: skip
        return self.known[rows, kept, residuals_kept]


def _work(layer: TiledLayer, lines: Lines, *, reads: bool, residual: bool, writes: bool) -> _Work:
    """Return the work of a layer; what it `reads` and `writes` is at the DRAM, and what meets its results (`residual`)."""
    problem, none = layer.problem, np.zeros_like(lines.made)
    weights = none.copy()
    weights[0] = int(problem.weight_bytes(problem.channels, problem.products))
    steps = Steps(
        weight_bytes=weights,
        input_bytes=loaded_bytes(problem, lines.come) if reads else none,
        output_bytes=line_bytes(problem, lines.made, problem.output_width) if writes else none,
        pixels=lines.made * problem.sliding.output[1],
        channels=none + problem.channels,
        read_pixels=lines.read * problem.sliding.image[1],
        due=none,
        done=none + problem.products,
        residual_bytes=line_bytes(problem, lines.made, problem.residual_width) if residual else none,
    )
    busy = lines.made > 0
    compute = none.copy()
    at_work = Steps(*(getattr(steps, name)[busy] for name in Steps.__dataclass_fields__))
    compute[busy], ports = layer.compute(at_work, none[busy])
    loads = steps.weight_bytes + steps.input_bytes + steps.residual_bytes
    return _Work(loads, compute, steps.output_bytes, int(lines.made.max()), ports, layer.moved(steps))


def stacks_of(
    nodes: Sequence[TimedNode], layers: Sequence[TiledLayer | None], whole: Collection[str], most: Room
) -> dict[range, StackedLayers]:
    """Return all stacks that find room on an empty chip.

    Parameters
    ----------
    nodes, layers
        Of the network; a layer by itself, or with tiles that are given, is None or has them.
    whole
        Tensors that cannot be in a line buffer: they are in the DRAM or on chip as a whole.
    most
        The buffers.
    """
    readers = Counter(name for node in nodes for name in node.stage.reads)
    makers = {name: index for index, node in enumerate(nodes) for name in node.stage.writes}
    before: dict[int, int] = {}
    last = None
    for index, node in enumerate(nodes):
        if not node.workload.operands:
            continue
        if last is not None and _goes_on(nodes[last], layers[last], node, layers[index]):
            (between,) = nodes[last].stage.writes
            if readers[between] == 1 and between not in whole:
                before[index] = last
        last = index
    empty = replace(most, input_kept=True, output_kept=True)
    found = {}
    for end in before:
        first, members = end, [layers[end]]
        while first in before:
            first = before[first]
            members.insert(0, layers[first])
            stack = StackedLayers(tuple(layer for layer in members if layer is not None))
            if stack.traffic(empty, (True,) * len(members)) is None:
                break
            met = {name for node in nodes[first : end + 1] for name in node.stage.reads[1:]}
            if all(makers.get(name, -1) < first for name in met):
                found[range(first, end + 1)] = stack
    return found


def _goes_on(node: TimedNode, layer: TiledLayer | None, after: TimedNode, next_layer: TiledLayer | None) -> bool:
    """Whether a layer's results are the image that the next one's windows slide over."""
    if layer is None or next_layer is None or layer.workload.sliding is None or next_layer.workload.sliding is None:
        return False
    if layer.given is not None or next_layer.given is not None or len(node.stage.writes) != 1:
        return False
    return after.stage.reads[:1] == node.stage.writes and follows(next_layer.problem, layer.problem)
