"""What a board with a serial line and a few lamps needs to show that a GEMM core works on it."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Core

from .self_test import SelfTest, SelfTestJob, Verdict
from .text_sender import TextSender
from .uart import UartReceiver, UartTransmitter

ENDINGS = {
    Verdict.PASS: "PASS beats={0} cycles={1}",
    Verdict.MISMATCH: "FAIL first wrong beat={0}",
    Verdict.HANG: "FAIL hangs after beats={0}",
    Verdict.REFUSED: "FAIL register access refused after beats={0}",
}
"""How a line ends: {0} is `SelfTest.beat`, {1} `SelfTest.cycles`."""


class SelfTestBoard(wiring.Component):
    """Runs a `SelfTest` after the reset and after each received byte, and sends a line with what came of it.

    Latency
        That of the test, then about 40 characters.
    Throughput
        One test at a time; bytes that are received meanwhile are dropped.
    Back-pressure
        None.
    Reset
        Synchronous; a test begins.

    Parameters
    ----------
    core, job
        See `SelfTest`.
    title
        Begins the line: printable ASCII.
    bit_cycles
        Clock cycles per bit of the serial line.

    Members
    -------
    rx : In(1), tx : Out(1)
        The serial line.
    passed, failed : Out(1)
        What came of the last test; both are 0 during one.
    """

    def __init__(self, core: Core, job: SelfTestJob, title: str, bit_cycles: int) -> None:
        self.test = SelfTest(core, job)
        self.text = TextSender([f"{title} {ENDINGS[verdict]}" for verdict in Verdict], numbers=2)
        self.bit_cycles = bit_cycles
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "passed": Out(1), "failed": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.test = test = self.test
        m.submodules.text = text = self.text
        m.submodules.receiver = receiver = UartReceiver(self.bit_cycles)
        m.submodules.transmitter = transmitter = UartTransmitter(self.bit_cycles)
        wiring.connect(m, text.bytes, transmitter.bytes)
        first, known = Signal(init=1), Signal()
        free = ~(test.busy | test.finished | text.busy)
        m.d.sync += first.eq(0)
        m.d.comb += [
            receiver.line.eq(self.rx),
            self.tx.eq(transmitter.line),
            test.start.eq(free & (first | receiver.valid)),
            text.start.eq(test.finished),
            text.line.eq(test.verdict),
            text.numbers[0].eq(test.beat),
            text.numbers[1].eq(test.cycles),
            self.passed.eq(known & (test.verdict == Verdict.PASS)),
            self.failed.eq(known & (test.verdict != Verdict.PASS)),
        ]
        with m.If(test.start):
            m.d.sync += known.eq(0)
        with m.Elif(test.finished):
            m.d.sync += known.eq(1)
        return m
