"""Running an integer network on a batch, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hwsim.graph import Array, Graph, Node, Unit
from hwsim.kernels.monitor import Monitor
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.spec import Arithmetic, InputError

Monitors = Mapping[str, Monitor]
"""Overflow counters by node name."""


class Program:
    """A quantized network prepared for one arithmetic; safe to run from several threads.

    Parameters
    ----------
    graph
        An integer network.
    arithmetic
        How the machine sums and rounds; the default is how the network's makers do, with 32-bit accumulators.

    Raises
    ------
    InputError
        Naming the node, where a layer cannot be computed with this arithmetic.
    """

    def __init__(self, graph: Graph, arithmetic: Arithmetic | None = None) -> None:
        self.graph = graph
        self.arithmetic = arithmetic or Arithmetic(profile=graph.profile)
        self.units: dict[str, Unit] = {}
        for node in graph.nodes:
            try:
                unit = _prepare(graph, node, self.arithmetic)
            except InputError as error:
                raise InputError(f"{graph.name}: node {node.name} ({node.op.kind}): {error}") from None
            self.units[node.name] = unit

    def monitors(self, *, observe: bool = False, base: int = 0) -> dict[str, Monitor]:
        """Return fresh counters for every layer of products; `base` is the number of the batch's first image."""
        return {
            name: Monitor(unit.channels, observe, base)
            for name, unit in self.units.items()
            if unit.channels is not None
        }

    def steps(self, batch: Array, monitors: Monitors | None = None) -> Iterator[tuple[Node, list[Array], list[Array]]]:
        """Run node by node, yielding each with its input and output arrays; activations are freed after their last use."""
        values = {name: tensor.data for name, tensor in self.graph.tensors.items() if tensor.data is not None}
        values[self.graph.inputs[0]] = batch
        for index, node in enumerate(self.graph.nodes):
            inputs = [values[name] for name in node.inputs]
            outputs = self.units[node.name].run(inputs, monitors.get(node.name) if monitors else None)
            values.update(zip(node.outputs, outputs, strict=True))
            yield node, inputs, outputs
            for name in self.graph.last_used(index):
                del values[name]

    def run(self, batch: Array, *, monitors: Monitors | None = None, keep: bool = False) -> dict[str, Array]:
        """Run a batch.

        Parameters
        ----------
        batch
            [batch, ...] in the input tensor's storage dtype (float32 where the network quantizes its input itself).
        monitors
            Counters from `monitors()`, added to.
        keep
            Return every activation, not only the outputs.

        Returns
        -------
        dict
            Arrays by tensor name.
        """
        wanted = set(self.graph.outputs)
        kept = {self.graph.inputs[0]: batch} if keep else {}
        for node, _, outputs in self.steps(batch, monitors):
            kept.update(
                {name: array for name, array in zip(node.outputs, outputs, strict=True) if keep or name in wanted}
            )
        return kept


def _prepare(graph: Graph, node: Node, arithmetic: Arithmetic) -> Unit:
    """Return a node's unit: in float where all its tensors are, which only the ends of an integer network have."""
    inputs, outputs = graph.inputs_of(node), graph.outputs_of(node)
    floats = all(tensor.quantization is None for tensor in (*inputs, *outputs))
    if floats and not node.op.weighted:
        return SimpleUnit(lambda *arrays: node.op.evaluate(arrays)[0])
    return node.op.prepare(inputs, outputs, arithmetic)
