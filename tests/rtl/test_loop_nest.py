# amaranth: UnusedElaboratable=no
"""LoopNest in Amaranth's simulator, against nested loops in Python."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from rtl_mutation import put_mutant
from stream_sim import simulate

from hwsim.rtl import loop_nest

SIZES = {"inner": 3, "single": 1, "middle": 4, "outer": 65535}


def check(turns: dict[str, int], starts: int = 2) -> None:
    dut = loop_nest.LoopNest(SIZES)
    rng = np.random.default_rng(1)

    async def run(ctx: Any) -> None:
        ctx.set(dut.limits, {name: count - 1 for name, count in turns.items()})
        for start in range(starts):
            # A start wins over a step, wherever the nest is.
            ctx.set(dut.start, 1)
            ctx.set(dut.step, start)
            await ctx.tick()
            ctx.set(dut.start, 0)
            positions = list(itertools.product(*(range(turns[name]) for name in reversed(SIZES))))
            # All of it, and again from the first position, which follows the last one.
            for position in positions[: 40 if start == 0 else None] + positions[:2] * (start > 0):
                indices = dict(zip(reversed(SIZES), position, strict=True))
                while rng.random() < 0.3:
                    ctx.set(dut.step, 0)
                    await ctx.tick()
                ctx.set(dut.step, 1)
                _, _, *found = await ctx.tick().sample(dut.index, dut.first, dut.last, dut.finish)
                wanted = [
                    indices,
                    {name: int(index == 0) for name, index in indices.items()},
                    {name: int(index == turns[name] - 1) for name, index in indices.items()},
                ]
                assert [{name: value[name] for name in SIZES} for value in found[:3]] == wanted
                assert found[3] == all(wanted[2].values())

    simulate(dut, run)


@pytest.mark.parametrize("counts", [(3, 1, 4, 5), (1, 1, 1, 1), (2, 1, 1, 7), (1, 1, 3, 2)], ids=str)
def test_counts_as_nested_loops(counts: tuple[int, ...]) -> None:
    check(dict(zip(SIZES, counts, strict=True)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("last.eq(limit == 0)", "last.eq(0)"),
        ("with m.If(self.start | self.step & inner)", "with m.If(self.start | self.step)"),
        ("with m.If(self.start | last)", "with m.If(last)"),
    ],
)
def test_a_mistake_is_seen(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    put_mutant(monkeypatch, loop_nest, old, new)
    with pytest.raises(AssertionError):
        check({"inner": 2, "single": 1, "middle": 1, "outer": 7})
