"""What a `GemmCore` has to give for a GEMM, by the golden kernels alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.kernels.monitor import REGISTERS, Monitor
from hwsim.kernels.reduce import reduce_panel
from hwsim.kernels.requantize import Requantizer
from hwsim.spec import BiasAt, Core, Overflow, Profile, Reduction, ZeroPoints, require
from hwsim.spec.errors import within

Int64 = npt.NDArray[np.int64]

PANEL_ELEMENTS = 1 << 22
"""The most operands that are held as 64-bit integers at a time."""


@dataclass(frozen=True)
class Outliers:
    """The sparse part of the weights.

    Parameters
    ----------
    k, column, value
        Integers [entries]: product, channel of the GEMM and weight of each. The K tiles are taken in ascending order, the
        entries of one K tile as they stand here; several may have the same place.
    """

    k: Int64
    column: Int64
    value: Int64


@dataclass(frozen=True)
class GemmCase:
    """Operands and constants of one GEMM ``[M, K] x [K, N]``; arrays are integers of any NumPy type.

    Parameters
    ----------
    activations
        [M, K], raw, as they are on the port.
    weights
        [K, N], the dense part, zero points subtracted.
    bias
        [N]; with folded zero points their share is in it.
    multiplier, shift
        [N]: factor of each channel; not used where accumulators leave as they are, nor are `lo` and `hi`.
    lo, hi
        Clamp of the results.
    activation_zero_point, output_zero_point
        The first is subtracted only where the reduction says so.
    single
        Round once (`Profile.TFLITE_SINGLE`); only with the profile ``tflite``.
    outliers
        The sparse part, or None.
    """

    activations: Int64
    weights: Int64
    bias: Int64
    multiplier: Int64
    shift: Int64
    lo: int
    hi: int
    activation_zero_point: int = 0
    output_zero_point: int = 0
    single: bool = False
    outliers: Outliers | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """M, K and N."""
        return self.activations.shape[0], *self.weights.shape


def check_case(core: Core, case: GemmCase) -> None:
    """Raise `InputError` unless the core can take every operand and constant as it is."""
    m, k, n = case.shape
    reduction, acc = core.arithmetic.reduction, core.arithmetic.reduction.acc.format
    require(case.activations.shape == (m, k), "activations", f"of shape ({m}, {k})", case.activations.shape)
    _require_range("activations", case.activations, core.activation.lo, core.activation.hi)
    _require_range("weights", case.weights, core.weight.lo, core.weight.hi)
    _require_vector("bias", case.bias, n)
    if reduction.bias_at is BiasAt.START:
        if reduction.acc.overflow is Overflow.SATURATE:
            _require_range("bias", case.bias, acc.lo, acc.hi)
    elif core.bias_bits:
        _require_range("bias", case.bias, -1 << (core.bias_bits - 1), (1 << (core.bias_bits - 1)) - 1)
    _require_zero_point("activation_zero_point", case.activation_zero_point, core.activation.lo, core.activation.hi)
    if core.output is not None:
        _require_vector("multiplier", case.multiplier, n)
        _require_vector("shift", case.shift, n)
        _require_range("shift", case.shift, -31, core.max_left_shift)
        lo, hi = core.output.lo, core.output.hi
        require(lo <= case.lo <= case.hi <= hi, "clamp", f"ascending, within {lo} to {hi}", (case.lo, case.hi))
        _require_zero_point("output_zero_point", case.output_zero_point, lo, hi)
        require(
            not case.single or core.arithmetic.profile is Profile.TFLITE,
            "single", "false unless the profile is tflite", case.single,
        )  # fmt: skip
    if case.outliers is not None:
        _check_outliers(core, case.outliers, k, n)


def _check_outliers(core: Core, outliers: Outliers, k: int, n: int) -> None:
    entries = len(outliers.k)
    require(core.outlier_lanes > 0 or not entries, "outliers", "none for a core without outlier lanes", entries)
    for name, limits in (("k", (0, k - 1)), ("column", (0, n - 1)), ("value", _signed(core.outlier_bits))):
        values = getattr(outliers, name)
        _require_vector(f"outliers.{name}", values, entries)
        _require_range(f"outliers.{name}", values, *limits)


def _signed(bits: int) -> tuple[int, int]:
    return -1 << (bits - 1), (1 << (bits - 1)) - 1


def _require_vector(name: str, values: npt.NDArray[Any], size: int) -> None:
    require(values.shape == (size,), name, f"of shape ({size},)", values.shape)


def _require_zero_point(name: str, value: int, lo: int, hi: int) -> None:
    require(within(value, range(lo, hi + 1)), name, f"an integer from {lo} to {hi}", value)


def _require_range(name: str, values: npt.NDArray[Any], lo: int, hi: int) -> None:
    require(values.dtype.kind in "iu", name, "integers", values.dtype)
    for worst in (values.min(initial=lo), values.max(initial=hi)):
        require(lo <= worst <= hi, name, f"from {lo} to {hi}", worst)


def golden(core: Core, case: GemmCase) -> tuple[Int64, Int64]:
    """Compute a GEMM as the core does.

    Returns
    -------
    results : int64 [M, N]
        What leaves the core: requantized, or the accumulators (with `BiasAt.END` without bias).
    events : int64 [3, 2]
        Overflow events by register (tree, psum, acc) and kind (above, below).

    Raises
    ------
    InputError
        Where the core cannot take an operand, as a saturating accumulator a bias that it cannot hold.
    """
    check_case(core, case)
    arithmetic = core.arithmetic
    m, k, n = case.shape
    at_end = arithmetic.reduction.bias_at is BiasAt.END
    bias = case.bias.astype(np.int64)
    summing = replace(arithmetic.reduction, bias_at=BiasAt.START)
    weights = np.ascontiguousarray(case.weights, np.int64)
    acc, events = np.empty((m, n), np.int64), np.zeros((len(REGISTERS), 2), np.int64)
    block = max(1, PANEL_ELEMENTS // k)
    for row in range(0, m, block):
        rows = slice(row, row + block)
        panel = _operands(core, case, rows)
        acc[rows] = _sums(core, summing, panel, weights, np.zeros_like(bias) if at_end else bias, case.outliers, events)
    if core.output is None:
        return acc, events
    bits = arithmetic.reduction.acc.bits
    if at_end:
        acc, bits = acc + bias, core.bias_bits + 1
    profile = Profile.TFLITE_SINGLE if case.single else arithmetic.profile
    requantizer = Requantizer.from_integers(
        case.multiplier, case.shift, profile, case.output_zero_point, case.lo, case.hi, bits
    )
    return requantizer(acc, slice(None), "int64"), events


def _operands(core: Core, case: GemmCase, rows: slice) -> Int64:
    """Return the activations of some rows as the multipliers see them."""
    panel = np.ascontiguousarray(case.activations[rows], np.int64)
    subtract = core.arithmetic.reduction.zero_points is ZeroPoints.SUBTRACT
    return panel - case.activation_zero_point if subtract else panel


def _sums(
    core: Core,
    reduction: Reduction,
    panel: Int64,
    weights: Int64,
    start: Int64,
    outliers: Outliers | None,
    events: Int64,
) -> Int64:
    """Return the accumulators [M, N] that begin with `start` [N]; add what overflows to `events`.

    Outliers follow the dense sum of their K tile, one write each. The dense sum is cut after K tiles with outliers only: a K
    tile is a whole number of chains, or there are none, so that other cuts would change nothing.
    """
    acc, done = start, 0
    for end, entries in _sparse_tiles(core, outliers, panel.shape[1]):
        acc = _reduce(panel[:, done:end], weights[done:end], acc, reduction, events)
        for k, column, value in entries:
            single = Reduction(acc=reduction.acc)
            place = slice(column, column + 1)
            acc[:, place] = _reduce(
                panel[:, k : k + 1], np.array([[value]], np.int64), np.ascontiguousarray(acc[:, place]), single, events
            )
        done = end
    return _reduce(panel[:, done:], weights[done:], acc, reduction, events) if done < panel.shape[1] else acc


def _sparse_tiles(core: Core, outliers: Outliers | None, k: int) -> Iterator[tuple[int, list[tuple[int, int, int]]]]:
    """Yield the end of each K tile that has outliers, and these as (product, channel, value)."""
    if outliers is None:
        return
    tiles = outliers.k // core.tile_products
    for tile in np.unique(tiles).tolist():
        found = np.flatnonzero(tiles == tile)
        entries = [getattr(outliers, name)[found].tolist() for name in ("k", "column", "value")]
        yield min(k, (tile + 1) * core.tile_products), list(zip(*entries, strict=True))


def _reduce(panel: Int64, weights: Int64, start: Int64, reduction: Reduction, events: Int64) -> Int64:
    monitor = Monitor(weights.shape[1])
    out = reduce_panel(np.ascontiguousarray(panel), weights, start, reduction, monitor)
    events += monitor.counts.sum(axis=2)
    return out
