"""Runs networks on data and collects what they did."""

from hwsim.sim.program import Program

__all__ = ["Program"]
