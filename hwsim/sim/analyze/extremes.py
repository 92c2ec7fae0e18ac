"""The extremes of every register over all inputs, for the declared order of summation, and where they are reached.

Every write to a register, as long as none has overflowed, is the exact sum of the products ``p[start..stop)`` of an
interval: a node of an adder tree, a running partial sum within its chain, or, with the bias, a running accumulator. Which
intervals they are follows from the reduction alone.

*Bound.* ``p[k] = w[k] * a[k]`` and the activations ``a[k]`` of one output are independent, each anything in ``low..high``. So
the sum over an interval is at most the sum of ``max(w[k] * low, w[k] * high)``, and a register never holds more than the
largest such sum over its intervals.

*Attained.* The input with ``a[k] = high`` where ``w[k] > 0`` and ``low`` elsewhere takes every term's largest value at once,
so it reaches the bound at that very write, provided that no register has overflowed before.

*Safe means exact.* Consider the first write, in the order of time, that does not fit its register. Until then every register
held an exact sum, so that write is the exact sum of its interval. So no input overflows any register if and only if the
extremes of each fit it; and with one bit less than they need, the input above overflows.

The smallest sums likewise. Where 0 is in ``low..high`` a longer prefix only widens the range: the accumulator's extremes are
those of any order, and the declared order is what partial sums and tree nodes gain from. Else it is tighter for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.kernels.monitor import REGISTERS
from hwsim.spec import BiasAt, Reduction

Int64 = npt.NDArray[np.int64]

_ELEMENTS = 1 << 22
"""Sums of intervals that are formed at once, about."""


@dataclass(frozen=True)
class Extremes:
    """What one register can hold, by output channel.

    Parameters
    ----------
    low, high
        int64 [N]: the smallest and the largest value, with no register overflowing.
    low_at, high_at
        int64 [N, 2]: the interval ``start, stop`` of the products that are summed where that is first reached. The accumulator
        starts at 0 and holds the bias besides where it starts at it.
    any_low, any_high
        int64 [N]: the same for any order of the products.
    """

    low: Int64
    high: Int64
    low_at: Int64
    high_at: Int64
    any_low: Int64
    any_high: Int64

    @classmethod
    def joined(cls, parts: list[Extremes]) -> Extremes:
        """Return those of groups of channels side by side."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))


def intervals(reduction: Reduction, products: int) -> dict[str, Int64]:
    """Return what each register that the reduction has is written with: int64 [writes, 2], `start` and `stop`, in order.

    Intervals of padding only are empty; the accumulator's first is its start.
    """
    found: dict[str, Int64] = {}
    groups = np.arange(0, products, reduction.lanes, dtype=np.int64)
    ends = np.minimum(groups + reduction.lanes, products)
    if reduction.tree is not None:
        nodes = np.array(_tree_nodes(reduction.lanes), np.int64)
        found["tree"] = np.minimum((groups[:, None, None] + nodes).reshape(-1, 2), products)
    chain = reduction.chain or 1
    if reduction.chain is not None:
        starts = groups[np.arange(len(groups)) // chain * chain]
        found["psum"] = np.stack([starts, ends], axis=1)
    stops = np.concatenate([[0], ends[chain - 1 :: chain], ends[-1:]])
    if len(groups) % chain == 0:
        stops = stops[:-1]
    found["acc"] = np.stack([np.zeros_like(stops), stops], axis=1)
    return {register: found[register] for register in REGISTERS if register in found}


def _tree_nodes(lanes: int) -> list[tuple[int, int]]:
    """Return the intervals of the adders of one group, level by level."""
    nodes, found = [(lane, lane + 1) for lane in range(lanes)], []
    while len(nodes) > 1:
        sums = [(nodes[i][0], nodes[i + 1][1]) for i in range(0, len(nodes) - 1, 2)]
        found += sums
        nodes = sums + nodes[2 * len(sums) :]
    return found


def extremes(weights: npt.NDArray[Any], bias: Int64, low: int, high: int, reduction: Reduction) -> dict[str, Extremes]:
    """Return the extremes of each register that a reduction has.

    Parameters
    ----------
    weights
        Integers [K, N], zero points subtracted.
    bias
        int64 [N].
    low, high
        Range of the activations that the multiplier sees.
    reduction
        Order and registers; how wide they are does not matter.
    """
    wide = weights.astype(np.int64)
    ends = wide * low, wide * high
    least, most = np.minimum(*ends), np.maximum(*ends)
    at_start = bias if reduction.bias_at is BiasAt.START else np.zeros_like(bias)
    none = np.zeros_like(bias)
    per_chain = reduction.lanes * (reduction.chain or 1)
    sizes = {"tree": reduction.lanes, "psum": per_chain, "acc": len(wide)}
    found = {}
    for register, writes in intervals(reduction, len(wide)).items():
        start = at_start if register == "acc" else none
        lowest, low_at = _largest(-least, -start, writes)
        highest, high_at = _largest(most, start, writes)
        any_low = start - _best(np.maximum(-least, 0), sizes[register])
        any_high = start + _best(np.maximum(most, 0), sizes[register])
        found[register] = Extremes(-lowest, highest, low_at, high_at, any_low, any_high)
    return found


def _largest(terms: Int64, start: Int64, writes: Int64) -> tuple[Int64, Int64]:
    """Return per channel the largest ``start + sum of terms[a:b]`` over the intervals, and the first of them that has it."""
    channels = terms.shape[1]
    values, places = np.empty(channels, np.int64), np.empty((channels, 2), np.int64)
    block = max(1, _ELEMENTS // len(writes))
    for n in range(0, channels, block):
        part = slice(n, n + block)
        sums = np.zeros((len(terms) + 1, len(start[part])), np.int64)
        np.cumsum(terms[:, part], axis=0, out=sums[1:])
        written = sums[writes[:, 1]] - sums[writes[:, 0]]
        at = written.argmax(axis=0)
        values[part] = start[part] + np.take_along_axis(written, at[None], axis=0)[0]
        places[part] = writes[at]
    return values, places


def _best(terms: Int64, count: int) -> Int64:
    """Return per channel the sum of the `count` largest terms, all >= 0."""
    if count < len(terms):
        terms = np.partition(terms, len(terms) - count, axis=0)[len(terms) - count :]
    total: Int64 = terms.sum(axis=0)
    return total
