"""What is trained: the weights and biases of a float network, with batch norm taken out of the folded ones again.

A network is read with batch norm folded into its layers, as hardware has it. In training it is useful: statistics that follow the
integers take away what rounding does to the mean and the spread of a channel. So a folded layer ``W x + b`` is written as ::

    gamma * (W x - mean) / sigma + beta,    sigma = sqrt(variance + EPSILON)

with the mean and variance that W x has on the calibration samples, ``gamma = sigma`` and ``beta = b + mean``: the same function,
for networks that never had batch norm too. What computes is the folded layer ``W gamma / sigma``, ``beta - mean gamma / sigma``
with running statistics from the first step on, because hardware has no others; they stay once training freezes them.
(R. Krishnamoorthi, arXiv 1806.08342, section 3.2, folds the same way, and trains on batch statistics, with a correction, before.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwsim.graph import Array, Graph, Node
from hwsim.quant.post_training import channel_axis
from hwsim.train.extra import Value

EPSILON = 1e-5
MOMENTUM = 0.05
"""Of a batch in the running statistics."""


@dataclass(eq=False)
class Norm:
    """Batch norm behind a layer: vectors over its output channels, of which gamma is trained and statistics are followed."""

    gamma: Value
    mean: Value
    variance: Value

    @property
    def ratio(self) -> Value:
        """``gamma / sigma``."""
        return self.gamma / (self.variance + EPSILON).sqrt()


@dataclass(eq=False)
class Layer:
    """The parameters of one node; layers that share them share these objects.

    Parameters
    ----------
    weights
        As in the graph.
    bias
        beta where there is a norm, else the bias, or None.
    axis
        Of the weights, that counts output channels.
    """

    weights: Value
    bias: Value | None
    axis: int
    norm: Norm | None = None

    def folded(self) -> tuple[Value, Value | None]:
        """Return the weights and the bias that compute."""
        if self.norm is None:
            return self.weights, self.bias
        ratio = self.norm.ratio
        assert self.bias is not None
        return self.weights * along(ratio, self.axis, self.weights.ndim), self.bias - self.norm.mean * ratio

    def observe(self, sums: Value) -> None:
        """Take the sums of a batch, without their bias, into the running statistics."""
        import torch

        if self.norm is None:
            return
        with torch.no_grad():
            mean, variance = moments(sums)
            ratio = self.norm.ratio
            # A channel that gamma has closed says nothing of what is in front of it.
            some = ratio.abs() > EPSILON
            safe = torch.where(some, ratio, torch.ones_like(ratio))
            norm = self.norm
            # New tensors: the old ones are part of the step whose gradients are still to come.
            norm.mean = torch.where(some, norm.mean + MOMENTUM * (mean / safe - norm.mean), norm.mean)
            seen = variance / safe**2
            norm.variance = torch.where(some, norm.variance + MOMENTUM * (seen - norm.variance), norm.variance)

    def assign(self, rows: Value) -> None:
        """Change the weights so that these are the folded ones."""
        import torch

        with torch.no_grad():
            if self.norm is not None:
                ratio = along(self.norm.ratio, self.axis, self.weights.ndim)
                rows = torch.where(ratio.abs() > EPSILON, rows / ratio, self.weights)
            self.weights.copy_(rows)


class Parameters:
    """Those of a network, by node name."""

    def __init__(self, graph: Graph) -> None:
        import torch

        self.graph = graph
        made: dict[str, Value] = {}
        self.layers: dict[str, Layer] = {}
        for node in graph.nodes:
            if not node.op.weighted:
                continue
            for name in node.inputs[1:3]:
                if name not in made:
                    made[name] = torch.nn.Parameter(torch.from_numpy(graph.tensors[name].real().copy()))
            bias = made[node.inputs[2]] if len(node.inputs) > 2 else None
            self.layers[node.name] = Layer(made[node.inputs[1]], bias, channel_axis(node.op))
        self._values = made

    def restore_norms(self, statistics: Mapping[str, tuple[Value, Value]]) -> None:
        """Take batch norm out of layers again.

        Parameters
        ----------
        statistics
            Mean and variance of a layer's sums without their bias, by node name: what it has on real samples.

        Notes
        -----
        A folded batch norm leaves a bias, so a layer without one had none. Scores are never normalized, and layers that
        share parameters cannot be on their own.
        """
        import torch

        used = [name for node in self.graph.nodes if node.op.weighted for name in node.inputs[1:3]]
        for node in self.graph.nodes:
            if not node.op.weighted or len(node.inputs) < 3 or _last(self.graph, node):
                continue
            if any(used.count(name) > 1 for name in node.inputs[1:3]):
                continue
            layer, (mean, variance) = self.layers[node.name], statistics[node.name]
            layer.norm = Norm(torch.nn.Parameter((variance + EPSILON).sqrt()), mean.clone(), variance.clone())
            assert layer.bias is not None
            with torch.no_grad():
                layer.bias += mean

    def trained(self) -> dict[str, list[Value]]:
        """Return what an optimizer changes: weights, and what else there is."""
        weights = [value for value in self._values.values() if value.ndim > 1]
        others = [value for value in self._values.values() if value.ndim <= 1]
        norms = [layer.norm.gamma for layer in self.layers.values() if layer.norm is not None]
        return {"weights": weights, "others": [*others, *norms]}

    def statistics(self) -> dict[str, tuple[Value, Value]]:
        """Return mean and variance of every batch norm, by node name."""
        return {
            name: (layer.norm.mean, layer.norm.variance)
            for name, layer in self.layers.items()
            if layer.norm is not None
        }

    def restore_statistics(self, statistics: Mapping[str, tuple[Value, Value]]) -> None:
        """Set what `statistics` returned."""
        for name, (mean, variance) in statistics.items():
            norm = self.layers[name].norm
            assert norm is not None
            norm.mean, norm.variance = mean, variance

    def real(self) -> Graph:
        """Return the float network of the parameters as they are, folded."""
        tensors = dict(self.graph.tensors)
        for node in self.graph.nodes:
            if node.op.weighted:
                for name, value in zip(node.inputs[1:3], self.layers[node.name].folded(), strict=False):
                    tensors[name] = replace(tensors[name], data=_array(value), quantization=None)
        return replace(self.graph, tensors=tensors)


def along(vector: Value, axis: int, rank: int) -> Value:
    """Return a vector over an axis of a tensor of that rank, to multiply it with."""
    return vector.reshape([-1 if place == axis else 1 for place in range(rank)])


def moments(sums: Value) -> tuple[Value, Value]:
    """Return mean and variance over all but the last axis."""
    rows = sums.reshape(-1, sums.shape[-1])
    mean = rows.mean(0)
    # The mean of squares, less the square of the mean: PyTorch's variance along an outer axis takes ten times as long.
    return mean, ((rows * rows).mean(0) - mean * mean).clamp(min=0)


def _array(value: Value) -> Array:
    found: Array = np.ascontiguousarray(value.detach().numpy()).astype(np.float32)
    return found.copy()


def _last(graph: Graph, node: Node) -> bool:
    """Whether a node is the last one with weights."""
    return node is [other for other in graph.nodes if other.op.weighted][-1]
