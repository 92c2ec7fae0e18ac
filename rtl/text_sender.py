"""Lines of text with decimal numbers in them, byte by byte."""

from __future__ import annotations

import re
from collections.abc import Sequence

from amaranth.hdl import Array, C, Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import require

NUMBER_BITS = 20
DIGITS = len(str((1 << NUMBER_BITS) - 1))

END = 0
NUMBER = 0x80
"""Codes beside ASCII: the line is over, number 0 stands here (NUMBER + i: number i)."""


def encode(line: str) -> bytes:
    """Return the codes of a line; ``{i}`` in it is the place of number i."""
    require(line.isascii() and line.isprintable(), "line", "printable ASCII", repr(line))
    parts = re.split(r"\{(\d)\}", line)
    codes = b"".join(bytes([NUMBER + int(part)]) if i % 2 else part.encode() for i, part in enumerate(parts))
    return codes + b"\r\n" + bytes([END])


class TextSender(wiring.Component):
    """Sends one of several fixed lines, ended by CR and LF, with numbers put in where the line has ``{i}``.

    Numbers are decimal without leading zeros.

    Latency
        A few cycles to the first byte; about `NUMBER_BITS` from a number's place to its first digit.
    Throughput
        Made for a serial line: a byte in about three cycles, once it is taken.
    Back-pressure
        A byte stays until it is taken.
    Reset
        Synchronous; the rest of a line is dropped.

    Parameters
    ----------
    lines
        Printable ASCII.
    numbers
        How many there are, at most 10.

    Members
    -------
    start : In(1), line : In(range(len(lines)))
        Send that line; only if not `busy`.
    numbers : In(ArrayLayout(unsigned(NUMBER_BITS), numbers))
        Stable until the line has been sent.
    bytes : Out(stream of 8 bits)
    busy : Out(1)
    """

    def __init__(self, lines: Sequence[str], numbers: int) -> None:
        encoded = [encode(line) for line in lines]
        self._content = b"".join(encoded)
        self._starts = [sum(map(len, encoded[:i])) for i in range(len(encoded))]
        super().__init__(
            {
                "start": In(1),
                "line": In(range(len(lines))),
                "numbers": In(data.ArrayLayout(unsigned(NUMBER_BITS), numbers)),
                "bytes": Out(stream.Signature(8)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.text = text = memory.Memory(shape=8, depth=len(self._content), init=self._content)
        port = text.read_port()
        place = Signal(range(len(self._content) + 1))
        binary, steps = Signal(NUMBER_BITS), Signal(range(NUMBER_BITS))
        # The highest digit is sent first.
        digits, left = Signal(data.ArrayLayout(4, DIGITS)), Signal(range(DIGITS))
        begun = Signal()
        m.d.comb += [port.addr.eq(place), port.en.eq(1)]
        with m.FSM() as states:
            m.d.comb += self.busy.eq(~states.ongoing("IDLE"))
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += place.eq(Array(self._starts)[self.line])
                m.next = "FETCH"
            with m.State("FETCH"):
                m.next = "LOOK"
            with m.State("LOOK"):
                number = self.numbers[port.data[:4]]
                with m.If(port.data == END):
                    m.next = "IDLE"
                with m.Elif(port.data >= NUMBER):
                    m.d.sync += [binary.eq(number), digits.eq(0), steps.eq(NUMBER_BITS - 1)]
                    m.next = "CONVERT"
                with m.Else():
                    m.d.comb += [self.bytes.payload.eq(port.data), self.bytes.valid.eq(1)]
                    with m.If(self.bytes.ready):
                        m.d.sync += place.eq(place + 1)
                        m.next = "FETCH"
            with m.State("CONVERT"):
                m.d.sync += [Cat(binary, digits).eq(Cat(C(0, 1), binary, _prepared(digits))), steps.eq(steps - 1)]
                with m.If(steps == 0):
                    m.d.sync += [left.eq(DIGITS - 1), begun.eq(0)]
                    m.next = "DIGITS"
            with m.State("DIGITS"):
                shown = begun | (digits[-1] != 0) | (left == 0)
                m.d.comb += [self.bytes.payload.eq(ord("0") + digits[-1]), self.bytes.valid.eq(shown)]
                with m.If(~shown | self.bytes.ready):
                    m.d.sync += [digits.eq(digits.as_value() << 4), left.eq(left - 1), begun.eq(shown)]
                    with m.If(left == 0):
                        m.d.sync += place.eq(place + 1)
                        m.next = "FETCH"
        return m


def _prepared(digits: data.View) -> Value:
    """Return the digits such that a shift by one bit doubles the number: 5 and more carry into the next digit."""
    return Cat(Mux(digit >= 5, digit + 3, digit)[:4] for digit in digits)
