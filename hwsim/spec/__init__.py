"""The words that kernels, time model and hardware share: frozen dataclasses and enums, standard library only."""

from hwsim.spec.accelerator import PRESETS, Accelerator, Arithmetic
from hwsim.spec.core import Core, Dataflow, Packing
from hwsim.spec.errors import InputError, require
from hwsim.spec.number import Format, Overflow, Register, bits_for, operand_format
from hwsim.spec.reduction import BiasAt, Reduction, ZeroPoints
from hwsim.spec.requantization import Multiplier, Profile
from hwsim.spec.workload import ROLES, Operand, Role, Workload

__all__ = [
    "PRESETS",
    "ROLES",
    "Accelerator",
    "Arithmetic",
    "BiasAt",
    "Core",
    "Dataflow",
    "Format",
    "InputError",
    "Multiplier",
    "Operand",
    "Overflow",
    "Packing",
    "Profile",
    "Reduction",
    "Register",
    "Role",
    "Workload",
    "ZeroPoints",
    "bits_for",
    "operand_format",
    "require",
]
