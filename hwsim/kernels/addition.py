"""The sum of two quantized 8-bit tensors as TFLite forms it, in the profile TFLITE: three requantizations per element."""

from __future__ import annotations

import math
from collections.abc import Sequence
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


class Operands(IntEnum):
    """Fields of the kernel. Those of `hwsim.kernels.finish.Ends` follow."""

    A = 0
    B = 1
    OUT = 2
    COUNT = 3
    """Elements, at least a vector full of bytes."""
    ZERO_A = 4
    ZERO_B = 5
    SCALES = 6
    """Constants of a, then of b."""
    ENDS = 7


@dataclass(frozen=True)
class Addition:
    """Adds bytes with or without a sign; the last vector overlaps the one before."""

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
        sources, out = (w.pointer(Operands.A), w.pointer(Operands.B)), w.pointer(Operands.OUT)
        zeros = [w.splat(b.trunc(w.field(zero), I32), w.lanes) for zero in (Operands.ZERO_A, Operands.ZERO_B)]
        scales, count = w.pointer(Operands.SCALES), w.field(Operands.COUNT)
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


class ByteAdder(Step):
    """A sum of two 8-bit tensors.

    Parameters
    ----------
    reals
        Factors of a, b and their sum, the first two at most 1/2.
    zeros
        Zero points of a, b and the output.
    signed
        Whether a and b have a sign.
    lo, hi, storage
        Of the output.
    """

    def __init__(
        self, reals: tuple[float, float, float], zeros: tuple[int, int, int], signed: tuple[bool, bool], lo: int, hi: int,
        storage: str, target: Target | None = None,
    ) -> None:  # fmt: skip
        chosen = target or host()
        channel, none = np.zeros(chosen.lanes, np.int64), np.zeros(1, np.int64)
        parts = [Requantizer([real], Profile.TFLITE, 0, -(2**31), 2**31 - 1, 32) for real in reals[:2]]
        result = Requantizer([reals[2]], Profile.TFLITE, zeros[2], lo, hi, 32)
        most, sums = np.full(1, 255 << HEADROOM), np.full(1, 1 << 29)
        terms = [Rounding.of(part, -most, most) for part in parts]
        total = Rounding.of(result, -sums, sums)
        self.legal = all(rounding.fits() for rounding in (*terms, total))
        self.storage, self.least = np.dtype(storage), chosen.bytes
        self._kept = [aligned(np.concatenate([constants(term, channel, none, 0, chosen.lanes) for term in terms]))]
        found, last = ends(Operands.ENDS, total, np.zeros(4 * chosen.lanes, np.int64), none, self.storage, chosen.lanes)
        self._kept.append(last)
        self.fields = np.zeros(Operands.ENDS + 5, np.int64)
        self.fields[Operands.ZERO_A], self.fields[Operands.ZERO_B] = zeros[:2]
        self.fields[Operands.SCALES] = self._kept[0].ctypes.data
        for name, value in found.items():
            self.fields[name] = value
        self._address = Addition(signed).address(chosen) if self.legal else 0
        self._kernel = foreign(self._address) if self.legal else None

    def entry(self, shapes: Sequence[tuple[int, ...]]) -> Entry:
        """Return the sum of two tensors of one shape, of `least` elements or more, for a table."""
        fields = self.fields.copy()
        fields[Operands.COUNT] = math.prod(shapes[0])
        return Entry(self._address, fields, (Operands.A, Operands.B), Operands.OUT, self._kept)

    def __call__(self, a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Add flat arrays of one size."""
        assert self._kernel is not None
        count = a.size
        if count < self.least:
            return self(*(np.resize(values, self.least) for values in (a, b)))[:count]
        out = np.empty(count, self.storage)
        fields = self.fields.copy()
        fields[: Operands.COUNT + 1] = a.ctypes.data, b.ctypes.data, out.ctypes.data, count
        self._kernel(fields.ctypes.data)
        return out
