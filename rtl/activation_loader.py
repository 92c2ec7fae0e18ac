"""What is on the activation port: one vector per slot."""

from __future__ import annotations

from amaranth.hdl import Module, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Core, ZeroPoints

from .loop_nest import LoopNest
from .sequencer import job_loops, limits_layout
from .shape import to_shape
from .unpacker import Unpacker


class ActivationLoader(wiring.Component):
    """Holds the next slot's activations, and subtracts their zero point where the core does that.

    Latency
        A vector whose last beat is taken in cycle t is `whole` in t + 1. Of a vector that is consumed in cycle s the
        operands are there in s + 1.
    Throughput, back-pressure
        Those of `Unpacker`. No beat is taken before `start`, nor after the job's last vector.
    Reset
        Synchronous; no job.

    Parameters
    ----------
    core
        The configuration.
    minimum_slots
        As for `Sequencer`.

    Members
    -------
    start : In(1)
        A job begins; its first beat can be taken in the next cycle.
    limits : In(limits_layout(core, minimum_slots))
    zero_point : In(signed(17))
        Stable during a job.
    beats : In(stream of ``activation_packing.bus_bits``)
    taken : Out(1)
        A beat is taken.
    whole : Out(1)
        A vector is held. A register.
    consume : In(1)
        A slot takes it; only while `whole`.
    operands : Out(ArrayLayout)
        What the multipliers see of the vector that was consumed in the cycle before.
    """

    def __init__(self, core: Core, minimum_slots: int) -> None:
        self.core = core
        packing = core.activation_packing
        super().__init__(
            {
                "start": In(1),
                "limits": In(limits_layout(core, minimum_slots)),
                "zero_point": In(signed(17)),
                "beats": In(stream.Signature(packing.bus_bits)),
                "taken": Out(1),
                "whole": Out(1),
                "consume": In(1),
                "operands": Out(data.ArrayLayout(to_shape(core.operand), packing.elements)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        core = self.core
        m.submodules.unpacker = unpacker = Unpacker(core.activation_packing, to_shape(core.activation))
        loops = job_loops(core)
        m.submodules.position = position = LoopNest(loops)
        wiring.connect(m, wiring.flipped(self.beats), unpacker.beats)
        m.d.comb += [position.limits[name].eq(self.limits[name]) for name in loops]
        m.d.comb += [
            position.start.eq(self.start),
            position.step.eq(unpacker.completed),
            unpacker.consume.eq(self.consume),
            self.taken.eq(unpacker.taken),
            self.whole.eq(unpacker.whole),
        ]
        with m.If(self.start):
            m.d.sync += unpacker.enable.eq(1)
        with m.Elif(unpacker.completed & position.finish):
            m.d.sync += unpacker.enable.eq(0)
        for operand, activation in zip(self.operands, unpacker.vector, strict=True):
            subtract = core.arithmetic.reduction.zero_points is ZeroPoints.SUBTRACT
            m.d.sync += operand.eq(activation - self.zero_point if subtract else activation)
        return m
