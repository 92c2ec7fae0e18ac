"""The golden of the dot-product benches, which is the kernel, and the functional coverage that they must reach."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from dot_product_cases import Case, Configuration

from hwsim.kernels.monitor import REGISTERS, Monitor
from hwsim.kernels.reduce import reduce_panel


@dataclass(frozen=True)
class Result:
    """What leaves the unit: the accumulator, and (positive, negative) events of tree, psum, acc."""

    acc: int
    events: tuple[tuple[int, int], ...]


def golden(configuration: Configuration, case: Case) -> Result:
    """Return what the kernel computes; the unit's event counters stop at their largest value."""
    monitor = Monitor(1)
    panel, weights = case.activations[np.newaxis, :], case.weights[:, np.newaxis]
    acc = reduce_panel(panel, weights, np.array([case.bias]), configuration.reduction, monitor)
    largest = (1 << configuration.event_bits) - 1
    return Result(
        int(acc[0, 0]), tuple((min(p, largest), min(n, largest)) for p, n in monitor.counts[:, :, 0].tolist())
    )


class Coverage:
    """Counts dot products by what happened to each register that the configuration has."""

    def __init__(self, configuration: Configuration) -> None:
        reduction = configuration.reduction
        acc = reduction.acc.format
        self._edges = {acc.lo: "acc at its smallest value", acc.hi: "acc at its largest value"}
        present = [reduction.tree is not None, reduction.psum is not None, True]
        self._registers = [i for i, has in enumerate(present) if has]
        # Products of unsigned operands never pull a register below its range.
        kinds = (
            ("positive", "negative")
            if configuration.activation.signed or configuration.weight.signed
            else ("positive",)
        )
        self.bins: Counter[str] = Counter(dict.fromkeys(self._edges.values(), 0))
        for i in self._registers:
            self.bins.update({f"{REGISTERS[i]} {kind}": 0 for kind in ("no overflow", *kinds)})

    def sample(self, result: Result) -> None:
        """Count one dot product."""
        for i in self._registers:
            positive, negative = result.events[i]
            if positive:
                self.bins[f"{REGISTERS[i]} positive"] += 1
            if negative:
                self.bins[f"{REGISTERS[i]} negative"] += 1
            if not positive and not negative:
                self.bins[f"{REGISTERS[i]} no overflow"] += 1
        if result.acc in self._edges and result.events[2] == (0, 0):
            self.bins[self._edges[result.acc]] += 1

    @property
    def missing(self) -> list[str]:
        """Bins that nothing fell into."""
        return [name for name, count in self.bins.items() if count == 0]
