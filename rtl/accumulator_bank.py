"""Where a weight-stationary array keeps the accumulators of an output tile from one K tile to the next."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import BiasAt, Core

from .delay import delay
from .slots import biases_layout

READ_CYCLES = 2
"""From the address to the accumulator: the memory's own register, and one behind the choice of the start."""


def read_layout(core: Core) -> data.StructLayout:
    """Return what is asked of the bank: a pixel's accumulators, or with ``first`` their start, with biases from a ``set``."""
    return data.StructLayout({"pixel": range(core.pixels), "first": 1, "set": 1})


def write_layout(core: Core) -> data.StructLayout:
    """Return what is told to the bank: whose accumulators come, and whether they do."""
    return data.StructLayout({"enable": 1, "pixel": range(core.pixels)})


class AccumulatorBank(wiring.Component):
    """`pixels` accumulators per column, one memory per column, read and written at the skew of the array.

    All members are those of column 0; what belongs to column c is c cycles later. So no accumulator has to wait for the
    other columns on its way from the array into the memory and back.

    Latency
        `READ_CYCLES` from `read` to `starts`. What is written in cycle t can be asked for from t + 1 on.
    Throughput
        One read and one write per cycle.
    Back-pressure
        None.
    Reset
        Synchronous; the memory keeps what it holds, which is read after a start only.

    Parameters
    ----------
    core
        A weight-stationary configuration.

    Members
    -------
    read : In(read_layout(core))
    biases : In(biases_layout(core)), with `BiasAt.START` only
        Read in the cycle of `read`.
    starts : Out(ArrayLayout(signed(acc.bits), cols))
        What a K tile's sum is added to: bias or zero for the output tile's first one, then what was written.
    write : In(write_layout(core))
    accs : In(ArrayLayout(signed(acc.bits), cols))
        Written in this cycle.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        columns = data.ArrayLayout(signed(core.arithmetic.reduction.acc.bits), core.cols)
        self.biased = core.arithmetic.reduction.bias_at is BiasAt.START
        members = {
            "read": In(read_layout(core)),
            "starts": Out(columns),
            "write": In(write_layout(core)),
            "accs": In(columns),
        }
        if self.biased:
            members["biases"] = In(biases_layout(core))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        acc = signed(self.core.arithmetic.reduction.acc.bits)
        read, write = self.read, self.write
        for c in range(self.core.cols):
            read = delay(m, read, min(c, 1), f"read_{c}")
            write = delay(m, write, min(c, 1), f"write_{c}")
            # As deep as can be addressed: slots without a pixel read beyond the last one, and simulators mind.
            depth = 1 << len(read.pixel)
            m.submodules[f"column_{c}"] = column = memory.Memory(shape=acc, depth=depth, init=[])
            entrance, exit_ = column.write_port(), column.read_port(domain="comb")
            m.d.comb += [
                entrance.en.eq(write.enable),
                entrance.addr.eq(write.pixel),
                entrance.data.eq(self.accs[c]),
                exit_.addr.eq(read.pixel),
            ]
            kept = Signal(acc, name=f"kept_{c}", reset_less=True)
            # Nobody reads what is being written. Said in logic, it lets Yosys make a block RAM of memory and register
            # without a bypass around it; a synchronous read port would get one, to return the old value in that case.
            with m.If(~(write.enable & (write.pixel == read.pixel))):
                m.d.sync += kept.eq(exit_.data)
            # Only one choice behind the memory, whose output comes late in its cycle.
            start = Mux(delay(m, read.first, 1, f"first_{c}"), self._bias(m, c, read.set), kept)
            m.d.comb += self.starts[c].eq(delay(m, start, 1, f"start_{c}"))
        return m

    def _bias(self, m: Module, column: int, chosen: Value) -> Value | int:
        if not self.biased:
            return 0
        bias = Signal(signed(self.core.arithmetic.reduction.acc.bits), name=f"bias_{column}")
        m.d.sync += bias.eq(Mux(chosen, self.biases[1][column], self.biases[0][column]))
        return bias
