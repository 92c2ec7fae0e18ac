"""Parameters of two output tiles: one in use, one being loaded."""

from __future__ import annotations

import itertools

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import BiasAt, Core
from hwsim.spec.requantization import MULTIPLIER_BITS, SHIFT_BITS

from .loop_nest import LoopNest


def record_layout(core: Core) -> data.StructLayout:
    """Return the layout of one column's parameters, as they come: bias, multiplier, shift."""
    fields = {"bias": signed(core.bias_bits)} if core.bias_bits else {}
    if core.output is not None:
        fields |= {"multiplier": MULTIPLIER_BITS, "shift": signed(SHIFT_BITS)}
    return data.StructLayout(fields)


def requantize_layout(core: Core) -> data.StructLayout:
    """Return the layout of what a requantizer needs of a record."""
    fields = record_layout(core).members
    if core.arithmetic.reduction.bias_at is BiasAt.START:
        fields.pop("bias", None)
    return data.StructLayout(fields)


class ParameterSets(wiring.Component):
    """Takes records from beats, column 0 first, into two sets in turn; only for a core that has records.

    Latency
        A set whose last beat is taken in cycle t can be used by what is read in t + 2 and later.
    Throughput
        One beat per cycle.
    Back-pressure
        `room` says whether the set whose turn it is can take beats; a register.
    Reset
        Synchronous; both sets are free and set 0 is next.

    Parameters
    ----------
    core
        The configuration.

    Members
    -------
    start : In(1)
        A job begins: the next beat is a record's first.
    take : In(1)
        `beat` is the next beat of the records; only while `room`.
    beat : In(core.weight_packing.bus_bits)
    room : Out(1)
    complete : Out(1)
        This beat would be the last of its set.
    free : In(1)
        The older set is not needed any more; seen by `room` in the next cycle.
    biases : Out(ArrayLayout(ArrayLayout(signed, cols), 2))
        Per set, where the bias enters at the start.
    select : In(StructLayout)
        ``set`` and ``part`` of what the requantizers get in the next cycle, where results are requantized. Part p are
        columns ``p * lanes`` and up, with as many lanes as there are requantizers.
    parameters : Out(ArrayLayout(requantize_layout(core), lanes))
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.parts = core.requantize_cycles
        self.lanes = core.cols // self.parts
        members = {
            "start": In(1),
            "take": In(1),
            "beat": In(core.weight_packing.bus_bits),
            "room": Out(1, init=1),
            "complete": Out(1),
            "free": In(1),
        }
        if core.arithmetic.reduction.bias_at is BiasAt.START:
            members["biases"] = Out(data.ArrayLayout(data.ArrayLayout(signed(core.bias_bits), core.cols), 2))
        if core.output is not None:
            members["select"] = In(data.StructLayout({"set": 1, "part": range(self.parts)}))
            members["parameters"] = Out(data.ArrayLayout(requantize_layout(core), self.lanes))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        record, stored = self._assemble(m, self._occupy(m))
        if "biases" in self.signature.members:
            for chosen, biases in enumerate(self.biases):
                for column, bias in enumerate(biases):
                    with m.If(stored.biases[chosen][column]):
                        m.d.sync += bias.eq(record.bias)
        if "select" in self.signature.members:
            for lane in range(self.lanes):
                self._remember(m, lane, record, stored)
        return m

    def _occupy(self, m: Module) -> Signal:
        """Keep which sets are in use; they are filled and freed in turn. Return the one that beats belong to."""
        occupied = [Signal(name=f"occupied_{i}") for i in range(2)]
        loading, oldest = Signal(name="loading"), Signal(name="oldest")
        filled = self.take & self.complete
        # Where the next beat goes is known one cycle ahead: `room` is a register, as the loader's decisions hang on it.
        following = loading ^ filled
        freed = self.free & (oldest == following)
        m.d.sync += [
            self.room.eq(freed | ~Mux(following, occupied[1], occupied[0])),
            loading.eq(following),
            oldest.eq(oldest ^ self.free),
        ]
        for i, flag in enumerate(occupied):
            with m.If(filled & (loading == i)):
                m.d.sync += flag.eq(1)
            with m.Elif(self.free & (oldest == i)):
                m.d.sync += flag.eq(0)
        return loading

    def _assemble(self, m: Module, loading: Signal) -> tuple[data.View, data.View]:
        """Return the latest record and where it belongs: registers, as their way to all columns takes a cycle of its own.

        Each bias and each requantizer has its own: a choice by number would stand on that way.
        """
        core = self.core
        m.submodules.position = position = LoopNest({"beat": core.record_beats, "lane": self.lanes, "part": self.parts})
        where = data.StructLayout(
            {"set": 1, "part": range(self.parts), "lanes": self.lanes, "biases": data.ArrayLayout(core.cols, 2)}
        )
        stored = Signal(where, name="stored")
        bits = core.weight_packing.bus_bits
        beats = Signal(bits * core.record_beats, name="record", reset_less=True)
        m.d.comb += [
            position.start.eq(self.start),
            position.step.eq(self.take),
            position.limits.beat.eq(core.record_beats - 1),
            position.limits.lane.eq(self.lanes - 1),
            position.limits.part.eq(self.parts - 1),
            self.complete.eq(position.finish),
        ]
        m.d.sync += [
            stored.set.eq(loading),
            stored.part.eq(position.index.part),
        ]
        for lane in range(self.lanes):
            here = self.take & position.last.beat & (position.index.lane == lane)
            m.d.sync += stored.lanes[lane].eq(here)
            for part, chosen in itertools.product(range(self.parts), range(2)):
                column = stored.biases[chosen][part * self.lanes + lane]
                m.d.sync += column.eq(here & (position.index.part == part) & (loading == chosen))
        with m.If(self.take):
            m.d.sync += beats.eq(Cat(beats, self.beat) >> bits)
        return data.View(record_layout(core), beats[: core.record_bits]), stored

    def _remember(self, m: Module, lane: int, record: data.View, stored: data.View) -> None:
        """Store what one requantizer needs: a word per set and part."""
        layout = requantize_layout(self.core)
        m.submodules[f"lane_{lane}"] = words = memory.Memory(shape=layout, depth=2 * self.parts, init=[])
        entrance, leaving = words.write_port(), words.read_port()
        m.d.comb += [
            entrance.addr.eq(Cat(stored.set, stored.part)),
            entrance.en.eq(stored.lanes[lane]),
            leaving.addr.eq(Cat(self.select.set, self.select.part)),
            self.parameters[lane].eq(leaving.data),
        ]
        m.d.comb += [entrance.data[name].eq(record[name]) for name in layout.members]
