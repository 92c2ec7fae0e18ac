"""AXI4-Stream and AXI4-Lite in cocotb: what drives pins, what watches them, and what the protocol forbids.

Agents are plain objects with a `tick` that is called once per rising edge of the clock; `run` calls any number of them from
one coroutine, which costs a simulator far less than a coroutine each. After a rising edge cocotb reads what the pins were
before it, so each `tick` sees the same cycle, whatever the order of the agents.

Needs cocotb 2; nothing here knows what the hardware computes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from cocotb.triggers import RisingEdge
from cocotb.types import Logic, LogicArray

RESPONSES = ("OKAY", "EXOKAY", "SLVERR", "DECERR")
"""Names of the codes of BRESP and RRESP."""

PATIENCE_CYCLES = 1000
"""An AXI4-Lite handshake that takes longer hangs."""


class Agent(Protocol):
    """What `run` can run."""

    def tick(self) -> None:
        """Look at the cycle that just ended and set the pins for the next one."""


async def run(clock: Any, *agents: Agent) -> None:
    """Call every agent's `tick` at each rising edge, for ever: give it to ``cocotb.start_soon``."""
    edge = RisingEdge(clock)
    while True:
        await edge
        for agent in agents:
            agent.tick()


class Stream:
    """The pins of one stream.

    Parameters
    ----------
    dut
        The device.
    prefix
        What the pins' names start with: ``s_axis_weights`` has the pins ``s_axis_weights_tdata`` and so on.
    data, valid, ready, last
        How they end; `last` is None for a stream without.
    separator
        What stands between, ``__`` for streams of Amaranth.
    """

    def __init__(
        self, dut: Any, prefix: str, *, data: str = "tdata", valid: str = "tvalid", ready: str = "tready",
        last: str | None = None, separator: str = "_",
    ) -> None:  # fmt: skip
        self.name = prefix
        self.data, self.valid, self.ready = (getattr(dut, f"{prefix}{separator}{pin}") for pin in (data, valid, ready))
        self.last = None if last is None else getattr(dut, f"{prefix}{separator}{last}")


@dataclass
class Pauses:
    """When a stream pauses: in each free cycle with `probability`, then for 1 to `longest` cycles.

    And always while `hold` is set, and in each cycle for which `closed` says so.
    """

    rng: np.random.Generator
    probability: float = 0.0
    longest: int = 1
    hold: bool = False
    closed: Callable[[], bool] | None = None
    _left: int = field(default=0, init=False)

    def become(self, probability: float, longest: int) -> None:
        """Behave otherwise from now on; a pause that goes on ends."""
        self.probability, self.longest, self._left = probability, longest, 0

    def now(self) -> bool:
        """Whether this cycle is a pause."""
        if self.hold or (self.closed is not None and self.closed()):
            return True
        if self._left == 0 and self.probability and self.rng.random() < self.probability:
            self._left = int(self.rng.integers(1, self.longest, endpoint=True))
        if self._left == 0:
            return False
        self._left -= 1
        return True


class Source:
    """Drives a stream's data and valid from a queue, with pauses; what is valid stays until it is taken.

    Parameters
    ----------
    stream
        The pins.
    pauses
        When to offer nothing although there is something.
    noise
        What the pins of data and last carry meanwhile: random bits from this generator, or undefined ones (``X``) if None, so
        that a device that uses what is not valid is caught.
    """

    def __init__(self, stream: Stream, pauses: Pauses | None = None, noise: np.random.Generator | None = None) -> None:
        self.stream, self.pauses, self.noise = stream, pauses, noise
        self._queue: deque[tuple[int, int]] = deque()
        self._valid = False
        self.reset()

    def reset(self) -> None:
        """Offer nothing and forget what is queued."""
        self._queue.clear()
        self._withdraw()

    def send(self, beats: Iterable[int], *, packet: bool = False) -> None:
        """Queue beats, the bits of the data pins as unsigned integers; with `packet` the final one carries ``last``."""
        self._queue.extend((beat, 0) for beat in beats)
        if packet:
            self._queue[-1] = self._queue[-1][0], 1

    @property
    def left(self) -> int:
        """Beats that are not taken yet, the one on the pins included."""
        return len(self._queue) + self._valid

    def tick(self) -> None:
        if self._valid and not self.stream.ready.value:
            return
        if self._queue and not (self.pauses is not None and self.pauses.now()):
            self.stream.data.value, last = self._queue.popleft()
            if self.stream.last is not None:
                self.stream.last.value = last
            if not self._valid:
                self.stream.valid.value = 1
                self._valid = True
        elif self._valid:
            self._withdraw()

    def _withdraw(self) -> None:
        self._valid = False
        self.stream.valid.value = 0
        for pin in (self.stream.data, self.stream.last):
            if pin is not None:
                pin.value = self._noise(len(pin))

    def _noise(self, bits: int) -> Any:
        if self.noise is None:
            return LogicArray("X" * bits) if bits > 1 else Logic("X")
        return int.from_bytes(self.noise.bytes(-(-bits // 8))) & ((1 << bits) - 1)


class Sink:
    """Drives a stream's ready, with pauses, whether or not something is valid."""

    def __init__(self, stream: Stream, pauses: Pauses | None = None) -> None:
        self.stream, self.pauses = stream, pauses
        self._ready = 0
        stream.ready.value = 0

    def tick(self) -> None:
        ready = int(not (self.pauses is not None and self.pauses.now()))
        if ready != self._ready:
            self.stream.ready.value = self._ready = ready


class Monitor:
    """Watches a stream's pins: hands over each beat that is taken, and holds both sides to the protocol.

    Parameters
    ----------
    stream
        The pins.
    take
        Called with the beat's bits, unsigned, and whether it is the last (always False on a stream without ``last``).

    Attributes
    ----------
    beats
        Beats taken so far.

    Raises
    ------
    AssertionError
        By `tick`: valid or ready is undefined; data or last is undefined while valid; data or last changed, or valid was
        withdrawn, before the beat was taken.
    """

    def __init__(self, stream: Stream, take: Callable[[int, bool], None]) -> None:
        self.stream, self.take = stream, take
        self.beats = 0
        self._held: tuple[Any, Any] | None = None

    def reset(self) -> None:
        """Forget a beat that was offered and not taken: a reset may withdraw it."""
        self._held = None

    def tick(self) -> None:
        stream = self.stream
        valid, ready = stream.valid.value, stream.ready.value
        if not (valid.is_resolvable and ready.is_resolvable):
            raise AssertionError(f"{stream.name}: valid is {valid}, ready is {ready}")
        if not valid:
            if self._held is not None:
                raise AssertionError(f"{stream.name}: valid was withdrawn before the beat was taken")
            return
        beat = stream.data.value, None if stream.last is None else stream.last.value
        if self._held is None:
            if not (beat[0].is_resolvable and (beat[1] is None or beat[1].is_resolvable)):
                raise AssertionError(
                    f"{stream.name}: undefined bits in beat {self.beats}: data {beat[0]}, last {beat[1]}"
                )
        elif beat != self._held:
            raise AssertionError(f"{stream.name}: beat {self.beats} changed before it was taken")
        self._held = beat
        if ready:
            self._held = None
            self.beats += 1
            self.take(beat[0].to_unsigned(), beat[1] is not None and bool(beat[1]))


class AxiLite:
    """Master of an AXI4-Lite port with 32-bit data: one access at a time.

    Parameters
    ----------
    dut, prefix
        The device, and what the port's pins start with, such as ``s_axil``.
    clock
        Its clock.
    pauses
        Cycles to wait between the two halves of a write, and before a response is taken.
    """

    def __init__(self, dut: Any, prefix: str, clock: Any, pauses: Pauses | None = None) -> None:
        self._dut, self._prefix = dut, prefix
        self._edge = RisingEdge(clock)
        self.pauses = pauses
        for name in ("awvalid", "wvalid", "bready", "arvalid", "rready", "awaddr", "wdata", "wstrb", "araddr"):
            self._pin(name).value = 0

    async def write(self, address: int, data: int, strobe: int = 0xF) -> str:
        """Write a word; negative data as two's complement. Return the response's name, such as ``OKAY``."""
        halves = [("aw", {"awaddr": address}), ("w", {"wdata": data & 0xFFFFFFFF, "wstrb": strobe})]
        if self.pauses is not None and self.pauses.rng.random() < 0.5:
            halves.reverse()
        if self._pauses():
            for channel, values in halves:
                await self._send(channel, values)
        else:
            await self._send_together(halves)
        (code,) = await self._receive("b", ("bresp",))
        return RESPONSES[code]

    async def read(self, address: int) -> tuple[int, str]:
        """Read a word, unsigned; return it and the response's name."""
        await self._send("ar", {"araddr": address})
        data, code = await self._receive("r", ("rdata", "rresp"))
        return data, RESPONSES[code]

    def _pin(self, name: str) -> Any:
        return getattr(self._dut, f"{self._prefix}_{name}")

    def _pauses(self) -> bool:
        return self.pauses is not None and self.pauses.now()

    async def _send(self, channel: str, values: dict[str, int]) -> None:
        while self._pauses():
            await self._edge
        await self._send_together([(channel, values)])

    async def _send_together(self, halves: list[tuple[str, dict[str, int]]]) -> None:
        """Offer all halves in one cycle; each is withdrawn when it is taken."""
        waiting = []
        for channel, values in halves:
            for name, value in values.items():
                self._pin(name).value = value
            self._pin(f"{channel}valid").value = 1
            waiting.append(channel)
        for _ in range(PATIENCE_CYCLES):
            await self._edge
            for channel in list(waiting):
                if self._pin(f"{channel}ready").value:
                    self._pin(f"{channel}valid").value = 0
                    waiting.remove(channel)
            if not waiting:
                return
        raise AssertionError(f"{self._prefix}: {waiting[0]}ready never came")

    async def _receive(self, channel: str, names: tuple[str, ...]) -> list[int]:
        valid, ready = self._pin(f"{channel}valid"), self._pin(f"{channel}ready")
        while self._pauses():
            await self._edge
        ready.value = 1
        for _ in range(PATIENCE_CYCLES):
            await self._edge
            if valid.value:
                ready.value = 0
                found = [self._pin(name).value for name in names]
                if not all(value.is_resolvable for value in found):
                    raise AssertionError(f"{self._prefix}: undefined response {dict(zip(names, found, strict=True))}")
                return [value.to_unsigned() for value in found]
        raise AssertionError(f"{self._prefix}: {channel}valid never came")
