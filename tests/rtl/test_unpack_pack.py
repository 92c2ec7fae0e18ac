# amaranth: UnusedElaboratable=no
"""Unpacker and Packer in Amaranth's simulator: vectors against the beats that `hwsim.cosim.packing` makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rtl_mutation import put_mutant
from stream_sim import receive, send, simulate, until

from hwsim.cosim.packing import pack
from hwsim.rtl import packer, unpacker
from hwsim.rtl.shape import to_shape
from hwsim.spec import Format, Packing

PACKINGS = (
    Packing(1, 8, 8),
    Packing(5, 8, 64),
    Packing(5, 8, 16),
    Packing(7, 3, 24),
    Packing(3, 16, 16),
    Packing(2, 11, 88),
    Packing(9, 4, 16),
)
VECTORS = 24
GAPS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.6), (0.3, 0.3))


def draw(packing: Packing, number: Format) -> Any:
    rng = np.random.default_rng(packing.elements)
    return rng.integers(number.lo, number.hi, (VECTORS, packing.elements), endpoint=True)


def beats_of(packing: Packing, vectors: Any) -> list[int]:
    return [int.from_bytes(beat.tobytes(), "little") for beat in pack(vectors, packing)]


def unpacked(packing: Packing, number: Format, beats: list[int], gap: float, stall: float) -> tuple[list[Any], int]:
    """Send beats; return what is consumed, and after how many cycles the last vector was."""
    dut = unpacker.Unpacker(packing, to_shape(number))
    found: list[list[int]] = []
    cycles = 0

    async def drive(ctx: Any) -> None:
        await send(ctx, dut.beats, beats, gap)

    async def consume(ctx: Any) -> None:
        nonlocal cycles
        rng = np.random.default_rng(3)
        ctx.set(dut.enable, 1)
        for cycle in range(3000):
            await ctx.delay(1e-9)
            wanted = rng.random() >= stall and ctx.get(dut.whole)
            ctx.set(dut.consume, wanted)
            _, _, vector = await ctx.tick().sample(dut.vector)
            if wanted:
                found.append(list(vector))
                cycles = cycle + 1
            if len(found) == VECTORS:
                ctx.set(dut.consume, 0)
                return

    simulate(dut, drive, consume)
    return found, cycles


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("packing", PACKINGS, ids=str)
def test_unpacker(packing: Packing, signed: bool) -> None:
    number = Format(packing.element_bits, signed)
    vectors = draw(packing, number)
    for gap, stall in GAPS:
        found, cycles = unpacked(packing, number, beats_of(packing, vectors), gap, stall)
        assert found == vectors.tolist()
        # One beat per cycle, and the last vector is consumed in the cycle after its last beat.
        assert gap or stall or cycles == VECTORS * packing.beats + 1


def test_unpacker_takes_nothing_unless_enabled() -> None:
    dut = unpacker.Unpacker(Packing(2, 8, 8), to_shape(Format(8)))

    async def look(ctx: Any) -> None:
        ctx.set(dut.beats.valid, 1)
        for _ in range(5):
            _, _, ready, taken = await ctx.tick().sample(dut.beats.ready, dut.taken)
            assert not ready and not taken

    simulate(dut, look)


def packed(packing: Packing, number: Format, vectors: Any, gap: float, stall: float) -> list[tuple[int, int]]:
    """Return (data, last) of the beats; every third vector is final."""
    dut = packer.Packer(packing, to_shape(number))
    payloads = [{"values": vector, "final": i % 3 == 2} for i, vector in enumerate(vectors.tolist())]
    found: list[Any] = []

    async def drive(ctx: Any) -> None:
        await send(ctx, dut.vectors, payloads, gap)

    async def drain(ctx: Any) -> None:
        await receive(ctx, dut.beats, len(vectors) * packing.beats, stall, found)

    simulate(dut, drive, drain)
    return [(beat.data, beat.last) for beat in found]


def wanted_beats(packing: Packing, vectors: Any) -> list[tuple[int, int]]:
    lasts = [i % 3 == 2 and beat == packing.beats - 1 for i in range(VECTORS) for beat in range(packing.beats)]
    return list(zip(beats_of(packing, vectors), map(int, lasts), strict=True))


@pytest.mark.parametrize("packing", PACKINGS, ids=str)
def test_packer(packing: Packing) -> None:
    number = Format(packing.element_bits)
    vectors = draw(packing, number)
    for gap, stall in GAPS:
        assert packed(packing, number, vectors, gap, stall) == wanted_beats(packing, vectors)


def test_packer_does_not_wait_for_ready() -> None:
    dut = packer.Packer(Packing(2, 8, 8), to_shape(Format(8)))

    async def look(ctx: Any) -> None:
        ctx.set(dut.vectors.valid, 1)
        await until(ctx, dut.beats.valid)
        for _ in range(5):
            _, _, valid, ready = await ctx.tick().sample(dut.beats.valid, dut.vectors.ready)
            assert valid and not ready

    simulate(dut, look)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(~last | empty | self.consume)", "(~last | 1)"),  # overwrites a vector that nobody consumed
        ("empty.eq(~self.completed)", "empty.eq(~self.completed | self.consume)"),
        ("last.eq(position == beats - 2)", "last.eq(position == beats - 1)"),
        ("assembled.eq(parts >> self.packing.bus_bits)", "assembled.eq(parts)"),
    ],
)
def test_a_wrong_unpacker_is_seen(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    put_mutant(monkeypatch, unpacker, old, new)
    packing, number = Packing(5, 8, 16), Format(8)
    vectors = draw(packing, number)
    assert any(
        unpacked(packing, number, beats_of(packing, vectors), gap, stall)[0] != vectors.tolist() for gap, stall in GAPS
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("| self.beats.ready & last", "| last"),  # drops a beat that nobody took
        ("taken = self.beats.valid & self.beats.ready", "taken = self.beats.valid"),
        ("last.eq(final & last)", "last.eq(final)"),
        ("rest.eq(rest >> packing.bus_bits)", "rest.eq(rest)"),
    ],
)
def test_a_wrong_packer_is_seen(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    put_mutant(monkeypatch, packer, old, new)
    packing, number = Packing(5, 8, 16), Format(8)
    vectors = draw(packing, number)

    def check() -> None:
        for gap, stall in GAPS:
            assert packed(packing, number, vectors, gap, stall) == wanted_beats(packing, vectors)

    with pytest.raises(AssertionError):
        check()
