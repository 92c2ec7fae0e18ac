"""A register of the reduction in the lanes of a vector: what it holds after a write, and how often the sum did not fit.

``hold = fit(register + addend)`` with the addend exact in the lane. A register of as many bits as its lane uses the processor's
saturating addition; a narrower one needs the sum to fit its lane, which the planner proves.

Events are counted without comparing against both ends. An event leaves `end`, the end of the range on its side; one counter
takes 1 per event, the other the end. With hi = 2**(W-1) - 1 and lo = -2**(W-1), p events above and q below give the counters
``c = p + q`` and ``e = p hi + q lo``, so that ``e + c 2**(W-1) = p (2**W - 1)`` modulo 2**lane. An odd number has an inverse
there, so p follows exactly as long as it is below 2**lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from llvmlite import ir

from hwsim.kernels.codegen import I64, State, Value, Writer, constant
from hwsim.spec import Overflow, Register


class Limits(IntEnum):
    """Fields of one register."""

    LO = 0
    HI = 1
    SPARE = 2
    """Bits of the lane less those of the register."""
    HALF = 3
    """``2**(W-1)``."""
    INVERSE = 4
    """Of ``2**W - 1``, modulo 2**lane."""


def limits(register: Register, lane: int) -> dict[int, int]:
    """Return the values of `Limits`."""
    bits = register.bits
    return {
        Limits.LO: register.format.lo,
        Limits.HI: register.format.hi,
        Limits.SPARE: lane - bits,
        Limits.HALF: 1 << (bits - 1),
        Limits.INVERSE: pow((1 << bits) - 1, -1, 1 << lane),
    }


@dataclass(frozen=True)
class Kind:
    """What the code of a register depends on: its overflow, and whether it fills its lane."""

    overflow: Overflow
    full: bool

    @classmethod
    def of(cls, register: Register, lane: int) -> Kind:
        """Return the kind of a register in lanes of so many bits."""
        return cls(register.overflow, register.bits == lane)

    def __repr__(self) -> str:
        return f"{self.overflow.value}{' full' if self.full else ''}"


class RegisterWriter:
    """Writes sums into one register.

    Parameters
    ----------
    w, kind
        The kernel, and the register's kind.
    lane
        Bits of its lanes.
    first
        Its first field.
    counted
        Whether to count events.
    vector
        Its type, where that is not a whole vector of its lanes.
    """

    def __init__(
        self, w: Writer, kind: Kind, lane: int, first: int, *, counted: bool, vector: ir.VectorType | None = None
    ) -> None:
        self.w, self.kind, self.lane, self.counted, self.first = w, kind, lane, counted, first
        self.vector = vector or (w.lanes if lane == 32 else w.words)
        self.lo, self.hi, self.spare = (self._splat(field) for field in (Limits.LO, Limits.HI, Limits.SPARE))

    def _splat(self, field: Limits) -> Value:
        value = self.w.field(IntEnum("At", {"X": self.first + field}).X)  # type: ignore[attr-defined]
        return self.w.splat(self.w.b.trunc(value, self.vector.element), self.vector)

    def none(self) -> State:
        """Return counters at zero: events, and their ends."""
        return [constant(self.vector, 0)] * (2 if self.counted else 0)

    def write(self, register: Value, addend: Value, counters: State) -> tuple[Value, State]:
        """Return what the register holds after a sum, and the counters."""
        w, b = self.w, self.w.b
        total = b.add(register, addend)
        saturates = self.kind.overflow is Overflow.SATURATE
        held = total
        end = total
        if saturates or self.counted:
            # In a narrower lane-filling sum the saturating addition only matters where the lane itself overflows.
            end = w.named("llvm.sadd.sat", register, addend) if self.kind.full or self.lane == 16 else total
            if not self.kind.full:
                end = w.clamp(end, self.lo, self.hi)
        if saturates:
            held = end
        elif not self.kind.full:
            held = b.ashr(b.shl(total, self.spare), self.spare)
        if not self.counted:
            return held, counters
        event = b.icmp_signed("!=", end, total)
        events, ends = counters
        events = b.select(event, b.add(events, constant(self.vector, 1)), events)
        return held, [events, b.select(event, b.add(ends, end), ends)]

    def write_known(self, register: Value, addend: Value, counter: Value, unit: Value) -> tuple[Value, Value]:
        """Return what the register holds after a sum, and a counter to which an event has added its lane of `unit`.

        For those who know the side of an event from elsewhere, as from the sign of the addend.
        """
        w, b, kind = self.w, self.w.b, self.kind
        total = b.add(register, addend)
        if kind.overflow is Overflow.WRAP and not kind.full:
            # A sum that leaves its lane comes back outside of the register's range: it has less than half as many values more.
            held = end = b.ashr(b.shl(total, self.spare), self.spare)
        else:
            end = w.named("llvm.sadd.sat", register, addend)
            end = end if kind.full else w.clamp(end, self.lo, self.hi)
            held = end if kind.overflow is Overflow.SATURATE else total
        struck = b.icmp_signed("!=", end, total)
        return held, b.select(struck, b.add(counter, unit), counter)

    def tally(self, counters: State, place: Value, stride: Value) -> None:
        """Add the events above, and `stride` bytes further those below, to int32 counters."""
        w, b = self.w, self.w.b
        events, ends = counters
        scaled = b.add(ends, b.mul(events, self._splat(Limits.HALF)))
        above = b.mul(scaled, self._splat(Limits.INVERSE))
        for kind, values in enumerate((above, b.sub(events, above))):
            at = w.at(place, b.mul(stride, I64(kind)))
            for v, part in enumerate(widened(w, values, signed=False)):
                w.store(b.add(w.load(at, w.lanes, v * w.target.bytes), part), at, v * w.target.bytes)


def widened(w: Writer, value: Value, *, signed: bool = True) -> list[Value]:
    """Return the 32-bit lanes of a vector: itself, or each whole vector's worth of 16-bit lanes."""
    if value.type == w.lanes:
        return [value]
    lanes = w.target.lanes
    parts = [w.shuffle(value, value, range(first, first + lanes)) for first in range(0, value.type.count, lanes)]
    return [w.b.sext(part, w.lanes) if signed else w.b.zext(part, w.lanes) for part in parts]
