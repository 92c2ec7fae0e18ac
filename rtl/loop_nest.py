"""Counting through nested loops with flags that are registers, so that deciding on them costs no comparison."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


class LoopNest(wiring.Component):
    """Position in a nest of loops, the innermost first.

    Latency
        `first`, `last` and `index` are registers: they tell of the position after the most recent step or start.
    Throughput
        One step per cycle.
    Reset
        Synchronous; a start is needed before the first step.

    Parameters
    ----------
    sizes
        The most turns of each loop, by name, innermost first; at least 1 each.

    Members
    -------
    start : In(1)
        Go to the first position; wins over a step.
    step : In(1)
        Go to the next position. After the last one the nest begins again.
    limits : In(StructLayout)
        Turns of each loop less one; stable from the start on.
    index : Out(StructLayout)
        Each loop's turn, from 0. What nobody reads costs no hardware.
    first, last : Out(StructLayout)
        By loop, 1 bit: it is in its first, its last turn.
    finish : Out(1)
        All loops are in their last turns.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)
        flags = data.StructLayout(dict.fromkeys(self.sizes, 1))
        limits = data.StructLayout({name: range(size) for name, size in self.sizes.items()})
        super().__init__(
            {
                "start": In(1),
                "step": In(1),
                "limits": In(limits),
                "index": Out(limits),
                "first": Out(flags),
                "last": Out(flags),
                "finish": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        inner: Value = Const(1)
        for name, size in self.sizes.items():
            # A loop of one turn is always in its first and last.
            first, last = (Signal(name=f"{name}_{end}", init=size == 1) for end in ("first", "last"))
            m.d.comb += [self.first[name].eq(first), self.last[name].eq(last)]
            if size == 1:
                continue
            limit = self.limits[name]
            left, index = Signal(range(size), name=f"{name}_left"), Signal(range(size), name=f"{name}_index")
            m.d.comb += self.index[name].eq(index)
            with m.If(self.start | self.step & inner):
                with m.If(self.start | last):
                    m.d.sync += [left.eq(limit), index.eq(0), first.eq(1), last.eq(limit == 0)]
                with m.Else():
                    m.d.sync += [left.eq(left - 1), index.eq(index + 1), first.eq(0), last.eq(left == 1)]
            inner = inner & last
        m.d.comb += self.finish.eq(inner)
        return m
