"""Bytes between memory levels and the time they take. Never sees a tensor value."""

from hwsim.memory.compulsory import dram_bytes, stall_cycles

__all__ = ["dram_bytes", "stall_cycles"]
