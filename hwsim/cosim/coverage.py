"""Functional coverage of a GEMM core: which corner cases a bench has really seen.

A bin is a sentence, such as ``acc high+1`` (a sum one above the largest accumulator). `hwsim.cosim.stimulus` says which
bins a configuration can reach, by constructing a case for each; a bench fails where one of those was not hit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from hwsim.cosim.golden import GemmCase
from hwsim.cosim.sums import Sums, trace
from hwsim.kernels.requantize import PROFILES, scale
from hwsim.spec import Core, Dataflow, Overflow, Profile

Int64 = npt.NDArray[np.int64]

NEAR = (-1, 0, 1)
"""Distances from a register's end that have bins."""

WAITS = ("WAIT_WEIGHTS", "WAIT_OUTLIERS", "WAIT_ACTIVATIONS", "WAIT_RESULTS")
"""Counters that a bench should see moving."""


def edge_bin(register: str, end: str, distance: int) -> str:
    """Return the bin of a value at that distance from the largest (``high``) or smallest (``low``) of a register or clamp."""
    return f"{register} {end}{distance:+d}" if distance else f"{register} {end}"


def back_bin(register: str, end: str) -> str:
    """Return the bin of a register that left its range at that end and came back by a later sum of the same dot product.

    A register that wraps comes back over its other end; one that saturates moves away from the end.
    """
    return f"{register} over {end} and back"


def last_link_bin(end: str) -> str:
    """Return the bin of a partial sum that only the last group of its chain takes over that end."""
    return f"psum over {end} in the last group of a chain"


def new_chain_bin(end: str) -> str:
    """Return the bin of a partial sum that is not over that end only because a new chain has begun."""
    return f"psum {end}, then a new chain"


def outlier_over_bin(end: str) -> str:
    """Return the bin of an accumulator that an outlier takes over that end."""
    return f"acc over {end} by an outlier"


def outlier_back_bin(end: str) -> str:
    """Return the bin of an accumulator that the dense sum takes over that end and an outlier of the same K tile back."""
    return f"acc over {end}, back by an outlier"


class Coverage:
    """Counts how often each bin was hit.

    Parameters
    ----------
    core
        The configuration.
    reachable
        The bins that must be hit.
    """

    def __init__(self, core: Core, reachable: Iterable[str]) -> None:
        self.core = core
        self.reachable = tuple(reachable)
        self.hits: Counter[str] = Counter()

    def sample(self, case: GemmCase, events: Int64) -> None:
        """Add a case that the device accepted; `events` [3, 2] are those of the kernels.

        Raises
        ------
        AssertionError
            If the sums that the bins are made of have other events than the kernels: one of the two is wrong.
        """
        self.hits.update(bins_of(self.core, case, events))

    def sample_job(self, registers: Mapping[str, int], counters: Mapping[str, int]) -> None:
        """Add what a job was started with, and what the device counted, by name."""
        self.hits.update(name for name in WAITS if counters[name])
        self.hits.update(shape_bins(self.core, registers))

    @property
    def missing(self) -> list[str]:
        """Reachable bins that nothing fell into."""
        return [name for name in self.reachable if not self.hits[name]]

    @property
    def hit(self) -> int:
        """How many of the reachable bins were hit."""
        return len(self.reachable) - len(self.missing)


def bins_of(core: Core, case: GemmCase, events: Int64 | None = None) -> set[str]:
    """Return the bins that a case falls into; `events` [3, 2] of the kernels, to check the sums against."""
    found = trace(core, case)
    bins = set()
    for row, name in enumerate(("tree", "psum", "acc")):
        sums = found.sums.get(name)
        seen = (0, 0) if sums is None else sums.events
        if events is not None and seen != tuple(events[row].tolist()):
            raise AssertionError(f"coverage has the {name} events {seen}, the kernels {events[row].tolist()}")
        if sums is not None:
            bins |= _register_bins(name, sums)
    if core.outlier_lanes:
        bins |= _outlier_write_bins(found.sums["acc"])
    if core.arithmetic.reduction.chain is not None:
        bins |= _chain_bins(core.arithmetic.reduction.chain, found.sums["psum"])
    bins |= _operand_bins(core, case) | _outlier_bins(core, case)
    return bins if core.output is None else bins | _requantizer_bins(core, case, found.results)


def shape_bins(core: Core, registers: Mapping[str, int]) -> set[str]:
    """Return the bins of a job's size."""
    bins = {
        "one K tile" if registers["K_TILES"] == 1 else "several K tiles",
        "one output tile" if registers["OUTPUT_TILES"] == 1 else "several output tiles",
    }
    if core.dataflow is Dataflow.WEIGHT_STATIONARY:
        sizes = {1: "one pixel", core.pixels: "a full bank of pixels"}
        bins |= {name for pixels, name in sizes.items() if registers["PIXELS"] == pixels}
    return bins


def _register_bins(name: str, sums: Sums) -> set[str]:
    limits = sums.register.format
    wraps = sums.register.overflow is Overflow.WRAP
    bins = set()
    left_high = left_low = np.zeros_like(sums.exact[0], bool)
    for exact, stored, written, fresh in zip(sums.exact, sums.stored, sums.written, sums.fresh, strict=True):
        for end, value in (("high", limits.hi), ("low", limits.lo)):
            bins |= {edge_bin(name, end, at) for at in NEAR if ((exact - value == at) & written).any()}
        above, below = (exact > limits.hi) & written, (exact < limits.lo) & written
        if fresh:
            left_high = left_low = np.zeros_like(above)
        inside = written & ~above & ~below
        if (left_high & (below if wraps else inside & (stored < limits.hi))).any():
            bins.add(back_bin(name, "high"))
        if (left_low & (above if wraps else inside & (stored > limits.lo))).any():
            bins.add(back_bin(name, "low"))
        left_high, left_low = left_high | above, left_low | below
    return bins


def _chain_bins(chain: int, sums: Sums) -> set[str]:
    """Where a chain begins and ends shows only in sums that do not fit: on either side of its last group."""
    limits = sums.register.format
    bins = set()
    position = 0
    held: Int64 | None = None
    for exact, stored, fresh in zip(sums.exact, sums.stored, sums.fresh, strict=True):
        position = 0 if fresh else position + 1
        for end, over, longer in (
            ("high", exact > limits.hi, held is not None and held + exact > limits.hi),
            ("low", exact < limits.lo, held is not None and held + exact < limits.lo),
        ):
            if 0 < position == chain - 1 and over.any():
                bins.add(last_link_bin(end))
            if fresh and np.any(longer & ~over):
                bins.add(new_chain_bin(end))
        held = stored
    return bins


def _operand_bins(core: Core, case: GemmCase) -> set[str]:
    """Corner times corner in one product, and zero points at the ends."""
    bins = set()
    for activation in ("lo", "hi"):
        rows = case.activations == getattr(core.activation, activation)
        for weight in ("lo", "hi"):
            columns = case.weights == getattr(core.weight, weight)
            if (rows.any(axis=0) & columns.any(axis=1)).any():
                bins.add(f"activation {activation} times weight {weight}")
    for end in ("lo", "hi"):
        if case.activation_zero_point == getattr(core.activation, end):
            bins.add(f"activation zero point {end}")
    return bins


def _outlier_write_bins(acc: Sums) -> set[str]:
    limits = acc.register.format
    wraps = acc.register.overflow is Overflow.WRAP
    bins = set()
    crossed = dict.fromkeys(("high", "low"), np.zeros_like(acc.exact[0], bool))
    held = acc.exact[0]
    for exact, stored, written, sparse in zip(acc.exact, acc.stored, acc.written, acc.sparse, strict=True):
        over = {"high": (exact > limits.hi) & written, "low": (exact < limits.lo) & written}
        inside = written & ~over["high"] & ~over["low"]
        for end, other in (("high", "low"), ("low", "high")):
            if sparse and over[end].any():
                bins.add(outlier_over_bin(end))
            if sparse and (crossed[end] & (over[other] if wraps else inside)).any():
                bins.add(outlier_back_bin(end))
            # Sums of zero come between where a K tile is worked through again for its other outliers.
            crossed[end] = crossed[end] & (exact == held) if sparse else over[end] | crossed[end] & (exact == held)
        held = stored
    return bins


def _outlier_bins(core: Core, case: GemmCase) -> set[str]:
    if case.outliers is None or not core.outlier_lanes:
        return set()
    tiles = Counter((case.outliers.k // core.tile_products).tolist())
    columns = Counter(zip((case.outliers.k // core.tile_products).tolist(), case.outliers.column.tolist(), strict=True))
    limits = -(1 << (core.outlier_bits - 1)), (1 << (core.outlier_bits - 1)) - 1
    found = {
        "outlier of the smallest value": (case.outliers.value == limits[0]).any(),
        "outlier of the largest value": (case.outliers.value == limits[1]).any(),
        "outliers in every lane": max(tiles.values(), default=0) >= core.outlier_lanes,
        "outliers of one channel": max(columns.values(), default=0) > 1,
    }
    return {name for name, hit in found.items() if hit}


def _requantizer_bins(core: Core, case: GemmCase, results: Int64) -> set[str]:
    bins = set()
    for n in range(results.shape[1]):
        factor = int(case.multiplier[n]), int(case.shift[n])
        for x in set(results[:, n].tolist()):
            bins |= _rounding_bins(core, case, x, *factor)
    return bins


def profile_of(core: Core, case: GemmCase) -> Profile:
    """Return how a core rounds a case."""
    return Profile.TFLITE_SINGLE if case.single else core.arithmetic.profile


def _rounding_bins(core: Core, case: GemmCase, x: int, multiplier: int, shift: int) -> set[str]:
    """Return the bins of one accumulator: ties of every rounding, and what the clamp does with the rounded result."""
    profile = profile_of(core, case)
    sign = "below zero" if x < 0 else "above zero"
    bins = set()
    if profile is Profile.TFLITE:
        product = (x << max(shift, 0)) * multiplier
        high = (product + (1 << 30)) >> 31
        right = max(-shift, 0)
        if product % (1 << 31) == 1 << 30:
            bins.add(f"tie of the high multiply {sign}")
        if right and high % (1 << right) == 1 << (right - 1):
            bins.add(f"tie of the shift {sign}")
    else:
        # A power of two is the multiplier 2**30, with which both have the same tie.
        total = 31 - shift
        product = x * (multiplier if profile is Profile.TFLITE_SINGLE else 1 << 30)
        if product % (1 << total) == 1 << (total - 1):
            bins.add(
                f"tie of the single rounding {sign}" if profile is Profile.TFLITE_SINGLE else f"tie of the shift {sign}"
            )
    if x and shift == core.max_left_shift:
        bins.add("largest left shift")
    if x and shift == -31:
        bins.add("largest right shift")
    code = PROFILES.index(profile)
    value = int(scale(np.int64(x), np.int64(multiplier), np.int64(shift), np.float32(0), code)) + case.output_zero_point
    for end, limit in (("low", case.lo), ("high", case.hi)):
        if value - limit in NEAR:
            bins.add(edge_bin("clamp", end, value - limit))
    return bins
