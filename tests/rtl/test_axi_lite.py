# amaranth: UnusedElaboratable=no
"""The AXI4-Lite port with the registers behind it, in Amaranth's simulator: any order, any pause, every refusal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib.wiring import In
from rtl_mutation import put_mutant
from stream_sim import PATIENCE_CYCLES, simulate

from hwsim.rtl import axi_lite, registers
from hwsim.spec import Arithmetic, BiasAt, Core, Dataflow, Format, Profile, Reduction, ZeroPoints
from hwsim.spec.register_map import (
    ADDRESS_BITS,
    COUNTERS,
    REGISTERS,
    SETTINGS,
    counter_address,
    geometry_word,
)

OKAY, SLVERR = 0, 2
CORE = Core(rows=3, cols=5, pixels=40, arithmetic=Arithmetic(Reduction(lanes=2)))
VALID = {"PIXELS": 40, "K_TILES": 65535, "OUTPUT_TILES": 1, "CLAMP_LO": -3, "CLAMP_HI": 7}
"""Settings with which `CORE` starts."""


class Device(Elaboratable):
    """The port and the registers, connected."""

    def __init__(self, core: Core) -> None:
        self.port = axi_lite.AxiLite(ADDRESS_BITS, registers.READ_CYCLES)
        self.registers = registers.Registers(core, COUNTERS[:3])

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.port, m.submodules.registers = self.port, self.registers
        for name, member in axi_lite.register_ports(ADDRESS_BITS).items():
            inner, outer = getattr(self.registers, name), getattr(self.port, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        return m


class Master:
    """One access at a time, each of its handshakes with random pauses; responses must stay until they are taken."""

    def __init__(self, device: Device, ctx: Any, seed: int, pause: float) -> None:
        self.port, self.ctx, self.pause = device.port, ctx, pause
        self.rng = np.random.default_rng(seed)
        self.starts = 0
        self.started = device.registers.start

    def _pin(self, name: str) -> Any:
        return getattr(self.port, name)

    async def _tick(self, *names: str) -> list[Any]:
        _, _, started, *values = await self.ctx.tick().sample(self.started, *map(self._pin, names))
        self.starts += started
        return list(values)

    async def _send(self, channels: dict[str, dict[str, int]]) -> None:
        """Offer the channels, each from a cycle of its own on."""
        waiting = {channel: self.rng.geometric(1 - self.pause) - 1 for channel in channels}
        for _ in range(PATIENCE_CYCLES):
            for channel, left in waiting.items():
                if left == 0:
                    self.ctx.set(self._pin(f"{channel}valid"), 1)
                    for name, value in channels[channel].items():
                        self.ctx.set(self._pin(name), value)
            ready = await self._tick(*(f"{channel}ready" for channel in waiting))
            for (channel, left), taken in zip(list(waiting.items()), ready, strict=True):
                if left == 0 and taken:
                    self.ctx.set(self._pin(f"{channel}valid"), 0)
                    del waiting[channel]
                else:
                    waiting[channel] = max(0, left - 1)
            if not waiting:
                return
        raise AssertionError("hangs")

    async def _receive(self, channel: str, *names: str) -> list[int]:
        held = None
        for _ in range(PATIENCE_CYCLES):
            ready = self.rng.random() >= self.pause
            self.ctx.set(self._pin(f"{channel}ready"), ready)
            valid, *values = await self._tick(f"{channel}valid", *names)
            assert held is None or (valid and values == held), "protocol: a response changed before it was taken"
            held = values if valid else None
            if valid and ready:
                self.ctx.set(self._pin(f"{channel}ready"), 0)
                return [int(value) for value in values]
        raise AssertionError("hangs")

    async def write(self, address: int, value: int, strobes: int = 15) -> int:
        data = {"wdata": value & 0xFFFFFFFF, "wstrb": strobes}
        await self._send({"aw": {"awaddr": address}, "w": data})
        (response,) = await self._receive("b", "bresp")
        return response

    async def read(self, address: int) -> tuple[int, int]:
        await self._send({"ar": {"araddr": address}})
        data, response = await self._receive("r", "rdata", "rresp")
        return data, response

    async def start(self) -> int:
        """Ask for a start; return the response, after making sure that it is true."""
        before = self.starts
        response = await self.write(REGISTERS["CONTROL"], 1)
        for _ in range(3):
            await self._tick()
        assert self.starts - before == (response == OKAY)
        return response


def session(core: Core, work: Callable[[Device, Master], Awaitable[None]], pause: float = 0.0, seed: int = 0) -> None:
    device = Device(core)

    async def run(ctx: Any) -> None:
        await work(device, Master(device, ctx, seed, pause))

    simulate(device, run)


async def set_all(master: Master, settings: dict[str, int]) -> None:
    for name, value in settings.items():
        assert await master.write(REGISTERS[name], value) == OKAY


def test_every_address() -> None:
    """Reads of all 64 words, writes to all of them, against the table in the documentation."""

    async def work(device: Device, master: Master) -> None:
        counts = {name: int(master.rng.integers(1 << 48)) for name in COUNTERS[:3]}
        master.ctx.set(device.registers.counters, counts)
        master.ctx.set(device.registers.done, 1)
        words = {REGISTERS["ID"]: 0x4857534D, REGISTERS["VERSION"]: 1, REGISTERS["GEOMETRY"]: geometry_word(CORE)}
        words |= {REGISTERS["CONTROL"]: 0, REGISTERS["STATUS"]: 2}
        for name in COUNTERS:
            count = counts.get(name, 0)
            words |= {counter_address(name): count & 0xFFFFFFFF, counter_address(name) + 4: count >> 32}
        written = {REGISTERS[name]: int(master.rng.integers(1 << 32)) for name in SETTINGS}
        for address in range(0, 256, 4):
            known = address in written or address == REGISTERS["CONTROL"]
            # Bit 0 of what goes to CONTROL is clear: no start.
            assert await master.write(address, written.get(address, 0x5A)) == (OKAY if known else SLVERR), hex(address)
        for address in range(256):
            expected = (written | words).get(address & ~3)
            answer = (0, SLVERR) if expected is None else (expected, OKAY)
            assert await master.read(address) == answer, hex(address)
        assert master.starts == 0

    session(CORE, work)


def test_geometry() -> None:
    assert geometry_word(CORE) == 3 | 5 << 8 | 2 << 16
    wide = Core(dataflow=Dataflow.OUTPUT_STATIONARY, rows=1, cols=1, arithmetic=Arithmetic(Reduction(lanes=256)))
    assert geometry_word(wide) == 1 << 31 | 1 << 8 | 1


@pytest.mark.parametrize("pause", [0.0, 0.5, 0.8])
def test_strobes_in_any_order_and_pace(pause: float) -> None:
    async def work(device: Device, master: Master) -> None:
        kept = dict.fromkeys(SETTINGS, 0)
        for _ in range(60):
            name = SETTINGS[master.rng.integers(len(SETTINGS))]
            value, strobes = int(master.rng.integers(1 << 32)), int(master.rng.integers(16))
            assert await master.write(REGISTERS[name], value, strobes) == OKAY
            old, new = (number.to_bytes(4, "little") for number in (kept[name], value))
            merged = bytes(new[i] if strobes >> i & 1 else old[i] for i in range(4))
            kept[name] = int.from_bytes(merged, "little")
            other = SETTINGS[master.rng.integers(len(SETTINGS))]
            assert await master.read(REGISTERS[other]) == (kept[other], OKAY)

    session(CORE, work, pause)


@pytest.mark.parametrize("pause", [0.0, 0.4])
def test_a_start_needs_every_register_in_range(pause: float) -> None:
    """One register after the other at its ends and just beyond."""

    async def work(device: Device, master: Master) -> None:
        assert await master.start() == SLVERR  # as after a reset
        await set_all(master, VALID)
        assert await master.start() == OKAY
        ends = {
            "PIXELS": (1, 40), "K_TILES": (1, 65535), "OUTPUT_TILES": (1, 65535), "ACTIVATION_ZERO_POINT": (-128, 127),
            "OUTPUT_ZERO_POINT": (-128, 127), "CLAMP_LO": (-128, 7), "CLAMP_HI": (-3, 127), "ROUNDING": (0, 1),
        }  # fmt: skip
        for name, (lo, hi) in ends.items():
            outside = [lo - 1, hi + 1, hi + (1 << 16), hi + (1 << 17), hi | 1 << 31]
            for value in (lo, hi, *outside):
                assert await master.write(REGISTERS[name], value) == OKAY
                assert await master.start() == (SLVERR if value in outside else OKAY), (name, value)
            await set_all(master, {"ACTIVATION_ZERO_POINT": 0, "OUTPUT_ZERO_POINT": 0, "ROUNDING": 0} | VALID)
        assert await master.write(REGISTERS["CONTROL"], 1, strobes=0b1110) == OKAY
        assert await master.write(REGISTERS["CONTROL"], 0xFE) == OKAY
        assert master.starts == 1 + 2 * len(ends)

    session(CORE, work, pause)


@pytest.mark.parametrize(
    ("core", "unused"),
    [
        (Core(dataflow=Dataflow.OUTPUT_STATIONARY), {"PIXELS": 0}),
        (
            Core(output=None, arithmetic=Arithmetic(Reduction(zero_points=ZeroPoints.FOLD, bias_at=BiasAt.END))),
            dict.fromkeys(SETTINGS[3:], 0x7FFFFFFF),
        ),
    ],
)
def test_what_is_not_used_may_be_anything(core: Core, unused: dict[str, int]) -> None:
    async def work(device: Device, master: Master) -> None:
        await set_all(master, VALID | unused)
        assert await master.start() == OKAY

    session(core, work)


def test_one_rounding_is_a_choice_of_one_profile() -> None:
    async def work(device: Device, master: Master) -> None:
        await set_all(master, VALID | {"CLAMP_LO": 0, "ROUNDING": 1})
        assert await master.start() == SLVERR

    session(Core(arithmetic=Arithmetic(profile=Profile.POWER_OF_TWO), output=Format(8, signed=False)), work)


def test_writes_are_refused_while_busy() -> None:
    async def work(device: Device, master: Master) -> None:
        await set_all(master, VALID)
        master.ctx.set(device.registers.busy, 1)
        for name in ("PIXELS", "CONTROL", "ROUNDING", "ID"):
            for value in (0, 1):
                assert await master.write(REGISTERS[name], value) == SLVERR
        assert await master.start() == SLVERR
        assert await master.read(REGISTERS["STATUS"]) == (1, OKAY)
        assert await master.read(REGISTERS["PIXELS"]) == (40, OKAY)
        master.ctx.set(device.registers.busy, 0)
        assert await master.start() == OKAY

    session(CORE, work)


@pytest.mark.parametrize(
    ("module", "old", "new", "check"),
    [
        # A write that does not wait for its data, or for the response before it to be taken.
        (axi_lite, "self.write.eq(has_address & has_data & ~self.bvalid)", "self.write.eq(has_address & ~self.bvalid)",
         lambda: test_strobes_in_any_order_and_pace(0.5)),
        (axi_lite, "with m.Elif(self.bready):", "with m.Else():", lambda: test_strobes_in_any_order_and_pace(0.5)),
        (axi_lite, "Signal(self.read_cycles + 1)", "Signal(self.read_cycles)", test_every_address),
        (axi_lite, "self.rdata.eq(Mux(self.read_error, 0, self.read_data))", "self.rdata.eq(~0)", test_every_address),
        (registers, "self.write & self.write_strobes[byte]", "self.write",
         lambda: test_strobes_in_any_order_and_pace(0.0)),
        (registers, "with m.If(~self.busy), m.Switch(", "with m.Switch(", test_writes_are_refused_while_busy),
        (registers, "lo.as_signed() <= hi.as_signed() if", "lo <= hi if",
         lambda: test_a_start_needs_every_register_in_range(0.0)),
        (registers, "& ~word[bits:].any() &", "& ~word[bits:20].any() &",
         lambda: test_a_start_needs_every_register_in_range(0.0)),
    ],
)  # fmt: skip
def test_a_mistake_is_seen(
    monkeypatch: pytest.MonkeyPatch, module: Any, old: str, new: str, check: Callable[[], None]
) -> None:
    put_mutant(monkeypatch, module, old, new)
    with pytest.raises(AssertionError):
        check()
