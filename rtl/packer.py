"""From vectors to the beats of a bus."""

from __future__ import annotations

from amaranth.hdl import Module, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Packing


class Packer(wiring.Component):
    """Sends each vector as beats, its first elements first.

    Latency
        The first beat is valid in the cycle after the vector was taken.
    Throughput
        One beat per cycle, without gaps between vectors.
    Back-pressure
        A beat stays as it is until it is taken, and ``beats.valid`` never waits for ``beats.ready``. The next vector is
        taken together with the last beat of this one: ``vectors.ready`` follows ``beats.ready`` within the cycle.
    Reset
        Synchronous; what is under way is dropped.

    Parameters
    ----------
    packing
        Of a vector into beats; what the last beat does not need is zero.
    element
        Shape of an element, ``packing.element_bits`` wide.

    Members
    -------
    vectors : In(stream)
        ``values`` (array of ``packing.elements``) and ``final`` (the job's last vector).
    beats : Out(stream)
        ``data`` (``packing.bus_bits``) and ``last`` (last beat of a vector that is ``final``).
    """

    def __init__(self, packing: Packing, element: Shape) -> None:
        self.packing = packing
        vector = data.StructLayout({"values": data.ArrayLayout(element, packing.elements), "final": 1})
        beat = data.StructLayout({"data": packing.bus_bits, "last": 1})
        super().__init__({"vectors": In(stream.Signature(vector)), "beats": Out(stream.Signature(beat))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        packing, vector = self.packing, self.vectors.payload
        rest = Signal(packing.bus_bits * packing.beats, reset_less=True)
        final = Signal(reset_less=True)
        # Whether the beat that is offered is the vector's last.
        last = Signal(init=packing.beats == 1)
        taken = self.beats.valid & self.beats.ready
        m.d.comb += [
            self.vectors.ready.eq(~self.beats.valid | self.beats.ready & last),
            self.beats.payload.data.eq(rest),
            self.beats.payload.last.eq(final & last),
        ]
        with m.If(self.vectors.ready):
            m.d.sync += [
                self.beats.valid.eq(self.vectors.valid),
                rest.eq(vector["values"].as_value()),
                final.eq(vector.final),
            ]
        if packing.beats > 1:
            position = Signal(range(packing.beats))
            with m.If(self.vectors.ready):
                m.d.sync += [last.eq(0), position.eq(0)]
            with m.Elif(taken):
                m.d.sync += [
                    rest.eq(rest >> packing.bus_bits),
                    position.eq(position + 1),
                    last.eq(position == packing.beats - 2),
                ]
        return m
