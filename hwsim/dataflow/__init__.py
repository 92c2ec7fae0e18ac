"""Cycles of layers on arrays. Never sees a tensor value."""

from hwsim.dataflow.ideal import compute_cycles

__all__ = ["compute_cycles"]
