"""What happens to accumulators in registers: requantization, packing into 8 or 16 bits, and the store.

`Finish` names what leaves a kernel. The constants of a panel of channels lie in blocks, one per vector of accumulators, of
`SLOTS` vectors each; `constants` lays them out, and the writers below read them. Each rounding equals
`hwsim.kernels.requantize.scale` in its profile wherever `hwsim.kernels.rounding.fits` says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hwsim.kernels.codegen import FLOAT, I1, I8, I16, I32, I64, State, Value, Writer, constant, vector_of
from hwsim.kernels.rounding import Rounding
from hwsim.kernels.targets import Target
from hwsim.spec import Profile

SLOTS = 8
"""Vectors of constants per vector of accumulators."""

LATE = 7
"""The slot of what is added to an accumulator before it is requantized: int32."""


@dataclass(frozen=True)
class Finish:
    """What a kernel writes.

    Parameters
    ----------
    profile
        How it rounds; None: it does not, accumulators leave as they are.
    bits
        Of an element: 8, 16, or 32 for accumulators.
    whole
        Every vector of the panel is full. An accumulator panel always is: it goes to a buffer of whole vectors.
    half_up, right_only
        What is left out of the rounding, see `Rounding.half_up` and `Rounding.right_only`.
    """

    profile: Profile | None
    bits: Literal[8, 16, 32]
    whole: bool = True
    half_up: bool = False
    right_only: bool = False

    def order(self, target: Target, vectors: int) -> npt.NDArray[np.int64]:
        """Return which channel of its panel each lane computes: int64 [vectors * lanes].

        Packing with saturation interleaves blocks of 4 lanes; channels lie so that it brings them back into order.
        """
        vector, lane = np.divmod(np.arange(vectors * target.lanes), target.lanes)
        if self.bits == 8 and target.packs:
            lane, vector = lane % 4 + 4 * vectors * (lane // 4), 4 * vector
            return np.asarray(lane + vector, np.int64)
        return np.arange(vectors * target.lanes)


class Ends(IntEnum):
    """The fields that a finish reads, after those of its kernel."""

    CONSTANTS = 0
    VALID = 1
    LO = 2
    HI = 3
    FLIP = 4


def constants(
    rounding: Rounding, channels: npt.NDArray[np.int64], late: npt.NDArray[np.int64], offset: int, lanes: int
) -> npt.NDArray[np.int32]:
    """Return the constants of a panel, flat.

    Parameters
    ----------
    rounding
        Of the layer.
    channels
        The channel of each lane, or -1.
    late
        What to add to each channel's accumulator first.
    offset
        What the zero point is less in the kernel: 128 for unsigned bytes, which it packs as signed ones.
    lanes
        Of a vector.
    """
    here = channels.reshape(-1, lanes)
    known = here >= 0

    def of(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        return np.where(known, values[here], 0).astype(np.int64)

    multiplier, shift = of(rounding.multiplier), of(rounding.shift)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    zero_point = of(rounding.zero_point) - offset
    out = np.zeros((len(here), SLOTS, lanes), np.int32)

    def halves(slot: int, values: npt.NDArray[np.int64]) -> None:
        """Write 64-bit values: those of even lanes, then those of odd ones."""
        for odd in range(2):
            out[:, slot + odd] = np.ascontiguousarray(values[:, odd::2]).view(np.int32)

    if rounding.profile is Profile.TFLITE:
        halves(0, multiplier)
        halves(2, (1 << 31) + (((1 << right) >> 1) + (zero_point << right) << 32))
        out[:, 4], out[:, 5], out[:, 6] = left + 1, -(right > 0).astype(np.int64), right
    elif rounding.profile is Profile.TFLITE_SINGLE:
        total = 31 - shift
        halves(0, multiplier)
        halves(2, np.int64(1) << (total - 1))
        halves(4, total)
        out[:, 6] = zero_point
    elif rounding.profile is Profile.ORT_FLOAT32:
        out[:, 0] = np.where(known, rounding.real[here], 0).astype(np.float32).view(np.int32)
        out[:, 6] = zero_point
    else:
        down = 1 - shift
        out[:, 0] = np.maximum(-down, 0)
        out[:, 1] = np.where(down > 0, np.int64(1) << np.clip(down - 1, 0, 31), 0).astype(np.int32)
        out[:, 2], out[:, 6] = np.maximum(down, 0), zero_point
    out[:, LATE] = of(late)
    return out.reshape(-1)


def ends(
    first: int, rounding: Rounding, channels: npt.NDArray[np.int64], late: npt.NDArray[np.int64],
    storage: np.dtype[Any], lanes: int,
) -> tuple[dict[int, int], npt.NDArray[np.int32]]:  # fmt: skip
    """Return the fields of a finish that requantizes, from field `first` on, and the constants that one of them points to."""
    offset = 128 if storage == np.uint8 else 0
    block = aligned(constants(rounding, channels, late, offset, lanes))
    return {
        first + Ends.CONSTANTS: int(block.ctypes.data),
        first + Ends.VALID: int(np.count_nonzero(channels >= 0)),
        first + Ends.LO: rounding.lo - offset,
        first + Ends.HI: rounding.hi - offset,
        first + Ends.FLIP: -128 if offset else 0,
    }, block


def aligned(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a flat copy that starts at a multiple of 64 bytes: no load of a vector then splits a cache line."""
    whole = np.empty(values.nbytes + 64, np.uint8)
    start = -whole.ctypes.data % 64
    found = whole[start : start + values.nbytes].view(values.dtype)
    found[:] = values.reshape(-1)
    return found


def _low_dwords(w: Writer, even: Value, odd: Value, first: int) -> Value:
    """Join the low (`first` = 0) or high (1) halves of 64-bit lanes of two vectors, alternately."""
    lanes = w.target.lanes
    order = [i + first if i % 2 == 0 else lanes + i - 1 + first for i in range(lanes)]
    return w.shuffle(w.b.bitcast(even, w.lanes), w.b.bitcast(odd, w.lanes), order)


def _products(w: Writer, x: Value, block: Value) -> tuple[Value, Value]:
    """Multiply the even and the odd lanes by slots 0 and 1, to 64 bits."""
    b, lanes = w.b, w.target.lanes
    wide = vector_of(I64, lanes // 2)
    extend = constant(wide, 32)

    def signed(value: Value) -> Value:
        return b.ashr(b.shl(value, extend), extend)

    odd = w.shuffle(x, x, [i | 1 for i in range(lanes)])
    factors = [w.load(block, wide, slot * w.target.bytes) for slot in range(2)]
    first, second = (
        b.mul(signed(b.bitcast(half, wide)), signed(factor)) for half, factor in zip((x, odd), factors, strict=True)
    )
    return first, second


def requantized(w: Writer, finish: Finish, x: Value, block: Value) -> Value:
    """Write one vector's rounding and zero point; int32."""
    profile = finish.profile
    b, wide = w.b, vector_of(I64, w.target.lanes // 2)

    def slot(index: int, kind: Any = w.lanes) -> Value:
        return w.load(block, kind, index * w.target.bytes)

    if profile is Profile.TFLITE:
        # The rounding doubling high multiply is floor((2 x m + 2**31) / 2**32): the high half of a 64-bit sum. Half of the
        # rounding shift that follows and the zero point, shifted, ride on it; a negative number gets one less.
        even, odd = _products(w, b.add(x, x) if finish.right_only else b.shl(x, slot(4)), block)
        high = _low_dwords(w, b.add(even, slot(2, wide)), b.add(odd, slot(3, wide)), 1)
        if finish.half_up:
            return b.ashr(high, slot(6))
        negative = b.and_(b.ashr(x, constant(w.lanes, 31)), slot(5))
        return b.ashr(b.add(high, negative), slot(6))
    if profile is Profile.TFLITE_SINGLE:
        even, odd = _products(w, x, block)
        even = b.ashr(b.add(even, slot(2, wide)), slot(4, wide))
        odd = b.ashr(b.add(odd, slot(3, wide)), slot(5, wide))
        return b.add(_low_dwords(w, even, odd, 0), slot(6))
    if profile is Profile.ORT_FLOAT32:
        real = vector_of(FLOAT, w.target.lanes)
        product = b.fmul(b.sitofp(x, real), slot(0, real))
        return b.add(b.fptosi(w.named("llvm.nearbyint", product), w.lanes), slot(6))
    shifted = b.ashr(b.add(b.shl(x, slot(0)), slot(1)), slot(2))
    return b.add(shifted, slot(6))


class FinishWriter:
    """Writes the end of a kernel's tiles.

    Parameters
    ----------
    w, finish, vectors
        The kernel, what it writes, and vectors per row.
    fields
        The number of the first field of `Ends`.
    """

    def __init__(self, w: Writer, finish: Finish, vectors: int, fields: int) -> None:
        self.w, self.finish, self.vectors = w, finish, vectors
        if finish.profile is None:
            return
        value = {end: w.field(IntEnum("At", {"X": fields + end}).X) for end in Ends}  # type: ignore[attr-defined]
        self.constants = w.b.inttoptr(value[Ends.CONSTANTS], I8.as_pointer())
        self.valid = value[Ends.VALID]
        narrow = I8 if finish.bits == 8 and w.target.packs else I32
        kind = w.octets if narrow is I8 else w.lanes
        self.lo, self.hi, self.flip = (
            w.splat(w.b.trunc(value[end], kind.element), kind) for end in (Ends.LO, Ends.HI, Ends.FLIP)
        )

    def store(self, tile: list[State], places: list[Value]) -> None:
        """Write rows of accumulators to their addresses."""
        w, finish = self.w, self.finish
        if finish.profile is None:
            for row, place in zip(tile, places, strict=True):
                for v, value in enumerate(row):
                    w.store(value, place, v * w.target.bytes)
            return
        block = SLOTS * w.target.bytes
        # Vector by vector: the constants of one then stay in registers for all rows.
        columns = [
            [requantized(w, finish, row[v], w.at(self.constants, v * block)) for row in tile]
            for v in range(self.vectors)
        ]
        self.put([list(row) for row in zip(*columns, strict=True)], places)

    def put(self, scaled: list[State], places: list[Value]) -> None:
        """Pack rows of results, int32, clamp them, and write them to their addresses."""
        w, finish = self.w, self.finish
        if finish.bits == 8 and w.target.packs:
            self._packed(scaled, places)
            return
        for row, place in zip(scaled, places, strict=True):
            for v, value in enumerate(row):
                flipped = w.b.xor(w.clamp(value, self.lo, self.hi), self.flip)
                short = w.b.trunc(flipped, vector_of(I8 if finish.bits == 8 else I16, w.target.lanes))
                self._put(short, place, v * w.target.lanes)

    def _packed(self, scaled: list[State], places: list[Value]) -> None:
        """Pack four vectors at a time, of one row, of two, or of four, and store each row's part."""
        w, vectors, lanes = self.w, self.vectors, self.w.target.lanes
        assert w.target.packs is not None
        first, second = w.target.packs
        at_once = 4 // vectors
        for r in range(0, len(scaled), at_once):
            rows = scaled[r : r + at_once]
            flat = [value for row in rows for value in row]
            flat += [flat[-1]] * (4 - len(flat))
            halves = [w.call(first, w.words, flat[i], flat[i + 1]) for i in (0, 2)]
            packed = w.b.xor(w.clamp(w.call(second, w.octets, *halves), self.lo, self.hi), self.flip)
            if vectors == 4:
                self._put(packed, places[r], 0)
                continue
            dwords = w.b.bitcast(packed, w.lanes)
            for i in range(len(rows)):
                order = [4 * block + vectors * i + v for block in range(lanes // 4) for v in range(vectors)]
                part = w.shuffle(dwords, dwords, order)
                self._put(w.b.bitcast(part, vector_of(I8, 4 * len(order))), places[r + i], 0)

    def _put(self, vector: Value, place: Value, first: int) -> None:
        """Store elements `first`... of a row, no more than are valid."""
        w, kind = self.w, vector.type
        size = kind.element.width // 8
        if self.finish.whole:
            w.store(vector, place, first * size)
            return
        if w.target.masks:
            lane = vector_of(I16, kind.count)
            limit = w.splat(w.b.trunc(w.b.sub(self.valid, I64(first)), I16), lane)
            mask = w.b.icmp_signed("<", constant(lane, range(kind.count)), limit)
            pointer = w.b.bitcast(w.at(place, first * size), kind.as_pointer())
            name = f"llvm.masked.store.v{kind.count}i{kind.element.width}.p0"
            known = w.module.globals.get(name)
            function = known or _masked_store(w, name, kind, pointer.type)
            w.b.call(function, [vector, pointer, I32(1), mask])
            return
        spilled = w.b.alloca(kind)
        w.b.store(vector, spilled)
        count = w.b.sub(self.valid, I64(first))
        limit = w.b.select(w.b.icmp_signed("<", count, I64(kind.count)), count, I64(kind.count))

        def copy(i: Value, _state: State) -> State:
            at = w.b.mul(i, I64(size))
            w.store(w.load(w.b.bitcast(spilled, I8.as_pointer()), kind.element, at), w.at(place, first * size), at)
            return []

        w.loop(limit, [], copy)


def _masked_store(w: Writer, name: str, kind: Any, pointer: Any) -> Value:
    from llvmlite import ir

    return ir.Function(w.module, ir.FunctionType(ir.VoidType(), [kind, pointer, I32, vector_of(I1, kind.count)]), name)
