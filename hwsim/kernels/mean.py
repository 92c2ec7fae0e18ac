"""Means of 8-bit images over their pixels: sums by channel in 32 bits, requantized once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.codegen import I64, State, Value, Writer, vector_of
from hwsim.kernels.compiled import address_of, foreign
from hwsim.kernels.finish import Finish, FinishWriter, ends
from hwsim.kernels.rounding import Rounding
from hwsim.kernels.table import Entry, Step
from hwsim.kernels.targets import Target, host
from hwsim.spec import Profile

MOST_PIXELS = 1 << 22
"""Sums of fewer differences of bytes stay within 32 bits."""


class Operands(IntEnum):
    """Fields of the kernel. Those of `hwsim.kernels.finish.Ends` follow."""

    SOURCE = 0
    OUT = 1
    IMAGES = 2
    PIXELS = 3
    CHANNELS = 4
    """At least a vector full of bytes."""
    START = 5
    """What sums start from."""
    ENDS = 6


@dataclass(frozen=True)
class PixelSum:
    """Sums pixels, channels next to each other; the last vector of channels overlaps the one before."""

    signed: bool
    profile: Profile

    def address(self, target: Target | None = None) -> int:
        """Return the compiled kernel."""
        return address_of(repr(self), self.write, target)

    def write(self, target: Target, name: str) -> ir.Module:
        """Write the kernel."""
        w = Writer(target, name)
        b, size, end = w.b, target.bytes, Finish(self.profile, 8)
        finish = FinishWriter(w, end, 4, Operands.ENDS)
        order = end.order(target, 4).reshape(4, -1).tolist()
        source, out = w.pointer(Operands.SOURCE), w.pointer(Operands.OUT)
        images, pixels, channels = (w.field(f) for f in (Operands.IMAGES, Operands.PIXELS, Operands.CHANNELS))
        start = w.splat(b.trunc(w.field(Operands.START), w.lanes.element), w.lanes)
        last = b.sub(channels, I64(size))

        def image(i: Value, _state: State) -> State:
            begin = w.at(source, b.mul(i, b.mul(pixels, channels)))
            results = w.at(out, b.mul(i, channels))

            def block(c: Value, _state: State) -> State:
                at = b.mul(c, I64(size))
                at = b.select(b.icmp_signed("<", at, last), at, last)

                def pixel(p: Value, sums: State) -> State:
                    octets = w.load(begin, vector_of(w.octets.element, size), b.add(at, b.mul(p, channels)))
                    chosen = [w.shuffle(octets, octets, part) for part in order]
                    wide = [b.sext(part, w.lanes) if self.signed else b.zext(part, w.lanes) for part in chosen]
                    return [b.add(total, part) for total, part in zip(sums, wide, strict=True)]

                finish.store([w.loop(pixels, [start] * 4, pixel)], [w.at(results, at)])
                return []

            return w.loop(b.sdiv(b.add(channels, I64(size - 1)), I64(size)), [], block)

        w.loop(images, [], image)
        return w.done()


class ByteMean(Step):
    """The mean of 8-bit images [B, H, W, C] over H and W.

    Parameters
    ----------
    rounding
        Of one channel's sums.
    pixels, channels
        Of an image.
    start
        What sums start from.
    signed, storage
        Whether images have a sign, and dtype of the means.
    """

    def __init__(
        self, rounding: Rounding, pixels: int, channels: int, start: int, *, signed: bool, storage: str,
        target: Target | None = None,
    ) -> None:  # fmt: skip
        chosen = target or host()
        self.legal = channels >= chosen.bytes and rounding.fits()
        self.channels, self.storage = channels, np.dtype(storage)
        none = np.zeros(1, np.int64)
        found, self._kept = ends(
            Operands.ENDS, rounding, np.zeros(4 * chosen.lanes, np.int64), none, self.storage, chosen.lanes
        )
        self.fields = np.zeros(max(found) + 1, np.int64)
        self.fields[Operands.PIXELS : Operands.ENDS] = pixels, channels, start
        for name, value in found.items():
            self.fields[name] = value
        self._address = PixelSum(signed, rounding.profile).address(chosen) if self.legal else 0
        self._kernel = foreign(self._address) if self.legal else None

    def entry(self, shapes: Sequence[tuple[int, ...]]) -> Entry:
        fields = self.fields.copy()
        fields[Operands.IMAGES] = shapes[0][0]
        return Entry(self._address, fields, (Operands.SOURCE,), Operands.OUT, (self._kept,))

    def __call__(self, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return [B, C]."""
        assert self._kernel is not None
        source, fields = np.ascontiguousarray(images), self.fields.copy()
        out = np.empty((len(images), self.channels), self.storage)
        fields[: Operands.IMAGES + 1] = source.ctypes.data, out.ctypes.data, len(images)
        self._kernel(fields.ctypes.data)
        return out
