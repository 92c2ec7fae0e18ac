"""The registers of a core: what a driver writes, what it reads, and whether a job may start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import and_

from amaranth.hdl import Array, C, Cat, Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Core, Dataflow, Format, Profile, ZeroPoints
from hwsim.spec.register_map import (
    ADDRESS_BITS,
    CONTROL_START,
    COUNTER_BITS,
    COUNTERS,
    ID_WORD,
    REGISTERS,
    SETTINGS,
    VERSION_WORD,
    counter_address,
    geometry_word,
)

from .axi_lite import register_ports

WORD_BITS = ADDRESS_BITS - 2
READ_CYCLES = 2
"""From a read address to what is there."""

_GROUP = 8
"""Words that one multiplexer of the first read stage chooses from."""

_COUNT = Format(16, signed=False)


class Registers(wiring.Component):
    """Everything behind the core's `AxiLite` port but the counters themselves.

    Latency
        Reads take `READ_CYCLES`. A start that is accepted in cycle t shows in `start` in t + 1. Whether a start is
        accepted depends on writes of two cycles ago and earlier, as `AxiLite` spaces them.
    Reset
        Synchronous; all settings are zero, with which no job can start.

    Parameters
    ----------
    core
        The configuration.
    counters
        Names of those that it has, of `COUNTERS`.

    Members
    -------
    write .. read_error
        See `register_ports`.
    settings : Out(StructLayout)
        The registers of `SETTINGS`, 32 bits each, as they were written.
    start : Out(1)
        One cycle per accepted start.
    busy, done : In(1)
        What STATUS says. While `busy` every write is refused.
    counters : In(StructLayout)
        Values by name; a counter that is not there reads as zero.
    """

    def __init__(self, core: Core, counters: Sequence[str]) -> None:
        self.core = core
        super().__init__(
            {
                "settings": Out(data.StructLayout(dict.fromkeys(SETTINGS, 32))),
                "start": Out(1),
                "busy": In(1),
                "done": In(1),
                "counters": In(data.StructLayout(dict.fromkeys(counters, COUNTER_BITS))),
            }
            | register_ports(ADDRESS_BITS)
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m: Module) -> None:
        ready = Signal()
        allowed = [Signal(name=f"allowed_{i}") for i, _ in enumerate(self._conditions())]
        m.d.sync += [flag.eq(condition) for flag, condition in zip(allowed, self._conditions(), strict=True)]
        m.d.comb += ready.eq(reduce(and_, allowed))
        m.d.sync += self.start.eq(0)
        # What no case names is unknown or read only.
        m.d.comb += self.write_error.eq(1)
        with m.If(~self.busy), m.Switch(self.write_address):
            for name in SETTINGS:
                with m.Case(REGISTERS[name] >> 2):
                    m.d.comb += self.write_error.eq(0)
                    for byte in range(4):
                        with m.If(self.write & self.write_strobes[byte]):
                            bits = slice(8 * byte, 8 * byte + 8)
                            m.d.sync += self.settings[name][bits].eq(self.write_data[bits])
            with m.Case(REGISTERS["CONTROL"] >> 2):
                asked = (self.write_data & CONTROL_START).any() & self.write_strobes[0]
                m.d.comb += self.write_error.eq(asked & ~ready)
                m.d.sync += self.start.eq(self.write & asked & ready)

    def _conditions(self) -> Iterator[Value]:
        """What must hold of the settings for a start; a setting that the configuration does not use may be anything."""
        core, settings = self.core, self.settings
        if core.dataflow is Dataflow.WEIGHT_STATIONARY:
            yield _counts(settings.PIXELS, core.pixels)
        for count in (settings.K_TILES, settings.OUTPUT_TILES):
            yield _counts(count, _COUNT.hi)
        if core.arithmetic.reduction.zero_points is ZeroPoints.SUBTRACT:
            yield _within(settings.ACTIVATION_ZERO_POINT, core.activation)
        if core.output is not None:
            for value in (settings.OUTPUT_ZERO_POINT, settings.CLAMP_LO, settings.CLAMP_HI):
                yield _within(value, core.output)
            # Both are within the format, or there is no start anyway.
            lo, hi = (word[: core.output.bits] for word in (settings.CLAMP_LO, settings.CLAMP_HI))
            yield lo.as_signed() <= hi.as_signed() if core.output.signed else lo <= hi
            yield int(core.arithmetic.profile is Profile.TFLITE) >= settings.ROUNDING

    def _words(self) -> dict[int, Value]:
        words: dict[str, Value] = {
            "ID": C(ID_WORD, 32),
            "VERSION": C(VERSION_WORD, 32),
            "GEOMETRY": C(geometry_word(self.core), 32),
            "CONTROL": C(0, 32),
            "STATUS": Cat(self.busy, self.done),
        } | {name: self.settings[name] for name in SETTINGS}
        by_address = {REGISTERS[name] >> 2: word for name, word in words.items()}
        present = self.counters.shape().members
        for name in COUNTERS:
            counter = self.counters[name] if name in present else Const(0, 64)
            by_address[counter_address(name) >> 2] = counter[:32]
            by_address[(counter_address(name) >> 2) + 1] = counter[32:]
        return by_address

    def _read(self, m: Module) -> None:
        words = self._words()
        groups = []
        for base in range(0, 1 << WORD_BITS, _GROUP):
            addresses = range(base, base + _GROUP)
            group = Signal(32, name=f"group_{base}")
            if words.keys() & set(addresses):
                chosen = Array(words.get(address, C(0, 32)) for address in addresses)
                m.d.sync += group.eq(chosen[self.read_address % _GROUP])
            groups.append(group)
        known = Signal()
        m.d.comb += known.eq(0)
        with m.Switch(self.read_address), m.Case(*words):
            m.d.comb += known.eq(1)
        above = self.read_address[_GROUP.bit_length() - 1 :]
        m.d.sync += [self.read_data.eq(Array(groups)[above]), self.read_error.eq(~known)]


def _within(word: Value, integers: Format) -> Value:
    """Whether a register holds one of those integers: the bits above their own repeat the sign, or are zero."""
    if not integers.signed:
        return ~word[integers.bits :].any()
    above = word[integers.bits - 1 :]
    return above.all() | ~above.any()


def _counts(word: Value, most: int) -> Value:
    """Whether a register holds a number from 1 to `most`, without a carry chain over all of it."""
    bits = most.bit_length()
    return word.any() & ~word[bits:].any() & (word[:bits] <= most)
