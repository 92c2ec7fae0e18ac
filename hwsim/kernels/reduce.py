"""THE golden sum of products: every register written in the declared order.

The definition is in `hwsim.spec.reduction`; `tests/oracle.py` restates it in plain Python integers, and the RTL is held to
what is computed here. Sums are formed in int64: products have at most 33 bits, a tree at most 256 of them, and an
accumulator at most 48 bits, so no sum below comes near 2**63.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.kernels.jit import jit
from hwsim.kernels.monitor import Detail, Monitor
from hwsim.kernels.outliers import Sparse, nothing
from hwsim.spec import BiasAt, Overflow, Reduction, Register

Int64 = npt.NDArray[np.int64]


@jit
def fit(total: Any, lo: Any, hi: Any, saturate: Any) -> Any:
    """Return what a register of range ``lo..hi`` holds after `total` is written to it."""
    if saturate:
        return min(max(total, lo), hi)
    # hi - lo is 2**bits - 1, a mask of the low bits.
    return ((total - lo) & (hi - lo)) + lo


@jit
def _write(register: Any, addend: Any, lo: Any, hi: Any, saturate: Any, positive: Any, negative: Any) -> Any:
    """Add `addend` to every channel's `register`; return the number of sums that did not fit."""
    events = np.int64(0)
    for n in range(register.shape[0]):
        total = register[n] + addend[n]
        over = np.int64(total > hi)
        under = np.int64(total < lo)
        positive[n] += over
        negative[n] += under
        events += over + under
        register[n] = fit(total, lo, hi, saturate)
    return events


@jit
def _settle(tally: Any, counts: Any, places: Any, hit: Any) -> None:
    """Add the events of one row to the counters of the layer and clear them.

    tally [places, 3, 2, N]; counts [3, 2, N]; places [3, 2, places]; hit bool [3, N]: set where a register had any.
    """
    for place in range(tally.shape[0]):
        for r in range(3):
            for kind in range(2):
                row, total, found = tally[place, r, kind], counts[r, kind], hit[r]
                events = np.int64(0)
                for n in range(row.shape[0]):
                    count = row[n]
                    events += count
                    total[n] += count
                    found[n] |= count > 0
                    row[n] = 0
                places[r, kind, place] += events


@jit
def _follow(total: Any, low: Any, high: Any) -> None:
    """Widen the extremes of every channel to hold its running sum."""
    for n in range(total.shape[0]):
        low[n] = min(low[n], total[n])
        high[n] = max(high[n], total[n])


@jit
def _add_outliers(
    row: Any, sparse: Any, first: Any, last: Any, acc: Any, exact: Any, lo: Any, hi: Any, saturate: Any, observe: Any,
    low: Any, high: Any, extremes: Any, here: Any, merged: Any,
) -> Any:  # fmt: skip
    """Write the products of outliers ``first..last - 1`` to the accumulators, one by one; return the sums that did not fit.

    row [K, C] as in `_reduce_rows`; sparse [3, entries]: product, channel and weight of each; here and merged [2, N] count
    events, the latter of all rows and tiles.
    """
    events = np.int64(0)
    for e in range(first, last):
        k, n = sparse[0, e], sparse[1, e]
        product = np.int64(row[k, n if row.shape[1] > 1 else 0]) * sparse[2, e]
        total = acc[n] + product
        over = np.int64(total > hi)
        under = np.int64(total < lo)
        here[0, n] += over
        here[1, n] += under
        merged[0, n] += over
        merged[1, n] += under
        events += over + under
        acc[n] = fit(total, lo, hi, saturate)
        if observe:
            exact[n] += product
            low[n] = min(low[n], exact[n])
            high[n] = max(high[n], exact[n])
            extremes[0, n] = min(extremes[0, n], exact[n])
            extremes[1, n] = max(extremes[1, n], exact[n])
    return events


@jit
def _judge(
    acc: Any, exact: Any, initial: Any, extremes: Any, hit: Any, lo: Any, hi: Any, widths: Any, struck: Any, cancelled: Any
) -> None:  # fmt: skip
    """Count the outputs of one row by the bits of their running sums, and by what overflow did to them.

    acc, exact: sums as left behind and as they should be; extremes [2, N] of the running sums; lo, hi: of the accumulator.
    """
    for n in range(acc.shape[0]):
        largest = max(extremes[1, n], -1 - extremes[0, n])
        bits = 1
        while largest > 0:
            largest >>= 1
            bits += 1
        widths[n, bits] += 1
        if hit[0, n] or hit[1, n] or hit[2, n] or initial[n] < lo or initial[n] > hi:
            struck[n] += 1
            cancelled[n] += np.int64(acc[n] == exact[n])


@jit
def _reduce_rows(
    panel: Any, weights: Any, start: Any, lanes: Any, chain: Any, ranges: Any, saturate: Any, observe: Any,
    image: Any, pixel: Any, out: Any, counts: Any, low: Any, high: Any, first: Any, closer: Any, places: Any, pixels: Any,
    widths: Any, struck: Any, cancelled: Any, psums: Any, sparse: Any, starts: Any, tile: Any,
    merged: Any,
) -> None:  # fmt: skip
    """Reduce rows of products.

    panel [M, K, C] with C = 1 (shared by all channels) or N; weights [K, N]; start [M or 1, N]: initial accumulators, wrapped
    on load; lanes >= 1; chain: groups per partial sum, 0 for none; ranges [3, 2] and saturate [3]: of tree, psum, acc, with
    ranges[0] = (0, 0) for an exact tree; image, pixel: of row 0, for `first`; out [M, N]: final accumulators. From `closer` on
    as in `Detail`; `places` and `merged` also without a closer look. sparse [3, entries], starts [K tiles + 1], tile: the
    outliers, which follow the dense sum of their K tile of so many products, see `hwsim.kernels.outliers`.
    """
    rows, depth, shared = panel.shape[0], panel.shape[1], panel.shape[2] == 1
    channels = weights.shape[1]
    tree = np.empty((lanes, channels), np.int64)
    psum = np.empty(channels, np.int64)
    exact = np.empty(channels, np.int64)
    pending = np.empty(channels, np.int64)
    tally = np.zeros((places.shape[2], 3, 2, channels), np.int64)
    hit = np.zeros((3, channels), np.bool_)
    extremes = np.empty((2, channels), np.int64)
    exact_tree = ranges[0, 1] == 0
    for m in range(rows):
        acc = out[m]
        initial = start[min(m, start.shape[0] - 1)]
        for n in range(channels):
            acc[n] = fit(initial[n], ranges[2, 0], ranges[2, 1], False)
        psum[:] = 0
        here = tally[0]
        links = 0
        events = 0
        if observe:
            exact[:] = initial
            pending[:] = 0
            for n in range(channels):
                low[n] = min(low[n], exact[n])
                high[n] = max(high[n], exact[n])
            extremes[:] = exact
        for k0 in range(0, depth, lanes):
            if closer:
                here = tally[k0 * places.shape[2] // depth]
            for lane in range(lanes):
                k = k0 + lane
                if k >= depth:
                    tree[lane, :] = 0
                elif shared:
                    value = np.int64(panel[m, k, 0])
                    for n in range(channels):
                        tree[lane, n] = value * np.int64(weights[k, n])
                else:
                    for n in range(channels):
                        tree[lane, n] = np.int64(panel[m, k, n]) * np.int64(weights[k, n])
            if observe:
                for lane in range(lanes):
                    for n in range(channels):
                        pending[n] += tree[lane, n]
            width = lanes
            while width > 1:
                for i in range(width // 2):
                    if exact_tree:
                        for n in range(channels):
                            tree[i, n] = tree[2 * i, n] + tree[2 * i + 1, n]
                    else:
                        if i > 0:
                            tree[i, :] = tree[2 * i, :]
                        events += _write(
                            tree[i],
                            tree[2 * i + 1],
                            ranges[0, 0],
                            ranges[0, 1],
                            saturate[0],
                            here[0, 0],
                            here[0, 1],
                        )
                if width % 2:
                    tree[width // 2, :] = tree[width - 1, :]
                width = (width + 1) // 2
            links += 1
            last = k0 + lanes >= depth
            if chain == 0:
                events += _write(acc, tree[0], ranges[2, 0], ranges[2, 1], saturate[2], here[2, 0], here[2, 1])
            else:
                events += _write(psum, tree[0], ranges[1, 0], ranges[1, 1], saturate[1], here[1, 0], here[1, 1])
                if closer:
                    _follow(pending, psums[0], psums[1])
                if links == chain or last:
                    events += _write(acc, psum, ranges[2, 0], ranges[2, 1], saturate[2], here[2, 0], here[2, 1])
                    psum[:] = 0
            if observe and (chain == 0 or links == chain or last):
                for n in range(channels):
                    exact[n] += pending[n]
                    pending[n] = 0
                    low[n] = min(low[n], exact[n])
                    high[n] = max(high[n], exact[n])
                if closer:
                    _follow(exact, extremes[0], extremes[1])
            if links == chain:
                links = 0
            if sparse.shape[1] > 0 and (last or (k0 + lanes) % tile == 0):
                at = k0 // tile
                events += _add_outliers(
                    panel[m], sparse, starts[at], starts[at + 1], acc, exact, ranges[2, 0], ranges[2, 1], saturate[2],
                    observe, low, high, extremes, here[2], merged,
                )  # fmt: skip
        if events > 0:
            _settle(tally, counts, places, hit)
            if (image, pixel + m) < (first[0], first[1]):
                first[0], first[1] = image, pixel + m
                for n in range(channels - 1, -1, -1):
                    for r in range(2, -1, -1):
                        if hit[r, n]:
                            first[2], first[3] = n, r
        if closer:
            pixels[pixel + m] += events
            _judge(acc, exact, initial, extremes, hit, ranges[2, 0], ranges[2, 1], widths, struck, cancelled)
        if events > 0:
            hit[:] = False


def _range(register: Register | None) -> tuple[int, int]:
    return (0, 0) if register is None else (register.format.lo, register.format.hi)


def reduce_panel(
    panel: npt.NDArray[Any],
    weights: npt.NDArray[Any],
    bias: Int64 | None,
    reduction: Reduction,
    monitor: Monitor | None = None,
    *,
    image: int = 0,
    pixel: int = 0,
    sparse: Sparse | None = None,
) -> Int64:
    """Sum products in the declared order.

    Parameters
    ----------
    panel
        Integers [M, K] (every channel multiplies the same activations), or [M, K, N] (depthwise), zero points already
        treated as the reduction says; |value| < 2**17.
    weights
        Integers [K, N], zero points subtracted; |value| < 2**17.
    bias
        int64 [N], or [M, N] for rows that start from different sums, or None. With a wrapping accumulator any value; with a
        saturating one it must fit.
    reduction
        Order and registers.
    monitor
        Counts events where given: one of N channels.
    image, pixel
        What row 0 is called in `monitor.first`, the image counted from the monitor's base.
    sparse
        Outliers, which follow the dense sum of their K tile: one write to the accumulator each.

    Returns
    -------
    int64 [M, N]
        What leaves the accumulator, the bias included (with `BiasAt.END` it is added exactly, after the accumulator).
    """
    channels = weights.shape[1]
    out = np.empty((panel.shape[0], channels), np.int64)
    none = np.zeros(channels, np.int64)
    offset = none if bias is None else bias
    at_start = reduction.bias_at is BiasAt.START
    seen = Monitor(channels) if monitor is None else monitor
    detail = seen.detail or Detail(channels, 0, 1)
    registers = (reduction.tree, reduction.psum, reduction.acc)
    outliers = nothing(len(weights)) if sparse is None else sparse
    _reduce_rows(
        panel if panel.ndim == 3 else panel[:, :, None],
        weights,
        np.atleast_2d(offset if at_start else none),
        reduction.lanes,
        reduction.chain or 0,
        np.array([_range(register) for register in registers], np.int64),
        np.array([register is not None and register.overflow is Overflow.SATURATE for register in registers]),
        bool(seen.observe),
        seen.base + image,
        pixel,
        out,
        seen.counts,
        seen.low,
        seen.high,
        seen.first,
        seen.detail is not None,
        detail.places,
        detail.pixels,
        detail.widths,
        detail.struck,
        detail.cancelled,
        detail.psum,
        np.stack([outliers.k, outliers.column, outliers.value]),
        outliers.starts(len(weights)),
        outliers.tile,
        detail.merged,
    )
    return out if at_start else out + offset
