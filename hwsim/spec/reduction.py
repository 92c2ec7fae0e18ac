"""How the hardware sums a dot product: the order, the registers, and where bias and zero points enter.

Wrapping is independent of the order; saturation is not. So the order is part of the specification.
For one output with products ``p[0..K)``, where ``k = (ky * KW + kx) * IC + ic``:

1. Groups of `lanes` consecutive products are summed by an adder tree. The last group is padded with zeros.
   The tree is balanced: level by level, neighbours are added in pairs and an odd one out moves up unchanged.
   With `tree` set, every adder writes to a register of that kind; without, the tree is exact.
2. ``psum <- overflow_psum(psum + group)`` for `chain` groups in a row.
3. ``acc <- overflow_acc(acc + psum); psum <- 0`` after each chain, and after the last, shorter one.
   With ``chain=None`` there is no partial sum: each group goes to the accumulator.
4. The accumulator starts at the bias (`BiasAt.START`), or the requantizer adds it, exactly, to what
   leaves the accumulator (`BiasAt.END`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from hwsim.spec.errors import require, within
from hwsim.spec.number import Overflow, Register


class BiasAt(enum.Enum):
    """Where the bias enters the sum."""

    START = "start"
    END = "end"


class ZeroPoints(enum.Enum):
    """What the array does with the activations' zero point; that of the weights is always subtracted on load.

    SUBTRACT: the multiplier sees ``a - zero_point``.
    FOLD: it sees ``a``, and ``-zero_point * sum(w)`` is part of the bias.
    """

    SUBTRACT = "subtract"
    FOLD = "fold"


INT32 = Register(32, Overflow.WRAP)
"""A plain 32-bit integer, as in C."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """Order and registers of a sum of products; see the module for the definition.

    Parameters
    ----------
    acc
        The accumulator.
    lanes
        Products per adder-tree group, 1..256.
    tree
        Register of each adder-tree node, or None for an exact tree. Needs ``lanes > 1``.
    chain
        Groups per partial sum (the rows of a systolic column), or None.
    psum
        The partial-sum register; given exactly when `chain` is.
    bias_at, zero_points
        Where the bias enters and who removes the activations' zero point.
    """

    acc: Register = INT32
    lanes: int = 1
    tree: Register | None = None
    chain: int | None = None
    psum: Register | None = None
    bias_at: BiasAt = BiasAt.START
    zero_points: ZeroPoints = ZeroPoints.SUBTRACT

    def __post_init__(self) -> None:
        require(within(self.lanes, range(1, 257)), "lanes", "an integer from 1 to 256", self.lanes)
        require(
            self.chain is None or within(self.chain, range(1, 65537)), "chain", "an integer from 1 to 65536", self.chain
        )
        require(
            (self.chain is None) == (self.psum is None),
            "psum",
            "given together with chain (groups per partial sum)",
            f"psum={self.psum}, chain={self.chain}",
        )
        require(self.tree is None or self.lanes > 1, "lanes", "at least 2 when tree is given", self.lanes)

    def writes(self, products: int) -> int:
        """Return how many sums a dot product of that length writes to registers (an exact tree has none)."""
        groups = -(-products // self.lanes)
        nodes = groups * (self.lanes - 1) if self.tree is not None else 0
        return nodes + (groups if self.chain is None else groups + -(-groups // self.chain))

    def __str__(self) -> str:
        parts = [f"acc {self.acc}"]
        if self.psum is not None:
            parts.append(f"psum {self.psum} over {self.chain}")
        if self.lanes > 1:
            parts.append(f"{self.lanes} lanes, tree {self.tree or 'exact'}")
        return ", ".join([*parts, f"bias at {self.bias_at.value}", f"zero points {self.zero_points.value}"])
