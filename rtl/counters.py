"""What the hardware counts during a job."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec.register_map import COUNTER_BITS


class Counters(wiring.Component):
    """Counters of `COUNTER_BITS` bits that wrap.

    Latency
        `COUNT_CYCLES` from an increment to the value that includes it.
    Throughput
        One increment of each counter per cycle.
    Reset
        Synchronous, to zero; `clear` is the same, for increments that come later.

    Parameters
    ----------
    increments
        Bits of each counter's increment, 1..`COUNTER_BITS`, by the counter's name.

    Members
    -------
    clear : In(1)
    increments : In(StructLayout)
        What is added in this cycle, unsigned, by name.
    values : Out(StructLayout)
        Counts, by name.
    """

    def __init__(self, increments: Mapping[str, int]) -> None:
        self.names = tuple(increments)
        super().__init__(
            {
                "clear": In(1),
                "increments": In(data.StructLayout(dict(increments))),
                "values": Out(data.StructLayout(dict.fromkeys(increments, COUNTER_BITS))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The increments come from everywhere: a register on the way keeps the carry chain alone in its cycle.
        arrived = Signal.like(self.increments, name="arrived")
        m.d.sync += arrived.eq(self.increments)
        for name in self.names:
            m.d.sync += self.values[name].eq(self.values[name] + arrived[name])
        with m.If(self.clear):
            m.d.sync += [arrived.eq(0), self.values.eq(0)]
        return m


COUNT_CYCLES = 2
"""Cycles from an increment to the value that includes it."""
