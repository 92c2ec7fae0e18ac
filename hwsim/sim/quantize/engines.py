"""How a quantized network computes, in each mode, seen from outside: real values in, real values out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from hwsim.graph import Array, Graph, Node, Unit
from hwsim.quant import Mode, Scheme, evaluate
from hwsim.quant.dynamic import evaluate_dynamic, evaluate_node
from hwsim.quant.float_layers import FloatLayer, is_float
from hwsim.sim.program import Program
from hwsim.spec import Arithmetic, Overflow, Reduction, Register

WIDE = Reduction(Register(48, Overflow.SATURATE))
"""Sums that no network of 16-bit integers overflows: what is measured is the quantization. `hwsim run` narrows them."""


class Engine(ABC):
    """A quantized network."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @abstractmethod
    def run(self, batch: Array) -> Iterator[tuple[Node, Array]]:
        """Run real inputs, float32 [batch, ...], yielding each node with the real values of its output."""

    @abstractmethod
    def alone(self, node: Node, inputs: list[Array]) -> Array:
        """Return the real output of one node on real inputs, constants among them (which it has its own of)."""

    def scores(self, batch: Array) -> Array:
        """Return the network's real output, [batch, ...]."""
        wanted = self.graph.outputs[0]
        return next(values for node, values in self.run(batch) if wanted in node.outputs)


class StaticEngine(Engine):
    """An integer network, bit for bit; layers with float weights in their declared order."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        arithmetic = Arithmetic(WIDE, graph.profile)
        # A run on a machine has no such layers: here they are units that are there already.
        floats: dict[tuple[str, Arithmetic], Unit] = {
            (node.name, arithmetic): FloatLayer(node, graph.inputs_of(node), graph.outputs_of(node), arithmetic)
            for node in graph.nodes
            if is_float(graph, node)
        }
        self.program = Program(graph, arithmetic, made=floats)

    def run(self, batch: Array) -> Iterator[tuple[Node, Array]]:
        entry = self.graph.input.quantization
        for node, _, outputs in self.program.steps(batch if entry is None else entry.quantize(batch)):
            yield node, self._real(node.outputs[0], outputs[0])

    def alone(self, node: Node, inputs: list[Array]) -> Array:
        ready = [self._ready(name, values) for name, values in zip(node.inputs, inputs, strict=True)]
        (output, *_) = self.program.units[node.name].run(ready)
        return self._real(node.outputs[0], output)

    def _ready(self, name: str, real: Array) -> Array:
        tensor = self.graph.tensors[name]
        if tensor.data is not None:
            return tensor.data
        return real if tensor.quantization is None else tensor.quantization.quantize(real)

    def _real(self, name: str, values: Array) -> Array:
        quantization = self.graph.tensors[name].quantization
        return values if quantization is None else quantization.dequantize(values)


class WeightOnlyEngine(Engine):
    """A float network with integer weights, in float32."""

    def run(self, batch: Array) -> Iterator[tuple[Node, Array]]:
        for node, outputs in evaluate(self.graph, batch):
            yield node, outputs[0]

    def alone(self, node: Node, inputs: list[Array]) -> Array:
        constants = [self.graph.tensors[name] for name in node.inputs]
        own = [tensor.real() if tensor.constant else real for tensor, real in zip(constants, inputs, strict=True)]
        return node.op.evaluate(own)[0]


class DynamicEngine(Engine):
    """A float network with integer weights whose layers of products quantize their inputs, image by image."""

    def __init__(self, graph: Graph, scheme: Scheme) -> None:
        super().__init__(graph)
        self.scheme = scheme

    def run(self, batch: Array) -> Iterator[tuple[Node, Array]]:
        images = [evaluate_dynamic(self.graph, batch[at : at + 1], self.scheme) for at in range(len(batch))]
        for steps in zip(*images, strict=True):
            yield steps[0][0], np.concatenate([outputs[0] for _, outputs in steps])

    def alone(self, node: Node, inputs: list[Array]) -> Array:
        source, *constants = inputs
        images = [
            evaluate_node(self.graph, node, [source[at : at + 1], *constants], self.scheme) for at in range(len(source))
        ]
        return np.concatenate(images)


def engine_of(graph: Graph, scheme: Scheme) -> Engine:
    """Return what runs a network that `hwsim.quant.pipeline.quantize_network` made."""
    if scheme.mode is Mode.STATIC:
        return StaticEngine(graph)
    return WeightOnlyEngine(graph) if scheme.mode is Mode.WEIGHT_ONLY else DynamicEngine(graph, scheme)
