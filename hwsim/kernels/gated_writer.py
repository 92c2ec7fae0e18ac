"""Writing ordered sums with gates: a stretch of products that cannot overflow, whatever they are, is summed unordered."""

from __future__ import annotations

import functools

from llvmlite import ir

from hwsim.kernels.codegen import I1, I32, I64, State, Value, constant, vector_of
from hwsim.kernels.ordered_form import Ordering
from hwsim.kernels.ordered_writer import OrderedWriter
from hwsim.kernels.tile import add_products, pair_products


class GatedWriter(OrderedWriter):
    """Writes a kernel of one register, in lanes of 32 bits, whose weights lie in pairs.

    The table of a stretch begins with its lower and its upper bounds.
    """

    def sums(self, windows: list[Value], accs: list[State], counters: State) -> tuple[list[State], State]:
        """Write products to the accumulators, stretch by stretch: unordered where bounds allow it, else in order."""
        k, w, b = self.k, self.w, self.b
        bounds, size, pairs = w.pointer(Ordering.BOUNDS), w.target.bytes, self.groups
        stretches = b.sdiv(b.add(pairs, I64(k.stretch - 1)), I64(k.stretch))
        table = k.bounds * k.vectors * size

        def segment(s: Value, outer: State) -> State:
            starts, columns = self.segment(windows, s)
            limits = w.at(bounds, b.mul(b.mul(s, stretches), I64(table)))

            def stretch(c: Value, inner: State) -> State:
                registers, _ = self.split(inner, k.vectors)
                at = w.at(limits, b.mul(c, I64(table)))
                first = b.mul(c, I64(k.stretch))
                end = b.add(first, I64(k.stretch))
                stop = b.select(b.icmp_signed("<", end, pairs), end, pairs)
                found = []
                with b.if_else(self._inside(registers, at)) as (unordered, ordered):
                    for branch, body in ((unordered, self._unordered), (ordered, self._ordered)):
                        with branch:
                            found.append((body(starts, columns, at, (first, stop), inner), b.block))
                joined = []
                for either in zip(*(state for state, _ in found), strict=True):
                    joined.append(b.phi(either[0].type))
                    for value, (_, block) in zip(either, found, strict=True):
                        joined[-1].add_incoming(value, block)
                return joined

            return w.loop(stretches, outer, stretch)

        return self.split(w.loop(self.segments, self.join(accs, counters), segment), k.vectors)

    def _inside(self, registers: list[State], at: Value) -> Value:
        """Return whether all registers are between the bounds of a stretch."""
        w, b, size = self.w, self.b, self.w.target.bytes
        every = constant(vector_of(I1, w.target.lanes), -1)
        for v in range(self.k.vectors):
            lower, upper = (w.load(at, w.lanes, (side * self.k.vectors + v) * size) for side in range(2))
            # Extremes of a column of registers are cheaper than comparisons of each.
            column = [row[v] for row in registers]
            lowest = functools.reduce(functools.partial(w.named, "llvm.smin"), column)
            highest = functools.reduce(functools.partial(w.named, "llvm.smax"), column)
            every = b.and_(every, b.icmp_signed(">=", lowest, lower))
            every = b.and_(every, b.icmp_signed("<=", highest, upper))
        whole = ir.IntType(w.target.lanes)
        return b.icmp_signed("==", b.bitcast(every, whole), whole(-1))

    def _unordered(
        self, starts: list[Value], columns: Value, _at: Value, steps: tuple[Value, Value], state: State
    ) -> State:
        return self.w.loop(steps[1], state, functools.partial(self._pair, starts, columns), steps[0])

    def _ordered(
        self, starts: list[Value], columns: Value, _at: Value, steps: tuple[Value, Value], state: State
    ) -> State:
        return self.w.loop(steps[1], state, functools.partial(self._two, starts, columns), steps[0])

    def _loaded(self, starts: list[Value], columns: Value, p: Value) -> tuple[list[Value], list[Value]]:
        """Return a pair of activations per row, and of weights per vector."""
        w, b, size = self.w, self.b, self.w.target.bytes
        at = w.at(columns, b.mul(p, I64(self.step)))
        rows = [w.splat(w.load(start, I32, b.mul(p, I64(4))), w.lanes) for start in starts]
        return rows, [w.load(at, w.lanes, v * size) for v in range(self.k.vectors)]

    def _pair(self, starts: list[Value], columns: Value, p: Value, state: State) -> State:
        """Add a pair of products to every register, exactly."""
        registers, counters = self.split(state, self.k.vectors)
        rows, weights = self._loaded(starts, columns, p)
        updated = [
            [
                self.b.add(register, pair_products(self.w, row, weight))
                for register, weight in zip(own, weights, strict=True)
            ]
            for row, own in zip(rows, registers, strict=True)
        ]
        return self.join(updated, counters)

    def _two(self, starts: list[Value], columns: Value, p: Value, state: State) -> State:
        """Write the two products of a pair to every register, one after the other."""
        w, b = self.w, self.b
        registers, counters = self.split(state, self.k.vectors)
        rows, weights = self._loaded(starts, columns, p)
        for half in (0xFFFF, -0x10000):
            single = [b.and_(weight, constant(w.lanes, half)) for weight in weights]
            updated = []
            for row, own in zip(rows, registers, strict=True):
                held = []
                for v, register in enumerate(own):
                    value, counters = self.put(self.acc, 2, v, register, pair_products(w, row, single[v]), counters)
                    held.append(value)
                updated.append(held)
            registers = updated
        return self.join(registers, counters)


class GatedBytesWriter(GatedWriter):
    """Writes one whose operands are bytes, four to a lane: groups are parts of four products, or some fours.

    Behind the bounds of a stretch, where activations have an offset: what it adds to the stretch, and to each of its groups.
    """

    def _unordered(
        self, starts: list[Value], columns: Value, at: Value, steps: tuple[Value, Value], state: State
    ) -> State:
        k, w = self.k, self.w
        registers, counters = self.split(state, k.vectors)
        if k.offset:
            less = self._constants(at, 2)
            registers = [[self.b.add(value, c) for value, c in zip(row, less, strict=True)] for row in registers]

        def four(q: Value, inner: State) -> State:
            rows, weights = self._loaded(starts, columns, q)
            values, tallies = self.split(inner, k.vectors)
            return self.join(self._added(values, rows, weights), tallies)

        return w.loop(steps[1], self.join(registers, counters), four, steps[0])

    def _ordered(
        self, starts: list[Value], columns: Value, at: Value, steps: tuple[Value, Value], state: State
    ) -> State:
        k, w, b = self.k, self.w, self.b
        fours, parts = max(k.lanes // 4, 1), max(4 // k.lanes, 1)

        def group(g: Value, inner: State) -> State:
            registers, counters = self.split(inner, k.vectors)
            q = b.add(steps[0], b.mul(g, I64(fours)))
            loaded = [self._loaded(starts, columns, b.add(q, I64(i))) for i in range(fours)]
            for part in range(parts):
                row = b.add(b.mul(g, I64(parts)), I64(3 + part))
                zero = self._constants(at, row) if k.offset else [constant(w.lanes, 0)] * k.vectors
                sums = [list(zero) for _ in registers]
                for rows, weights in loaded:
                    sums = self._added(sums, rows, self._part(weights, part))
                updated = []
                for own, addends in zip(registers, sums, strict=True):
                    held = []
                    for v, (register, addend) in enumerate(zip(own, addends, strict=True)):
                        value, counters = self.put(self.acc, 2, v, register, addend, counters)
                        held.append(value)
                    updated.append(held)
                registers = updated
            return self.join(registers, counters)

        return w.loop(b.sdiv(b.sub(steps[1], steps[0]), I64(fours)), state, group)

    def _part(self, weights: State, part: int) -> State:
        """Return the weights of a group that is a part of four products."""
        lanes = self.k.lanes
        if lanes >= 4:
            return weights
        mask = ((1 << 8 * lanes) - 1) << 8 * lanes * part
        return [self.b.and_(weight, constant(self.w.lanes, mask)) for weight in weights]

    def _added(self, sums: list[State], rows: list[Value], weights: State) -> list[State]:
        """Add four products to every sum, exactly."""
        return [
            [add_products(self.w, "bytes", value, row, weight) for value, weight in zip(own, weights, strict=True)]
            for row, own in zip(rows, sums, strict=True)
        ]

    def _constants(self, at: Value, row: Value | int) -> State:
        """Return a row of a stretch's table."""
        k, w, b = self.k, self.w, self.b
        width = k.vectors * w.target.bytes
        start = w.at(at, row * width if isinstance(row, int) else b.mul(row, I64(width)))
        return [w.load(start, w.lanes, v * w.target.bytes) for v in range(k.vectors)]
