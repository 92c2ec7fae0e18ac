"""The bounds of the registers on rows of weights, in training: what exceeds them, and the nearest weights within (A2Q+).

``h P + l N <= room above`` and ``l P + h N <= room below`` for every output channel, see `hwsim.quant.l1_projection`, where P and
N are the sums of the positive weights and of the magnitudes of the negative ones, in steps of the weights' scale. The penalty is
the sum of ``max(0, (h P + l N) / above - 1) + max(0, (l P + h N) / below - 1)`` over layers, channels, and parts that a partial
sum bounds: A2Q's regularizer (I. Colbert et al., arXiv 2308.13504) on both sums apart, every excess in shares of its bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwsim.graph import Array, Graph, Node
from hwsim.quant.l1_projection import Budget
from hwsim.spec import BiasAt, Reduction, Register, ZeroPoints
from hwsim.train.extra import Value
from hwsim.train.parameters import Layer

LEAST_ROOM = 1.0
"""A bias beyond the register leaves no room; what it should be divided by then."""


@dataclass(frozen=True, eq=False)
class Bound:
    """What a register leaves to a part of every row of a layer's weights.

    `above` and `below` are int64 [C].
    """

    part: slice
    low: int
    high: int
    above: Array
    below: Array


def bounds(integer: Graph, node: Node, reduction: Reduction) -> Iterator[Bound]:
    """Yield the bounds of a layer of an integer network."""
    source, weights, *rest = integer.inputs_of(node)
    assert source.quantization is not None and weights.quantization is not None
    entering = source.quantization
    removed = int(entering.zero_point) if reduction.zero_points is ZeroPoints.SUBTRACT else 0
    low, high = max(removed - entering.lo, 0), max(entering.hi - removed, 0)
    channels = integer.outputs_of(node)[0].shape[-1]
    depth = weights.elements // channels
    start = np.zeros(channels, np.int64)
    if reduction.psum is not None and reduction.chain is not None:
        size = reduction.chain * reduction.lanes
        for first in range(0, depth, size):
            yield _bound(slice(first, first + size), low, high, reduction.psum, start)
        return
    if rest and rest[0].data is not None and reduction.bias_at is BiasAt.START:
        start = rest[0].data
    yield _bound(slice(0, depth), low, high, reduction.acc, start)


def _bound(part: slice, low: int, high: int, register: Register, start: Array) -> Bound:
    return Bound(part, low, high, register.format.hi - start, start - register.format.lo)


def excess(layer: Layer, bound: Bound, scale: Value) -> Value:
    """Return by how much a layer's folded weights exceed a bound, in shares of it, over all channels.

    `scale` is that of the weights, [C] or [].
    """
    import torch

    rows = _rows(layer)[:, bound.part] / scale.reshape(-1, 1)
    positive, negative = rows.clamp(min=0).sum(1), (-rows).clamp(min=0).sum(1)
    total = 0.0
    for up, down, room in ((bound.high, bound.low, bound.above), (bound.low, bound.high, bound.below)):
        most = torch.from_numpy(np.maximum(room, LEAST_ROOM)).float()
        total = total + ((up * positive + down * negative) / most - 1).clamp(min=0).sum()
    return total


def confine(layer: Layer, bound: Bound, scale: Array) -> None:
    """Move a layer's weights to the nearest ones within a bound."""
    import torch

    rows = _rows(layer).detach().double().numpy().copy()
    steps = np.broadcast_to(scale, (len(rows),))
    changed = False
    for row, step, above, below in zip(rows, steps, bound.above.tolist(), bound.below.tolist(), strict=True):
        budget = Budget(bound.low, bound.high, max(above, 0), max(below, 0))
        wanted = row[bound.part] / step
        if not budget.holds(wanted):
            row[bound.part] = budget.project(wanted) * step
            changed = True
    if changed:
        shape = torch.movedim(layer.weights, layer.axis, 0).shape
        layer.assign(torch.movedim(torch.from_numpy(rows).float().reshape(shape), 0, layer.axis))


def _rows(layer: Layer) -> Value:
    """Return folded weights [C, K] in the order of summation."""
    import torch

    return torch.movedim(layer.folded()[0], layer.axis, 0).flatten(1)
