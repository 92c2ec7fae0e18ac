"""A fixed sequence of words as a stream, out of a memory."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import require


class RomStream(wiring.Component):
    """Sends the words of a read-only memory, from the first one on after each `start`.

    Latency
        The first word is there in the second cycle after `start`.
    Throughput
        One word per cycle.
    Back-pressure
        A word stays until it is taken.
    Reset
        Synchronous; nothing is sent before a start.

    Parameters
    ----------
    words
        What is sent, non-negative, at least one.
    bits
        Width of a word.

    Members
    -------
    start : In(1)
        A sequence that is under way is dropped.
    words : Out(stream of unsigned(bits))
    index : Out(range(len(words) + 1))
        How many have been taken since `start`.
    """

    def __init__(self, words: Sequence[int], bits: int) -> None:
        require(len(words) > 0, "words", "at least one", len(words))
        self._content = tuple(words)
        self._bits = bits
        super().__init__(
            {
                "start": In(1),
                "words": Out(stream.Signature(unsigned(bits))),
                "index": Out(range(len(words) + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.rom = rom = memory.Memory(shape=unsigned(self._bits), depth=len(self._content), init=self._content)
        port = rom.read_port()
        begun = Signal()
        following = Signal.like(self.index)
        taken = self.words.valid & self.words.ready
        m.d.comb += [
            following.eq(Mux(self.start, 0, self.index + taken)),
            # Read what the next cycle shows.
            port.en.eq(1),
            port.addr.eq(following),
            self.words.payload.eq(port.data),
        ]
        m.d.sync += [self.index.eq(following), begun.eq(begun | self.start)]
        m.d.sync += self.words.valid.eq((begun | self.start) & (following != len(self._content)))
        return m
