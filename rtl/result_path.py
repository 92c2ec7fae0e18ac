# amaranth: UnusedElaboratable=no
"""From the engine's rows to the result port: waiting, requantizing, packing."""

from __future__ import annotations

from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Core

from .packer import Packer
from .requantize_rows import RequantizeRows, waiting_layout
from .row_fifo import RowFifo
from .shape import to_shape
from .slots import row_layout


class ResultPath(wiring.Component):
    """A FIFO for rows of accumulators, `RequantizeRows` where there is an output format, and the packer.

    Latency
        A row that is given in cycle t leaves the FIFO in ``x = t + 2`` at the earliest. Its last beat is valid in cycle
        ``x + beat_cycles`` if no beat has to wait.
    Throughput
        One row every `pace_cycles`.
    Back-pressure
        None at the entrance: who gives rows counts places (`depth`) and `popped`.
    Reset
        Synchronous; what is under way is dropped.

    Parameters
    ----------
    core
        The configuration.
    depth
        Places for rows, a power of two.

    Members
    -------
    row : In(row_layout(core))
    popped : Out(1)
        A row leaves the FIFO.
    popped_end : Out(1)
        It is its output tile's last, so the tile's parameters are free.
    select, parameters, constants
        As those of `RequantizeRows`; where results are requantized.
    beats : Out(stream)
        ``data`` and ``last`` (the job's last beat).
    """

    def __init__(self, core: Core, depth: int) -> None:
        self.core = core
        self.depth = depth
        acc = core.arithmetic.reduction.acc.bits
        self.packer = Packer(core.result_packing, signed(acc) if core.output is None else to_shape(core.output))
        self.requantize = None if core.output is None else RequantizeRows(core)
        members = {
            "row": In(row_layout(core)),
            "popped": Out(1),
            "popped_end": Out(1),
            "beats": Out(self.packer.beats.signature),
        }
        if self.requantize is not None:
            inner = self.requantize.signature.members
            members |= {name: inner[name] for name in ("select", "parameters", "constants")}
        super().__init__(members)

    @property
    def requantizer_latency(self) -> int:
        """Of a `Requantizer`; 0 without."""
        return 0 if self.requantize is None else self.requantize.requantizer_latency

    @property
    def pace_cycles(self) -> int:
        """Cycles from a row to the next one."""
        return max(self.core.requantize_cycles, self.core.result_packing.beats)

    @property
    def beat_cycles(self) -> int:
        """From the cycle in which a row leaves the FIFO to its last beat."""
        return self.core.result_packing.beats + (0 if self.requantize is None else self.requantize.latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.packer = packer = self.packer
        m.submodules.rows = fifo = RowFifo(waiting_layout(self.core), self.depth)
        m.d.comb += fifo.write.eq(self.row.valid)
        m.d.comb += [fifo.row[name].eq(self.row[name]) for name in ("acc", "end", "final")]
        rows, vectors = fifo.rows, packer.vectors
        m.d.comb += [self.popped.eq(rows.valid & rows.ready), self.popped_end.eq(self.popped & rows.payload.end)]
        wiring.connect(m, packer.beats, wiring.flipped(self.beats))
        if self.requantize is None:
            m.d.comb += [
                vectors.payload["values"].eq(rows.payload.acc),
                vectors.payload.final.eq(rows.payload.final),
                vectors.valid.eq(rows.valid),
                rows.ready.eq(vectors.ready),
            ]
            return m
        m.submodules.requantize = requantize = self.requantize
        wiring.connect(m, rows, requantize.rows)
        wiring.connect(m, requantize.vectors, vectors)
        m.d.comb += [
            self.select.eq(requantize.select),
            requantize.parameters.eq(self.parameters),
            requantize.constants.eq(self.constants),
        ]
        return m
