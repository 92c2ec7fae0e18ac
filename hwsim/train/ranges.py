"""Ranges of activations while weights change: moving averages go on from sample to sample, other methods measure again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hwsim.graph import Array, Graph
from hwsim.quant import Scheme, calibrate
from hwsim.quant.ranges import MovingAverage
from hwsim.quant.seen import Seen


class FollowedRanges:
    """The range of every activation of a network in training.

    Parameters
    ----------
    graph
        The float network that training begins with.
    samples
        Batches of real inputs that ranges are measured on.
    scheme
        How: `Scheme.ranges`.
    """

    def __init__(self, graph: Graph, samples: Sequence[Array], scheme: Scheme) -> None:
        self._samples, self._scheme = samples, scheme
        self._method = scheme.activation_ranges
        self.current: dict[str, tuple[float, float]] = calibrate(graph, samples, scheme.ranges)
        self.source = graph.inputs[0]

    @property
    def moving(self) -> bool:
        """Whether ranges follow every sample."""
        return isinstance(self._method, MovingAverage)

    def follow(self, spans: Mapping[str, tuple[Array, Array]]) -> None:
        """Take a batch into moving averages: its (lowest, highest) value of every sample, by tensor.

        The method's own recurrence with the current range as the sample before; the input keeps the range of the calibration.
        """
        for name, (low, high) in spans.items():
            seen = Seen(spans=[self.current[name], *zip(low.tolist(), high.tolist(), strict=True)])
            self.current[name] = self._method.choose(seen, self._scheme.activation_grid)

    def measure(self, graph: Graph) -> None:
        """Set ranges that do not move by themselves again, for the weights as they are now."""
        if not self.moving:
            self.current = calibrate(graph, self._samples, self._scheme.ranges)


def spans_of(values: Array) -> tuple[Array, Array]:
    """Return the lowest and the highest value of every sample of a batch [n, ...]."""
    rows = np.asarray(values).reshape(len(values), -1)
    return rows.min(axis=1), rows.max(axis=1)
