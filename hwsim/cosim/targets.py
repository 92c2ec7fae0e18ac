"""Single outputs that are constructed to hit one coverage bin each: sums on, below and above every register's edges, ties.

What cannot be constructed within `MAX_TILES` K tiles is not reachable: that follows from the configuration's numbers
alone (a 32-bit accumulator that starts at zero, for instance, is out of reach of a few hundred 16-bit products).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from hwsim.cosim.coverage import (
    NEAR,
    back_bin,
    edge_bin,
    last_link_bin,
    new_chain_bin,
    outlier_back_bin,
    outlier_over_bin,
)
from hwsim.cosim.products import Factors, Products
from hwsim.spec import BiasAt, Core, Format, Profile, Register, ZeroPoints

MAX_TILES = 40
"""The most K tiles of a constructed case."""

ONE = 1 << 30
"""The multiplier of a power of two."""


@dataclass(frozen=True)
class Settings:
    """What a whole case shares: the zero points, the clamp, the rounding."""

    activation_zero_point: int = 0
    output_zero_point: int = 0
    lo: int = 0
    hi: int = 0
    single: bool = False


@dataclass(frozen=True)
class Target:
    """One output of a GEMM and the bin that it should hit.

    Attributes
    ----------
    name
        The bin.
    settings
        Of its case.
    factors
        Activation (zero point removed, where the core removes it) and weight by position k; all others are zero.
    outliers
        Value by position k, of an outlier on the activation there.
    bias, multiplier, shift
        Of its channel.
    reveal
        Whether they may be chosen so that the accumulator's lowest bit shows in the requantized result.
    """

    name: str
    settings: Settings
    factors: dict[int, tuple[int, int]] = field(default_factory=dict)
    bias: int = 0
    multiplier: int = ONE
    shift: int = 0
    reveal: bool = False
    outliers: dict[int, int] = field(default_factory=dict)

    @property
    def products(self) -> int:
        """Products that it takes, at least 1."""
        return 1 + max(self.factors, default=0)


class Builder:
    """Constructs targets for one core and one zero point of the activations."""

    def __init__(self, core: Core, settings: Settings) -> None:
        self.core, self.settings = core, settings
        # Only what is about the clamp has a narrow one: elsewhere it would hide wrong results.
        self.wide = settings if core.output is None else replace(settings, lo=core.output.lo, hi=core.output.hi)
        self.reduction = core.arithmetic.reduction
        subtract = self.reduction.zero_points is ZeroPoints.SUBTRACT
        zero_point = settings.activation_zero_point if subtract else 0
        activation, weight = core.activation, core.weight
        self.operands = Products((activation.lo - zero_point, activation.hi - zero_point), (weight.lo, weight.hi))
        self.starts_at_bias = self.reduction.bias_at is BiasAt.START

    def __iter__(self) -> Iterator[Target]:
        for name in ("tree", "psum", "acc"):
            register: Register | None = getattr(self.reduction, name)
            if register is None:
                continue
            for end, edge, sign in (("high", register.format.hi, 1), ("low", register.format.lo, -1)):
                for distance in NEAR:
                    yield from self._edge(name, end, edge + distance, distance, sign)
                if name != "tree":
                    yield from self._back(name, end, edge, sign)
                if name == "psum":
                    yield from self._chain(end, edge, sign)
        if self.core.outlier_lanes:
            yield from self._outliers()
        yield from self._operands()
        if self.core.output is not None:
            yield from self._roundings()

    def _edge(self, name: str, end: str, goal: int, distance: int, sign: int) -> Iterator[Target]:
        if name == "acc" and self.starts_at_bias:
            # The bias brings it near, a few products the rest of the way.
            factors = self.operands.sum_to(3 * sign, self._room(name))
            bias = goal - 3 * sign
        else:
            factors, bias = self.operands.sum_to(goal, self._room(name)), 0
        if factors is not None:
            placed = {self._place(name, i): pair for i, pair in enumerate(factors)}
            yield Target(edge_bin(name, end, distance), self.wide, placed, bias, reveal=True)

    def _back(self, name: str, end: str, edge: int, sign: int) -> Iterator[Target]:
        """Leave the range by one, then go back by one with the register's next write."""
        from_bias = name == "acc" and self.starts_at_bias
        there = self.operands.sum_to(sign if from_bias else edge + sign, self._room(name))
        back = self.operands.sum_to(-sign, 1)
        if there is None or back is None:
            return
        placed = {self._place(name, i): pair for i, pair in enumerate(there)}
        step = self._write_products(name)
        following = (max(placed) // step + 1) * step
        if name == "psum" and following >= self._chain_products:
            return
        bias = edge if from_bias else 0
        yield Target(back_bin(name, end), self.wide, placed | {following: back[0]}, bias, reveal=True)

    def _chain(self, end: str, edge: int, sign: int) -> Iterator[Target]:
        """Fill a chain to the edge; one more overflows in its last group, and does not in the next chain's first one."""
        one = self.operands.sum_to(sign, 1)
        last = self._chain_products - self.reduction.lanes
        for name, groups, following in (
            (last_link_bin(end), (self.reduction.chain or 1) - 1, last),
            (new_chain_bin(end), self.reduction.chain or 1, self._chain_products),
        ):
            full = self.operands.sum_to(edge, self._group_products * groups)
            if full is not None and one is not None:
                placed = {self._place("psum", i): pair for i, pair in enumerate(full)}
                yield Target(name, self.wide, placed | {following: one[0]}, reveal=True)

    def _outliers(self) -> Iterator[Target]:
        """Cross the accumulator's ends by an outlier, and by a dense product in front of an outlier that goes back."""
        limits = Format(self.core.outlier_bits)
        sparse = Products(self.operands.activations, (limits.lo, limits.hi))
        acc = self.reduction.acc.format
        for end, edge, sign in (("high", acc.hi, 1), ("low", acc.lo, -1)):
            bias = edge if self.starts_at_bias else 0
            over = sparse.sum_to(edge + sign - bias, 1)
            if over is not None:
                (operand, value), *_ = over
                yield Target(
                    outlier_over_bin(end), self.wide, {0: (operand, 0)}, bias, outliers={0: value}, reveal=True
                )
            dense, back = self.operands.sum_to(sign, 1), sparse.sum_to(-sign, 1)
            if self.starts_at_bias and dense is not None and back is not None and self.core.tile_products > 1:
                # The last product of the K tile is the last write in front of the outlier.
                placed = {0: (back[0][0], 0), self.core.tile_products - 1: dense[0]}
                yield Target(outlier_back_bin(end), self.wide, placed, bias, outliers={0: back[0][1]}, reveal=True)

    def _operands(self) -> Iterator[Target]:
        core, zero_point = self.core, self.settings.activation_zero_point
        subtract = self.reduction.zero_points is ZeroPoints.SUBTRACT
        for activation in ("lo", "hi"):
            for weight in ("lo", "hi"):
                value = getattr(core.activation, activation) - (zero_point if subtract else 0)
                pair = value, getattr(core.weight, weight)
                yield Target(f"activation {activation} times weight {weight}", self.wide, {0: pair}, reveal=True)
        for end in ("lo", "hi"):
            if subtract and zero_point == getattr(core.activation, end):
                yield Target(f"activation zero point {end}", self.wide)

    def _roundings(self) -> Iterator[Target]:
        """Accumulators that lie exactly between two results, on both sides of zero, and around the clamp's ends."""
        profile = Profile.TFLITE_SINGLE if self.settings.single else self.core.arithmetic.profile
        for sign, side in ((1, "above zero"), (-1, "below zero")):
            if profile is Profile.TFLITE:
                yield self._scaled(f"tie of the high multiply {side}", sign, 0)
                yield self._scaled(f"tie of the shift {side}", 4 * sign, -2)
            else:
                name = "single rounding" if profile is Profile.TFLITE_SINGLE else "shift"
                yield self._scaled(f"tie of the {name} {side}", 4 * sign, -2)
        settings = self.settings
        for end, limit in (("low", settings.lo), ("high", settings.hi)):
            for distance in NEAR:
                # Half of twice the value: exact.
                wanted = 2 * (limit + distance - settings.output_zero_point)
                if abs(wanted) < 64:
                    yield replace(self._scaled(edge_bin("clamp", end, distance), wanted, 0), settings=settings)
        if self.core.max_left_shift <= largest_left_shift(self.core):
            yield self._scaled("largest left shift", 3, self.core.max_left_shift)
        yield self._scaled("largest right shift", 3, -31)

    def _scaled(self, name: str, accumulator: int, shift: int) -> Target:
        """Return a target whose accumulator, bias included, is a small given number."""
        factors: Factors = self.operands.sum_to(3, self._room("acc")) or []
        placed = {self._place("acc", i): pair for i, pair in enumerate(factors)}
        return Target(name, self.wide, placed, accumulator - sum(a * w for a, w in factors), ONE, shift)

    @property
    def _chain_products(self) -> int:
        return self.reduction.lanes * (self.reduction.chain or 1)

    @property
    def _group_products(self) -> int:
        """Products that one group can take without an event in its tree."""
        tree = self.reduction.tree
        return self.reduction.lanes if tree is None else self._fitting(tree, self.reduction.lanes)

    def _fitting(self, register: Register, most: int) -> int:
        return max(1, min(most, register.format.hi // self.operands.largest))

    def _write_products(self, name: str) -> int:
        """Products between two writes of a register."""
        return self._chain_products if name == "acc" else self.reduction.lanes

    def _room(self, name: str) -> int:
        """Products that a target of a register may have."""
        if name == "tree":
            return self.reduction.lanes
        if name == "psum":
            return self._group_products * (self.reduction.chain or 1)
        tiles = MAX_TILES * self.core.tile_products // self._chain_products
        return tiles * self._commit_products

    @property
    def _commit_products(self) -> int:
        """Products that can go into the accumulator at once without an event on the way."""
        whole = self._group_products * (self.reduction.chain or 1)
        return whole if self.reduction.psum is None else self._fitting(self.reduction.psum, whole)

    def _place(self, name: str, i: int) -> int:
        """Return the position k of product i, so that no register on the way to the named one overflows."""
        if name == "tree":
            return i
        at = 0
        if name == "acc":
            commit, i = divmod(i, self._commit_products)
            at = commit * self._chain_products
        group, lane = divmod(i, self._group_products)
        return at + group * self.reduction.lanes + lane


def largest_left_shift(core: Core) -> int:
    """Return the largest shift that the kernels can follow for every accumulator of a core; see `scale`."""
    acc = core.arithmetic.reduction.acc.bits
    bits = acc if core.arithmetic.reduction.bias_at is BiasAt.START else 1 + max(acc, core.bias_bits)
    return min(core.max_left_shift, 62 - bits)


def settings_of(core: Core) -> list[Settings]:
    """Return the settings that targets are tried with: zero points in the middle and at both ends, both roundings.

    The clamp leaves three values, so that its ends can be met with small accumulators.
    """
    activation = core.activation
    zero_points = [0] if activation.signed else [1 << (activation.bits - 1)]
    if core.arithmetic.reduction.zero_points is ZeroPoints.SUBTRACT:
        zero_points += [activation.lo, activation.hi]
    if core.output is None:
        return [Settings(zero_point) for zero_point in zero_points]
    middle = 0 if core.output.signed else 1 << (core.output.bits - 1)
    outputs = middle, middle - 1, middle + 1
    return [
        Settings(zero_point, *outputs, single)
        for single in ((False, True) if core.arithmetic.profile is Profile.TFLITE else (False,))
        for zero_point in (zero_points if not single else zero_points[:1])
    ]


def targets_of(core: Core) -> list[Target]:
    """Return one target for every bin that can be constructed, each with the first settings that allow it."""
    found: dict[str, Target] = {}
    for settings in settings_of(core):
        for target in Builder(core, settings):
            found.setdefault(target.name, target)
    return list(found.values())
