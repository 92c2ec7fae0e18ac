"""The generator of exact depthwise sums: every channel of a vector with its own weights, taps interleaved in registers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from llvmlite import ir

from hwsim.kernels.codegen import I64, State, Value, Writer
from hwsim.kernels.compiled import address_of
from hwsim.kernels.fields import Call
from hwsim.kernels.finish import Finish, FinishWriter
from hwsim.kernels.targets import Target
from hwsim.kernels.tile import Operands, add_products, tile_pixels


class Taps(IntEnum):
    """Fields of a kernel, behind those of `Call`. Those of `hwsim.kernels.finish.Ends` follow."""

    STEPS = Call.OWN
    """The segments are taps, a group of `Depthwise.taps` per step."""
    WEIGHTS = Call.OWN + 1
    """[STEPS, vectors, lanes, taps at once]; of a tall kernel [STEPS, rows, vectors, lanes, taps at once]."""
    START = Call.OWN + 2
    ENDS = Call.OWN + 3


@dataclass(frozen=True)
class Depthwise:
    """One depthwise kernel: a vector register full of channels, in 4 vectors of sums for bytes and in 2 for words.

    Parameters
    ----------
    operands, finish
        What it multiplies, and what it writes.
    tall
        Pixels come in pairs, one below the other, of windows three taps high: a pair shares its taps, a column of four per
        step, of which each pixel has three.
    """

    operands: Operands
    finish: Finish
    tall: bool = False

    @property
    def taps(self) -> int:
        """Taps that meet in one instruction."""
        return 4 if self.operands == "bytes" else 2

    @property
    def vectors(self) -> int:
        """Vectors of sums."""
        return self.taps

    def address(self, target: Target | None = None) -> int:
        """Return the compiled kernel."""
        return address_of(repr(self), self.write, target)

    def write(self, target: Target, name: str) -> ir.Module:
        """Write the kernel."""
        w = Writer(target, name)
        finish = FinishWriter(w, self.finish, self.vectors, Taps.ENDS)
        pixels, steps = w.field(Call.PIXELS), w.field(Taps.STEPS)
        image, places, offsets = w.pointer(Call.IMAGE), w.pointer(Call.PLACES), w.pointer(Call.OFFSETS)
        weights, start = w.pointer(Taps.WEIGHTS), w.pointer(Taps.START)
        out, outs = w.pointer(Call.OUT), w.pointer(Call.OUTS)
        b, size, order = w.b, target.bytes, self.finish.order(target, self.vectors).tolist()
        first = [w.load(start, w.lanes, v * size) for v in range(self.vectors)]

        shared, groups = 2 if self.tall else 1, self.groups(target)

        def tile(index: Value, _state: State) -> State:
            # Pixels that share taps stay together, also past the last ones.
            each = tile_pixels(w, index, groups, b.sdiv(pixels, I64(shared)))
            numbers = [b.add(b.mul(m, I64(shared)), I64(i)) for m in each for i in range(shared)]
            rows = [w.at(image, w.load(places, I64, b.mul(m, I64(8)))) for m in numbers[::shared]]

            def step(s: Value, sums: State) -> State:
                taps = [
                    w.load(offsets, I64, b.mul(b.add(b.mul(s, I64(self.taps)), I64(t)), I64(8)))
                    for t in range(self.taps)
                ]
                width = shared * self.vectors
                at = w.at(weights, b.mul(s, I64(width * size)))
                columns = [w.load(at, w.lanes, v * size) for v in range(width)]
                values = [self._interleaved(w, [w.at(row, tap) for tap in taps], order) for row in rows]
                return [
                    add_products(w, self.operands, acc, values[i // width][i % self.vectors], columns[i % width])
                    for i, acc in enumerate(sums)
                ]

            sums = w.loop(steps, first * len(numbers), step)
            found = [sums[i * self.vectors : (i + 1) * self.vectors] for i in range(len(numbers))]
            finish.store(found, [w.at(out, w.load(outs, I64, b.mul(m, I64(8)))) for m in numbers])
            return []

        tiles = groups * shared
        w.loop(b.sdiv(b.add(pixels, I64(tiles - 1)), I64(tiles)), [], tile)
        return w.done()

    def groups(self, target: Target) -> int:
        """Return pixels at once, or pairs of them, as registers hold: they share the loads of weights and constants."""
        return 3 if self.operands == "bytes" and not self.tall and target.registers == 32 else 2

    def _interleaved(self, w: Writer, taps: list[Value], order: list[int]) -> list[Value]:
        """Return vectors of 32-bit lanes, each with the taps of one channel."""
        b, lanes = w.b, w.target.lanes
        if self.operands == "words":
            first, second = (w.load(tap, w.words) for tap in taps)
            pairs = [(c, 2 * lanes + c) for c in order]
            flat = [index for pair in pairs for index in pair]
            return [
                b.bitcast(w.shuffle(first, second, flat[2 * lanes * v : 2 * lanes * (v + 1)]), w.lanes)
                for v in range(2)
            ]
        # Twice the even exchange of blocks of 128 bits, which has an instruction: bytes of two taps, then pairs of both.
        loaded = [w.load(tap, w.octets) for tap in taps]
        pairs_of = [[unpacked(w, x, y, 16, high) for high in (0, 1)] for x, y in (loaded[:2], loaded[2:])]
        found = []
        for high in (0, 1):
            low, up = (b.bitcast(pair[high], w.words) for pair in pairs_of)
            found += [b.bitcast(unpacked(w, low, up, 8, part), w.lanes) for part in (0, 1)]
        return found


def unpacked(w: Writer, x: Value, y: Value, block: int, high: int) -> Value:
    """Interleave the lower or the upper halves of blocks of two vectors."""
    count, half = x.type.count, block // 2
    order = [block * (i // block) + high * half + i % block // 2 + count * (i % 2) for i in range(count)]
    return w.shuffle(x, y, order)
