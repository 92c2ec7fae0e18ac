"""One network on one data set under many reductions, without computing anything twice that is known to be the same.

The *base* is a network whose activations are kept. Another choice of registers differs from it from some layer on, and only the
nodes from there run. A layer whose registers no input can overflow computes the exact sums, whatever their widths and its
order; two such choices are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hwsim.graph import Array, Graph, Unit
from hwsim.kernels.monitor import REGISTERS, Monitor
from hwsim.ops.products import ProductsUnit
from hwsim.sim.execute import batch_size, in_order
from hwsim.sim.feed import Feed
from hwsim.sim.program import Program
from hwsim.spec import Arithmetic, Overflow, Reduction, Register

CACHE_BYTES = 1 << 28
"""Activations that a base keeps, about; the images beyond run from the start."""

EXACT = Register(48, Overflow.WRAP)
"""An accumulator that no layer needs more of."""

Int64 = npt.NDArray[np.int64]

Made = dict[tuple[str, Arithmetic], Unit]

Kept = dict[int, dict[str, Array]]
"""Activations by tensor, by the first image of the batch."""


@dataclass(frozen=True)
class Outcome:
    """What a network did: how many images are right, and events by layer and register, as `hwsim.kernels.monitor.REGISTERS`."""

    predictions: np.ndarray
    correct: int
    n: int
    counts: Mapping[str, tuple[int, ...]]

    @property
    def events(self) -> dict[str, int]:
        """Events by layer."""
        return {name: sum(counts) for name, counts in self.counts.items()}

    @property
    def total(self) -> int:
        """All events."""
        return sum(self.events.values())


@dataclass
class _Trial:
    made: Made
    """Units of the network, and of those before it that it was tried behind."""
    keys: dict[str, Reduction | None]
    kept: Kept
    outcome: Outcome


class Runs:
    """Runs of an integer network on the first `count` samples.

    Parameters
    ----------
    graph
        An integer network.
    arithmetic
        Rounding, bias and zero points; its registers do not matter.
    feed, count, threads
        The samples, as for `hwsim.sim.execute.execute`.
    outlier_rows
        Rows of the array, where it has lanes for outliers: these follow the dense sum of so many groups of lanes.
    start
        Reductions of the network that is run first and is the base; a layer that is not named is exact.

    Attributes
    ----------
    exact
        The outcome of the first network: where `start` is left out, without any overflow.
    runs
        How many networks were run, from some layer on.
    """

    def __init__(
        self, graph: Graph, arithmetic: Arithmetic, feed: Feed, count: int, *, threads: int = 1,
        outlier_rows: int | None = None, start: Mapping[str, Reduction] | None = None,
    ) -> None:  # fmt: skip
        self.graph, self.feed, self.count, self.threads = graph, feed, count, threads
        self.outlier_rows = outlier_rows
        reduction = Reduction(EXACT, bias_at=arithmetic.reduction.bias_at, zero_points=arithmetic.reduction.zero_points)
        self.arithmetic = replace(arithmetic, reduction=reduction)
        self._base = _Trial({}, {}, {}, Outcome(np.zeros(0, np.int64), 0, 0, {}))
        program, made = self._program(start or {})
        self.layers = {name: unit for name, unit in program.units.items() if isinstance(unit, ProductsUnit)}
        self._labels = feed.labels(graph, 0, count)
        self._size = batch_size(graph)
        per_image = sum(
            tensor.elements * np.dtype(_storage(graph, name)).itemsize
            for name, tensor in graph.tensors.items()
            if not tensor.constant
        )
        self._cached = CACHE_BYTES // per_image
        self.runs = 0
        keys = {name: _key(program, name) for name in self.layers}
        self._start = self._trial = self._base = self._run(program, made, keys, 0)
        self.exact = self._start.outcome

    def _program(self, layers: Mapping[str, Reduction]) -> tuple[Program, Made]:
        """Return a network, and its units beside those of the base: others are not held, as weights take memory."""
        made = dict(self._base.made)
        # Where nothing can overflow it does not matter, so exact layers may have been made for other tiles.
        lanes = max((reduction.lanes for reduction in layers.values()), default=1)
        tile = None if self.outlier_rows is None else self.outlier_rows * lanes
        return Program(self.graph, self.arithmetic, layers, outlier_tile=tile, made=made), made

    def unit(self, name: str, reduction: Reduction) -> ProductsUnit:
        """Return a layer with a reduction.

        Raises
        ------
        InputError
            Where it cannot start from its bias.
        """
        found = self._program({name: reduction})[0].units[name]
        assert isinstance(found, ProductsUnit)
        return found

    def run(self, layers: Mapping[str, Reduction]) -> Outcome:
        """Run with these reductions; a layer that is not named is exact.

        Raises
        ------
        InputError
            Where a layer cannot start from its bias.
        """
        program, made = self._program(layers)
        keys = {name: _key(program, name) for name in self.layers}
        changed = [
            i for i, node in enumerate(self.graph.nodes) if keys.get(node.name) != self._base.keys.get(node.name)
        ]
        if not changed:
            self._trial = self._base
            return self._base.outcome
        trial = self._trial = self._run(program, made, keys, changed[0])
        return trial.outcome

    def keep(self) -> None:
        """Make the network of the last `run` the base."""
        self._base = self._trial

    def restart(self) -> None:
        """Make the first network the base again."""
        self._base = self._start

    def events(self, name: str, reduction: Reduction) -> int:
        """Return the events of one layer by itself, behind exact ones."""
        unit = self.unit(name, reduction)
        if unit.bounds.holds(reduction):
            return 0
        index = next(i for i, node in enumerate(self.graph.nodes) if node.name == name)
        node = self.graph.nodes[index]
        exact = self._program({})[0]

        def work(start: int, stop: int) -> int:
            values = self._start.kept.get(start)
            if values is None:
                values = dict(self._upto(exact, index, start, stop))
            monitor = Monitor(unit.channels)
            unit.run([values[node.inputs[0]]], monitor)
            return monitor.events

        return sum(in_order(work, self.count, self._size, self.threads))

    def _upto(self, program: Program, index: int, start: int, stop: int) -> Iterator[tuple[str, Array]]:
        batch = self.feed.integers(start, stop)
        yield self.graph.inputs[0], batch
        if index == 0:
            return
        for i, (node, _, outputs) in enumerate(program.steps(batch)):
            yield from zip(node.outputs, outputs, strict=True)
            if i == index - 1:
                return

    def _run(self, program: Program, made: Made, keys: dict[str, Reduction | None], first: int) -> _Trial:
        base = self._base
        output = self.graph.outputs[0]

        def work(start: int, stop: int) -> tuple[int, np.ndarray, dict[str, Int64], dict[str, Array]]:
            before = base.kept.get(start)
            begin = 0 if before is None else first
            monitors = program.monitors(base=start)
            values = dict(before or {})
            batch = self.feed.integers(start, stop) if before is None else before[self.graph.inputs[0]]
            values[self.graph.inputs[0]] = batch
            for node, _, outputs in program.steps(batch, monitors, start=begin, before=before):
                values.update(zip(node.outputs, outputs, strict=True))
            counts = {
                node.name: monitors[node.name].counts.sum(axis=(1, 2))
                for node in self.graph.nodes[first:] if node.name in monitors
            }  # fmt: skip
            found = values[output].reshape(stop - start, -1).argmax(axis=1)
            return start, found, counts, values if stop <= self._cached else {}

        self.runs += 1
        predictions = []
        counts = {name: np.array(found) for name, found in base.outcome.counts.items()} if first else {}
        none = np.zeros(len(REGISTERS), np.int64)
        counts |= {node.name: none for node in self.graph.nodes[first:] if node.name in self.layers}
        kept: Kept = {}
        for start, found, counted, values in in_order(work, self.count, self._size, self.threads):
            predictions.append(found)
            for name, number in counted.items():
                counts[name] = counts[name] + number
            if values:
                kept[start] = values
        answers = np.concatenate(predictions)
        correct = int((answers == self._labels).sum())
        totals = {name: tuple(found.tolist()) for name, found in counts.items()}
        return _Trial(made, keys, kept, Outcome(answers, correct, self.count, totals))


def _key(program: Program, name: str) -> Reduction | None:
    unit = program.units[name]
    assert isinstance(unit, ProductsUnit)
    return decisive(unit, unit.reduction)


def decisive(unit: ProductsUnit, reduction: Reduction) -> Reduction | None:
    """Return what decides the values of a layer: None where its sums are exact for every input."""
    return None if unit.bounds.holds(reduction) else reduction


def _storage(graph: Graph, name: str) -> str:
    quantization = graph.tensors[name].quantization
    return "float32" if quantization is None else quantization.format.storage
