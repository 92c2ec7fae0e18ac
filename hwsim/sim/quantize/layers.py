"""The analysis of every layer, as the document has it: noise, ranges before and after equalization, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.graph import Array, Graph, Node, Quantization, Tensor
from hwsim.quant import Scheme
from hwsim.quant.pipeline import Quantized, Repair, find_repairs
from hwsim.quant.post_training import channel_axis
from hwsim.quant.repair import FloatRepair
from hwsim.quant.seen import Seen
from hwsim.sim.document import Histogram
from hwsim.sim.execute import Progress
from hwsim.sim.observe import BINS, clipped_values, histogram_over, weight_histogram
from hwsim.sim.quantize.analysis import LayerNoise, channel_magnitudes, measure, observed
from hwsim.sim.quantize.document import AnalysisInfo, Causes, LayerAnalysis
from hwsim.sim.quantize.engines import Engine
from hwsim.sim.quantize.errors import significant
from hwsim.sim.quantize.remedies import Activation, Evidence, advise
from hwsim.spec import InputError

EQUALIZATIONS = (("equalize",), ("relu6-to-relu", "equalize"))
"""Repairs that are tried, in turn, where none of the float network was asked for: the first that apply to it."""


@dataclass(frozen=True, eq=False)
class View:
    """A float network, and what was seen of its activations."""

    graph: Graph
    seen: dict[str, Seen]
    quantized: Graph | None
    """The network that was made of it, where it is the one that was quantized."""
    scheme: Scheme

    def node(self, name: str) -> Node | None:
        """Return the layer of this name."""
        return next((node for node in self.graph.nodes if node.name == name), None)

    def magnitudes(self, name: str) -> tuple[float, ...] | None:
        """Return the largest magnitude of the weights of each channel of a layer."""
        node = self.node(name)
        if node is None:
            return None
        return tuple(significant(float(value)) for value in channel_magnitudes(self.graph, node))

    def weights(self, name: str) -> Histogram | None:
        """Count the weights of a layer beside their integers, those that the scheme gives where it was not quantized."""
        node = self.node(name)
        if node is None:
            return None
        tensor = self.graph.tensors[node.inputs[1]]
        real, known = tensor.real(), None
        if self.quantized is not None:
            own = next(other for other in self.quantized.nodes if other.name == name)
            known = self.quantized.tensors[own.inputs[1]].quantization
        if known is None:
            axis = channel_axis(node.op)
            known = self.scheme.weights(real, axis, np.zeros(real.shape[axis]))
        return weight_histogram(Tensor(tensor.name, tensor.shape, known), real)

    def output(self, name: str) -> Histogram | None:
        """Count a layer's outputs beside their integers, those of a min-max range where it was not quantized."""
        node = self.node(name)
        if node is None:
            return None
        seen = self.seen[node.outputs[0]]
        known = self.quantization(node.outputs[0])
        if seen.histogram is None:
            return None
        counts = seen.histogram.counts.reshape(BINS, -1).sum(axis=1)
        return histogram_over(counts, seen.lo, seen.hi, known, _clipped(seen, known), seen.n)

    def quantization(self, tensor: str) -> Quantization:
        """Return the integers of an activation; see `output`."""
        known = None if self.quantized is None else self.quantized.tensors[tensor].quantization
        return known or self.scheme.activations(self.seen[tensor].lo, self.seen[tensor].hi)


def analyze_layers(
    made: Quantized, engine: Engine, scheme: Scheme, repairs: Sequence[Repair], looked: Sequence[Array], images: int,
    samples: Sequence[Array], progress: Progress,
) -> tuple[AnalysisInfo, dict[str, LayerAnalysis]]:  # fmt: skip
    """Analyze every layer with weights.

    Parameters
    ----------
    made, engine, scheme, repairs
        The network, what runs it, and how it was quantized.
    looked, images
        Batches to measure noise and histograms on, and how many images they are.
    samples
        What was calibrated on, for an equalization that nobody asked for.
    progress
        Told of finished images.
    """
    noise = measure(made, engine, scheme, looked, progress)
    how, equalized = _equalized(made, scheme, repairs, samples)
    real = View(made.real, observed(made.real, looked), made.graph, scheme)
    before = real if made.original is made.real else View(made.original, observed(made.original, looked), None, scheme)
    after = None
    if equalized is not None:
        after = real if equalized is made.real else View(equalized, observed(equalized, looked), None, scheme)
    shares = _shares(noise.layers)
    found = {
        name: _layer(layer, shares[name], engine, before, real, after, made.scheme_of(name, scheme), how)
        for name, layer in noise.layers.items()
    }
    nodes = [node.name for node in made.real.nodes]
    ranked = sorted(noise.layers, key=lambda name: (-shares[name], nodes.index(name)))
    info = AnalysisInfo(
        images=images, equalization=how, output=noise.output.figures(),
        ranked=tuple(nodes.index(name) + 1 for name in ranked),
    )  # fmt: skip
    return info, found


def _equalized(
    made: Quantized, scheme: Scheme, repairs: Sequence[Repair], samples: Sequence[Array]
) -> tuple[str, Graph | None]:
    """Return the network after the float repairs that were asked for, or else after equalization where that is possible."""
    names = [repair.name for repair in repairs if isinstance(repair, FloatRepair)]
    if names:
        return ",".join(names), made.real
    for tried in EQUALIZATIONS:
        graph = made.original
        try:
            for repair in find_repairs(tried):
                assert isinstance(repair, FloatRepair)
                graph = repair.repair(graph, samples, scheme)
        except InputError:
            continue
        return ",".join(tried), graph
    return "", None


def _shares(layers: dict[str, LayerNoise]) -> dict[str, float]:
    total = sum(layer.effect.noise for layer in layers.values())
    return {name: layer.effect.noise / total if total else 0.0 for name, layer in layers.items()}


def _layer(
    layer: LayerNoise, share: float, engine: Engine, before: View, real: View, after: View | None, scheme: Scheme,
    how: str,
) -> LayerAnalysis:  # fmt: skip
    node, name = layer.node, layer.node.name
    own = next(other for other in engine.graph.nodes if other.name == name)
    weights = real.graph.tensors[node.inputs[1]]
    entry, leaving = (
        Activation(real.seen[tensor], engine.graph.tensors[tensor].quantization)
        for tensor in (own.inputs[0], own.outputs[0])
    )
    other = None if after is None else after.node(name)
    evidence = Evidence(
        scheme, layer, weights.real(), engine.graph.tensors[own.inputs[1]].real(),
        None if after is None or other is None or after is real else after.graph.tensors[other.inputs[1]].real(),
        how, entry, leaving,
    )  # fmt: skip
    total = sum(evidence.powers.values())
    powers = {cause: significant(power / total) if total else 0.0 for cause, power in evidence.powers.items()}
    histogram = before.weights(name) or real.weights(name)
    assert histogram is not None
    return LayerAnalysis(
        alone=layer.alone.figures(), accumulated=layer.accumulated.figures(), effect=layer.effect.figures(),
        blame=significant(share), causes=Causes(**powers), shift=layer.channels.shift(),
        clipped=significant(layer.clipped / max(layer.alone.n, 1)),
        channels=before.magnitudes(name) or real.magnitudes(name) or (),
        equalized=None if after is None else after.magnitudes(name), weights=histogram,
        output=before.output(name), equalized_weights=None if after is None else after.weights(name),
        equalized_output=None if after is None else after.output(name), advice=advise(evidence),
    )  # fmt: skip


def _clipped(seen: Seen, known: Quantization) -> int:
    """Return how many values of a histogram lie beyond a grid by more than half a step: bins by their centres."""
    assert seen.histogram is not None
    centres = (seen.histogram.edges[1:] + seen.histogram.edges[:-1]) / 2
    outside = np.array([clipped_values(centre[None], known) for centre in centres], bool)
    return int(seen.histogram.counts[outside].sum())
