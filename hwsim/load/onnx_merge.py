"""Merge what follows a layer into it: batch norm and biases into weights, ReLUs into the layer's clamp.

A rule gets a node and the node that writes its input, whose only reader it is, and returns one node for both or None.
Constants are changed in place, because every one has a single reader.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from hwsim.graph import Array, Node, Tensor
from hwsim.load.onnx_build import unique
from hwsim.load.onnx_tensors import finite_float32
from hwsim.ops import (
    Activation,
    Add,
    AveragePool2D,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    Mul,
    Rectify,
    Window,
)

Tensors = dict[str, Tensor]
Rule = Callable[[Tensors, Node, Node], Node | None]


def merge(tensors: Tensors, nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """Apply `RULES` until none fits.

    Parameters
    ----------
    tensors
        Changed in place: weights and biases take new values, biases are added.
    nodes
        In order of execution.
    outputs
        Tensors that leave the graph: what writes them is not merged into.

    Returns
    -------
    list of Node
        In order of execution, each with the name of its first part and the output of its last.
    """
    reads = Counter(outputs) + Counter(name for node in nodes for name in node.inputs)
    kept: dict[str, Node] = {}  # by output
    for following in nodes:
        node = following
        while (found := _first(tensors, kept, reads, node)) is not None:
            writer, node = found
            # Moving the writer down to its only reader keeps the order of execution.
            del kept[writer]
        kept[node.outputs[0]] = node
    return list(kept.values())


def _first(tensors: Tensors, kept: dict[str, Node], reads: Counter[str], node: Node) -> tuple[str, Node] | None:
    moving = [name for name in node.inputs if not tensors[name].constant]
    if len(moving) != 1 or moving[0] not in kept or reads[moving[0]] != 1:
        return None
    for rule in RULES:
        if (merged := rule(tensors, kept[moving[0]], node)) is not None:
            return moving[0], merged
    return None


def fuse_activation(tensors: Tensors, writer: Node, node: Node) -> Node | None:
    """Let a layer clamp its own output."""
    op = writer.op
    fusing = Conv2D | DepthwiseConv2D | FullyConnected | MaxPool2D | AveragePool2D | Add | Mul | Concat
    if not isinstance(node.op, Rectify) or not isinstance(op, fusing) or op.activation is not Activation.NONE:
        return None
    return Node(writer.name, dataclasses.replace(op, activation=node.op.activation), writer.inputs, node.outputs)


def scale_weights(tensors: Tensors, writer: Node, node: Node) -> Node | None:
    """Take a factor or a term per output channel into a layer's weights and bias."""
    op = writer.op
    affine = _affine(tensors, node)
    if affine is None or not isinstance(op, Conv2D | DepthwiseConv2D | FullyConnected):
        return None
    if op.activation is not Activation.NONE:
        return None
    factor, term = affine
    weights = tensors[writer.inputs[1]]
    channel_axis = 3 if isinstance(op, DepthwiseConv2D) else 0
    channels = weights.shape[channel_axis]
    along = [1] * len(weights.shape)
    along[channel_axis] = -1
    bias = tensors[writer.inputs[2]].data if len(writer.inputs) > 2 else np.zeros(channels)
    assert weights.data is not None and bias is not None  # the importer takes constants only
    _set(tensors, writer.inputs[1], weights.data * factor.reshape(along))
    inputs = writer.inputs if len(writer.inputs) > 2 else (*writer.inputs, unique(f"{writer.name}/bias", tensors))
    _set(tensors, inputs[2], bias * factor + term)
    return Node(writer.name, op, inputs, node.outputs)


def channel_scale(tensors: Tensors, writer: Node, node: Node) -> Node | None:
    """Make a factor and a term per channel of an image, which no layer before can take, a 1x1 depthwise convolution."""
    first, second = _affine(tensors, writer), _affine(tensors, node)
    shape = tensors[node.outputs[0]].shape
    if first is None or second is None or type(writer.op) is type(node.op) or len(shape) != 4:
        return None
    factor = np.broadcast_to(first[0] * second[0], shape[3:])
    term = np.broadcast_to(first[1] * second[0] + second[1], shape[3:])
    (source,) = (name for name in writer.inputs if not tensors[name].constant)
    names = unique(f"{writer.name}/weights", tensors), unique(f"{writer.name}/bias", tensors)
    _set(tensors, names[0], factor.reshape(1, 1, 1, -1))
    _set(tensors, names[1], term)
    return Node(writer.name, DepthwiseConv2D(Window((1, 1))), (source, *names), node.outputs)


RULES: tuple[Rule, ...] = (fuse_activation, scale_weights, channel_scale)


def _affine(tensors: Tensors, node: Node) -> tuple[Array, Array] | None:
    """Return factor and term, float64 [1] or [channels], of a product with or a sum with a constant per last axis."""
    if not isinstance(node.op, Mul | Add) or node.op.activation is not Activation.NONE:
        return None
    constants = [tensors[name] for name in node.inputs if tensors[name].constant]
    result = tensors[node.outputs[0]].shape
    sources = [tensors[name].shape for name in node.inputs if not tensors[name].constant]
    if len(constants) != 1 or sources != [result] or constants[0].elements not in (1, constants[0].shape[-1]):
        return None
    assert constants[0].data is not None
    values = constants[0].data.reshape(-1).astype(np.float64)
    return (values, np.zeros(1)) if isinstance(node.op, Mul) else (np.ones(1), values)


def _set(tensors: Tensors, name: str, data: Array) -> None:
    values = np.ascontiguousarray(finite_float32(data, f"tensor {name!r}, after merging a scale into it,"))
    tensors[name] = Tensor(name, values.shape, data=values)
