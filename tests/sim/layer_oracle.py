"""An integer network layer by layer in the slow oracle's arithmetic; nothing of `hwsim.kernels` computes here."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

import oracle
from hwsim.graph import Array, Graph, Node, Quantization, Tensor
from hwsim.ops import Add, Conv2D, DepthwiseConv2D, FullyConnected, MaxPool2D, Mean, Reshape
from hwsim.spec import Arithmetic
from ops.layer_cases import Layer, clamp_of, oracle_sums, profile_of, real_factors


def layer_of(graph: Graph, node: Node, arithmetic: Arithmetic, images: Array) -> Layer:
    """Return a node with weights, on a batch of its inputs."""
    op = node.op
    assert isinstance(op, Conv2D | DepthwiseConv2D | FullyConnected)
    if isinstance(op, FullyConnected):
        images = images.reshape(len(images), -1)
    return Layer(op, tuple(graph.inputs_of(node)), graph.outputs_of(node)[0], arithmetic, images)


def one_channel(layer: Layer, channel: int) -> Layer:
    """Return the layer with one of its output channels (and the input channels that this one reads)."""
    source, weights, *bias = layer.inputs
    axis = 3 if isinstance(layer.op, DepthwiseConv2D) else 0
    data, q, images = weights.data, weights.quantization, layer.images
    assert data is not None and q is not None
    cut = data[..., channel : channel + 1] if axis else data[channel : channel + 1]
    if q.axis is not None:
        q = Quantization(q.format, q.scale[channel : channel + 1], q.zero_point[channel : channel + 1], q.axis)
    op = layer.op
    if axis:
        assert isinstance(op, DepthwiseConv2D) and op.multiplier == 1
        images = images[..., channel : channel + 1]
        source = dataclasses.replace(source, shape=(*source.shape[:3], 1))
    elif isinstance(op, Conv2D):
        assert op.groups == 1
    inputs = [source, Tensor("w", cut.shape, q, cut)]
    if bias:
        assert bias[0].data is not None
        inputs.append(Tensor("b", (1,), None, bias[0].data[channel : channel + 1]))
    output = dataclasses.replace(layer.output, shape=(*layer.output.shape[:-1], 1))
    return dataclasses.replace(layer, inputs=tuple(inputs), output=output, images=images)


def products(layer: Layer) -> tuple[Array, oracle.Sums]:
    """Return what a layer with weights computes, [batch, pixels, channels], and what its registers saw."""
    sums = oracle_sums(layer)
    result = layer.output.quantization
    assert result is not None
    (lo, hi), factors, profile = clamp_of(layer), real_factors(layer), profile_of(layer)
    out = [
        [
            [
                oracle.requantize(total, factor, profile, int(result.zero_point), lo, hi)
                for total, factor in zip(pixel, factors, strict=True)
            ]
            for pixel in image
        ]
        for image in sums.out
    ]
    return np.array(out), sums


def evaluate(graph: Graph, images: Array, arithmetic: Arithmetic) -> tuple[dict[str, Array], dict[str, oracle.Sums]]:
    """Return every activation, and the counters of every layer with weights."""
    values: dict[str, Array] = {graph.inputs[0]: images}
    counted: dict[str, oracle.Sums] = {}
    for node in graph.nodes:
        output = graph.outputs_of(node)[0]
        if node.op.weighted:
            found, counted[node.name] = products(layer_of(graph, node, arithmetic, values[node.inputs[0]]))
        else:
            found = _plain(graph, node, values, arithmetic)
        values[output.name] = found.reshape(len(images), *output.shape[1:])
    return values, counted


def _plain(graph: Graph, node: Node, values: dict[str, Array], arithmetic: Arithmetic) -> Array:
    op, inputs = node.op, [values[name] for name in node.inputs]
    quantizations: list[Any] = [t.quantization for t in (*graph.inputs_of(node), graph.outputs_of(node)[0])]
    scales, zeros = [float(q.scale) for q in quantizations], [int(q.zero_point) for q in quantizations]
    form = quantizations[-1].format
    if isinstance(op, MaxPool2D):
        pad = op.window.padding
        sides = (pad.top, pad.bottom, pad.left, pad.right)
        pooled = [
            oracle.max_pool(image, op.window.kernel, op.window.stride, sides, form.lo, form.hi)
            for image in inputs[0].tolist()
        ]
        return np.array(pooled)
    if isinstance(op, Add):
        assert form.bits == 8
        pairs = zip(inputs[0].reshape(-1).tolist(), inputs[1].reshape(-1).tolist(), strict=True)
        return np.array([oracle.add(a, b, scales, zeros, form.lo, form.hi, arithmetic.profile, 20) for a, b in pairs])
    if isinstance(op, Mean):
        assert op.axes == (1, 2)
        rows = inputs[0].reshape(len(inputs[0]), -1, inputs[0].shape[-1])
        return np.array(
            [
                [
                    oracle.mean(column, scales, zeros, form.lo, form.hi, arithmetic.profile)
                    for column in image.T.tolist()
                ]
                for image in rows
            ]
        )
    assert isinstance(op, Reshape), op.kind
    return inputs[0]
