"""Layers of an integer network that stay in float32: what no integer width is good enough for.

Such a layer reads integers and writes integers, as its neighbours do, and computes reals in between, in one order on every
machine: each input integer as DequantizeLinear's float32, then for every output element ::

    sum = 0;  sum = sum + x[k] * w[k]  for k = (ky * KW + kx) * IC + ic ascending;  sum + bias;  the activation

with one float32 rounding for each product and for each sum (no fused multiply-add), zeros where the window leaves the image, and
then the rounding to the output's integers that the network's profile has for reals. No array of integer multipliers computes
this, so there are no cycles of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwsim.graph import Array, Graph, Node, Tensor, Unit
from hwsim.kernels.monitor import Monitor
from hwsim.ops import Conv2D, DepthwiseConv2D, FullyConnected, Quantize
from hwsim.ops.checks import activation_quantization
from hwsim.ops.float_steps import to_real
from hwsim.ops.float_windows import windows
from hwsim.spec import Arithmetic, InputError

BITS = 32
"""Of a weight or a bias."""


def with_float_layers(real: Graph, quantized: Graph, names: Collection[str]) -> Graph:
    """Return an integer network in which layers have their float weights and biases again.

    Parameters
    ----------
    real
        The float network.
    quantized
        Its integer network: the same nodes, by name.
    names
        Of nodes with constant weights.

    Raises
    ------
    InputError
        For a name that no such node has.
    """
    originals = {node.name: node for node in real.nodes if node.op.weighted and real.tensors[node.inputs[1]].constant}
    for name in names:
        if name not in originals:
            raise InputError(f"float layers must be of {', '.join(originals)}, not {name!r}")
    tensors, nodes = dict(quantized.tensors), []
    for node in quantized.nodes:
        inputs = node.inputs
        if node.name in names:
            constants = real.inputs_of(originals[node.name])[1:]
            made = [replace(tensor, name=f"{tensor.name}@{node.name}:float", quantization=None) for tensor in constants]
            made = [replace(new, data=old.real()) for new, old in zip(made, constants, strict=True)]
            tensors |= {tensor.name: tensor for tensor in made}
            inputs = (node.inputs[0], *(tensor.name for tensor in made))
        nodes.append(replace(node, inputs=inputs))
    used = {name for node in nodes for name in (*node.inputs, *node.outputs)}
    return replace(quantized, tensors={name: tensor for name, tensor in tensors.items() if name in used}, nodes=nodes)


def is_float(graph: Graph, node: Node) -> bool:
    """Whether a node of an integer network is a layer with float weights."""
    weights = graph.tensors[node.inputs[1]] if node.op.weighted else None
    return weights is not None and weights.constant and weights.quantization is None


class FloatLayer(Unit):
    """A layer with float weights between integers, see above.

    Parameters
    ----------
    node
        The layer.
    inputs, outputs
        Its tensors: integers, float weights [and biases], integers.
    arithmetic
        Of the network: its profile rounds reals.
    """

    def __init__(self, node: Node, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> None:
        self._op: Any = node.op
        self._source = activation_quantization(inputs[0])
        between = Tensor(outputs[0].name, outputs[0].shape)
        self._leave = Quantize().prepare([between], outputs, arithmetic)

    def run(self, inputs: Sequence[Array], monitor: Monitor | None = None) -> list[Array]:
        real = to_real(self._source, inputs[0])
        sums = ordered_sums(self._op, real, *inputs[1:])
        return self._leave.run([self._op.activation.apply(sums)])


def ordered_sums(
    op: Conv2D | DepthwiseConv2D | FullyConnected, x: Array, weights: Array, bias: Array | None = None
) -> Array:
    """Return the float32 sums of a layer in the order above, before its activation.

    Parameters
    ----------
    op
        The operator.
    x
        float32 [batch, ...].
    weights, bias
        float32, as the operator has them.
    """
    if isinstance(op, FullyConnected):
        parts = x.reshape(len(x), 1, -1), weights.T[:, None]
        shape: tuple[int, ...] = (len(x), len(weights))
    else:
        patches = windows(x, op.window)
        images, height, width, *kernel, channels = patches.shape
        if isinstance(op, DepthwiseConv2D):
            groups, by_product = channels, weights[0].reshape(kernel[0] * kernel[1], channels, op.multiplier)
        else:
            groups = op.groups
            by_product = np.moveaxis(weights.reshape(groups, len(weights) // groups, -1), 2, 0)
        # [..., groups, k]: the products of a group are its own channels at every place of the window.
        apart = patches.reshape(images, height, width, kernel[0] * kernel[1], groups, channels // groups)
        parts = np.moveaxis(apart, 4, 3).reshape(images, height, width, groups, -1), by_product
        shape = (images, height, width, by_product.shape[1] * by_product.shape[2])
    rows, by_product = parts
    total = np.zeros((*rows.shape[:-1], by_product.shape[-1]), np.float32)
    for k, product in enumerate(by_product):
        # Two operations of NumPy, so two roundings.
        total += rows[..., k, None] * product
    found = total.reshape(shape)
    return found if bias is None else found + bias
