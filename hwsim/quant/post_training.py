"""Quantization after training: a float network and the ranges of its activations make an integer network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hwsim.graph import Array, Graph, Node, Operator, Quantization, Tensor
from hwsim.ops import DepthwiseConv2D, Softmax
from hwsim.quant.schemes import Scheme
from hwsim.spec import InputError

BIAS_LIMIT = 2**30
"""Largest magnitude of a bias integer: it fits int32 with room for a sum."""


def quantize(
    graph: Graph, ranges: Mapping[str, tuple[float, float]], scheme: Scheme, layers: Mapping[str, Scheme] | None = None,
    weights: Mapping[str, Quantization] | None = None,
) -> Graph:  # fmt: skip
    """Quantize a float network.

    Parameters
    ----------
    graph
        A float network.
    ranges
        (lowest, highest) real value of every activation, by tensor name, see `calibrate`.
    scheme
        Which integers to use; whatever its mode, activations become integers over `ranges`.
    layers
        Schemes of the weights and outputs of single nodes, by name (see `hwsim.quant.mixed_precision`).
    weights
        Quantizations of the weights of single nodes, by name, in place of those that their scheme would choose.

    Returns
    -------
    Graph
        The same nodes and tensor names; weights per `scheme`, biases int64 at ``input_scale * weight_scale``. Operators that
        only move values keep their input's quantization; a softmax gets the fixed one that its kernel computes.
    """
    tensors: dict[str, Tensor] = {}
    source = graph.input
    tensors[source.name] = replace(source, quantization=scheme.activations(*ranges[source.name]))
    nodes: list[Node] = []
    for node in graph.nodes:
        own = scheme if layers is None else layers.get(node.name, scheme)
        if node.op.weighted:
            inputs = _quantize_parameters(graph, node, tensors, own, (weights or {}).get(node.name))
        else:
            inputs = _quantize_operands(graph, node, tensors, own)
        nodes.append(replace(node, inputs=inputs))
        for name in node.outputs:
            result = graph.tensors[name]
            tensors[name] = replace(result, quantization=_output(node, tensors[inputs[0]], ranges[name], own))
    return Graph(graph.name, tensors, nodes, graph.inputs, graph.outputs, graph.scaling, graph.metadata)


def channel_axis(op: Operator) -> int:
    """Return the axis of a layer's weights that counts its output channels."""
    return 3 if isinstance(op, DepthwiseConv2D) else 0


def _output(node: Node, source: Tensor, span: tuple[float, float], scheme: Scheme) -> Quantization | None:
    if node.op.same_scale:
        return source.quantization
    quantization = scheme.activations(*span)
    if isinstance(node.op, Softmax):
        fmt = quantization.format
        return Quantization(fmt, np.array(2.0**-fmt.bits), np.array(fmt.lo))
    return quantization


def _quantize_operands(graph: Graph, node: Node, tensors: dict[str, Tensor], scheme: Scheme) -> tuple[str, ...]:
    """Add the constants of an element-wise node to `tensors`, as activations over their own range; return its inputs."""
    inputs = []
    for source in graph.inputs_of(node):
        # A copy where a layer has the same constant for its weights: it counts in other steps there.
        name = _unused(source.name, node, tensors) if source.constant else source.name
        if source.constant:
            real = source.real()
            quantization = scheme.activations(float(real.min()), float(real.max()))
            tensors[name] = replace(source, name=name, quantization=quantization, data=quantization.quantize(real))
        inputs.append(name)
    return tuple(inputs)


def _quantize_parameters(
    graph: Graph, node: Node, tensors: dict[str, Tensor], scheme: Scheme, given: Quantization | None
) -> tuple[str, ...]:
    """Add a node's quantized weights and bias to `tensors`; return its inputs.

    A bias counts in steps of its layer's input and weight scales, so layers that share parameters get their own copies.
    """
    source = tensors[node.inputs[0]].quantization
    assert source is not None
    weights = graph.tensors[node.inputs[1]]
    real = weights.real()
    axis = channel_axis(node.op)
    bias: Array | None = graph.tensors[node.inputs[2]].real().astype(np.float64) if len(node.inputs) > 2 else None
    # A channel of almost no weight can have a bias of any number of steps: a coarser scale keeps it in int32.
    least = np.zeros(real.shape[axis]) if bias is None else np.abs(bias) / (float(source.scale) * BIAS_LIMIT)
    if given is None:
        quantization = scheme.weights(real, axis, least)
    else:
        quantization = replace(given, scale=np.maximum(given.scale, least if given.axis is not None else least.max()))
    names = [_unused(name, node, tensors) for name in node.inputs[1:]]
    if scheme.outliers is None:
        integers, outliers = scheme.weight_integers(weights.name, real, quantization), None
    else:
        quantization, integers, outliers = scheme.outliers.split(
            real, axis, quantization, least, power_of_two=scheme.power_of_two
        )
    tensors[names[0]] = Tensor(names[0], weights.shape, quantization, integers, outliers)
    if bias is not None:
        steps = np.rint(bias / (float(source.scale) * quantization.scale)).astype(np.int64)
        if np.abs(steps).max(initial=0) > 2**31 - 1:
            raise InputError(f"{graph.name}: node {node.name}: bias must fit 32 bits, not {np.abs(steps).max()}")
        tensors[names[1]] = Tensor(names[1], bias.shape, data=steps)
    return (node.inputs[0], *names)


def _unused(name: str, node: Node, tensors: Mapping[str, Tensor]) -> str:
    return f"{name}@{node.name}" if name in tensors else name
