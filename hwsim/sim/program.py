"""Running an integer network on a batch, bit for bit."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import numpy as np

from hwsim.graph import Array, Graph, Node, Unit
from hwsim.kernels.monitor import Monitor
from hwsim.ops.products import ProductsUnit
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.sim.chain import Chain, stages
from hwsim.spec import Arithmetic, InputError, Reduction, require

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
    layers
        Reductions of single layers, by node name, in place of that of `arithmetic`.
    outlier_tile
        Products after whose dense sum their outliers follow, see `hwsim.spec.Accelerator.outlier_tile`.
    made
        Units of earlier programs of this graph and tile, to take those from that are the same; added to.

    Raises
    ------
    InputError
        Naming the node, where a layer cannot be computed with this arithmetic.
    """

    def __init__(
        self, graph: Graph, arithmetic: Arithmetic | None = None, layers: Mapping[str, Reduction] | None = None, *,
        outlier_tile: int | None = None, made: MutableMapping[tuple[str, Arithmetic], Unit] | None = None,
    ) -> None:  # fmt: skip
        self.graph = graph
        self.arithmetic = arithmetic or Arithmetic(profile=graph.profile)
        self.units: dict[str, Unit] = {}
        own, known = layers or {}, {} if made is None else made
        summing = [node.name for node in graph.nodes if node.op.weighted]
        for name in own:
            require(
                name in summing, f"{graph.name}: layer", f"one that sums products ({', '.join(summing)})", repr(name)
            )
        for node in graph.nodes:
            arithmetic = replace(self.arithmetic, reduction=own.get(node.name, self.arithmetic.reduction))
            if (node.name, arithmetic) not in known:
                try:
                    unit = _prepare(graph, node, arithmetic)
                    if isinstance(unit, ProductsUnit) and unit.outliers is not None:
                        unit.outliers.place(outlier_tile)
                except InputError as error:
                    raise InputError(f"{graph.name}: node {node.name} ({node.op.kind}): {error}") from None
                known[node.name, arithmetic] = unit
            self.units[node.name] = known[node.name, arithmetic]

    def monitors(self, *, observe: bool = False, base: int = 0) -> dict[str, Monitor]:
        """Return fresh counters for every layer of products; `base` is the number of the batch's first image."""
        return {
            name: Monitor(unit.channels, observe, base)
            for name, unit in self.units.items()
            if unit.channels is not None
        }

    def steps(
        self,
        batch: Array,
        monitors: Monitors | None = None,
        *,
        start: int = 0,
        before: Mapping[str, Array] | None = None,
    ) -> Iterator[tuple[Node, list[Array], list[Array]]]:
        """Run node by node, yielding each with its input and output arrays; activations are freed after their last use.

        `start` is the number of the node to begin with; `before` has the outputs of those that are left out.
        """
        values = {**self._constants, **(before or {})}
        values[self.graph.inputs[0]] = batch
        for index, node in enumerate(self.graph.nodes[start:], start):
            inputs = [values[name] for name in node.inputs]
            found = self._run_node(node, values, monitors)
            values |= found
            yield node, inputs, list(found.values())
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
        watched = monitors is not None and any(monitor.observe for monitor in monitors.values())
        if not keep and not watched and self._fits(batch):
            return self._run_stages(batch, monitors)
        wanted = set(self.graph.outputs)
        kept = {self.graph.inputs[0]: batch} if keep else {}
        for node, _, outputs in self.steps(batch, monitors):
            kept.update(
                {name: array for name, array in zip(node.outputs, outputs, strict=True) if keep or name in wanted}
            )
        return kept

    def _fits(self, batch: Array) -> bool:
        """Whether a batch is of the shape and dtype that chains are made for."""
        shape, dtype = self._expected
        return batch.shape[1:] == shape and batch.dtype == dtype and len(batch) > 0

    @functools.cached_property
    def _expected(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        tensor = self.graph.input
        dtype = "float32" if tensor.quantization is None else tensor.quantization.format.storage
        return tensor.shape[1:], np.dtype(dtype)

    @functools.cached_property
    def _constants(self) -> dict[str, Array]:
        return {name: tensor.data for name, tensor in self.graph.tensors.items() if tensor.data is not None}

    @functools.cached_property
    def _stages(self) -> list[tuple[Chain | Node, list[str]]]:
        """Chains and the nodes between them, each with the activations that nobody reads after it."""
        found: list[tuple[Chain | Node, list[str]]] = []
        for stage in stages(self.graph, self.units):
            if isinstance(stage, Chain):
                freed = [name for i in range(stage.first, stage.last) for name in self.graph.last_used(i)]
                found.append((stage, [name for name in freed if name in (*stage.entering, *stage.leaving)]))
            else:
                found.append((self.graph.nodes[stage], self.graph.last_used(stage)))
        return found

    @functools.cached_property
    def _read_outside(self) -> dict[str, Array]:
        """The constants that nodes outside of chains read."""
        nodes = [stage for stage, _ in self._stages if isinstance(stage, Node)]
        return {name: self._constants[name] for node in nodes for name in node.inputs if name in self._constants}

    def _run_stages(self, batch: Array, monitors: Monitors | None) -> dict[str, Array]:
        """Return the network's outputs; layers that can be one compiled call are."""
        values = {**self._read_outside, self.graph.inputs[0]: batch}
        for stage, freed in self._stages:
            if isinstance(stage, Chain):
                values.update(stage.run(values, monitors))
            else:
                values.update(self._run_node(stage, values, monitors))
            for name in freed:
                del values[name]
        return {name: values[name] for name in self.graph.outputs}

    def _run_node(self, node: Node, values: Mapping[str, Array], monitors: Monitors | None) -> dict[str, Array]:
        inputs = [values[name] for name in node.inputs]
        outputs = self.units[node.name].run(inputs, monitors.get(node.name) if monitors else None)
        return dict(zip(node.outputs, outputs, strict=True))


def _prepare(graph: Graph, node: Node, arithmetic: Arithmetic) -> Unit:
    """Return a node's unit: in float where all its tensors are, which only the ends of an integer network have."""
    inputs, outputs = graph.inputs_of(node), graph.outputs_of(node)
    floats = all(tensor.quantization is None for tensor in (*inputs, *outputs))
    if floats and not node.op.weighted:
        return SimpleUnit(lambda *arrays: node.op.evaluate(arrays)[0])
    return node.op.prepare(inputs, outputs, arithmetic)
