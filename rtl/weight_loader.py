"""What is on the weight port: parameter records for one unit, vectors of weights for another."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Core, Dataflow

from .loop_nest import LoopNest
from .shape import to_shape
from .unpacker import Unpacker

COUNT = 65535
"""The most K tiles, and output tiles, of a job."""


class WeightLoader(wiring.Component):
    """Follows the stream of weights through a job: which beat is of a record, which of a vector, and when to wait.

    Latency
        A vector whose last beat is taken in cycle t is valid in t + 1.
    Throughput
        One beat per cycle.
    Back-pressure
        Records wait for `room`. Weight stationary: vectors of a K tile wait until the K tile before has started. Output
        stationary: see `Unpacker`. No beat is taken before `start`, nor after the job's last vector.
    Reset
        Synchronous; no job.

    Parameters
    ----------
    core
        The configuration.

    Members
    -------
    start : In(1)
        A job begins; its first beat can be taken in the next cycle.
    k_limit, tile_limit : In(16)
        K tiles per output tile, output tiles per job, less one each.
    beats : In(stream of ``weight_packing.bus_bits``)
    taken : Out(1)
        A beat is taken.
    record : Out(1)
        It belongs to a record.
    room, complete : In(1)
        The records' beat can be taken; it is the output tile's last. Only for a core that has records.
    vector : Out(ArrayLayout)
        Weights of `lanes` products for each column.
    whole : Out(1)
        `vector` is valid: output stationary until `consume`, weight stationary for one cycle.
    row : Out
        Weight stationary: for which row of the array.
    loaded : Out(1)
        Weight stationary: all vectors of a K tile have been taken. A register.
    swap : In(1)
        Weight stationary: the loaded K tile's first slot is issued; only while `loaded`.
    consume : In(1)
        Output stationary: a slot takes the vector; only while `whole`.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.stationary = core.dataflow is Dataflow.WEIGHT_STATIONARY
        packing = core.weight_packing
        members = {
            "start": In(1),
            "k_limit": In(16),
            "tile_limit": In(16),
            "beats": In(stream.Signature(packing.bus_bits)),
            "taken": Out(1),
            "record": Out(1),
            "vector": Out(data.ArrayLayout(to_shape(core.weight), packing.elements)),
            "whole": Out(1),
        }
        if core.record_bits:
            members |= {"room": In(1), "complete": In(1)}
        if self.stationary:
            members |= {"row": Out(range(core.rows)), "loaded": Out(1), "swap": In(1)}
        else:
            members |= {"consume": In(1)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        core = self.core
        rows = core.rows if self.stationary else 1
        m.submodules.unpacker = unpacker = Unpacker(core.weight_packing, to_shape(core.weight))
        m.submodules.position = position = LoopNest({"row": rows, "k": COUNT, "tile": COUNT})
        active, records = Signal(), Signal()
        m.d.comb += [
            position.start.eq(self.start),
            position.step.eq(unpacker.completed),
            position.limits.row.eq(rows - 1),
            position.limits.k.eq(self.k_limit),
            position.limits.tile.eq(self.tile_limit),
            unpacker.beats.payload.eq(self.beats.payload),
            unpacker.beats.valid.eq(self.beats.valid),
            unpacker.enable.eq(active & ~records),
            self.beats.ready.eq(unpacker.beats.ready),
            self.taken.eq(self.beats.valid & self.beats.ready),
            self.vector.eq(unpacker.vector),
            self.whole.eq(unpacker.whole),
        ]
        with m.If(self.start):
            m.d.sync += [active.eq(1), records.eq(core.record_bits > 0)]
        with m.Elif(unpacker.completed & position.last.row & position.last.k):
            m.d.sync += [active.eq(~position.last.tile), records.eq(core.record_bits > 0)]
        if core.record_bits:
            with m.If(records):
                room = active & self.room
                m.d.comb += [self.beats.ready.eq(room), self.record.eq(room & self.beats.valid)]
            with m.If(self.record & self.complete):
                m.d.sync += records.eq(0)
        if self.stationary:
            m.d.comb += unpacker.consume.eq(unpacker.whole)
            self._hold_until_swap(m, unpacker, position, active & ~records)
        else:
            m.d.comb += unpacker.consume.eq(self.consume)
        return m

    def _hold_until_swap(self, m: Module, unpacker: Unpacker, position: LoopNest, vectors: Value) -> None:
        """Weight stationary: the array has one place for weights to come, so their K tile must start before the next."""
        m.d.comb += unpacker.enable.eq(vectors & ~self.loaded)
        with m.If(unpacker.completed):
            m.d.sync += [self.row.eq(position.index.row), self.loaded.eq(position.last.row)]
        with m.Elif(self.swap):
            m.d.sync += self.loaded.eq(0)
