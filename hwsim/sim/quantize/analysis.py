"""Where the noise of a quantized network comes from: each layer by itself, and all of them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hwsim.graph import Array, Graph, Node
from hwsim.quant import Mode, Scheme, evaluate
from hwsim.quant.pipeline import Quantized
from hwsim.quant.post_training import channel_axis
from hwsim.quant.seen import Seen
from hwsim.sim.observe import clipped_values
from hwsim.sim.quantize.engines import Engine
from hwsim.sim.quantize.errors import ChannelSums, ErrorSums

Values = dict[str, Array]


@dataclass(eq=False)
class LayerNoise:
    """What a layer with weights did on the analyzed images."""

    node: Node
    """Of the float network that was quantized."""
    alone: ErrorSums = field(default_factory=ErrorSums)
    accumulated: ErrorSums = field(default_factory=ErrorSums)
    effect: ErrorSums = field(default_factory=ErrorSums)
    input: ErrorSums = field(default_factory=ErrorSums)
    weights: ErrorSums = field(default_factory=ErrorSums)
    output: ErrorSums = field(default_factory=ErrorSums)
    channels: ChannelSums = field(default_factory=ChannelSums)
    clipped: int = 0


@dataclass(eq=False)
class Noise:
    """All layers with integer weights, by name, and the network's output."""

    layers: dict[str, LayerNoise]
    output: ErrorSums = field(default_factory=ErrorSums)


def weighted(graph: Graph) -> list[Node]:
    """Return the layers that have weights of their own."""
    return [node for node in graph.nodes if node.op.weighted and graph.tensors[node.inputs[1]].constant]


def measure(
    made: Quantized, engine: Engine, scheme: Scheme, samples: Sequence[Array], progress: Callable[[int], None]
) -> Noise:
    """Measure the noise of every layer.

    Parameters
    ----------
    made, engine, scheme
        The network, what runs it, and how it was quantized.
    samples
        Batches of real inputs.
    progress
        Told of finished images.
    """
    found = Noise({node.name: LayerNoise(node) for node in weighted(made.real) if node.name not in made.floats})
    for batch in samples:
        _measure_batch(made, engine, scheme, batch, found)
        progress(len(batch))
    return found


def _measure_batch(made: Quantized, engine: Engine, scheme: Scheme, batch: Array, found: Noise) -> None:
    graph = made.real
    values = run_float(graph, batch)
    scores = graph.outputs[0]
    # What is right at the output is the network as it was given: a repair's own change counts.
    exact = values if made.original is made.real else run_float(made.original, batch)
    for node, result in engine.run(batch):
        if node.name in found.layers:
            found.layers[node.name].accumulated.add(values[node.outputs[0]], result)
        if scores in node.outputs:
            found.output.add(exact[made.original.outputs[0]], result)
    own = {node.name: node for node in engine.graph.nodes}
    for name, layer in found.layers.items():
        inputs = [values[tensor] for tensor in layer.node.inputs]
        output = values[layer.node.outputs[0]]
        result = engine.alone(own[name], inputs)
        layer.alone.add(output, result)
        layer.channels.add(output, result)
        _split(layer, engine, own[name], inputs, output, scheme)
        changed = resume(graph, values, layer.node, result)
        layer.effect.add(values[scores], changed.get(scores, values[scores]))


def _split(layer: LayerNoise, engine: Engine, own: Node, inputs: list[Array], output: Array, scheme: Scheme) -> None:
    """Quantize one of input, weights and output at a time."""
    op, (source, _, *rest) = layer.node.op, inputs
    weights = engine.graph.tensors[own.inputs[1]].real()
    layer.weights.add(output, op.evaluate([source, weights, *rest])[0])
    if scheme.mode is Mode.WEIGHT_ONLY:
        return
    entry = engine.graph.tensors[own.inputs[0]].quantization
    if entry is not None:
        rounded = entry.dequantize(entry.quantize(source))
    else:
        rounded = np.concatenate([_own_grid(image[None], scheme) for image in source])
    layer.input.add(output, op.evaluate([rounded, *inputs[1:]])[0])
    leaving = engine.graph.tensors[own.outputs[0]].quantization
    if leaving is not None:
        layer.output.add(output, leaving.dequantize(leaving.quantize(output)))
        layer.clipped += clipped_values(output, leaving)


def _own_grid(image: Array, scheme: Scheme) -> Array:
    quantization = scheme.activations(float(image.min()), float(image.max()))
    return quantization.dequantize(quantization.quantize(image))


def run_float(graph: Graph, batch: Array) -> Values:
    """Return every tensor of a float network, constants too."""
    values: Values = {name: tensor.real() for name, tensor in graph.tensors.items() if tensor.constant}
    values[graph.inputs[0]] = batch
    for node, outputs in evaluate(graph, batch):
        values.update(zip(node.outputs, outputs, strict=True))
    return values


def resume(graph: Graph, values: Values, node: Node, result: Array) -> Values:
    """Return the tensors that change where a node's output is another, computed on in float32."""
    changed: Values = {node.outputs[0]: result}
    for other in graph.nodes[graph.nodes.index(node) + 1 :]:
        if any(name in changed for name in other.inputs):
            outputs = other.op.evaluate([changed.get(name, values[name]) for name in other.inputs])
            changed.update(zip(other.outputs, outputs, strict=True))
    return changed


def observed(graph: Graph, samples: Sequence[Array]) -> dict[str, Seen]:
    """Return what is seen of the network's input and of the outputs of its layers with weights, with histograms."""
    names = {name for node in weighted(graph) for name in (node.inputs[0], *node.outputs)}
    seen = {name: Seen() for name in sorted(names)}
    for look in (Seen.look, lambda entry, values: entry.count(values, magnitude=False)):
        for batch in samples:
            if graph.inputs[0] in seen:
                look(seen[graph.inputs[0]], batch)
            for node, outputs in evaluate(graph, batch):
                if node.outputs[0] in seen:
                    look(seen[node.outputs[0]], outputs[0])
        if look is Seen.look:
            for entry in seen.values():
                entry.prepare(magnitude=False)
    return seen


def channel_magnitudes(graph: Graph, node: Node) -> Array:
    """Return the largest magnitude of the weights of each output channel."""
    weights = graph.tensors[node.inputs[1]].real()
    channels = np.moveaxis(weights, channel_axis(node.op), 0).reshape(weights.shape[channel_axis(node.op)], -1)
    largest: Array = np.abs(channels).max(axis=1)
    return largest
