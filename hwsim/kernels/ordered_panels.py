"""Weights and registers in the layouts of the ordered kernels, and the kernel calls that use them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwsim.kernels.convolution import OUTPUT
from hwsim.kernels.finish import Finish
from hwsim.kernels.listed import Listed
from hwsim.kernels.listed_panels import listed_fields, listed_kernel
from hwsim.kernels.ordered import Ordered
from hwsim.kernels.ordered_form import Ordering
from hwsim.kernels.panels import Calls, Sums, exact_call, lanes32, spread
from hwsim.kernels.registers import Kind, Limits, limits
from hwsim.kernels.stretches import fours_of_stretch, stretch_table
from hwsim.kernels.targets import Target
from hwsim.kernels.tile import Tile
from hwsim.spec import Reduction, Register

Int64 = npt.NDArray[np.int64]
MOST_TERMS = {False: 64, True: 16}
"""Products of a group that kernels are written for: of an exact tree, and of one with registers."""

COUNTERS = 6
"""Of each lane: three registers, above and below."""

SAFE = Register.parse("32:wrap")
"""What a wider accumulator is where its bounds stay within 32 bits."""


@dataclass(frozen=True)
class Order:
    """How a layer's registers go into lanes.

    Parameters
    ----------
    reduction
        Order and registers.
    lane
        Bits of the lanes of products, tree and partial sums.
    offset
        What activations are more than the multiplier sees, where operands are bytes; None: they are words.
    """

    reduction: Reduction
    lane: int
    offset: int | None = None

    MOST_ROWS: ClassVar[int] = 8
    """No tile has more rows."""

    @property
    def acc(self) -> Register:
        """The accumulator, or one of 32 bits in the place of a wider one."""
        return self.reduction.acc if self.reduction.acc.bits <= 32 else SAFE

    @property
    def acc_lane(self) -> int:
        """Bits of the accumulator's lanes."""
        return 16 if self.lane == 16 and self.acc.bits <= 16 else 32

    @property
    def fours(self) -> bool:
        """Whether products may be of bytes, four at once: of one register, in groups that are parts of four, or some fours."""
        simple = self.lane == 32 and self.reduction.tree is None and self.reduction.psum is None
        return simple and (self.reduction.lanes in (1, 2) or self.reduction.lanes % 4 == 0)

    def kernel(self, finish: Finish, vectors: int, *, own: bool, rows: int, stretch: int) -> Ordered:
        """Return the kernel for a tile."""
        reduction = self.reduction

        def kind(register: Register | None, lane: int) -> Kind | None:
            return None if register is None else Kind.of(register, lane)

        return Ordered(
            self.lane, rows, vectors, finish, Kind.of(self.acc, self.acc_lane), reduction.lanes,
            kind(reduction.psum, self.lane), kind(reduction.tree, self.lane), own, acc_lane=self.acc_lane,
            stretch=stretch,
            fours=self.offset is not None, offset=bool(self.offset),
        )  # fmt: skip

    def stretch(self, weights: Int64, span: tuple[int, int]) -> int:
        """Return the pairs, or fours, of products whose bounds a register is compared with at once; 0: none.

        A narrow register has room for few of them, a wide one for more comparisons' worth. weights [segments, K, lanes].
        """
        if self.offset is not None:
            return fours_of_stretch(weights, span, self.acc.format, self.reduction.lanes)
        simple = self.reduction.lanes == 1 and self.reduction.psum is None
        return (2 if self.acc.bits <= 18 else 4) if simple and self.lane == 32 else 0

    @property
    def listed(self) -> bool:
        """Whether products of zero are left out: of one register, in lanes of 16 bits."""
        return self.lane == 16 and self.reduction.lanes == 1 and self.reduction.psum is None

    def rows(self, target: Target, vectors: int) -> int:
        """Return rows of a tile: its registers, their counters and a group's terms share the processor's."""
        wide = 8 if target.registers == 32 else 4
        if self.offset is not None:
            return wide
        if self.lane == 32 and self.reduction.lanes == 1 and self.reduction.psum is None and vectors == 2 and wide == 8:
            return 6
        if self.reduction.tree is not None or self.reduction.lanes > 8:
            return wide // 4
        if self.reduction.psum is not None:
            return wide // 2 // vectors
        return wide // vectors

    def fields(self) -> dict[int, int]:
        """Return the fields that describe the registers."""
        found: dict[int, int] = {Ordering.CHAIN: self.reduction.chain or 1}
        registers = (self.reduction.tree, self.reduction.psum, self.acc)
        for number, (register, lane) in enumerate(zip(registers, (self.lane, self.lane, self.acc_lane), strict=True)):
            if register is not None:
                first = Ordering.LIMITS + number * len(Limits)
                found |= {first + name: value for name, value in limits(register, lane).items()}
        return found


def ordered_call(
    calls: Calls, sums: Sums, order: Order, kernel: Ordered | Listed, number: Int64, weights: Int64, late: Int64, target: Target,
    segments: int, span: tuple[int, int],
) -> dict[int, int]:  # fmt: skip
    """Return the fields of one call.

    Parameters
    ----------
    number
        Channel of each lane, as the accumulators lie, -1 for none.
    weights
        int64 [K, lanes], in that order.
    late
        int64 [channels]: what is added behind the accumulator.
    span
        Smallest and largest activation.
    """
    lanes, wide = target.lanes, number.size // target.lanes
    initial = lanes32(sums.start, number)
    fields = {
        **order.fields(),
        Ordering.START: calls.address(initial.astype(np.int16) if order.acc_lane == 16 else initial),
        Ordering.TALLY: sum(each.size for each in calls.tallied) * COUNTERS * 4,
        Ordering.TALLY_STRIDE: wide * target.bytes,
    }
    calls.tallied.append(number)
    own = isinstance(kernel, Ordered) and kernel.own
    if isinstance(kernel, Listed):
        fields |= listed_fields(calls, kernel, weights, segments, target)
    else:
        fields |= _summed(calls, order, kernel, weights, segments, span)
    leaving = number
    if sums.rounding is not None:
        leaving = number[kernel.finish.order(target, wide)] if own else number
        fields |= calls.ends(Ordering.ENDS, sums.rounding, leaving, late, sums.storage, lanes)
    calls.columns.append(leaving)
    return fields


def _summed(
    calls: Calls, order: Order, kernel: Ordered, weights: Int64, segments: int, span: tuple[int, int]
) -> dict[int, int]:
    """Return the fields of a call that say what it sums."""
    depth = weights.shape[0] // segments
    if kernel.fours:
        whole = max(kernel.lanes, 4)
        groups = -(-depth // whole) * whole // 4
    else:
        groups = -(-depth // (2 if kernel.stretch else kernel.lanes))
    by_segment = weights.reshape(segments, -1, weights.shape[1])
    fields: dict[int, int] = {
        Ordering.SEGMENTS: segments,
        Ordering.GROUPS: groups,
        Ordering.WEIGHTS: calls.address(_packed(kernel, by_segment, groups)),
    }
    if kernel.stretch:
        fields[Ordering.BOUNDS] = calls.address(
            stretch_table(kernel, order.acc.format, order.offset or 0, by_segment, span)
        )
    return fields


def _packed(kernel: Ordered, weights: Int64, groups: int) -> npt.NDArray[Any]:
    """Return weights [segments, K, N] group by group, as words of 16 bits or in pairs with 0 or with their neighbour."""
    if kernel.stretch:
        return _together(weights, groups, 4, np.int8) if kernel.fours else _together(weights, groups, 2, np.int16)
    segments, depth, width = weights.shape
    filled = np.zeros((segments, groups * kernel.lanes, width), np.int64)
    filled[:, :depth] = weights
    split = filled.reshape(segments, groups, kernel.lanes, width)
    if kernel.lane == 16:
        return split.astype(np.int16)
    pairs = kernel.weights_per_group
    halves = np.zeros((segments, groups, pairs, width, 2), np.int16)
    if pairs == kernel.lanes:
        halves[..., 0] = split
    else:
        halves[..., 0] = split[:, :, 0::2]
        halves[:, :, : kernel.lanes // 2, :, 1] = split[:, :, 1::2]
    return halves


def _together(weights: Int64, groups: int, size: int, element: type[np.integer[Any]]) -> npt.NDArray[Any]:
    """Return weights [segments, K, N] as [segments, groups, N, size]."""
    segments, depth, width = weights.shape
    filled: npt.NDArray[Any] = np.zeros((segments, size * groups, width), element)
    filled[:, :depth] = weights
    return np.ascontiguousarray(filled.reshape(segments, groups, size, width).swapaxes(2, 3))


def ordered_calls(
    sums: Sums, late: Int64, order: Order, segments: int, group_bytes: int, safe: npt.NDArray[np.bool_] | None,
    span: tuple[int, int], target: Target,
) -> Calls:  # fmt: skip
    """Return the calls of a convolution; see `hwsim.kernels.panels.exact_calls`.

    late: added behind the accumulator; safe: by channel whether it cannot overflow: panels of such channels run unordered;
    span: smallest and largest activation.
    """
    calls, lanes = Calls(), target.lanes
    groups, _, channels = sums.weights.shape
    per = 2 if order.lane == 16 else 1
    panels = spread(_panels(channels, lanes, order))
    row, at = sum(wide for _, (_, wide) in panels) * groups * target.bytes, 0
    if sums.rounding is not None:
        row = groups * channels * sums.storage.itemsize
    for group in range(groups):
        for first, (size, wide) in panels:
            finish = sums.finish(size == wide * lanes)
            local = finish.order(target, wide)
            inside = local < size
            number = np.where(inside, group * channels + first + local, -1)
            weights = sums.weights[group][:, np.where(inside, first + local, 0)] * inside
            unordered = safe is not None and bool(safe[number[inside]].all())
            if unordered:
                # What is added behind the accumulator may as well be in it; where sums leave as they are, it is added later.
                start = sums.start + late if sums.rounding is not None else sums.start
                start = start - sums.weights.sum(axis=1).reshape(-1) * (order.offset or 0)
                kernel, fields = exact_call(
                    calls, replace(sums, start=start), finish, number, weights, segments, target
                )
                fields[Tile.OUT_STRIDE] = row
                calls.columns.append(number)
            else:
                ordered: Ordered | Listed
                if order.listed:
                    depth = len(weights) // segments
                    kind = Kind.of(order.acc, 16)
                    ordered = listed_kernel(wide, finish, kind, depth, target, signed=span[0] < 0)
                else:
                    rows = order.rows(target, wide // per)
                    stretch = order.stretch(weights.reshape(segments, -1, weights.shape[1]), span)
                    ordered = order.kernel(finish, wide // per, own=False, rows=rows, stretch=stretch)
                fields = ordered_call(calls, sums, order, ordered, number, weights, late, target, segments, span)
                fields[Ordering.OUT_STRIDE] = row
                kernel = ordered.address(target)
            out = (first + group * channels) * sums.storage.itemsize if sums.rounding is not None else at
            at += wide * target.bytes
            calls.add(kernel, group * group_bytes, out, OUTPUT, fields, counts=not unordered)
    return calls


def _panels(channels: int, lanes: int, order: Order) -> list[tuple[int, int]]:
    """Split channels into panels: (channels, vectors of 32-bit lanes), as many as the registers of a tile allow."""
    simple = order.reduction.psum is None and order.reduction.tree is None
    most = (4 if order.lane == 16 else 2) if simple else (2 if order.lane == 16 else 1)
    least = 2 if order.lane == 16 and not order.listed else 1
    panels = []
    for first in range(0, channels, most * lanes):
        size = min(most * lanes, channels - first)
        wide = least
        while wide * lanes < size:
            wide *= 2
        panels.append((size, wide))
    return panels


def ordered_depthwise_calls(sums: Sums, late: Int64, order: Order, step: int, target: Target) -> Calls:
    """Return the calls of a depthwise layer, of `step` pixels at once."""
    calls, lanes = Calls(), target.lanes
    channels = sums.weights.shape[2]
    wide = 2 if order.lane == 16 else 1
    width = wide * lanes
    item = sums.storage.itemsize if sums.rounding is not None else 4
    for first in range(0, channels * step, width):
        size = min(width, channels * step - first)
        kernel = order.kernel(sums.finish(size == width), 1, own=True, rows=order.rows(target, 1), stretch=0)
        lane = np.arange(width)
        number = np.where(lane < size, (first + lane) % channels, -1)
        weights = sums.weights[0][:, np.maximum(number, 0)] * (number >= 0)
        fields = ordered_call(calls, sums, order, kernel, number, weights, late, target, 1, (0, 0))
        calls.add(kernel.address(target), 2 * first, item * first, OUTPUT, fields, counts=True)
    return calls
