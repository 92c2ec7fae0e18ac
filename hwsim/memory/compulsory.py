"""Memory traffic with nothing kept between layers and everything within one: each operand crosses once per image."""

from __future__ import annotations

import math

from hwsim.spec import ROLES, Accelerator, Role, Workload


def dram_bytes(workload: Workload) -> dict[Role, int]:
    """Return the bytes that a layer moves between DRAM and chip for one image, by operand, packed at their bits.

    This is the compulsory traffic: no tiling moves less, short of keeping activations on chip between layers.
    """
    return {role: workload.role_bytes(role) for role in ROLES}


def stall_cycles(total_bytes: int, compute: int, accelerator: Accelerator) -> int:
    """Return the cycles that the array waits for memory when transfers overlap with computation."""
    return max(0, math.ceil(total_bytes / accelerator.dram_bytes_per_cycle) - compute)
