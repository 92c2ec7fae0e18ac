"""From a layer and its plan to kernel calls: operands, segments, and the constants that zero points fold into."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.kernels.convolution import Memory
from hwsim.kernels.layer import Images, KernelLayer
from hwsim.kernels.monitor import NEVER, Monitor
from hwsim.kernels.ordered_panels import COUNTERS, Order, ordered_calls, ordered_depthwise_calls
from hwsim.kernels.panels import Calls, Sums, depthwise_calls, depthwise_step, exact_calls
from hwsim.kernels.plan import Plan
from hwsim.kernels.requantize import Requantizer
from hwsim.kernels.rounding import Rounding
from hwsim.kernels.table import Entry, Step
from hwsim.kernels.targets import Target, host
from hwsim.kernels.tile import Operands
from hwsim.spec import BiasAt, Overflow, Reduction

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Products:
    """A layer of sums of products.

    Parameters
    ----------
    weights
        int64 [groups, K, N], zero points subtracted, K in the declared order; depthwise [1, taps, C].
    bias
        int64 [groups * N].
    reduction
        Order and registers.
    dtype
        Of the images.
    subtract, pad
        What is subtracted from an activation before it is multiplied, and the difference outside of the image.
    geometry
        Of the window, see `hwsim.kernels.layer.KernelLayer`.
    channels_in, out_width, out_height
        Of the images, and of the output.
    depthwise
        Every channel has its own activations.
    span
        Smallest and largest activation that the multiplier sees; None: what the dtype holds.
    """

    weights: Int64
    bias: Int64
    reduction: Reduction
    dtype: str
    subtract: int
    pad: int
    geometry: Int64
    channels_in: int
    out_width: int
    depthwise: bool
    span: tuple[int, int] | None = None
    out_height: int = 1

    @property
    def tall(self) -> int:
        """Output rows that a kernel of bytes may take at once: two, whose windows share rows, where they are three high."""
        rows, _, down, _, spread, *_ = self.geometry.tolist()
        return 2 if self.depthwise and (rows, down, spread) == (3, 1, 1) and self.out_height > 1 else 1

    @property
    def ends(self) -> tuple[int, int]:
        """Smallest and largest activation that the multiplier sees, the padding included."""
        info = np.iinfo(self.dtype)
        low, high = self.span or (info.min - self.subtract, info.max - self.subtract)
        return min(low, self.pad), max(high, self.pad)

    @property
    def segment(self) -> int:
        """Elements of a run of a window: its whole row where that is contiguous."""
        if self.depthwise:
            return 1
        groups = len(self.weights)
        whole = groups == 1 and self.geometry[5] == 1
        return self.group_channels * int(self.geometry[1]) if whole else self.group_channels

    @property
    def segments(self) -> int:
        """Runs of a window."""
        return int(self.weights.shape[1]) // self.segment

    @property
    def group_channels(self) -> int:
        """Channels of a pixel that a group reads."""
        return self.channels_in // len(self.weights)

    @property
    def fits_bytes(self) -> bool:
        """Whether activations as they are stored, and weights, are bytes, of which a weight has a sign."""
        low, high = int(self.weights.min(initial=0)), int(self.weights.max(initial=0))
        return not self.depthwise and np.dtype(self.dtype).itemsize == 1 and low >= -128 and high <= 127

    def images(self, operands: Operands) -> Images:
        """Return how kernels want the images: bytes without a sign, or words less the zero point."""
        if operands == "bytes":
            signed = np.dtype(self.dtype).kind == "i"
            return Images("bytes", self.dtype, 128 if signed else 0, self.pad + self.subtract + (128 if signed else 0))
        return Images("words", self.dtype, self.subtract, self.pad)


class Assembled(Step):
    """A layer on the generated kernels.

    Parameters
    ----------
    products, plan
        The layer, and a plan that names an operation.
    requantizer
        What follows the sums.
    raw
        Accumulators leave as they are.
    storage
        Dtype of the output.
    """

    def __init__(
        self, products: Products, plan: Plan, requantizer: Requantizer, storage: str, *, raw: bool = False,
        target: Target | None = None,
    ) -> None:  # fmt: skip
        chosen = target or host()
        self.channels = products.bias.size
        self.requantizer = None if raw else requantizer
        self.storage = np.dtype(storage)
        low, high = plan.reach or (np.full(self.channels, -plan.largest), np.full(self.channels, plan.largest))
        rounding = Rounding.of(requantizer, low, high)
        self.finished = not raw and rounding.fits()
        # Sums of bytes of a depthwise layer come in the order of the packing, which accumulators do not go through.
        as_bytes = plan.operation == "bytes" and chosen.byte_products is not None
        as_bytes = as_bytes and (self.finished or not products.depthwise)
        operands: Operands = "bytes" if as_bytes else "words"
        images = products.images(operands)
        self.late = np.zeros_like(products.bias)
        finishing = rounding if self.finished else None
        tall = 1
        if plan.kernel == "exact":
            # Bytes come with an offset of 128 where they have a sign, and with their zero point.
            offset = images.pad - products.pad if operands == "bytes" else 0
            start = products.bias - products.weights.sum(axis=1).reshape(-1) * offset
            sums = Sums(operands, products.weights, start, finishing, self.storage)
            tall = products.tall if operands == "bytes" else 1
            made = self._exact(products, sums, chosen, tall)
        else:
            start, self.late = _initial(products.bias, products.reduction)
            order = Order(products.reduction, 16 if plan.operation == "ordered-16" else 32)
            if order.fours and products.fits_bytes and chosen.byte_products is not None:
                operands, images = "bytes", products.images("bytes")
                order = replace(order, offset=images.pad - products.pad)
            sums = Sums(operands, products.weights, start, finishing, self.storage)
            made = self._ordered(products, sums, order, plan.safe, chosen)
        calls, step, together, gathered = made
        self.tallied = calls.tallied
        self.columns = np.concatenate(calls.columns)
        self.width = self.channels * self.storage.itemsize if self.finished else 4 * self.columns.size
        self.layer = KernelLayer(
            calls, images, products.geometry, products.channels_in, self.width, chosen, segment=products.segment,
            together=together, step=step, tall=tall, gathered=gathered,
            group=max(products.reduction.lanes, 4) if plan.kernel == "ordered" else 4,
            blank=images.pad - products.pad if operands == "bytes" else 0,
            counters=COUNTERS * sum(each.size for each in self.tallied),
        )  # fmt: skip

    def _exact(self, products: Products, sums: Sums, target: Target, tall: int) -> tuple[Calls, int, int, int]:
        """Return calls, pixels at once, taps per step, and bytes of a gathered window; `tall`: rows at once."""
        if products.depthwise:
            step = 1
            if self.finished:
                step = depthwise_step(self.channels, sums, target, products.out_width, int(products.geometry[3]))
            calls = depthwise_calls(sums, step, target, tall=tall > 1)
            return calls, step, 4 if sums.operands == "bytes" else 2, 0
        return exact_calls(sums, products.segments, products.group_channels * sums.element.itemsize, target), 1, 1, 0

    def _ordered(
        self, products: Products, sums: Sums, order: Order, safe: npt.NDArray[np.bool_] | None, target: Target
    ) -> tuple[Calls, int, int, int]:
        """Return the same for ordered kernels."""
        reduction = products.reduction
        if products.depthwise:
            step = 1
            if self.finished:
                step = depthwise_step(self.channels, sums, target, products.out_width, int(products.geometry[3]))
                # Groups of pixels that overlap would count some events twice.
                step = step if products.out_width % step == 0 else 1
            return ordered_depthwise_calls(sums, self.late, order, step, target), step, reduction.lanes, 0
        # Where groups or chains run on from one segment of a window into the next, it is written out in one piece.
        across = products.segment % reduction.lanes > 0 or reduction.psum is not None
        gathered = products.segments > 1 and across
        segments, item = 1 if gathered else products.segments, sums.element.itemsize
        calls = ordered_calls(
            sums, self.late, order, segments, item * products.group_channels, safe, products.ends, target
        )
        return calls, 1, 1, item * products.weights.shape[1] if gathered else 0

    def run(self, images: npt.NDArray[Any], pixels: int, monitor: Monitor | None) -> npt.NDArray[Any]:
        """Return the output [B, pixels, channels] of images [B, H, W, C]; count into a monitor."""
        counts, first = np.zeros(self.layer.counters, np.int64), np.full(1, NEVER, np.int64)
        found = self._run(images, pixels, counts, first)
        if monitor is not None and first[0] != NEVER:
            self._count(counts, int(first[0]), monitor)
        return found

    def entry(self, shapes: Sequence[tuple[int, ...]]) -> Entry:
        """Return the layer for a table; only one whose kernels write what leaves it has one."""
        assert self.finished
        batch, *rest = shapes[0]
        # A fully connected layer takes whatever has its inputs.
        images = (batch, 1, 1, self.layer.channels_in) if math.prod(rest) == self.layer.channels_in else shapes[0]
        record = self.layer.record(images)
        counts, first = np.zeros(self.layer.counters, np.int64), np.full(1, NEVER, np.int64)
        record.fields[Memory.COUNTS], record.fields[Memory.FIRST] = counts.ctypes.data, first.ctypes.data

        def settle(monitor: Monitor | None) -> None:
            if first[0] != NEVER:
                if monitor is not None:
                    self._count(counts, int(first[0]), monitor)
                counts[:], first[0] = 0, NEVER

        kept = (record, counts, first)
        counting = settle if self.layer.counters else None
        return Entry(self.layer.driver, record.fields, (Memory.SOURCE,), Memory.OUT, kept, counting)

    def _count(self, counts: Int64, first: int, monitor: Monitor) -> None:
        """Add the events of every lane to those of its channel; `first`: the first image of the batch with one."""
        if monitor.base + first < monitor.first[0]:
            monitor.first[:] = monitor.base + first, -1, -1, -1
        at = 0
        for number in self.tallied:
            size, used = number.size, number >= 0
            events = counts[at : at + COUNTERS * size].reshape(3, 2, size)
            for register in range(3):
                for kind in range(2):
                    np.add.at(monitor.counts[register, kind], number[used], events[register, kind, used])
            at += COUNTERS * size

    def _run(self, images: npt.NDArray[Any], pixels: int, counts: Int64, first: Int64) -> npt.NDArray[Any]:
        batch = images.shape[0]
        source = np.ascontiguousarray(images)
        if self.finished:
            out = np.empty((batch, pixels, self.channels), self.storage)
            self.layer.run(source, out, counts, first)
            return out
        sums = np.empty((batch * pixels, self.width // 4), np.int32)
        self.layer.run(source, sums, counts, first)
        used = self.columns >= 0
        found = np.empty((batch * pixels, self.channels), np.int32)
        found[:, self.columns[used]] = sums[:, used]
        if self.late.any():
            found += self.late.astype(np.int32)
        if self.requantizer is not None:
            found = self.requantizer(found.astype(np.int64), slice(0, self.channels), self.storage.name)
        return found.reshape(batch, pixels, self.channels)


def _initial(bias: Int64, reduction: Reduction) -> tuple[Int64, Int64]:
    """Return what accumulators start from, and what is added behind them."""
    if reduction.bias_at is BiasAt.END:
        return np.zeros_like(bias), bias
    acc = reduction.acc.format
    wraps = reduction.acc.overflow is Overflow.WRAP
    return (((bias - acc.lo) & (acc.hi - acc.lo)) + acc.lo if wraps else bias), np.zeros_like(bias)
