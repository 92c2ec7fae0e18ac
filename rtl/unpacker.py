"""From the beats of a bus to whole vectors."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Packing


class Unpacker(wiring.Component):
    """Assembles vectors; holds a whole one until it is consumed, and meanwhile assembles the next.

    Latency
        A vector whose last beat is taken in cycle t is whole in t + 1.
    Throughput
        One beat per cycle; with one beat per vector also one vector per cycle.
    Back-pressure
        The last beat of a vector is taken only if no vector is held or the held one is being consumed; ``beats.ready``
        follows `consume` and `enable` within the cycle, never ``beats.valid``.
    Reset
        Synchronous; what was taken is forgotten.

    Parameters
    ----------
    packing
        Of a vector into beats.
    element
        Shape of an element, ``packing.element_bits`` wide.

    Members
    -------
    beats : In(stream of ``packing.bus_bits``)
    enable : In(1)
        Beats may be taken.
    taken : Out(1)
        A beat is taken in this cycle.
    completed : Out(1)
        It is the last of its vector.
    whole : Out(1)
        A vector is held.
    vector : Out(ArrayLayout(element, packing.elements))
        It, while `whole`.
    consume : In(1)
        The held vector is not needed any more; only while `whole`.
    """

    def __init__(self, packing: Packing, element: Shape) -> None:
        self.packing = packing
        super().__init__(
            {
                "beats": In(stream.Signature(packing.bus_bits)),
                "enable": In(1),
                "taken": Out(1),
                "completed": Out(1),
                "whole": Out(1),
                "vector": Out(data.ArrayLayout(element, packing.elements)),
                "consume": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beats = self.packing.beats
        last = Signal(init=beats == 1)
        # `whole` once more, for what counts beats: behind one register, and one choice, all of it would stand as far from the
        # sequencer as the vector does. Inverted, because synthesis merges equal registers.
        empty = Signal(init=1)
        m.d.comb += [
            self.beats.ready.eq(self.enable & (~last | empty | self.consume)),
            self.taken.eq(self.beats.valid & self.beats.ready),
            self.completed.eq(self.taken & last),
        ]
        parts: Value = self.beats.payload
        if beats > 1:
            assembled = Signal(self.packing.bus_bits * (beats - 1), reset_less=True)
            position = Signal(range(beats))
            # The newest beat on top: after the last one the first has arrived at the bottom.
            parts = Cat(assembled, self.beats.payload)
            with m.If(self.taken):
                m.d.sync += [
                    assembled.eq(parts >> self.packing.bus_bits),
                    position.eq(Mux(last, 0, position + 1)),
                    last.eq(position == beats - 2),
                ]
        vector = Signal(len(self.vector.as_value()), reset_less=True)
        m.d.comb += self.vector.as_value().eq(vector)
        # Whether there is a beat makes no difference to what `whole` does not vouch for, and would come late.
        with m.If(last & (~self.whole | self.consume)):
            # A bus carries no bits between elements, so the vector is the low end of its beats.
            m.d.sync += vector.eq(parts)
        with m.If(self.completed | self.consume):
            m.d.sync += [self.whole.eq(self.completed), empty.eq(~self.completed)]
        return m
