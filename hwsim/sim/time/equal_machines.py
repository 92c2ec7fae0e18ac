"""Machines without what does not matter to some part of the time, so that what they have in common is worked out once."""

from __future__ import annotations

import functools
from dataclasses import replace

from hwsim.spec import Accelerator, Fusion


@functools.lru_cache(maxsize=64)
def unhurried(accelerator: Accelerator) -> Accelerator:
    """Return a machine without what is about speed only."""
    memory = replace(accelerator.memory, dram_latency_cycles=0)
    return replace(accelerator, name="", clock_hz=1.0, dram_bytes_per_cycle=1.0, memory=memory)


@functools.lru_cache(maxsize=64)
def unlimited(accelerator: Accelerator) -> Accelerator:
    """Return a machine without a speed whose buffers have no size that matters, and whose layers are on their own."""
    slow = unhurried(accelerator)
    memory = replace(
        slow.memory, sram_bytes=1, weight_sram_bytes=None, activation_sram_bytes=None, result_sram_bytes=None,
        fusion=Fusion.NONE, prefetch_weights=False,
    )  # fmt: skip
    return replace(slow, memory=memory)
