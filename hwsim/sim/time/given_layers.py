"""What `hwsim.sim.time.given` says of a network's layers, checked and put in place."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hwsim.memory.tiling import Room
from hwsim.sim.time.given import GivenTiles, LayerTiles, StackLines
from hwsim.sim.time.layer import TiledLayer
from hwsim.sim.time.stack import StackedLayers, stacks_of
from hwsim.sim.time.stages import TimedNode
from hwsim.spec import Accelerator, Fusion, InputError, require
from hwsim.spec.errors import within

PLENTY = 1 << 60
"""Bytes of a buffer that holds whatever there is."""


@dataclass
class AsGiven:
    """The layers of a network as they are given.

    Attributes
    ----------
    layers
        Those with tiles, each with its own where it has one; None for the others.
    held, spilled
        Tensors that are given to stay on chip, and to be in the DRAM.
    stacks
        Layers that are given to be executed together.
    """

    layers: list[TiledLayer | None]
    held: set[str] = field(default_factory=set)
    spilled: set[str] = field(default_factory=set)
    stacks: dict[range, StackedLayers] = field(default_factory=dict)

    def take(
        self, given: GivenTiles, nodes: Sequence[TimedNode], accelerator: Accelerator, fixed: Collection[str]
    ) -> None:
        """Use what is given.

        Raises
        ------
        InputError
            Naming the file, the layer, the field and what is allowed.
        """
        if accelerator.memory.direct:
            raise given.error("tiles must be left out on a machine without buffers, not given")
        names = {node.workload.name: index for index, node in enumerate(nodes)}
        for name, tiles in given.layers.items():
            if name not in names:
                raise given.error(f"layers.{name} must be a layer of the network, not {name!r}")
            try:
                self._take(names[name], nodes[names[name]], tiles, fixed)
            except InputError as error:
                raise given.error(f"layers.{name}.{error}") from None
        if given.stacks and accelerator.memory.fusion is Fusion.NONE:
            raise given.error('stacks must be left out without fusion = "depth_first" in [memory], not given')
        # Which layers can be a stack does not depend on the room.
        possible = (
            stacks_of(nodes, self.layers, self.spilled | self.held | set(fixed), Room(PLENTY)) if given.stacks else {}
        )
        for number, lines in enumerate(given.stacks):
            try:
                self._stack(lines, nodes, possible)
            except InputError as error:
                raise given.error(f"stacks.{number}.{error}") from None

    def _stack(
        self, lines: StackLines, nodes: Sequence[TimedNode], possible: Mapping[range, StackedLayers]
    ) -> None:  # fmt: skip
        for own, stack in possible.items():
            names = tuple(nodes[index].workload.name for index in own if nodes[index].workload.operands)
            if names == lines.layers:
                taken = {index for other in self.stacks for index in other}
                require(taken.isdisjoint(own), "layers", "in one stack only", ", ".join(names))
                most = stack.layers[-1].problem.sliding.output[0]
                require(within(lines.rows, range(1, most + 1)), "rows", f"an integer from 1 to {most}", lines.rows)
                self.stacks[own] = replace(stack, rows=lines.rows)
                return
        require(
            False, "layers", "two or more neighbours with windows and no tiles of their own, each the only reader of what "
            "the one before it makes", ", ".join(lines.layers),
        )  # fmt: skip

    def _take(self, index: int, node: TimedNode, tiles: LayerTiles, fixed: Collection[str]) -> None:
        if tiles.order is not None:
            layer, reason = self.layers[index], f"part of {node.part_of}" if node.part_of else node.workload.op
            require(layer is not None, "order", f"left out, as the layer has no tiles ({reason})", tiles.order)
            assert layer is not None
            self.layers[index] = replace(layer, given=tiles.tiling(layer.problem))
        if tiles.output is not None:
            made = set(node.stage.writes)
            require(bool(made), "output", "left out, as nothing of this layer moves", tiles.output)
            free = tiles.output == "DRAM" or not made & set(fixed)
            require(free, "output", "DRAM for what leaves the network", tiles.output)
            (self.held if tiles.output == "chip" else self.spilled).update(made)
