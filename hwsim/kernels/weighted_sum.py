"""The sum of two quantized 8-bit tensors in one step: ``floor((a * A + b * B + C) / 2**shift)``, clamped.

However a profile rounds, two bytes have 65,536 sums. `Weights.of` looks for constants that give them all, and where there are
none there is no such kernel: the whole table is the proof. It takes a fifth of the time of three requantizations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.addition import ByteAdder, Pairs
from hwsim.kernels.codegen import I8, I32, I64, State, Writer, constant
from hwsim.kernels.compiled import address_of
from hwsim.kernels.depthwise import unpacked
from hwsim.kernels.finish import Ends, Finish, FinishWriter
from hwsim.kernels.targets import Target, host
from hwsim.kernels.tile import pair_products
from hwsim.spec import Profile

LOW_BITS = 15
"""A weight is split there, so that both parts are words with a sign."""

MOST_SHIFT = 36
"""Of the sum: its upper part then fits 32 bits."""

SIGN = 128
"""What flips a byte from signed to unsigned, by exclusive or."""

_FINISH = Finish(Profile.TFLITE, 8)


@dataclass(frozen=True)
class Weights:
    """``floor((a * first + b * second + start) / 2**shift)`` of bytes without a sign."""

    first: int
    second: int
    start: int
    shift: int

    @classmethod
    def of(cls, table: npt.NDArray[np.int64], factors: tuple[float, float], lo: int, hi: int) -> Weights | None:
        """Return weights that give a table, clamped to ``lo..hi``; None: there are none near the factors.

        table: int64 [256, 256], the results of bytes a and b. Results at an end of the clamp bound `start` on one side only.
        """
        shift = min(29 - math.frexp(max(factors))[1], MOST_SHIFT)
        if shift < LOW_BITS:
            return None
        first, second = (round(math.ldexp(factor, shift)) for factor in factors)
        byte = np.arange(256)
        sums = byte[:, None] * first + byte * second
        low = np.max((table << shift) - sums, where=table > lo, initial=-(2**62))
        high = np.min((table + 1 << shift) - 1 - sums, where=table < hi, initial=2**62)
        if low > high or high == 2**62 or low == -(2**62):
            return None
        found = cls(first, second, int(low + (high - low) // 2), shift)
        return found if abs(found.start >> LOW_BITS) < 2**31 - 2**25 else None


class Operands(IntEnum):
    """Fields of the kernel, behind those of `Pairs`. Those of `hwsim.kernels.finish.Ends` follow."""

    FLIP_A = Pairs.OWN
    FLIP_B = Pairs.OWN + 1
    """`SIGN` for bytes with a sign, otherwise 0."""
    LOW = Pairs.OWN + 2
    """The lower parts of both weights, a word each."""
    HIGH = Pairs.OWN + 3
    START_LOW = Pairs.OWN + 4
    START_HIGH = Pairs.OWN + 5
    SHIFT = Pairs.OWN + 6
    """Of the upper part."""
    ENDS = Pairs.OWN + 7


@dataclass(frozen=True)
class WeightedSum:
    """Adds bytes; the last vector overlaps the one before."""

    def address(self, target: Target | None = None) -> int:
        """Return the compiled kernel."""
        return address_of(repr(self), self.write, target)

    def write(self, target: Target, name: str) -> ir.Module:
        """Write the kernel: a and b side by side in words, which meet the upper and the lower parts of their weights."""
        w = Writer(target, name)
        b, size = w.b, target.bytes
        finish = FinishWriter(w, _FINISH, 4, Operands.ENDS)
        sources, out = (w.pointer(Pairs.A), w.pointer(Pairs.B)), w.pointer(Pairs.OUT)
        flips = [w.splat(b.trunc(w.field(flip), I8), w.octets) for flip in (Operands.FLIP_A, Operands.FLIP_B)]
        low, high, start_low, start_high, shift = (
            w.splat(b.trunc(w.field(Operands(number)), I32), w.lanes) for number in range(Operands.LOW, Operands.ENDS)
        )
        last = b.sub(w.field(Pairs.COUNT), I64(size))
        none = constant(w.octets, 0)

        def block(i: Any, _state: State) -> State:
            at = b.mul(i, I64(size))
            at = b.select(b.icmp_signed("<", at, last), at, last)
            first, second = (
                b.xor(w.load(source, w.octets, at), flip) for source, flip in zip(sources, flips, strict=True)
            )
            pairs = [unpacked(w, first, second, 16, half) for half in (0, 1)]
            words = [b.bitcast(unpacked(w, pair, none, 16, half), w.lanes) for pair in pairs for half in (0, 1)]
            found = []
            for word in words:
                lower = b.lshr(b.add(start_low, pair_products(w, word, low)), constant(w.lanes, LOW_BITS))
                upper = b.add(start_high, pair_products(w, word, high))
                found.append(b.ashr(b.add(upper, lower), shift))
            finish.put([found], [w.at(out, at)])
            return []

        w.loop(b.sdiv(b.add(w.field(Pairs.COUNT), I64(size - 1)), I64(size)), [], block)
        return w.done()


def weighted_adder(
    table: npt.NDArray[np.int64], factors: tuple[float, float], signed: tuple[bool, bool], lo: int, hi: int,
    storage: str, target: Target | None = None,
) -> ByteAdder | None:  # fmt: skip
    """Return a sum of two tensors of bytes that gives a table, or None.

    Parameters
    ----------
    table
        int64 [256, 256]: the results, clamped to ``lo..hi``, by the lowest byte up of a and b.
    factors
        What a step of a and of b is in steps of the output, about.
    signed
        Whether a and b have a sign.
    storage
        Of the output.
    """
    chosen, offset = target or host(), SIGN if storage == "uint8" else 0
    found = Weights.of(table - offset, factors, lo - offset, hi - offset)
    if found is None:
        return None
    mask = (1 << LOW_BITS) - 1
    ends = {Ends.LO: lo - offset, Ends.HI: hi - offset, Ends.FLIP: -offset}
    return ByteAdder(
        WeightedSum().address(chosen), {
            Operands.FLIP_A: SIGN * signed[0], Operands.FLIP_B: SIGN * signed[1],
            Operands.LOW: (found.first & mask) + ((found.second & mask) << 16),
            Operands.HIGH: (found.first >> LOW_BITS) + (found.second >> LOW_BITS << 16),
            Operands.START_LOW: found.start & mask, Operands.START_HIGH: found.start >> LOW_BITS,
            Operands.SHIFT: found.shift - LOW_BITS,
            **{Operands.ENDS + end: value for end, value in ends.items()},
        }, (), storage, chosen,
    )  # fmt: skip
