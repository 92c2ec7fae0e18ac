# amaranth: UnusedElaboratable=no
"""Rows of accumulators through as many requantizers as there are."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import BiasAt, Core

from .delay import delay
from .parameter_sets import requantize_layout
from .requantizer import Requantizer
from .row_fifo import Credits, RowFifo, power_of_two
from .shape import to_shape


def waiting_layout(core: Core) -> data.StructLayout:
    """Return the layout of a row that waits: its accumulators, and whether it is its output tile's, its job's last."""
    acc = data.ArrayLayout(signed(core.arithmetic.reduction.acc.bits), core.cols)
    return data.StructLayout({"acc": acc, "end": 1, "final": 1})


class RequantizeRows(wiring.Component):
    """Requantizers that never stop between two places that do: a row starts only if its results will find room.

    Latency
        A row that is taken in cycle x is offered as a vector from ``x + latency`` on.
    Throughput
        One row every `pace_cycles`: as fast as the requantizers take its columns, and no faster than its results leave.
    Back-pressure
        Rows wait while results do; ``rows.ready`` is a register, but for one gate.
    Reset
        Synchronous; what is under way is dropped, parameter set 0 is next.

    Parameters
    ----------
    core
        The configuration, with an output format.

    Members
    -------
    rows : In(stream of waiting_layout(core))
    select, parameters : Out, In
        As those of `ParameterSets`.
    constants : In
        As those of `Requantizer`.
    vectors : Out(stream)
        ``values`` (array of the output format) and ``final``.
    """

    def __init__(self, core: Core) -> None:
        assert core.output is not None
        self.core = core
        self.parts = core.requantize_cycles
        self.pace_cycles = max(self.parts, core.result_packing.beats)
        reduction = core.arithmetic.reduction
        bias_bits = core.bias_bits if reduction.bias_at is BiasAt.END else 0
        self.lanes = [
            Requantizer(reduction.acc.bits, bias_bits, core.arithmetic.profile, core.output, core.max_left_shift)
            for _ in range(core.cols // self.parts)
        ]
        values = data.ArrayLayout(to_shape(core.output), core.cols)
        super().__init__(
            {
                "rows": In(stream.Signature(waiting_layout(core))),
                "select": Out(data.StructLayout({"set": 1, "part": range(self.parts)})),
                "parameters": In(data.ArrayLayout(requantize_layout(core), len(self.lanes))),
                "constants": In(self.lanes[0].constants.shape()),
                "vectors": Out(stream.Signature(data.StructLayout({"values": values, "final": 1}))),
            }
        )

    @property
    def requantizer_latency(self) -> int:
        """Of each `Requantizer`."""
        return self.lanes[0].latency

    @property
    def latency(self) -> int:
        """Cycles from a row to its vector."""
        return self.parts + self.requantizer_latency + 2

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A place is in use from the start of a row until its vector is taken, latency + 1 cycles later if nobody waits.
        m.submodules.results = results = RowFifo(
            self.vectors.payload.shape(), power_of_two(self.requantizer_latency + 4)
        )
        m.submodules.places = places = Credits(results.depth)
        start, free = Signal(), Signal(init=1)
        self._pace(m, start, free)
        m.d.comb += [
            self.rows.ready.eq(free & places.room),
            start.eq(self.rows.valid & self.rows.ready),
            places.take.eq(start),
            places.give.eq(self.vectors.valid & self.vectors.ready),
        ]
        wiring.connect(m, results.rows, wiring.flipped(self.vectors))
        tags = delay(m, self._parts(m, start), 1 + self.requantizer_latency, "tags")
        m.d.comb += [
            results.write.eq(tags.last),
            results.row.final.eq(tags.final),
            results.row["values"].as_value().eq(self._collect(m, self._requantize(m, start))),
        ]
        return m

    def _pace(self, m: Module, start: Signal, free: Signal) -> None:
        """Set `free` when the next row may start."""
        if self.pace_cycles == 1:
            return
        left = Signal(range(self.pace_cycles))
        with m.If(start):
            m.d.sync += [left.eq(self.pace_cycles - 1), free.eq(0)]
        with m.Elif(~free):
            m.d.sync += [left.eq(left - 1), free.eq(left == 1)]

    def _parts(self, m: Module, start: Signal) -> data.View:
        """Choose the parameters of each part of a row; return which part is a row's last, and whether that row is final."""
        tags = Signal(data.StructLayout({"last": 1, "final": 1}), name="tags")
        end = Signal()
        chosen = Signal()
        part = Signal(range(self.parts))
        row = self.rows.payload
        if self.parts == 1:
            m.d.comb += [tags.last.eq(start), tags.final.eq(row.final), end.eq(row.end)]
        else:
            final = Signal()
            m.d.comb += [tags.last.eq(part == self.parts - 1), tags.final.eq(final)]
            with m.If(start):
                m.d.sync += [part.eq(1), end.eq(row.end), final.eq(row.final)]
            with m.Elif(part != 0):
                m.d.sync += part.eq(Mux(tags.last, 0, part + 1))
        m.d.comb += [self.select.set.eq(chosen), self.select.part.eq(part)]
        # Rows leave in order, so their sets take turns; the one that came with a row would arrive too late.
        m.d.sync += chosen.eq(chosen ^ (tags.last & end))
        return tags

    def _requantize(self, m: Module, start: Signal) -> list[Value]:
        """Shift the row through the lanes, part by part; return what comes out of them."""
        acc_bits = self.core.arithmetic.reduction.acc.bits
        row = Signal(waiting_layout(self.core)["acc"].shape, name="row", reset_less=True)
        whole = self.rows.payload.acc.as_value()
        following = row.as_value() >> acc_bits * len(self.lanes)
        m.d.sync += row.as_value().eq(whole if self.parts == 1 else Mux(start, whole, following))
        for i, lane in enumerate(self.lanes):
            m.submodules[f"lane_{i}"] = lane
            m.d.comb += [lane.input.acc.eq(row[i]), lane.constants.eq(self.constants)]
            m.d.comb += [lane.input[name].eq(self.parameters[i][name]) for name in requantize_layout(self.core).members]
        return [lane.output for lane in self.lanes]

    def _collect(self, m: Module, outputs: list[Value]) -> Value:
        """Return a whole row's results in the cycle in which its last part comes out."""
        part = Cat(outputs)
        if self.parts == 1:
            return part
        earlier = Signal(len(part) * (self.parts - 1), name="earlier", reset_less=True)
        together = Cat(earlier, part)
        # Parts come one per cycle without a gap, so there is no need to know which are valid.
        m.d.sync += earlier.eq(together >> len(part))
        return together
