"""Any unit behind two pins, so that place and route can be asked how fast it is.

A core has more ports than a package has pins, and a path from or to a pin says nothing about the core. Here all inputs come
from registers and all outputs go to registers, and these are filled and watched through one pin each.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class SerialHarness(wiring.Component):
    """A unit whose inputs change all the time and whose outputs all matter, so that no tool removes anything.

    Inputs are the cells of a cellular automaton, each the sum modulo 2 of its two neighbours a cycle ago: no register in it is
    a delayed copy of another one, which a tool would share with a delay in the unit. Outputs are registered, then folded
    into a shift register that ends at the pin.

    Latency, throughput, back-pressure
        Those of the unit; what it is given has no meaning.
    Reset
        Synchronous, of harness and unit.

    Parameters
    ----------
    unit
        With at least one input and one output.

    Members
    -------
    serial_in : In(1), serial_out : Out(1)
    """

    def __init__(self, unit: wiring.Component) -> None:
        self.unit = unit
        super().__init__({"serial_in": In(1), "serial_out": Out(1)})

    @property
    def inputs(self) -> Value:
        """All inputs of the unit, side by side."""
        return self._ports(In)

    @property
    def outputs(self) -> Value:
        """All outputs of the unit, side by side."""
        return self._ports(Out)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = self.unit
        driven, seen = Signal(len(self.inputs)), Signal(len(self.outputs))
        folded = Signal.like(seen)
        below, above = Cat(self.serial_in, driven[:-1]), Cat(driven[1:], driven[-1])
        m.d.comb += [self.inputs.eq(driven), self.serial_out.eq(folded[-1])]
        m.d.sync += [
            driven.eq(below ^ above),
            seen.eq(self.outputs),
            folded.eq(seen ^ Cat(folded[-1], folded[:-1])),
        ]
        return m

    def _ports(self, flow: wiring.Flow) -> Value:
        flat = self.unit.signature.flatten(self.unit)
        return Cat(Value.cast(value) for _, member, value in flat if member.flow == flow)
