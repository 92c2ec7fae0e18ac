"""The layers of a network as the time engine takes them: what each reads and writes, and which are done on another's way out."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from hwsim.dataflow.passes import NOTHING, PRODUCTS, check_known
from hwsim.graph import Graph, Tensor
from hwsim.memory.compression import Scheme
from hwsim.memory.placement import Placement, Stage
from hwsim.memory.tiling import Kept
from hwsim.sim.time.outlier_layers import with_outliers
from hwsim.spec import Arithmetic, Workload


@dataclass(frozen=True)
class TimedNode:
    """A node of a network.

    Parameters
    ----------
    workload
        What it asks of the machine; without operands where it is part of another.
    stage
        The tensors that it reads and writes.
    tensors
        For each operand of the workload its name, None for constants.
    part_of
        The node whose results it is applied to on their way out of the array, or an empty text.
    """

    workload: Workload
    stage: Stage
    tensors: tuple[str | None, ...]
    part_of: str = ""

    def kept(self, placement: Placement) -> Kept:
        """Return what of a layer is on chip: its input, its output, and what meets its results."""
        reads, writes = self.stage.reads, self.stage.writes
        return (
            bool(reads) and reads[0] in placement.kept_reads, bool(writes) and writes[0] in placement.kept_writes,
            bool(reads) and reads[-1] in placement.kept_reads,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class TimedNodes:
    """The layers of a network.

    Parameters
    ----------
    nodes
        In order of execution.
    sizes
        Bytes on chip of the tensors between them, by name.
    fixed
        Tensors that are in the DRAM because they enter or leave the network.
    """

    nodes: tuple[TimedNode, ...]
    sizes: Mapping[str, int]
    fixed: frozenset[str] = frozenset()

    @functools.cached_property
    def first_alike(self) -> tuple[int, ...]:
        """For each layer the first one that is the same but for its name and its tensors."""
        seen: dict[Workload, int] = {}
        return tuple(seen.setdefault(replace(node.workload, name=""), index) for index, node in enumerate(self.nodes))


def timed_nodes(
    graph: Graph, arithmetic: Arithmetic, fused: Collection[str] = (), compression: Scheme | None = None,
    stored: Mapping[str, int] = MappingProxyType({}),
) -> TimedNodes:  # fmt: skip
    """Return the layers of a network.

    Parameters
    ----------
    graph, arithmetic
        The network and how the machine sums.
    fused
        Operators that the array's result port applies, see `hwsim.spec.Datapath`.
    compression
        How weights are stored; where that is no smaller, they are as they are. It alone looks at values.
    stored
        Bits of activations in the DRAM, by name, where they are compressed.
    """
    aliases: dict[str, str] = {}
    nodes: list[TimedNode] = []
    sizes: dict[str, int] = {}
    for node in graph.nodes:
        workload = node.op.workload(node.name, graph.inputs_of(node), graph.outputs_of(node), arithmetic)
        check_known(workload)
        if compression is not None and node.op.weighted:
            workload = _compressed(workload, graph.inputs_of(node)[1], compression)
        if node.op.weighted:
            workload = with_outliers(workload, node, graph.inputs_of(node)[1])
        moving = [name for name in node.inputs if not graph.tensors[name].constant]
        reads = tuple(aliases.get(name, name) for name in moving)
        if node.op.kind in NOTHING:
            aliases[node.outputs[0]] = reads[0]
            nodes.append(TimedNode(workload, Stage(reads, ()), ()))
            continue
        writes = tuple(node.outputs)
        waiting = {"activations_in": iter(reads), "activations_out": iter(writes)}
        tensors = tuple(next(waiting[part.role]) if part.role in waiting else None for part in workload.operands)
        operands = list(zip(tensors, workload.operands, strict=True))
        sizes |= {name: part.expanded_bytes for name, part in operands if name in writes}
        if stored:
            moved = ((part, stored.get(name) if name is not None else None) for name, part in operands)
            own = tuple(part if bits is None else replace(part, stored_bits=bits) for part, bits in moved)
            workload = replace(workload, operands=own)
        nodes.append(TimedNode(workload, Stage(reads, writes), tensors))
    fixed = fixed_tensors(graph)
    for index in range(len(nodes)):
        _fuse(nodes, index, fused, fixed)
    written = {name for node in nodes for name in node.stage.writes}
    return TimedNodes(tuple(nodes), {name: size for name, size in sizes.items() if name in written}, frozenset(fixed))


def _compressed(workload: Workload, weights: Tensor, scheme: Scheme) -> Workload:
    """Return a layer whose weights are stored in a format."""
    quantization = weights.quantization
    assert quantization is not None and weights.data is not None  # Only networks with their own integers come here.
    zero = int(quantization.zero_point) if quantization.axis is None else 0
    bits = scheme.size_bits(weights.data, quantization.format, zero)
    operands = tuple(
        replace(part, stored_bits=bits) if part.role == "weights" and bits < part.elements * part.element_bits else part
        for part in workload.operands
    )
    return replace(workload, operands=operands)


def fixed_tensors(graph: Graph) -> set[str]:
    """Return the tensors that are in the DRAM because they enter or leave the network."""
    aliases = {node.outputs[0]: node.inputs[0] for node in graph.nodes if node.op.kind in NOTHING}
    found = {*graph.inputs, *graph.outputs}
    while renamed := found & aliases.keys():
        found = found - renamed | {aliases[name] for name in renamed}
    return found


def _fuse(nodes: list[TimedNode], index: int, fused: Collection[str], outputs: Collection[str]) -> None:
    """Make a node part of the one whose results it reads, where it can be."""
    node = nodes[index]
    if node.workload.op not in fused:
        return
    for before in range(index - 1, -1, -1):
        maker = nodes[before]
        if maker.workload.op in PRODUCTS and set(maker.stage.writes) & set(node.stage.reads):
            if _can_take(maker, node, nodes, before, outputs):
                nodes[before] = _merged(maker, node)
                nodes[index] = TimedNode(
                    replace(node.workload, operands=()), Stage((), ()), (), part_of=maker.workload.name
                )
            return


def _can_take(
    maker: TimedNode, node: TimedNode, nodes: Sequence[TimedNode], before: int, outputs: Collection[str]
) -> bool:
    """Whether a layer's results are for that node alone, of the same shape, and whatever else it reads is there in time."""
    (made,) = maker.stage.writes
    sizes = {part.elements for part in node.workload.operands}
    readers = [name for other in nodes for name in other.stage.reads if name == made]
    late = {name for other in nodes[before:] for name in other.stage.writes} - {made}
    return (
        None not in node.tensors
        and len(sizes) == 1
        and len(readers) == 1
        and made not in outputs
        and len(node.stage.reads) <= 2
        and not late & set(node.stage.reads)
        and sum(part.role == "activations_in" for part in maker.workload.operands) == 1
    )


def _merged(maker: TimedNode, node: TimedNode) -> TimedNode:
    """Return a layer that writes what the node does, and reads what the node reads besides its results."""
    (made,) = maker.stage.writes
    own = [pair for pair in zip(maker.workload.operands, maker.tensors, strict=True) if pair[1] != made]
    new = [pair for pair in zip(node.workload.operands, node.tensors, strict=True) if pair[1] != made]
    operands, tensors = zip(*own, *new, strict=True)
    reads = (*maker.stage.reads, *(name for name in node.stage.reads if name != made))
    return TimedNode(replace(maker.workload, operands=operands), Stage(reads, node.stage.writes), tensors)
