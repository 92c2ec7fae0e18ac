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

*Outliers.* Products of outliers are written to the accumulator one by one, after the dense sum of their K tile (`hwsim.kernels.
outliers`). So a write to it is the sum of the dense products ``p[0..stop)`` and of the channel's first so many outliers, with the
bias: terms of different activations again, as the dense weight is zero where an outlier is. Tree and partial sum see dense
products alone.

The smallest sums likewise. Where 0 is in ``low..high`` a longer prefix only widens the range: the accumulator's extremes are
those of any order, and the declared order is what partial sums and tree nodes gain from. Else it is tighter for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.kernels.monitor import REGISTERS
from hwsim.kernels.outliers import Sparse
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
        int64 [N, 3]: ``start, stop, outliers`` where that is first reached: the interval of the dense products that are summed,
        and how many of the channel's outliers besides. The accumulator starts at 0 and holds the bias besides where it starts
        at it.
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


def extremes(
    weights: npt.NDArray[Any], bias: Int64, low: int, high: int, reduction: Reduction, sparse: Sparse | None = None
) -> dict[str, Extremes]:
    """Return the extremes of each register that a reduction has.

    Parameters
    ----------
    weights
        Integers [K, N], zero points subtracted; 0 where an outlier is.
    bias
        int64 [N].
    low, high
        Range of the activations that the multiplier sees.
    reduction
        Order and registers; how wide they are does not matter.
    sparse
        Outliers, with a K tile that ends with a chain.
    """
    wide = weights.astype(np.int64)
    least, most = _ends(wide, low, high)
    at_start = bias if reduction.bias_at is BiasAt.START else np.zeros_like(bias)
    none = np.zeros_like(bias)
    per_chain = reduction.lanes * (reduction.chain or 1)
    sizes = {"tree": reduction.lanes, "psum": per_chain}
    written = intervals(reduction, len(wide))
    found = {}
    for register in (name for name in sizes if name in written):
        found[register] = _of_products(least, most, none, written[register], sizes[register])
    found["acc"] = _accumulator(least, most, at_start, written["acc"], low, high, sparse)
    return {register: found[register] for register in written}


def _ends(weights: Int64, low: int, high: int) -> tuple[Int64, Int64]:
    """Return the smallest and the largest product of each weight."""
    ends = weights * low, weights * high
    return np.minimum(*ends), np.maximum(*ends)


def _of_products(least: Int64, most: Int64, start: Int64, writes: Int64, size: int) -> Extremes:
    """Return the extremes of a register of dense products, of which it holds at most so many at a time."""
    lowest, low_at = _largest(-least, -start, writes)
    highest, high_at = _largest(most, start, writes)
    any_low, any_high = start - _best(np.maximum(-least, 0), size), start + _best(np.maximum(most, 0), size)
    return Extremes(-lowest, highest, low_at, high_at, any_low, any_high)


def _accumulator(
    least: Int64, most: Int64, start: Int64, writes: Int64, low: int, high: int, sparse: Sparse | None
) -> Extremes:  # fmt: skip
    """Return the extremes of the accumulator, which takes products of outliers, too."""
    depth = len(least)
    if sparse is None:
        return _of_products(least, most, start, writes, depth)
    outliers = np.zeros_like(least)
    outliers[sparse.k, sparse.column] = sparse.value
    lower, upper = _ends(outliers, low, high)
    merged = _with_outliers(writes, sparse, depth)
    lowest, low_at = _largest(-least, -start, merged, -lower)
    highest, high_at = _largest(most, start, merged, upper)
    entries = _prefixes((outliers != 0).astype(np.int64))
    for places in (low_at, high_at):
        places[:, 2] = np.take_along_axis(entries, places[:, 2][None], axis=0)[0]
    any_low = start - _best(np.maximum(-least - lower, 0), depth)
    any_high = start + _best(np.maximum(most + upper, 0), depth)
    return Extremes(-lowest, highest, low_at, high_at, any_low, any_high)


def _with_outliers(writes: Int64, sparse: Sparse, products: int) -> Int64:
    """Return the accumulator's writes in order, int64 [writes, 3]: `start`, `stop`, and before which product outliers are in.

    A product that is an outlier of some channel is a write of all: to the others it adds nothing, and what changes nothing is
    never the first to reach an extreme.
    """
    complete = np.maximum(writes[:, 1] - 1, 0) // sparse.tile * sparse.tile
    dense = np.column_stack([writes, complete])
    k = np.unique(sparse.k)
    after = np.minimum((k // sparse.tile + 1) * sparse.tile, products)
    found = np.concatenate([dense, np.column_stack([np.zeros_like(k), after, k + 1])])
    return found[np.lexsort((found[:, 2], found[:, 1]))]


def _largest(terms: Int64, start: Int64, writes: Int64, apart: Int64 | None = None) -> tuple[Int64, Int64]:
    """Return per channel the largest sum that is written, and int64 [N, 3]: the first write that is it.

    A write ``a, b`` is ``start + sum of terms[a:b]``; one of three numbers has the sum of `apart` up to the third besides.
    """
    channels = terms.shape[1]
    values, places = np.empty(channels, np.int64), np.zeros((channels, 3), np.int64)
    block = max(1, _ELEMENTS // len(writes))
    for n in range(0, channels, block):
        part = slice(n, n + block)
        sums = _prefixes(terms[:, part])
        written = sums[writes[:, 1]] - sums[writes[:, 0]]
        if apart is not None:
            written += _prefixes(apart[:, part])[writes[:, 2]]
        at = written.argmax(axis=0)
        values[part] = start[part] + np.take_along_axis(written, at[None], axis=0)[0]
        places[part, : writes.shape[1]] = writes[at]
    return values, places


def _prefixes(terms: Int64) -> Int64:
    """Return int64 [K + 1, N]: the sums of the first terms."""
    sums = np.zeros((len(terms) + 1, terms.shape[1]), np.int64)
    np.cumsum(terms, axis=0, out=sums[1:])
    return sums


def _best(terms: Int64, count: int) -> Int64:
    """Return per channel the sum of the `count` largest terms, all >= 0."""
    if count < len(terms):
        terms = np.partition(terms, len(terms) - count, axis=0)[len(terms) - count :]
    total: Int64 = terms.sum(axis=0)
    return total
