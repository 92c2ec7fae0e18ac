"""Rows of results that wait for what comes next, and the credits that make sure there is room for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import require


def power_of_two(least: int) -> int:
    """Return the smallest power of two that is at least `least`, which is at least 1.

    >>> [power_of_two(n) for n in (1, 2, 3, 4, 5)]
    [1, 2, 4, 4, 8]
    """
    return 1 << (least - 1).bit_length()


class RowFifo(wiring.Component):
    """First in, first out; a memory with a synchronous read port, so that it fits into block RAM.

    Latency
        A row that is written in cycle t leaves in t + 2 at the earliest.
    Throughput
        One row per cycle.
    Back-pressure
        None at the entrance: whoever writes holds a credit (`Credits`) for a free place.
    Reset
        Synchronous; the rows are dropped.

    Parameters
    ----------
    row
        Shape or layout of a row.
    depth
        Places, a power of two, at least 2.

    Members
    -------
    write : In(1)
    row : In(row)
        Taken while `write`.
    rows : Out(stream of row)
    """

    def __init__(self, row: Any, depth: int) -> None:
        require(depth >= 2 and not depth & (depth - 1), "depth", "a power of two, at least 2", depth)
        self.shape = row
        self.depth = depth
        super().__init__({"write": In(1), "row": In(row), "rows": Out(stream.Signature(row))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enters, leaves = Signal(range(self.depth)), Signal(range(self.depth))
        level = Signal(range(self.depth + 1))
        waiting = Signal()  # level > 0
        read = Signal()
        m.d.comb += read.eq(waiting & (~self.rows.valid | self.rows.ready))
        for name, field in self._fields():
            # With a credit for each row, none is read in the cycle in which it is written, and nobody cares what would come
            # then. Otherwise Yosys puts a bypass around a block RAM, for the old row in that case.
            rows = memory.Memory(shape=field.width, depth=self.depth, init=[], attrs={"no_rw_check": 1})
            m.submodules[f"memory_{name}"] = rows
            entrance, leaving = rows.write_port(), rows.read_port(domain="comb")
            bits = slice(field.offset, field.offset + field.width)
            left = Signal(field.width, name=f"left_{name}", reset_less=True)
            m.d.comb += [
                entrance.en.eq(self.write),
                entrance.addr.eq(enters),
                entrance.data.eq(Value.cast(self.row)[bits]),
                leaving.addr.eq(leaves),
                Value.cast(self.rows.payload)[bits].eq(left),
            ]
            with m.If(read):
                m.d.sync += left.eq(leaving.data)
        with m.If(self.write):
            m.d.sync += enters.eq(enters + 1)
        with m.If(read):
            m.d.sync += leaves.eq(leaves + 1)
        with m.If(self.write ^ read):
            m.d.sync += [level.eq(Mux(read, level - 1, level + 1)), waiting.eq(~read | (level != 1))]
        with m.If(read | self.rows.ready):
            m.d.sync += self.rows.valid.eq(read)
        return m

    def _fields(self) -> Iterator[tuple[str, data.Field]]:
        """Yield what has a memory of its own: a wide one is a block RAM, whose output comes late in its cycle; a flag is not."""
        if isinstance(self.shape, data.Layout):
            yield from ((str(name), field) for name, field in self.shape)
        else:
            yield "row", data.Field(self.shape, 0)


class Credits(wiring.Component):
    """Free places, counted where they are given away: nothing is started that would find no room.

    Latency
        `room` is a register; a place that is returned in cycle t counts from t + 1 on.
    Reset
        Synchronous; all places are free.

    Parameters
    ----------
    places
        At the start.
    need
        Places that are taken at once, 1..`places`.

    Members
    -------
    take : In(1)
        `need` places are taken; only while `room`.
    give : In(1)
        One place is returned.
    room : Out(1)
        At least `need` places are free.
    """

    def __init__(self, places: int, need: int = 1) -> None:
        require(1 <= need <= places, "need", f"an integer from 1 to places ({places})", need)
        self.places = places
        self.need = need
        super().__init__({"take": In(1), "give": In(1), "room": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        need = self.need
        free = Signal(range(self.places + 1), init=self.places)
        # Comparisons beside the decision, not behind it: `take` comes late in the cycle.
        after_take = Mux(self.give, free >= 2 * need - 1, free >= 2 * need)
        after_none = Mux(self.give, free >= need - 1, free >= need)
        m.d.sync += [
            self.room.eq(Mux(self.take, after_take, after_none)),
            free.eq(free + self.give - Mux(self.take, need, 0)),
        ]
        return m
