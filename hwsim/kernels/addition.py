"""The sum of two quantized 8-bit tensors: what its kernels share, and the one that rounds three times, as TFLite does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.codegen import I8, I32, I64, State, Value, Writer, constant, vector_of
from hwsim.kernels.compiled import address_of, foreign
from hwsim.kernels.finish import SLOTS, Finish, FinishWriter, aligned, constants, ends, requantized
from hwsim.kernels.requantize import Requantizer
from hwsim.kernels.rounding import Rounding
from hwsim.kernels.table import Entry, Step
from hwsim.kernels.targets import Target, host
from hwsim.spec import Profile

HEADROOM = 20
"""Bits that a difference of 8-bit value and zero point is shifted left by, to make room for fractions."""

_FINISH = Finish(Profile.TFLITE, 8)


class Pairs(IntEnum):
    """Fields of a kernel that adds; its own follow."""

    A = 0
    B = 1
    OUT = 2
    COUNT = 3
    """Elements, at least a vector full of bytes."""
    OWN = 4


class ByteAdder(Step):
    """A sum of two 8-bit tensors.

    Parameters
    ----------
    address
        Of its kernel.
    own
        The kernel's fields, by number.
    kept
        What has memory that fields point to.
    storage
        Of the output.
    target
        What the kernel is compiled for.
    """

    def __init__(self, address: int, own: Mapping[int, int], kept: Sequence[Any], storage: str, target: Target) -> None:
        self.least, self._address, self._kept, self._storage = target.bytes, address, kept, np.dtype(storage)
        self.fields = np.zeros(max(own) + 1, np.int64)
        for number, value in own.items():
            self.fields[number] = value
        self._kernel = foreign(address)

    def entry(self, shapes: Sequence[tuple[int, ...]]) -> Entry:
        """Return the sum of two tensors of one shape, of `least` elements or more, for a table."""
        fields = self.fields.copy()
        fields[Pairs.COUNT] = math.prod(shapes[0])
        return Entry(self._address, fields, (Pairs.A, Pairs.B), Pairs.OUT, self._kept)

    def __call__(self, a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Add flat arrays of one size."""
        count = a.size
        if count < self.least:
            return self(*(np.resize(values, self.least) for values in (a, b)))[:count]
        out = np.empty(count, self._storage)
        fields = self.fields.copy()
        fields[: Pairs.COUNT + 1] = a.ctypes.data, b.ctypes.data, out.ctypes.data, count
        self._kernel(fields.ctypes.data)
        return out


class Operands(IntEnum):
    """Fields of the kernel below, behind those of `Pairs`. Those of `hwsim.kernels.finish.Ends` follow."""

    ZERO_A = Pairs.OWN
    ZERO_B = Pairs.OWN + 1
    SCALES = Pairs.OWN + 2
    """Constants of a, then of b."""
    ENDS = Pairs.OWN + 3


@dataclass(frozen=True)
class Addition:
    """Adds bytes with or without a sign, in the profile TFLITE; the last vector overlaps the one before."""

    signed: tuple[bool, bool]

    def address(self, target: Target | None = None) -> int:
        """Return the compiled kernel."""
        return address_of(repr(self), self.write, target)

    def write(self, target: Target, name: str) -> ir.Module:
        """Write the kernel."""
        w = Writer(target, name)
        b, size = w.b, target.bytes
        finish = FinishWriter(w, _FINISH, 4, Operands.ENDS)
        order = _FINISH.order(target, 4).reshape(4, -1).tolist()
        sources, out = (w.pointer(Pairs.A), w.pointer(Pairs.B)), w.pointer(Pairs.OUT)
        zeros = [w.splat(b.trunc(w.field(zero), I32), w.lanes) for zero in (Operands.ZERO_A, Operands.ZERO_B)]
        scales, count = w.pointer(Operands.SCALES), w.field(Pairs.COUNT)
        last = b.sub(count, I64(size))

        def term(side: int, octets: Value, part: list[int]) -> Value:
            chosen = w.shuffle(octets, octets, part)
            value = b.sext(chosen, w.lanes) if self.signed[side] else b.zext(chosen, w.lanes)
            shifted = b.shl(b.sub(value, zeros[side]), constant(w.lanes, HEADROOM))
            return requantized(w, _FINISH, shifted, w.at(scales, side * SLOTS * size))

        def block(i: Value, _state: State) -> State:
            at = b.mul(i, I64(size))
            at = b.select(b.icmp_signed("<", at, last), at, last)
            loaded = [w.load(source, vector_of(I8, size), at) for source in sources]
            row = [b.add(term(0, loaded[0], part), term(1, loaded[1], part)) for part in order]
            finish.store([row], [w.at(out, at)])
            return []

        w.loop(b.sdiv(b.add(count, I64(size - 1)), I64(size)), [], block)
        return w.done()


def requantizers(reals: Sequence[float], profile: Profile, zero_point: int, lo: int, hi: int) -> list[Requantizer]:
    """Return what a and b, shifted by `HEADROOM`, and their sum go through: factors, and the output's zero point and clamp."""
    terms = [Requantizer([real], profile, 0, -(2**31), 2**31 - 1, 32) for real in reals[:2]]
    return [*terms, Requantizer([reals[2]], profile, zero_point, lo, hi, 32)]


def all_sums(parts: Sequence[Requantizer], zeros: Sequence[int], signed: Sequence[bool]) -> npt.NDArray[np.int64]:
    """Return the sums of every two bytes, from the lowest up: int64 [256, 256]; `parts` as from `requantizers`."""
    one = slice(0, 1)
    first, second = (
        part((np.arange(256) - 128 * sign - zero << HEADROOM)[:, None], one, "int64")
        for part, zero, sign in zip(parts[:2], zeros, signed, strict=True)
    )
    found: npt.NDArray[np.int64] = parts[2]((first + second[:, 0]).reshape(-1, 1), one, "int64").reshape(256, 256)
    return found


def scaled_adder(
    parts: Sequence[Requantizer], zeros: Sequence[int], signed: tuple[bool, bool], storage: str,
    target: Target | None = None,
) -> ByteAdder | None:  # fmt: skip
    """Return a sum that rounds as TFLite does, or None where a step leaves its integers.

    Parameters
    ----------
    parts
        As from `requantizers`, in the profile TFLITE; factors of a and b at most 1/2.
    zeros
        Zero points of a and b.
    signed
        Whether a and b have a sign.
    storage
        Of the output.
    """
    chosen = target or host()
    channel, none = np.zeros(chosen.lanes, np.int64), np.zeros(1, np.int64)
    most, sums = np.full(1, 255 << HEADROOM), np.full(1, 1 << 29)
    terms = [Rounding.of(part, -most, most) for part in parts[:2]]
    total = Rounding.of(parts[2], -sums, sums)
    if not all(rounding.fits() for rounding in (*terms, total)):
        return None
    scales = aligned(np.concatenate([constants(term, channel, none, 0, chosen.lanes) for term in terms]))
    found, last = ends(
        Operands.ENDS, total, np.zeros(4 * chosen.lanes, np.int64), none, np.dtype(storage), chosen.lanes
    )
    own = {Operands.ZERO_A: zeros[0], Operands.ZERO_B: zeros[1], Operands.SCALES: scales.ctypes.data, **found}
    return ByteAdder(Addition(signed).address(chosen), own, (scales, last), storage, chosen)
