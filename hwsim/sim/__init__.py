"""Runs networks on data and collects what they did."""

from hwsim.sim.program import Program, evaluate

__all__ = ["Program", "evaluate"]
