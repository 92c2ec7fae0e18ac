"""The generator of ordered sums that leave out products with an activation of zero.

Such a product changes no register and is no event, whatever the register and the weight. Most activations behind a ReLU are
zero: each pixel has a list of its others, block by block of the window, and its sums run over that, in the declared order.

A list also knows the sign of each activation, so that a weight says on which side an event would be. One counter per lane is
enough: it takes `ABOVE` or `BELOW`, and is emptied before either can overflow into the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from llvmlite import ir

from hwsim.kernels.codegen import I8, I16, I32, I64, State, Value, Writer, constant, vector_of
from hwsim.kernels.compiled import address_of
from hwsim.kernels.fields import Call
from hwsim.kernels.finish import LATE, SLOTS, Finish, FinishWriter
from hwsim.kernels.ordered_form import Ordering
from hwsim.kernels.registers import Kind, Limits, RegisterWriter, widened
from hwsim.kernels.targets import Target

ABOVE, BELOW = 1, 256
"""What a counter takes per event."""

MOST = 240
"""Products of a block, at most: fewer than `BELOW`, and a list of them fits what is set aside."""

TILE = 32
"""Pixels whose accumulators wait in memory while the weights of a block are in the first cache."""


class Listing(IntEnum):
    """Fields of a kernel; those that are not named here are where `Ordering` has them."""

    COUNT = Ordering.SEGMENTS
    """Of blocks."""
    BLOCKS = Ordering.GROUPS
    """int64 [COUNT, 4]: the first piece and the one behind the last, and where weights and entries are."""
    PIECES = Ordering.CHAIN
    """int64 [pieces, 3]: the segment, bytes into it, and products."""
    ENTRIES = Ordering.BOUNDS
    """int32 [products]: where in its block each one's weights are, in units of 8 bytes, in the upper 16 bits."""


@dataclass(frozen=True)
class Listed:
    """One kernel, of one register in lanes of 16 bits; its fields are all that its code depends on.

    Parameters
    ----------
    vectors
        Of 32-bit lanes per pixel: 1, 2 or 4.
    finish
        What it writes.
    acc
        The register.
    signed
        Whether an activation may be negative.
    whole
        Whether vectors of activations never reach behind the end of a piece.
    """

    vectors: int
    finish: Finish
    acc: Kind
    signed: bool
    whole: bool

    def record(self, target: Target) -> int:
        """Return the bytes of a product's weights and of what their events count, for one sign of the activation."""
        return 2 * self.vectors * target.lanes * 2

    def unit(self, target: Target) -> int:
        """Return from one product to the next, in units of 8 bytes: with both signs, those of a negative one are second."""
        return self.record(target) // 8 * (2 if self.signed else 1)

    def address(self, target: Target | None = None) -> int:
        """Return the compiled kernel."""
        return address_of(repr(self), self.write, target)

    def write(self, target: Target, name: str) -> ir.Module:
        """Write the kernel."""
        return ListedWriter(self, Writer(target, name)).write()


class ListedWriter:
    """Writes one kernel."""

    UNROLLED = 4
    """Products per turn of the innermost loop; lists end with as many of zero."""

    def __init__(self, kernel: Listed, w: Writer) -> None:
        self.k, self.w, self.b = kernel, w, w.b
        lanes = w.target.lanes
        # One vector of 32-bit lanes is half of one of words: no lane stays empty.
        self.vector = w.words if kernel.vectors > 1 else vector_of(I16, lanes)
        self.count, self.size = (kernel.vectors + 1) // 2, 2 * self.vector.count
        self.finish = FinishWriter(w, kernel.finish, kernel.vectors, Ordering.ENDS)
        first = Ordering.LIMITS + 2 * len(Limits)
        self.acc = RegisterWriter(w, kernel.acc, 16, first, counted=True, vector=self.vector)
        self.image, self.places = w.pointer(Call.IMAGE), w.pointer(Call.PLACES)
        self.offsets, self.pieces = w.pointer(Call.OFFSETS), w.pointer(Listing.PIECES)
        # The processor needs two sums at once to be busy: those of a pixel, or of two.
        self.pixels = 2 if self.count == 1 else 1
        self.lists = [self._room(4 * (MOST + 3 * lanes)) for _ in range(self.pixels)]
        self.waiting = self._room((TILE + self.pixels) * self.count * self.size)

    def _room(self, size: int) -> Value:
        """Set memory aside."""
        line = vector_of(I8, 64)
        return self.b.bitcast(self.b.alloca(line, -(-size // 64)), I8.as_pointer())

    def write(self) -> ir.Module:
        """Write the loops over tiles, blocks, and pixels."""
        w, b, count = self.w, self.b, self.count
        pixels = w.field(Call.PIXELS)
        blocks, table, places = w.field(Listing.COUNT), w.pointer(Listing.BLOCKS), w.pointer(Listing.ENTRIES)
        weights = w.pointer(Ordering.WEIGHTS)
        start = w.pointer(Ordering.START)
        kept = [w.load(start, self.vector, v * self.size) for v in range(count)]
        none = [constant(self.vector, 0)] * count

        def tile(t: Value, _state: State) -> State:
            first = b.mul(t, I64(TILE))
            left = b.sub(pixels, first)
            size = b.select(b.icmp_signed("<", left, I64(TILE)), left, I64(TILE))
            some = b.sdiv(b.add(size, I64(self.pixels - 1)), I64(self.pixels))
            w.loop(b.mul(some, I64(self.pixels)), [], lambda i, _none: self._keep(i, kept))

            def block(n: Value, _state: State) -> State:
                row = w.at(table, b.mul(n, I64(32)))
                begin, end, at, entries = (w.load(row, I64, 8 * i) for i in range(4))
                pieces = begin, end, w.at(places, entries)

                def pixel(i: Value, events: State) -> State:
                    numbers = [b.add(b.mul(i, I64(self.pixels)), I64(j)) for j in range(self.pixels)]
                    found = self._lists(numbers, first, size, pieces)
                    accs = [acc for number in numbers for acc in self._kept(number)]
                    accs, counters = self._sum(found, w.at(weights, at), accs)
                    for j, number in enumerate(numbers):
                        self._keep(number, accs[j * count : (j + 1) * count])
                    return self._emptied(counters, events)

                self._tally(w.loop(some, none * 2, pixel))
                return []

            w.loop(blocks, [], block)
            self._leave(first, size)
            return []

        w.loop(b.sdiv(b.add(pixels, I64(TILE - 1)), I64(TILE)), [], tile)
        return w.done()

    def _place(self, pixel: Value) -> Value:
        """Return where the accumulators of a pixel of the tile wait."""
        return self.w.at(self.waiting, self.b.mul(pixel, I64(self.count * self.size)))

    def _kept(self, pixel: Value) -> State:
        return [self.w.load(self._place(pixel), self.vector, v * self.size) for v in range(self.count)]

    def _keep(self, pixel: Value, accs: State) -> State:
        for v, acc in enumerate(accs):
            self.w.store(acc, self._place(pixel), v * self.size)
        return []

    def _lists(self, numbers: list[Value], first: Value, size: Value, pieces: tuple[Value, Value, Value]) -> Value:
        """List the products of a block, for each of some pixels of a tile; return how many, with zeros behind the shorter."""
        w, b, lanes = self.w, self.b, self.w.target.lanes
        last, found = b.sub(size, I64(1)), []
        for into, number in zip(self.lists, numbers, strict=True):
            inside = b.icmp_signed("<=", number, last)
            place = b.mul(b.add(first, b.select(inside, number, last)), I64(8))
            window = w.at(self.image, w.load(self.places, I64, place))
            found.append(b.select(inside, self._listed(into, window, pieces), I64(0)))
        most = found[0] if len(found) == 1 else w.call("llvm.smax.i64", I64, *found)
        for into, own in zip(self.lists, found, strict=True):

            def clear(i: Value, _state: State, into: Value = into, own: Value = own) -> State:
                w.store(constant(w.lanes, 0), into, b.mul(b.add(own, b.mul(i, I64(lanes))), I64(4)))
                return []

            missing = b.add(b.sub(most, own), I64(self.UNROLLED + lanes - 1))
            w.loop(b.sdiv(missing, I64(lanes)), [], clear)
        return most

    def _listed(self, into: Value, window: Value, pieces: tuple[Value, Value, Value]) -> Value:
        """List the products of a block that are not zero; return how many: activations of 16 bits below their places."""
        w, b = self.w, self.b

        begin, end, entries = pieces

        def piece(p: Value, state: State) -> State:
            found, at = state
            row = w.at(self.pieces, b.mul(p, I64(24)))
            segment, skipped, size = (w.load(row, I64, 8 * i) for i in range(3))
            run = w.at(w.at(window, w.load(self.offsets, I64, b.mul(segment, I64(8)))), skipped)
            lanes = w.target.lanes if w.target.masks else 1

            def some(c: Value, own: State) -> State:
                start = b.mul(c, I64(lanes))
                places = w.at(at, b.mul(start, I64(4)))
                return [(self._some if lanes > 1 else self._one)(into, run, start, places, size, own[0])]

            found = w.loop(b.sdiv(b.add(size, I64(lanes - 1)), I64(lanes)), [found], some)[0]
            return [found, w.at(at, b.mul(size, I64(4)))]

        return w.loop(end, [I64(0), entries], piece, begin)[0]

    def _one(self, into: Value, run: Value, k: Value, places: Value, _size: Value, found: Value) -> Value:
        """List one product; it is written over where it is zero."""
        w, b = self.w, self.b
        value = w.load(run, I16, b.mul(k, I64(2)))
        w.store(self._entry(value, w.load(places, I32)), into, b.mul(found, I64(4)))
        return b.add(found, b.zext(b.icmp_signed("!=", value, I16(0)), I64))

    def _some(self, into: Value, run: Value, start: Value, places: Value, size: Value, found: Value) -> Value:
        """List a vector of products; those behind the last are of the next pixel, or padding."""
        w, b, lanes = self.w, self.b, self.w.target.lanes
        values = w.load(run, vector_of(I16, lanes), b.mul(start, I64(2)))
        taken = b.icmp_signed("!=", values, constant(values.type, 0))
        if not self.k.whole:
            left = w.splat(b.trunc(b.sub(size, start), I16), values.type)
            taken = b.and_(taken, b.icmp_signed("<", constant(values.type, range(lanes)), left))
        entries, undefined = self._entry(values, w.load(places, w.lanes)), ir.Constant(w.lanes, ir.Undefined)
        packed = w.call(f"llvm.experimental.vector.compress.v{lanes}i32", w.lanes, entries, taken, undefined)
        w.store(packed, into, b.mul(found, I64(4)))
        whole = ir.IntType(lanes)
        return b.add(found, b.zext(w.call(f"llvm.ctpop.i{lanes}", whole, b.bitcast(taken, whole)), I64))

    def _entry(self, value: Value, place: Value) -> Value:
        """Join activations and the places of their weights, or of those for negative ones."""
        b, kind = self.b, place.type

        def number(n: int) -> Value:
            return constant(kind, n) if isinstance(kind, ir.VectorType) else kind(n)

        if self.k.signed:
            negative = b.ashr(b.sext(value, kind), number(31))
            place = b.add(place, b.and_(negative, number(self.k.record(self.w.target) // 8 << 16)))
        return b.or_(place, b.zext(value, kind))

    def _sum(self, found: Value, weights: Value, accs: State) -> tuple[State, State]:
        """Write the products of lists to the accumulators of their pixels; return what events count, too."""
        w, b, count = self.w, self.b, self.count

        def product(at: Value, into: Value, held: State, counters: State) -> tuple[State, State]:
            place = w.at(into, at)
            activation = w.splat(w.load(place, I16), self.vector)
            record = w.at(weights, b.mul(b.zext(w.load(place, I16, 2), I64), I64(8)))
            pairs = []
            for v in range(count):
                weight, unit = (w.load(record, self.vector, (half * count + v) * self.size) for half in range(2))
                pairs.append(self.acc.write_known(held[v], b.mul(activation, weight), counters[v], unit))
            return [pair[0] for pair in pairs], [pair[1] for pair in pairs]

        def some(g: Value, state: State) -> State:
            held, counters = state[: len(accs)], state[len(accs) :]
            for u in range(self.UNROLLED):
                at = b.add(b.mul(g, I64(4 * self.UNROLLED)), I64(4 * u))
                for j, into in enumerate(self.lists):
                    own = slice(j * count, (j + 1) * count)
                    held[own], counters[own] = product(at, into, held[own], counters[own])
            return held + counters

        turns = b.lshr(b.add(found, I64(self.UNROLLED - 1)), I64(self.UNROLLED.bit_length() - 1))
        state = w.loop(turns, accs + [constant(self.vector, 0)] * len(accs), some)
        return state[: len(accs)], state[len(accs) :]

    def _emptied(self, counters: State, events: State) -> State:
        """Add what counters took to the events above, and to those below."""
        b, count, events = self.b, self.count, list(events)
        low, high = constant(self.vector, BELOW - 1), constant(self.vector, BELOW.bit_length() - 1)
        for i, counter in enumerate(counters):
            v = i % count
            events[v] = b.add(events[v], b.and_(counter, low))
            events[count + v] = b.add(events[count + v], b.lshr(counter, high))
        return events

    def _tally(self, events: State) -> None:
        """Add the events above, and those below, to memory."""
        w, b = self.w, self.b
        base, stride = w.pointer(Ordering.TALLY), w.field(Ordering.TALLY_STRIDE)
        for kind in range(2):
            at = w.at(base, b.mul(stride, I64(4 + kind)))
            own = [part for v in range(self.count) for part in widened(w, events[kind * self.count + v], signed=False)]
            for v, part in enumerate(own):
                w.store(b.add(w.load(at, w.lanes, v * w.target.bytes), part), at, v * w.target.bytes)

    def _leave(self, first: Value, size: Value) -> None:
        """Write the results of a tile; past its last pixel that one again."""
        w, b, k = self.w, self.b, self.k
        out, stride = w.pointer(Call.OUT), w.field(Ordering.OUT_STRIDE)
        rows = 4 if w.target.registers == 32 else max(1, 4 // k.vectors)
        last = b.sub(size, I64(1))

        def some(g: Value, _state: State) -> State:
            numbers = [b.add(b.mul(g, I64(rows)), I64(i)) for i in range(rows)]
            numbers = [b.select(b.icmp_signed("<", n, last), n, last) for n in numbers]
            tile = [[part for acc in self._kept(n) for part in widened(w, acc)] for n in numbers]
            if k.finish.profile is not None:
                size = w.target.bytes
                late = [w.load(self.finish.constants, w.lanes, (v * SLOTS + LATE) * size) for v in range(k.vectors)]
                tile = [[b.add(value, late[v]) for v, value in enumerate(row)] for row in tile]
            self.finish.store(tile, [w.at(out, b.mul(b.add(first, n), stride)) for n in numbers])
            return []

        w.loop(b.sdiv(b.add(size, I64(rows - 1)), I64(rows)), [], some)
