"""The words that kernels, time model and hardware share: frozen dataclasses and enums, standard library only."""

from hwsim.spec.accelerator import Accelerator, Arithmetic, Datapath
from hwsim.spec.core import Core, Packing
from hwsim.spec.errors import InputError, require
from hwsim.spec.memory import BUILT_DATAFLOWS, Dataflow, Fusion, Memory
from hwsim.spec.number import Format, Overflow, Register, bits_for, operand_format
from hwsim.spec.presets import PRESETS
from hwsim.spec.reduction import BiasAt, Reduction, ZeroPoints
from hwsim.spec.requantization import Multiplier, Profile
from hwsim.spec.stream_memory import MEMORY_PORTS, StreamMemory
from hwsim.spec.workload import ROLES, Operand, Role, Sliding, Workload

__all__ = [
    "BUILT_DATAFLOWS",
    "MEMORY_PORTS",
    "PRESETS",
    "ROLES",
    "Accelerator",
    "Arithmetic",
    "BiasAt",
    "Core",
    "Dataflow",
    "Datapath",
    "Format",
    "Fusion",
    "InputError",
    "Memory",
    "Multiplier",
    "Operand",
    "Overflow",
    "Packing",
    "Profile",
    "Reduction",
    "Register",
    "Role",
    "Sliding",
    "StreamMemory",
    "Workload",
    "ZeroPoints",
    "bits_for",
    "operand_format",
    "require",
]
