"""Bytes over two wires: an asynchronous serial receiver and transmitter, 8 data bits, no parity, one stop bit."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from hwsim.spec import require

DATA_BITS = 8
FRAME_BITS = DATA_BITS + 2
"""With the start bit (0) and the stop bit (1); the lowest data bit comes first."""

SHORTEST_BIT = 8
"""Cycles: a receiver that finds a start bit up to two cycles late still samples well inside of every bit."""


def check_bit_cycles(bit_cycles: int) -> int:
    """Return `bit_cycles` if a unit here can have bits of that length."""
    require(bit_cycles in range(SHORTEST_BIT, 1 << 20), "bit_cycles", f"from {SHORTEST_BIT} to 2^20 - 1", bit_cycles)
    return bit_cycles


class UartReceiver(wiring.Component):
    """Receives bytes; a frame whose stop bit is 0, or whose start bit is gone in its middle, is dropped.

    Latency
        A byte is there in the middle of its stop bit, and two cycles of the synchronizer.
    Throughput
        Frames back to back.
    Back-pressure
        None: a byte is there for one cycle.
    Reset
        Synchronous; a frame that is under way is dropped.

    Parameters
    ----------
    bit_cycles
        Clock cycles per bit, from 8 on.

    Members
    -------
    line : In(1)
        From outside, not synchronous to the clock; 1 while idle.
    valid : Out(1), byte : Out(8)
        A received byte.
    """

    def __init__(self, bit_cycles: int) -> None:
        self.bit_cycles = check_bit_cycles(bit_cycles)
        super().__init__({"line": In(1), "valid": Out(1), "byte": Out(unsigned(DATA_BITS))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line, bits = Signal(init=1), Signal(FRAME_BITS)
        left, timer = Signal(range(FRAME_BITS + 1)), Signal(range(self.bit_cycles))
        # Without a loss of margin: the line may change at any time.
        m.submodules.synchronizer = FFSynchronizer(self.line, line, init=1)
        m.d.comb += self.byte.eq(bits[1:-1])
        m.d.sync += self.valid.eq(0)
        with m.If(left == 0):
            # From the edge to the middle of the start bit is half a bit.
            m.d.sync += timer.eq(self.bit_cycles // 2 - 1)
            with m.If(~line):
                m.d.sync += left.eq(FRAME_BITS)
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(self.bit_cycles - 1), left.eq(left - 1), bits.eq(Cat(bits[1:], line))]
            with m.If((left == FRAME_BITS) & line):
                m.d.sync += left.eq(0)
            with m.If(left == 1):
                m.d.sync += self.valid.eq(line)
        return m


class UartTransmitter(wiring.Component):
    """Sends bytes.

    Latency
        The start bit begins in the cycle after a byte is taken.
    Throughput
        A byte per ``10 * bit_cycles`` cycles.
    Back-pressure
        `bytes` is ready between frames.
    Reset
        Synchronous; the line is idle.

    Parameters
    ----------
    bit_cycles
        Clock cycles per bit, from 8 on.

    Members
    -------
    bytes : In(stream of 8 bits)
    line : Out(1)
        A register, 1 while idle.
    """

    def __init__(self, bit_cycles: int) -> None:
        self.bit_cycles = check_bit_cycles(bit_cycles)
        super().__init__({"bytes": In(stream.Signature(unsigned(DATA_BITS))), "line": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The line is the frame's lowest bit; above it are ones, as the line is when idle.
        rest = Signal(FRAME_BITS - 1, init=-1)
        left, timer = Signal(range(FRAME_BITS + 1)), Signal(range(self.bit_cycles))
        m.d.comb += self.bytes.ready.eq(left == 0)
        with m.If(self.bytes.valid & self.bytes.ready):
            m.d.sync += [self.line.eq(0), rest.eq(Cat(self.bytes.payload, 1))]
            m.d.sync += [left.eq(FRAME_BITS), timer.eq(self.bit_cycles - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(left != 0):
            m.d.sync += [Cat(self.line, rest).eq(Cat(rest, 1)), left.eq(left - 1), timer.eq(self.bit_cycles - 1)]
        return m
