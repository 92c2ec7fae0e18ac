"""Weights and constants in the layouts of the generated kernels, and the kernel calls that use them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hwsim.kernels.convolution import OUTPUT, ROW_SUMS, Panel
from hwsim.kernels.depthwise import Depthwise, Taps
from hwsim.kernels.finish import Finish, aligned, ends
from hwsim.kernels.rounding import Rounding
from hwsim.kernels.targets import Target
from hwsim.kernels.tile import Exact, Operands, Tile, tile_shape

Int64 = npt.NDArray[np.int64]
FIELDS = 40
"""Places for the fields of any kernel."""


def panel_vectors(channels: int, lanes: int) -> list[tuple[int, int]]:
    """Split channels into panels: (channels, vectors) with 1, 2 or 4 vectors each."""
    whole = channels // (4 * lanes)
    left = channels - whole * 4 * lanes
    panels = [(4 * lanes, 4)] * whole
    if left:
        panels.append((left, 1 if left <= lanes else 2 if left <= 2 * lanes else 4))
    return panels


@dataclass
class Calls:
    """Kernel calls of a layer, and the memory that they read.

    Attributes
    ----------
    rows
        int64 [calls, Panel.FIELDS + FIELDS].
    kept
        Arrays whose addresses stand in `rows`.
    columns
        Channel of each lane of a row of accumulators, where they leave as they are; -1 for none.
    tallied
        By call that counts: channel of each lane of a counter; there are six of each, see `hwsim.kernels.ordered_form.Ordering`.
    """

    rows: list[Int64] = field(default_factory=list)
    kept: list[npt.NDArray[Any]] = field(default_factory=list)
    columns: list[Int64] = field(default_factory=list)
    tallied: list[Int64] = field(default_factory=list)

    def address(self, values: npt.NDArray[Any]) -> int:
        """Keep an array, aligned; return where it lies."""
        self.kept.append(aligned(values))
        return int(self.kept[-1].ctypes.data)

    def add(
        self, kernel: int, image: int, out: int, kind: int, fields: dict[int, int], *, counts: bool = False
    ) -> None:
        """Add a call."""
        row = np.zeros(Panel.FIELDS + FIELDS, np.int64)
        row[: Panel.FIELDS] = kernel, image, out, kind, counts
        for name, value in fields.items():
            row[Panel.FIELDS + name] = value
        self.rows.append(row)

    def ends(
        self, first: int, rounding: Rounding, channels: Int64, late: Int64, storage: np.dtype[Any], lanes: int
    ) -> dict[int, int]:
        """Return the fields of a finish that requantizes; see `hwsim.kernels.finish.Ends`."""
        fields, block = ends(first, rounding, channels, late, storage, lanes)
        self.kept.append(block)
        return fields


@dataclass(frozen=True)
class Sums:
    """What an exact layer computes: operands, and the exact constants that its kernels start from.

    Parameters
    ----------
    operands
        What is multiplied.
    weights
        int64 [groups, K, N], zero points subtracted; depthwise [1, taps, C].
    start
        int64 [groups * N]: the bias, less what the offset of the stored activations adds to the sum.
    rounding
        None: accumulators leave as they are.
    storage
        Of the output.
    """

    operands: Operands
    weights: Int64
    start: Int64
    rounding: Rounding | None
    storage: np.dtype[Any]

    @property
    def element(self) -> np.dtype[Any]:
        """Dtype of packed weights."""
        return np.dtype(np.int8 if self.operands == "bytes" else np.int16)

    def finish(self, whole: bool) -> Finish:
        """Return what the kernels write."""
        if self.rounding is None:
            return Finish(None, 32)
        bits: Literal[8, 16] = 8 if self.storage.itemsize == 1 else 16
        return Finish(self.rounding.profile, bits, whole, self.rounding.half_up, self.rounding.right_only)


def exact_calls(sums: Sums, segments: int, group_bytes: int, target: Target) -> Calls:
    """Return the calls of a convolution: every group's channels in panels.

    segments: runs of a window; group_bytes: of a pixel's channels that a group reads.
    """
    calls, lanes = Calls(), target.lanes
    groups, _, channels = sums.weights.shape
    delta = _delta(sums)
    panels = spread(panel_vectors(channels, lanes))
    row, at = sum(vectors for _, (_, vectors) in panels) * groups * target.bytes, 0
    if sums.rounding is not None:
        row = groups * channels * sums.storage.itemsize
    for group in range(groups):
        if delta is not None:
            _add_row_sums(calls, sums, segments, group * group_bytes, target)
        for first, (size, vectors) in panels:
            finish = sums.finish(size == vectors * lanes)
            order = finish.order(target, vectors)
            local = np.where(order < size, first + order, -1)
            number = np.where(local >= 0, group * channels + local, -1)
            weights = sums.weights[group][:, np.maximum(local, 0)] * (local >= 0)
            kernel, fields = exact_call(calls, sums, finish, number, weights, segments, target, delta)
            fields[Tile.OUT_STRIDE] = row
            out = (group * channels + first) * sums.storage.itemsize if sums.rounding is not None else at
            at += vectors * target.bytes
            calls.columns.append(number)
            calls.add(kernel, group * group_bytes, out, OUTPUT, fields)
    return calls


def _steps(sums: Sums, segments: int) -> tuple[int, int]:
    """Return steps per segment, and operands per step and lane."""
    per = 4 if sums.operands == "bytes" else 2
    return -(-(sums.weights.shape[1] // segments) // per), per


def _add_row_sums(calls: Calls, sums: Sums, segments: int, image: int, target: Target) -> None:
    """Add the call that sums the activations of each window: every weight is one."""
    steps, per = _steps(sums, segments)
    ones = np.zeros((segments, steps * per), np.int64)
    ones[:, : sums.weights.shape[1] // segments] = 1
    packed = np.repeat(ones.reshape(-1, 1, per), target.lanes, axis=1).astype(sums.element)
    fields: dict[int, int] = {
        Tile.SEGMENTS: segments, Tile.STEPS: steps, Tile.WEIGHTS: calls.address(packed),
        Tile.START: calls.address(np.zeros(target.lanes, np.int32)), Tile.OUT_STRIDE: target.bytes,
    }  # fmt: skip
    kernel = Exact(sums.operands, tile_shape(target, 1), 1, Finish(None, 32)).address(target)
    calls.add(kernel, image, 0, ROW_SUMS, fields)


def exact_call(
    calls: Calls, sums: Sums, finish: Finish, number: Int64, weights: Int64, segments: int, target: Target,
    delta: Int64 | None = None,
) -> tuple[int, dict[int, int]]:  # fmt: skip
    """Return the kernel and the fields of one panel.

    Parameters
    ----------
    number
        Channel of each lane, -1 for none.
    weights
        int64 [K, lanes], in that order.
    delta
        int64 [channels]: what the packed weights are less, or None.
    """
    steps, per = _steps(sums, segments)
    vectors = number.size // target.lanes
    if delta is not None:
        weights = weights - np.where(number >= 0, delta[np.maximum(number, 0)], 0)
    padded = np.zeros((segments, steps * per, number.size), np.int64)
    padded[:, : weights.shape[0] // segments] = weights.reshape(segments, -1, number.size)
    split = padded.reshape(segments, steps, per, vectors, target.lanes).transpose(0, 1, 3, 4, 2)
    fields: dict[int, int] = {
        Tile.SEGMENTS: segments,
        Tile.STEPS: steps,
        Tile.WEIGHTS: calls.address(np.ascontiguousarray(split).astype(sums.element)),
        Tile.START: calls.address(lanes32(sums.start, number)),
    }
    if delta is not None:
        fields[Tile.DELTA] = calls.address(lanes32(delta, number))
    if sums.rounding is not None:
        fields |= calls.ends(Tile.ENDS, sums.rounding, number, np.zeros_like(sums.start), sums.storage, target.lanes)
    return Exact(sums.operands, tile_shape(target, vectors), vectors, finish, delta is not None).address(target), fields


def _delta(sums: Sums) -> Int64 | None:
    """Return a constant per channel that weights must be less to fit an operand, int64 [channels]; None if they do."""
    low, high = sums.weights.min(axis=1).reshape(-1), sums.weights.max(axis=1).reshape(-1)
    narrow = np.iinfo(sums.element)
    if low.min(initial=0) >= narrow.min and high.max(initial=0) <= narrow.max:
        return None
    delta: Int64 = np.where(low < narrow.min, low - narrow.min, np.maximum(high - narrow.max, 0))
    return delta


def spread(panels: list[tuple[int, int]]) -> list[tuple[int, tuple[int, int]]]:
    """Pair each panel with its first channel."""
    starts = np.cumsum([0, *(size for size, _ in panels)])
    return list(zip(starts[:-1].tolist(), panels, strict=True))


def lanes32(values: Int64, channels: Int64) -> npt.NDArray[np.int32]:
    """Return the low 32 bits of each lane's value; 0 where there is no channel."""
    chosen = np.where(channels >= 0, values[np.maximum(channels, 0)], 0)
    return (chosen & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def depthwise_step(channels: int, sums: Sums, target: Target, out_width: int, stride: int) -> int:
    """Return output pixels that are computed as one pixel of more channels, so that all vectors are full."""
    width = target.bytes // sums.element.itemsize
    step = math.lcm(channels, width) // channels
    return step if stride == 1 and step <= out_width else 1


def depthwise_calls(sums: Sums, step: int, target: Target, *, tall: bool = False) -> Calls:
    """Return the calls of a depthwise layer, of `step` pixels at once; tall: of two rows, see `Depthwise`."""
    calls, lanes = Calls(), target.lanes
    channels = sums.weights.shape[2]
    kernel = Depthwise(sums.operands, sums.finish(True), tall)
    per, width = kernel.taps, kernel.vectors * lanes
    taps = _columns(sums.weights[0], per) if tall else sums.weights[0][None]
    steps = -(-taps.shape[1] // per)
    item_in, item_out = sums.element.itemsize, sums.storage.itemsize if sums.rounding is not None else 4
    for first in range(0, channels * step, width):
        size = min(width, channels * step - first)
        finish = sums.finish(size == width)
        kernel = Depthwise(sums.operands, finish, tall)
        # Sums go by the order of the packing, or as they lie.
        order = finish.order(target, kernel.vectors)
        number = np.where(order < size, (first + order) % channels, -1)
        padded = np.zeros((len(taps), steps * per, width), np.int64)
        padded[:, : taps.shape[1]] = taps[:, :, np.maximum(number, 0)] * (number >= 0)
        split = padded.reshape(len(taps), steps, per, kernel.vectors, lanes).transpose(1, 0, 3, 4, 2)
        fields: dict[int, int] = {
            Taps.STEPS: steps,
            Taps.WEIGHTS: calls.address(np.ascontiguousarray(split).astype(sums.element)),
            Taps.START: calls.address(lanes32(sums.start, number)),
        }
        if sums.rounding is not None:
            fields |= calls.ends(Taps.ENDS, sums.rounding, number, np.zeros_like(sums.start), sums.storage, lanes)
        calls.columns.append(number)
        calls.add(kernel.address(target), first * item_in, first * item_out, OUTPUT, fields)
    return calls


def _columns(weights: Int64, per: int) -> Int64:
    """Return the taps of windows three high, int64 [3 * width, C], for two rows: [2, width * per, C], column by column.

    A column has `per` = 4 taps. The upper row has no weight for the last of them, the lower one none for the first.
    """
    by_column = weights.reshape(3, -1, weights.shape[1]).swapaxes(0, 1)
    found = np.zeros((2, by_column.shape[0], per, weights.shape[1]), np.int64)
    found[0, :, :3], found[1, :, 1:] = by_column, by_column
    return found.reshape(2, -1, weights.shape[1])
