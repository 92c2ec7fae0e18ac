# amaranth: UnusedElaboratable=no
"""RowFifo and Credits in Amaranth's simulator: together they lose nothing, whatever the pauses, and use every place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module
from rtl_mutation import put_mutant
from stream_sim import receive, simulate

from hwsim.rtl import row_fifo
from hwsim.spec import InputError

ROWS = 120


class Pair(Elaboratable):
    """A FIFO that is written `need` rows at a time, when the credits say that there is room."""

    def __init__(self, depth: int, need: int, places: int | None = None) -> None:
        self.fifo = row_fifo.RowFifo(16, depth)
        self.places = row_fifo.Credits(depth if places is None else places, need)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fifo, m.submodules.places = self.fifo, self.places
        m.d.comb += self.places.give.eq(self.fifo.rows.valid & self.fifo.rows.ready)
        return m


def through(dut: Pair, need: int, gap: float, stall: float) -> tuple[list[int], int]:
    """Return what leaves the FIFO, and the most places that were in use."""
    found: list[Any] = []
    most = 0

    async def write(ctx: Any) -> None:
        nonlocal most
        rng = np.random.default_rng(1)
        promised = written = 0
        while written < ROWS:
            # A promise is kept from the next cycle on, one row per cycle, while new ones are made.
            write = written < promised
            take = promised < ROWS and ctx.get(dut.places.room) and rng.random() >= gap
            ctx.set(dut.places.take, take)
            ctx.set(dut.fifo.write, write)
            ctx.set(dut.fifo.row, written)
            await ctx.tick()
            written += write
            promised += need * take
            most = max(most, promised - len(found))
        ctx.set(dut.fifo.write, 0)

    async def read(ctx: Any) -> None:
        await receive(ctx, dut.fifo.rows, ROWS, stall, found)

    simulate(dut, write, read)
    return found, most


@pytest.mark.parametrize(("depth", "need"), [(2, 1), (2, 2), (8, 1), (8, 5), (16, 3)])
def test_nothing_is_lost(depth: int, need: int) -> None:
    used = 0
    for gap, stall in ((0.0, 0.0), (0.0, 0.8), (0.6, 0.0), (0.3, 0.3)):
        found, most = through(Pair(depth, need), need, gap, stall)
        assert found == list(range(ROWS))
        used = max(used, most)
    assert used == depth


def test_latency() -> None:
    """Two cycles from the entrance to the exit, then one row per cycle."""
    dut = row_fifo.RowFifo(16, 8)
    seen = []

    async def run(ctx: Any) -> None:
        ctx.set(dut.rows.ready, 1)
        for cycle in range(12):
            ctx.set(dut.write, cycle < 6)
            ctx.set(dut.row, cycle)
            _, _, valid, row = await ctx.tick().sample(dut.rows.valid, dut.rows.payload)
            if valid:
                seen.append((cycle, row))

    simulate(dut, run)
    assert seen == [(cycle + 2, cycle) for cycle in range(6)]


def test_power_of_two() -> None:
    assert [row_fifo.power_of_two(n) for n in (1, 2, 3, 4, 5, 1000)] == [1, 2, 4, 4, 8, 1024]


@pytest.mark.parametrize(
    ("depth", "need", "old", "new"),
    [
        (4, 1, "range(self.places + 1), init=self.places)", "range(self.places + 2), init=self.places + 1)"),
        (8, 5, "free >= 2 * need)", "free >= need)"),
        (4, 1, "~self.rows.valid | self.rows.ready)", "1)"),
        (4, 1, "waiting.eq(~read | (level != 1))", "waiting.eq(1)"),
        (4, 1, "with m.If(read | self.rows.ready)", "with m.If(read)"),
    ],
)
def test_a_mistake_is_seen(monkeypatch: pytest.MonkeyPatch, depth: int, need: int, old: str, new: str) -> None:
    put_mutant(monkeypatch, row_fifo, old, new)
    with pytest.raises(AssertionError):
        test_nothing_is_lost(depth, need)


def test_errors() -> None:
    with pytest.raises(InputError, match=r"^depth must be a power of two, at least 2, not 6$"):
        row_fifo.RowFifo(8, 6)
    with pytest.raises(InputError, match=r"^need must be an integer from 1 to places \(4\), not 5$"):
        row_fifo.Credits(4, 5)
