"""Ranges of a float network's activations on real samples."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from hwsim.graph import Array, Graph
from hwsim.quant.float_network import evaluate
from hwsim.quant.ranges import RangeSetting
from hwsim.quant.seen import Counts, Seen
from hwsim.spec import require

Ranges = dict[str, tuple[float, float]]
"""(lowest, highest) of every activation, by tensor name."""


class Calibration:
    """What the samples did to every activation of a float network, for any number of settings of ranges.

    The network runs when something is asked for first: once for extremes and moments, once more for histograms of values, and
    once for those of magnitudes. None of it depends on the integers that ranges are set for.

    Parameters
    ----------
    graph
        A float network.
    batches
        Real inputs, float32 [batch, ...] each. Gone through again where a method reads histograms, so then no iterator that can
        be read only once.
    """

    def __init__(self, graph: Graph, batches: Iterable[Array]) -> None:
        self._graph, self._batches = graph, batches
        self._counted: dict[bool, Mapping[str, Counts | None]] = {}

    def ranges(self, setting: RangeSetting) -> Ranges:
        """Return the ranges that a method sets for some integers (`Scheme.ranges`).

        Raises
        ------
        InputError
            Where an activation is infinite or not a number.
        """
        seen = self._seen
        if setting.method.counts:
            counts = self._counts(setting.method.magnitude(setting.grid))
            seen = {name: replace(entry, histogram=counts[name]) for name, entry in seen.items()}
        return {name: setting.range(entry) for name, entry in seen.items()}

    @functools.cached_property
    def _seen(self) -> dict[str, Seen]:
        seen = {name: Seen() for name, tensor in self._graph.tensors.items() if not tensor.constant}
        self._visit(lambda name, values: seen[name].look(values))
        for name, entry in seen.items():
            finite = not entry.n or (math.isfinite(entry.lo) and math.isfinite(entry.hi))
            found = f"{entry.lo}..{entry.hi}"
            require(finite, f"{self._graph.name}: activation {name!r}: values", "finite in float32", found)
        return seen

    def _counts(self, magnitude: bool) -> Mapping[str, Counts | None]:
        if magnitude not in self._counted:
            seen = {name: replace(entry) for name, entry in self._seen.items()}
            for entry in seen.values():
                entry.prepare(magnitude=magnitude)
            self._visit(lambda name, values: seen[name].count(values, magnitude=magnitude))
            self._counted[magnitude] = {name: entry.histogram for name, entry in seen.items()}
        return self._counted[magnitude]

    def _visit(self, look: Callable[[str, Array], None]) -> None:
        for batch in self._batches:
            look(self._graph.inputs[0], batch)
            for node, outputs in evaluate(self._graph, batch):
                for name, values in zip(node.outputs, outputs, strict=True):
                    look(name, values)


def calibrate(graph: Graph, batches: Iterable[Array], ranges: RangeSetting) -> Ranges:
    """Return the ranges of one setting; see `Calibration`."""
    return Calibration(graph, batches).ranges(ranges)
