"""From a graph of quantizers and float operators between them to one of integer operators.

Every quantizer takes the operator before it along: a layer with a quantizer behind it becomes an integer layer. Between the
two may stand clamps, and behind layers of products also terms and factors per channel. What is left of floats may stand at
the ends of the network only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hwsim.graph import Node
from hwsim.load.onnx_build import same_steps, unique
from hwsim.load.onnx_chain import Chain, Links, NotIntegerError, Tensors, annotate, follow
from hwsim.load.onnx_ends import Ends
from hwsim.load.onnx_layers import integer_layer, summing
from hwsim.load.onnx_moved import quantize_first
from hwsim.load.onnx_quantizer import Quantizer
from hwsim.load.onnx_tables import Entries, table
from hwsim.ops import AveragePool2D, Lookup, Mean, Quantize, Rectify
from hwsim.spec import InputError

LISTED = 5
"""Nodes that an error names."""


def integer_network(
    tensors: Tensors, nodes: Sequence[Node], outputs: Sequence[tuple[str, str | None]]
) -> tuple[Tensors, list[Node], tuple[str, ...]]:
    """Return tensors, nodes and outputs of the integer network.

    Parameters
    ----------
    tensors, nodes
        With quantizers.
    outputs
        What leaves the network: a tensor, and the name of its reals; None for integers.

    Raises
    ------
    InputError
        One line that lists the nodes that cannot be computed in integers.
    """
    leaving = [name for name, _ in outputs]
    tensors = dict(tensors)
    kept = quantize_first(tensors, merge_clips(nodes, leaving), leaving)
    links, entries = Links.of(kept, leaving), Entries()
    made: dict[str, Node] = {}
    taken: set[str] = set()
    problems: dict[str, str] = {}
    for node in kept:
        if not isinstance(node.op, Quantizer):
            continue
        chain = _chain(tensors, links, node)
        if chain is None:
            continue
        taken.update(part.name for part in chain.nodes)
        try:
            made[node.name] = _merged(tensors, entries, chain, node, node.op)
        except NotIntegerError as error:
            problems[chain.nodes[0].name if chain.nodes else node.name] = str(error)
            taken.add(node.name)
    ends = Ends(tensors, problems)
    result = []
    for node in kept:
        if node.name not in taken:
            result += [made[node.name]] if node.name in made else ends.place(node)
    if problems:
        raise InputError(_listing(problems, len(nodes)))
    final = tuple(name if wanted is None else ends.real(name, result, wanted) for name, wanted in outputs)
    return tensors, _named_apart(result), final


def merge_clips(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """Let a quantizer whose integers only meet a narrower one of the same steps take its place.

    Also where a clamp of reals stands between the two: rounding never falls, so it clamps alike on either side of it.
    """
    reads = Counter(outputs) + Counter(name for node in nodes for name in node.inputs)
    kept: dict[str, Node] = {}
    for node in nodes:
        merged, before = node, kept.get(node.inputs[0])
        clamp = before if before is not None and isinstance(before.op, Rectify) else None
        if clamp is not None:
            before = kept.get(clamp.inputs[0])
        between = [part.inputs[0] for part in (node, clamp) if part is not None]
        if before is not None and all(reads[name] == 1 for name in between) and _narrower(before, node):
            del kept[before.outputs[0]]
            if clamp is None:
                merged = replace(node, inputs=before.inputs)
            else:
                kept[clamp.outputs[0]] = replace(clamp, inputs=before.inputs)
        kept[merged.outputs[0]] = merged
    return list(kept.values())


def _narrower(before: Node, node: Node) -> bool:
    """Whether both are quantizers of the same steps, the second with no integers that the first has not."""
    first, second = before.op, node.op
    if not (isinstance(first, Quantizer) and isinstance(second, Quantizer)):
        return False
    wide, narrow = first.quantization, second.quantization
    inside = wide.lo <= narrow.lo and narrow.hi <= wide.hi
    return first.linear_only and second.linear_only and inside and same_steps(wide, narrow)


def _chain(tensors: Tensors, links: Links, node: Node) -> Chain | None:
    source = node.inputs[0]
    return follow(tensors, links, node) if tensors[source].quantization is None else Chain((), None, source)


def _merged(tensors: Tensors, entries: Entries, chain: Chain, node: Node, op: Quantizer) -> Node:
    """Return the integer operator for a quantizer and what stands before it."""
    core, limits = chain.core, chain.limits(op.quantization)
    if core is None:
        return _function(tensors, entries, chain, node, op)
    if core.op.weighted:
        return integer_layer(tensors, entries, chain, core, node, op)
    if op.plain and limits is not None:
        annotate(tensors, node, op.quantization, limits)
        return Node(core.name, core.op, core.inputs, node.outputs)
    if isinstance(core.op, AveragePool2D | Mean):
        return integer_layer(tensors, entries, chain, summing(tensors, core, core.op), node, op)
    raise NotIntegerError("only a clamp may stand between it and its quantizer, which must round half to even")


def _function(tensors: Tensors, entries: Entries, chain: Chain, node: Node, op: Quantizer) -> Node:
    """Make a chain on integers one operator: a change of scale, a known function, or any other by its table."""
    name = chain.nodes[0].name if chain.nodes else node.name
    limits = chain.limits(op.quantization)
    if op.linear_only and limits is not None:
        annotate(tensors, node, op.quantization, limits)
        return Node(name, Quantize(), (chain.source,), node.outputs)
    if op.linear_only and len(chain.steps) == 1 and isinstance(chain.steps[0].op, Lookup):
        return Node(name, chain.steps[0].op, (chain.source,), node.outputs)
    return table(tensors, entries, chain, name, node, op)


def _named_apart(nodes: Sequence[Node]) -> list[Node]:
    names: set[str] = set()
    result = []
    for node in nodes:
        result.append(replace(node, name=unique(node.name, names)))
        names.add(result[-1].name)
    return result


def _listing(problems: dict[str, str], total: int) -> str:
    named = [f"node {name}: {reason}" for name, reason in list(problems.items())[:LISTED]]
    more = f"; and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
    return f"{len(problems)} of {total} nodes cannot be computed in integers: {'; '.join(named)}{more}"
