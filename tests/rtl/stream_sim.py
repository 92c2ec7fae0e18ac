"""Driving and watching one stream of a unit in Amaranth's simulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from amaranth.sim import Simulator

PATIENCE_CYCLES = 500


async def until(ctx: Any, condition: Any, *samples: Any) -> list[Any]:
    """Wait for the cycle in which a condition holds; return what `samples` were in it.

    As ``ctx.tick().until`` does, but a testbench that waits here can be abandoned when another one fails.
    """
    for _ in range(PATIENCE_CYCLES):
        _, _, met, *values = await ctx.tick().sample(condition, *samples)
        if met:
            return list(values)
    raise AssertionError("hangs")


async def send(ctx: Any, stream: Any, payloads: Sequence[Any], gap: float, seed: int = 1) -> None:
    """Send payloads with pauses; between them the payload is what it was."""
    rng = np.random.default_rng(seed)
    for payload in payloads:
        while rng.random() < gap:
            await ctx.tick()
        ctx.set(stream.payload, payload)
        ctx.set(stream.valid, 1)
        await until(ctx, stream.ready)
        ctx.set(stream.valid, 0)


async def receive(ctx: Any, stream: Any, count: int, stall: float, found: list[Any], seed: int = 2) -> None:
    """Take `count` payloads with pauses, and hold the stream to its rules; then look for some cycles for more."""
    rng = np.random.default_rng(seed)
    held = None
    quiet = 0
    while len(found) < count or quiet < 20:
        ready = rng.random() >= stall
        ctx.set(stream.ready, ready)
        _, _, valid, payload = await ctx.tick().sample(stream.valid, stream.payload)
        assert held is None or (valid and payload == held), "protocol: a payload changed before it was taken"
        held = payload if valid and not ready else None
        if valid and ready:
            found.append(payload)
        quiet = 0 if valid else quiet + 1
        assert quiet < PATIENCE_CYCLES, f"hangs after {len(found)} of {count}"
        assert len(found) <= count, "more than expected"


def simulate(unit: Any, *testbenches: Any) -> None:
    """Run testbenches around a clocked unit until they end."""
    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    simulator.run()
