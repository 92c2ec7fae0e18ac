"""What an ordered kernel is made for, and the fields that it reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from hwsim.kernels.fields import Call
from hwsim.kernels.finish import Finish
from hwsim.kernels.registers import Kind, Limits


class Ordering(IntEnum):
    """Fields of a kernel, behind those of `Call`. Those of `hwsim.kernels.finish.Ends` follow."""

    SEGMENTS = Call.OWN
    GROUPS = Call.OWN + 1
    """Groups of products per segment."""
    CHAIN = Call.OWN + 2
    """Groups per partial sum."""
    WEIGHTS = Call.OWN + 3
    START = Call.OWN + 4
    """int32 [vectors of 32-bit lanes]: initial accumulators."""
    OUT_STRIDE = Call.OWN + 5
    TALLY = Call.OWN + 6
    """int32 [3 registers, 2 kinds, lanes]: events above and below, added to."""
    TALLY_STRIDE = Call.OWN + 7
    """Bytes of one kind."""
    BOUNDS = Call.OWN + 8
    """int32 [segments, stretches, `Form.bounds`, lanes]: between which a register stays through a stretch of products, whatever
    they are; see `hwsim.kernels.gated_writer`."""
    LIMITS = Call.OWN + 9
    ENDS = Call.OWN + 9 + 3 * len(Limits)


@dataclass(frozen=True)
class Form:
    """What an ordered kernel sums; all that its code depends on.

    Parameters
    ----------
    lane
        Bits of the lanes that products, tree and partial sums live in: 16, where they all fit, or 32.
    rows, vectors
        Of the tile; vectors of those lanes.
    finish
        What it writes.
    lanes
        Products of a group.
    acc, psum, tree
        The registers; no partial sum: groups go to the accumulator; no tree register: groups are summed exactly.
    own
        Every channel has its own activations: the segments are taps.
    counted
        Whether events are counted.
    acc_lane
        Bits of the accumulators' lanes.
    stretch
        Pairs of products of a gated kernel, or 0. Before each stretch of so many, registers are compared with bounds. Where all
        of a tile are between them, no order of these products can take one out of its range: they are summed exactly, in
        pairs. For one register, in lanes of 32 bits.
    fours
        Operands of a gated kernel are bytes: its stretches are of fours of products, in groups of 1, 2, or a multiple of 4.
    offset
        Activations in bytes are more than they should be, by as much for all of them.
    """

    lane: int
    rows: int
    vectors: int
    finish: Finish
    acc: Kind
    lanes: int = 1
    psum: Kind | None = None
    tree: Kind | None = None
    own: bool = False
    counted: bool = True
    acc_lane: int = 32
    stretch: int = 0
    fours: bool = False
    offset: bool = False

    @property
    def bounds(self) -> int:
        """Vectors in the table of a stretch, per vector of the tile."""
        return 3 + 4 * self.stretch // self.lanes if self.offset else 2

    @property
    def weights_per_group(self) -> int:
        """Vectors of weights that a group reads per vector of the tile; of those that are summed as pairs or fours, 1."""
        if self.stretch:
            return 1
        if self.lane == 16 or self.tree is not None or self.own:
            return self.lanes
        return (self.lanes + 1) // 2
