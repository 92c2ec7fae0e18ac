"""The sparse part of a K tile, from entries of a stream to one place per lane."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Core

from .slots import outliers_layout


def entry_layout(core: Core) -> data.StructLayout:
    """Return the layout of an entry on the outlier port, from the lowest bit."""
    return data.StructLayout(
        {
            "value": signed(core.outlier_bits),
            "index": core.outlier_index_bits,
            "column": core.outlier_column_bits,
            "last": 1,
        }
    )


class OutlierLoader(wiring.Component):
    """Collects the entries of the next K tile; the n-th goes to lane n, what is beyond the lanes is dropped.

    Latency
        If the last entry is taken in cycle t, `loaded` is 1 in t + 1.
    Throughput
        One entry per cycle.
    Back-pressure
        No entry is taken while `loaded`, before `start`, or after the job's last K tile has started.
    Reset
        Synchronous; no job.

    Parameters
    ----------
    core
        The configuration, with outlier lanes.

    Members
    -------
    start : In(1)
        A job begins.
    entries : In(stream of ``outlier_bus_bits``)
    taken : Out(1)
        An entry is taken.
    loaded : Out(1)
        A register.
    swap : In(1)
        The loaded K tile's first slot is issued; only while `loaded`.
    finish : In(1)
        With `swap`: it is the job's last K tile.
    outliers : Out(outliers_layout(core))
        The K tile's, from `loaded` until the cycle after `swap`.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        super().__init__(
            {
                "start": In(1),
                "entries": In(stream.Signature(core.outlier_bus_bits)),
                "taken": Out(1),
                "loaded": Out(1),
                "swap": In(1),
                "finish": In(1),
                "outliers": Out(outliers_layout(core)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = entry_layout(self.core)
        entry = data.View(layout, self.entries.payload[: layout.size])
        active = Signal()
        # One bit per lane: whose turn it is; none when all are filled.
        turn = Signal(self.core.outlier_lanes, init=1)
        m.d.comb += [
            self.entries.ready.eq(active & ~self.loaded),
            self.taken.eq(self.entries.valid & self.entries.ready),
        ]
        with m.If(self.start):
            m.d.sync += active.eq(1)
        with m.Elif(self.swap & self.finish):
            m.d.sync += active.eq(0)
        with m.If(self.taken):
            m.d.sync += [self.loaded.eq(entry.last), turn.eq(Mux(entry.last, 1, turn << 1))]
            for lane, outlier in enumerate(self.outliers):
                with m.If(turn[lane]):
                    m.d.sync += [outlier[name].eq(entry[name]) for name in ("value", "index", "column")]
                with m.Elif(turn[0]):
                    # The first entry of a K tile clears what the one before left.
                    m.d.sync += outlier.value.eq(0)
        with m.Elif(self.swap):
            m.d.sync += self.loaded.eq(0)
        return m
