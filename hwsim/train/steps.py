"""Learned step sizes (LSQ): what one step of an integer stands for is trained beside the weights.

S. Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153. A step begins at ``2 * mean |x| / sqrt(Q)``
(section 2.1 there), Q being the integers to a side, with weights as they are and activations of the calibration samples; or at
that of the scheme's range where this is finer: the formula is for few bits. Its gradient has the factor ``1 / sqrt(N * Q)``
(section 2.2), N being the weights that share the step, or the elements of the activation for one image. Zero points stay those
of the scheme, so without any (``symmetric-activations``, ``signed-activations``) this is LSQ as published.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hwsim.graph import Array, Graph, Quantization
from hwsim.ops import Softmax
from hwsim.quant import Scheme, evaluate
from hwsim.quant.calibrate import Ranges
from hwsim.quant.post_training import channel_axis
from hwsim.spec import require
from hwsim.train.extra import Value

LEAST = 2.0**-10
"""Of what a step began at: it stays positive."""


@dataclass(eq=False)
class Step:
    """A learned step, or several: float32 [] for a tensor, [C] or [groups] for weights.

    `first` is what it began at, `factor` that of its gradient, `known` the quantization that it began from.
    """

    size: Value
    first: Value
    factor: float
    known: Quantization

    @classmethod
    def of(cls, sizes: Array, factor: float, known: Quantization) -> Step:
        """Return the steps that begin at `sizes`."""
        import torch

        first = torch.from_numpy(np.asarray(sizes, np.float32))
        return cls(torch.nn.Parameter(first.clone()), first, factor, known)

    def values(self) -> Array:
        """Return the steps as float64."""
        found: Array = self.size.detach().numpy().astype(np.float64)
        return found


class LearnedSteps:
    """The steps of a network.

    Parameters
    ----------
    graph
        The float network.
    ranges
        Of its activations, which signs and zero points are from.
    samples
        Batches of real inputs.
    scheme, layers
        Of the input, and of nodes where they differ.

    Notes
    -----
    The network's input keeps its range: pixels have one. So do constants of element-wise operators.
    """

    def __init__(
        self, graph: Graph, ranges: Ranges, samples: Iterable[Array], scheme: Scheme,
        layers: Mapping[str, Scheme] | None,
    ) -> None:  # fmt: skip
        require(
            not scheme.power_of_two, "scheme", "without power-of-two scales where steps are learned", "power-of-two"
        )
        self.weights: dict[str, Step] = {}
        self.activations: dict[str, Step] = {}
        self._schemes = {node.name: (layers or {}).get(node.name, scheme) for node in graph.nodes}
        self._producers = {name: node.name for node in graph.nodes for name in node.outputs}
        sizes = _mean_magnitudes(graph, samples)
        for node in graph.nodes:
            own = self._schemes[node.name]
            if node.op.weighted:
                real = graph.tensors[node.inputs[1]].real()
                self.weights[node.name] = _of_weights(real, channel_axis(node.op), own)
            if not (node.op.same_scale or isinstance(node.op, Softmax)):
                (name,) = node.outputs
                known = own.activations(*ranges[name])
                self.activations[name] = _of_activation(known, sizes[name], graph.tensors[name].elements)

    def trained(self) -> list[Value]:
        """Return what an optimizer changes."""
        return [step.size for step in (*self.weights.values(), *self.activations.values())]

    def keep_positive(self) -> None:
        """Take back what an optimizer's step took too far."""
        import torch

        with torch.no_grad():
            for step in (*self.weights.values(), *self.activations.values()):
                step.size.copy_(torch.maximum(step.size, LEAST * step.first))

    def ranges(self) -> Ranges:
        """Return the ranges whose steps are the learned ones, to the bit: products of float32 by few integers are exact here."""
        found = {}
        for name, step in self.activations.items():
            size, known = float(step.values()), step.known
            if self._schemes[self._producers[name]].affine_activations:
                zero_point = int(known.zero_point)
                found[name] = (size * (known.lo - zero_point), size * (known.hi - zero_point))
            else:
                found[name] = (-size * known.hi if known.format.signed else 0.0, size * known.hi)
        return found

    def quantizations(self) -> dict[str, Quantization]:
        """Return the quantization of the weights of every layer, by node name."""
        found = {}
        for name, step in self.weights.items():
            known = step.known
            sizes = step.values() if known.axis is None else self._schemes[name].spread(step.values(), len(known.scale))
            found[name] = Quantization(known.format, sizes, known.zero_point, known.axis, known.limits)
        return found

    def of_channels(self, node: str) -> Value:
        """Return the steps of a layer's weights, one for all or one for each channel, through which gradients pass."""
        step = self.weights[node]
        if step.known.axis is None:
            return step.size
        size, channels = self._schemes[node].group, len(step.known.scale)
        return step.size if size == 1 else step.size.repeat_interleave(size)[:channels]


def _of_weights(real: Array, axis: int, scheme: Scheme) -> Step:
    known = scheme.weights(real, axis, np.zeros(real.shape[axis]))
    most = max(known.hi - int(known.zero_point.min()), 1)
    # Whatever the range was, weights beyond it are clamped from now on.
    ends = (known.lo, known.hi) if known.limits is None else known.limits
    ends = (-known.format.hi, known.format.hi) if scheme.weight_grid.narrow and not scheme.affine_weights else ends
    known = Quantization(known.format, known.scale, known.zero_point, known.axis, ends)
    if known.axis is None:
        size = min(_first(np.abs(real).mean(), most), float(known.scale))
        return Step.of(np.asarray(size), 1 / math.sqrt(real.size * most), known)
    rows = np.moveaxis(real, axis, 0).reshape(real.shape[axis], -1)
    parts = [slice(at, at + scheme.group) for at in range(0, len(rows), scheme.group)]
    first = [min(_first(np.abs(rows[part]).mean(), most), float(known.scale[part].max())) for part in parts]
    return Step.of(np.array(first), 1 / math.sqrt(rows[parts[0]].size * most), known)


def _of_activation(known: Quantization, magnitude: float, elements: int) -> Step:
    zero_point = int(known.zero_point)
    most = max(known.hi - zero_point, zero_point - known.lo)
    size = min(_first(magnitude, most), float(known.scale))
    return Step.of(np.asarray(size), 1 / math.sqrt(elements * most), known)


def _first(magnitude: float, most: int) -> float:
    """Return ``2 * mean |x| / sqrt(Q)``; a tensor of zeros has the step of its range."""
    return 2 * float(magnitude) / math.sqrt(most) or math.inf


def _mean_magnitudes(graph: Graph, samples: Iterable[Array]) -> dict[str, float]:
    """Return the mean magnitude of every node's output on real samples."""
    sums: dict[str, float] = {}
    count = 0
    for batch in samples:
        count += len(batch)
        for node, outputs in evaluate(graph, batch):
            for name, values in zip(node.outputs, outputs, strict=True):
                sums[name] = sums.get(name, 0.0) + float(np.abs(values, dtype=np.float64).sum())
    return {name: total / (count * graph.tensors[name].elements) for name, total in sums.items()}
