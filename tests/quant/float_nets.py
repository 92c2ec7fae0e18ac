"""Small networks for tests, built node by node, and a reading of an integer network in real numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from hwsim.graph import Array, Graph, Node, Operator, Tensor
from hwsim.quant import Scheme, calibrate, evaluate, quantize


class FloatNet:
    """A network under construction; `node` infers the shapes and returns the output's name."""

    def __init__(self, *shape: int, seed: int = 1) -> None:
        self.tensors: dict[str, Tensor] = {"x": Tensor("x", (1, *shape))}
        self.nodes: list[Node] = []
        self.rng = np.random.default_rng(seed)

    def constant(self, name: str, value: Any) -> str:
        """Add a float32 constant."""
        data = np.asarray(value, np.float32)
        self.tensors[name] = Tensor(name, data.shape, data=data)
        return name

    def normal(self, name: str, *shape: int, scale: float = 0.5) -> str:
        """Add a constant of normal numbers."""
        return self.constant(name, self.rng.normal(0, scale, shape))

    def node(self, name: str, op: Operator, *inputs: str) -> str:
        """Add a node called `name` with the output ``<name>_out``."""
        (shape,) = op.infer([self.tensors[tensor] for tensor in inputs])
        output = f"{name}_out"
        self.tensors[output] = Tensor(output, shape)
        self.nodes.append(Node(name, op, inputs, (output,)))
        return output

    def graph(self) -> Graph:
        """Return the network; its output is that of the last node."""
        return Graph("net", self.tensors, self.nodes, ("x",), self.nodes[-1].outputs)


def outputs_of(graph: Graph, batch: Array) -> dict[str, Array]:
    """Run a float network and return every activation by name."""
    found = {graph.inputs[0]: batch}
    for node, outputs in evaluate(graph, batch):
        found.update(zip(node.outputs, outputs, strict=True))
    return found


def quantized(graph: Graph, batches: Iterable[Array], scheme: Scheme | None = None) -> Graph:
    """Calibrate and quantize."""
    scheme = scheme or Scheme()
    return quantize(graph, calibrate(graph, batches, scheme.ranges), scheme)


def sqnr_db(real: Array, approximate: Array) -> float:
    """Return ``10 log10(sum(real**2) / sum((real - approximate)**2))`` in double precision."""
    exact = real.astype(np.float64)
    return float(10 * np.log10((exact**2).sum() / ((exact - approximate) ** 2).sum()))
