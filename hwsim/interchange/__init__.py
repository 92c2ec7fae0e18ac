"""hwsim's layers in the files of other tools: SCALE-Sim, Timeloop, ZigZag."""

from hwsim.interchange.scalesim import Topology, scalesim_config, scalesim_topology
from hwsim.interchange.timeloop import timeloop_problem
from hwsim.interchange.zigzag import zigzag_workload

__all__ = ["Topology", "scalesim_config", "scalesim_topology", "timeloop_problem", "zigzag_workload"]
