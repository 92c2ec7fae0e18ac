"""SCALE-Sim 3's published behaviour, its oddities included, and its files. ``docs/scalesim.md``: where hwsim parts from it."""

from hwsim.scalesim.config import Config, parse_config, read_config
from hwsim.scalesim.layer import Layer, parse_topology, read_topology, topology_text
from hwsim.scalesim.model import LayerResult, simulate
from hwsim.scalesim.reports import bandwidth_report, compute_report, detailed_access_report

__all__ = [
    "Config",
    "Layer",
    "LayerResult",
    "bandwidth_report",
    "compute_report",
    "detailed_access_report",
    "parse_config",
    "parse_topology",
    "read_config",
    "read_topology",
    "simulate",
    "topology_text",
]
