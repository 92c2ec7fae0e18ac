"""The public functions of hwsim, which ``import hwsim`` has as well: what the commands of these names do, on objects.

Importing them is quick; what a function needs is loaded when it is called.
"""

from hwsim.api.models import Form, export, load
from hwsim.api.quantizing import quantize, sweep
from hwsim.api.reporting import layer_table, report
from hwsim.api.running import DEFAULT_MACHINE, analyze, simulate, time
from hwsim.api.training import train

__all__ = [
    "DEFAULT_MACHINE",
    "Form",
    "analyze",
    "export",
    "layer_table",
    "load",
    "quantize",
    "report",
    "simulate",
    "sweep",
    "time",
    "train",
]
