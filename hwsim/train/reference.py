"""The float network that training begins with: what its layers' sums are like, and what it scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from hwsim.graph import Array, Graph, Node
from hwsim.ops import Softmax
from hwsim.train.extra import Value
from hwsim.train.operators import FORWARD, clamp, products, scores_of
from hwsim.train.parameters import moments


class FloatReference:
    """A float network on PyTorch tensors, as it was given.

    Attributes
    ----------
    scores
        The tensor that a loss reads.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.scores = graph, scores_of(graph)
        self._constants = {name: tensor_of(tensor.real()) for name, tensor in graph.tensors.items() if tensor.constant}

    def statistics(self, batches: Iterable[Array]) -> dict[str, tuple[Value, Value]]:
        """Return mean and variance of the sums of every layer, without their bias, on real inputs."""
        import torch

        found: dict[str, list[tuple[int, Value, Value]]] = {
            node.name: [] for node in self.graph.nodes if node.op.weighted
        }
        with torch.no_grad():
            for batch in batches:
                for node, sums in self._run(batch):
                    if node.op.weighted:
                        bias = 0.0 if len(node.inputs) < 3 else self._constants[node.inputs[2]]
                        found[node.name].append((len(batch), *moments(sums - bias)))
        return {name: _together(parts) for name, parts in found.items()}

    def evaluate(self, batch: Array) -> Value:
        """Return the scores [n, ...] of real inputs without gradients."""
        import torch

        with torch.no_grad():
            for node, value in self._run(batch):
                if self.scores in node.outputs:
                    return torch.flatten(clamp(node.op.activation, value) if node.op.weighted else value, 1)  # type: ignore[attr-defined]
        raise AssertionError(self.scores)

    def _run(self, batch: Array) -> Iterator[tuple[Node, Value]]:
        """Yield each node with its value, of layers with weights their sums."""
        values = {**self._constants, self.graph.inputs[0]: tensor_of(batch)}
        for node in self.graph.nodes:
            if isinstance(node.op, Softmax):
                return
            inputs: list[Value] = [values[name] for name in node.inputs]
            op: Any = node.op
            if op.weighted:
                found = products(op, inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None)
                values[node.outputs[0]] = clamp(op.activation, found)
            else:
                found = values[node.outputs[0]] = FORWARD[type(op)](op, inputs)
            yield node, found


def tensor_of(values: Array) -> Value:
    """Return an array as float32."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _together(parts: list[tuple[int, Value, Value]]) -> tuple[Value, Value]:
    """Return mean and variance of all batches together, from those of each."""
    total = sum(size for size, _, _ in parts)
    mean = sum(size * part for size, part, _ in parts) / total
    squares = sum(size * (variance + (part - mean) ** 2) for size, part, variance in parts)
    return mean, squares / total
