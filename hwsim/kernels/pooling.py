"""Max and average pooling of 8-bit images, a vector full of channels at once. Definition: `hwsim.kernels.pool`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.codegen import FLOAT, I64, State, Value, Writer, constant, vector_of
from hwsim.kernels.compiled import address_of, foreign
from hwsim.kernels.gather import Geometry
from hwsim.kernels.table import Entry, Step
from hwsim.kernels.targets import Target, host


class Pool(IntEnum):
    """Fields of the kernel; those from `KERNEL_Y` on are `hwsim.kernels.gather.Geometry`."""

    SOURCE = 0
    OUT = 1
    IMAGES = 2
    HEIGHT = 3
    WIDTH = 4
    CHANNELS = 5
    """At least a vector full of bytes."""
    OUT_HEIGHT = 6
    OUT_WIDTH = 7
    LO = 8
    HI = 9
    COUNT = 10
    """Places of a window, where the mean is of all of them; 0: of those in the image."""
    ZERO_POINT = 11
    """What places outside of the image count as."""
    KERNEL_Y = 12
    KERNEL_X = 13
    STRIDE_Y = 14
    STRIDE_X = 15
    SPREAD_Y = 16
    SPREAD_X = 17
    TOP = 18
    LEFT = 19


@dataclass(frozen=True)
class Pooling:
    """Pools bytes with or without a sign; the last vector of channels overlaps the one before."""

    kind: Literal["max", "mean"]
    signed: bool

    def address(self, target: Target | None = None) -> int:
        """Return the compiled kernel."""
        return address_of(repr(self), self.write, target)

    def write(self, target: Target, name: str) -> ir.Module:
        """Write the kernel."""
        w = Writer(target, name)
        b, size = w.b, target.bytes
        f = {field: w.field(field) for field in Pool if field > Pool.OUT}
        source, out = w.pointer(Pool.SOURCE), w.pointer(Pool.OUT)
        row, last = b.mul(f[Pool.WIDTH], f[Pool.CHANNELS]), b.sub(f[Pool.CHANNELS], I64(size))

        def inside(number: Value, axis: int) -> tuple[Value, Value, Value]:
            """Return the image's row or column under a window's first place, and which of its places are in the image."""
            stride, spread, before = (f[Pool(field + axis)] for field in (Pool.STRIDE_Y, Pool.SPREAD_Y, Pool.TOP))
            origin = b.sub(b.mul(number, stride), before)
            # Places k with 0 <= origin + k * spread < extent.
            up = b.sub(spread, I64(1))
            first = b.sdiv(_larger(b, b.add(b.neg(origin), up), I64(0)), spread)
            behind = b.sdiv(_larger(b, b.add(b.sub(f[Pool(Pool.HEIGHT + axis)], origin), up), I64(0)), spread)
            return origin, first, _smaller(b, behind, f[Pool(Pool.KERNEL_Y + axis)])

        def pixel(image: Value, oy: Value, ox: Value) -> None:
            (y, y_first, y_last), (x, x_first, x_last) = inside(oy, 0), inside(ox, 1)
            many = b.mul(b.sub(y_last, y_first), b.sub(x_last, x_first))
            pixels = b.mul(f[Pool.OUT_HEIGHT], f[Pool.OUT_WIDTH])
            number = b.add(b.mul(image, pixels), b.add(b.mul(oy, f[Pool.OUT_WIDTH]), ox))
            results = w.at(out, b.mul(number, f[Pool.CHANNELS]))
            begin = w.at(source, b.mul(image, b.mul(row, f[Pool.HEIGHT])))

            def block(c: Value, _state: State) -> State:
                at = _smaller(b, b.mul(c, I64(size)), last)

                def line(ky: Value, outer: State) -> State:
                    start = b.add(at, b.mul(b.add(y, b.mul(ky, f[Pool.SPREAD_Y])), row))

                    def place(kx: Value, inner: State) -> State:
                        column = b.add(x, b.mul(kx, f[Pool.SPREAD_X]))
                        octets = w.load(begin, w.octets, b.add(start, b.mul(column, f[Pool.CHANNELS])))
                        return self._taken(w, inner, octets)

                    return w.loop(x_last, outer, place, x_first)

                sums = w.loop(y_last, self._first(w, f), line, y_first)
                w.store(self._result(w, sums, many, f), results, at)
                return []

            w.loop(b.sdiv(b.add(f[Pool.CHANNELS], I64(size - 1)), I64(size)), [], block)

        def rows(image: Value, _state: State) -> State:
            def columns(oy: Value, _state: State) -> State:
                def each(ox: Value, _state: State) -> State:
                    pixel(image, oy, ox)
                    return []

                return w.loop(f[Pool.OUT_WIDTH], [], each)

            return w.loop(f[Pool.OUT_HEIGHT], [], columns)

        w.loop(f[Pool.IMAGES], [], rows)
        return w.done()

    def _first(self, w: Writer, f: dict[Pool, Value]) -> State:
        if self.kind == "mean":
            return [constant(w.lanes, 0)] * 4
        return [w.splat(w.b.trunc(f[Pool.LO], w.octets.element), w.octets)]

    def _taken(self, w: Writer, state: State, octets: Value) -> State:
        """Take another pixel's channels into the sums, or the largest so far."""
        if self.kind == "max":
            return [w.named("llvm.smax" if self.signed else "llvm.umax", state[0], octets)]
        lanes, extend = w.target.lanes, w.b.sext if self.signed else w.b.zext
        parts = [w.shuffle(octets, octets, range(lanes * v, lanes * (v + 1))) for v in range(4)]
        return [w.b.add(total, extend(part, w.lanes)) for total, part in zip(state, parts, strict=True)]

    def _result(self, w: Writer, state: State, inside: Value, f: dict[Pool, Value]) -> Value:
        """Return the bytes to store."""
        b = w.b
        if self.kind == "max":
            hi = w.splat(b.trunc(f[Pool.HI], w.octets.element), w.octets)
            return w.named("llvm.smin" if self.signed else "llvm.umin", state[0], hi)
        whole = b.icmp_signed(">", f[Pool.COUNT], I64(0))
        count = b.select(whole, f[Pool.COUNT], inside)
        padding = b.mul(b.sub(count, inside), f[Pool.ZERO_POINT])
        numbers = [
            b.trunc(value, w.lanes.element) for value in (count, padding, b.sdiv(count, I64(2)), f[Pool.LO], f[Pool.HI])
        ]
        each, outside, half, lo, hi = (w.splat(value, w.lanes) for value in numbers)
        kind = vector_of(FLOAT, w.target.lanes)

        def mean(total: Value) -> Value:
            # To nearest, ties away from zero: floor((|total| + count / 2) / count). Both are below 2**24, so that the
            # quotient rounded to float32 stays below the next integer wherever the exact one does.
            total = b.add(total, outside)
            negative = b.icmp_signed("<", total, constant(w.lanes, 0))
            large = b.select(negative, b.neg(total), total)
            quotient = b.fptosi(b.fdiv(b.sitofp(b.add(large, half), kind), b.sitofp(each, kind)), w.lanes)
            return w.clamp(b.select(negative, b.neg(quotient), quotient), lo, hi)

        found = [b.trunc(mean(total), vector_of(w.octets.element, w.target.lanes)) for total in state]
        pairs = [w.shuffle(found[i], found[i + 1], range(2 * w.target.lanes)) for i in (0, 2)]
        return w.shuffle(pairs[0], pairs[1], range(4 * w.target.lanes))


def _larger(b: Any, x: Value, y: Value) -> Value:
    return b.select(b.icmp_signed(">", x, y), x, y)


def _smaller(b: Any, x: Value, y: Value) -> Value:
    return b.select(b.icmp_signed("<", x, y), x, y)


MOST_PLACES = 1 << 15
"""Sums of fewer bytes, and half of their number, stay below 2**24."""


class BytePool(Step):
    """Pooling of 8-bit images [B, H, W, C].

    Parameters
    ----------
    kind, signed
        Of the kernel.
    geometry, lo, hi
        Window and clamp.
    size
        Height and width of the output.
    zero_point
        What padding counts as; None: nothing.
    """

    def __init__(
        self, kind: Literal["max", "mean"], geometry: Geometry, lo: int, hi: int, image: tuple[int, ...],
        size: tuple[int, int], *, signed: bool, zero_point: int | None = None, target: Target | None = None,
    ) -> None:  # fmt: skip
        chosen = target or host()
        places = int(geometry[0] * geometry[1])
        height, width, self.channels = image
        self.legal = self.channels >= chosen.bytes and places < MOST_PLACES
        self.size = size
        self.fields = np.zeros(len(Pool), np.int64)
        self.fields[Pool.HEIGHT : Pool.COUNT] = height, width, self.channels, *size, lo, hi
        if zero_point is not None:
            self.fields[Pool.COUNT], self.fields[Pool.ZERO_POINT] = places, zero_point
        self.fields[Pool.KERNEL_Y :] = geometry
        self._address = Pooling(kind, signed).address(chosen) if self.legal else 0
        self._kernel = foreign(self._address) if self.legal else None

    def entry(self, shapes: Sequence[tuple[int, ...]]) -> Entry:
        fields = self.fields.copy()
        fields[Pool.IMAGES] = shapes[0][0]
        return Entry(self._address, fields, (Pool.SOURCE,), Pool.OUT)

    def __call__(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return [B, OH, OW, C]."""
        assert self._kernel is not None
        source, fields = np.ascontiguousarray(images), self.fields.copy()
        out = np.empty((len(images), *self.size, self.channels), images.dtype)
        fields[: Pool.IMAGES + 1] = source.ctypes.data, out.ctypes.data, len(images)
        self._kernel(fields.ctypes.data)
        return out
