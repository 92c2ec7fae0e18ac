"""What a sweep may vary: every field of the machine, by its name, and the options of quantization.

The names are those of accelerator files and of the command line. A new field of `hwsim.spec.Accelerator`, `Reduction`, `Memory`
or `Datapath` is a parameter by itself; a new option of `hwsim.sim.run.Settings` becomes one in `QUANTIZATION`.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from hwsim.spec import (
    Accelerator,
    Arithmetic,
    Datapath,
    InputError,
    Memory,
    Profile,
    Reduction,
    Register,
    require,
)

Scalar = bool | int | float | str
"""What a parameter may be in TOML."""

Setting = Scalar | None
"""And in a row: None where a field is left out."""

NONE = "none"
"""TOML has no null: this text leaves an optional field out."""

QUANTIZATION: dict[str, type] = {
    "weight_bits": int,
    "activation_bits": int,
    "calibration_images": int,
    "scheme": str,
    "ranges": str,
    "outliers": str,
    "accumulator_aware": bool,
}
"""Options that decide the integer network, by column, with the type of their values: those of ``hwsim run``.

Outliers have the bits of the machine's ``outlier_bits``. `hwsim.sweep.quantization.settings_of_run` makes `Settings` of them.
"""

FILES: dict[str, type] = {"layers": str}
"""Options of ``hwsim run`` that name a file, by column: registers of single layers. They decide values, and no time."""

FORMATS = ("weight_bits", "activation_bits")
"""Those of them that the time of a network depends on by their value alone."""

PREPARED = ("scheme", "outliers")
"""Those that the time depends on by what they make of the weights: the network has to be quantized first."""

ANEW = ("weight_bits", "activation_bits", "scheme", "ranges", "outliers")
"""Those that make hwsim quantize a network that is quantized already."""

SRAM_SIZES = ("weight_sram_bytes", "activation_sram_bytes", "result_sram_bytes")


@dataclass(frozen=True)
class Field:
    """A field of the machine.

    Attributes
    ----------
    owner
        The part that it belongs to.
    kind
        Type of its value.
    optional
        Whether it may be left out.
    """

    owner: type
    kind: type
    optional: bool


def _fields(owner: type, but: tuple[str, ...] = ()) -> dict[str, Field]:
    found = {}
    hints = typing.get_type_hints(owner)
    for field in fields(owner):
        if field.name not in but:
            kinds = typing.get_args(hints[field.name]) if _is_union(hints[field.name]) else (hints[field.name],)
            kind = next(kind for kind in kinds if kind is not types.NoneType)
            found[field.name] = Field(owner, typing.get_origin(kind) or kind, types.NoneType in kinds)
    return found


def _is_union(hint: object) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


MACHINE: dict[str, Field] = {
    **_fields(Accelerator, but=("name", "arithmetic", "datapath", "memory")),
    **_fields(Reduction),
    "requantize": Field(Arithmetic, Profile, optional=False),
    **_fields(Memory),
    **_fields(Datapath),
}
"""Fields of the machine by name."""

PARAMETERS = ("model", *QUANTIZATION, *FILES, *MACHINE)
"""All that may stand in ``[parameters]``; ``model`` is varied by the list of models."""


def machine_of(base: Accelerator, values: Mapping[str, Setting]) -> Accelerator:
    """Return the machine with other fields.

    Parameters
    ----------
    base
        What fields that are not given are taken from.
    values
        By name in `MACHINE`; a size of the buffers replaces the other way of saying it.

    Raises
    ------
    InputError
        Where a value is impossible.
    """
    given: dict[type, dict[str, Any]] = {part: {} for part in (Accelerator, Arithmetic, Reduction, Memory, Datapath)}
    for name, value in values.items():
        given[MACHINE[name].owner][name] = _parsed(name, MACHINE[name], value)
    sizes = given[Memory]
    if sizes.get("sram_bytes") is not None:
        sizes |= {name: sizes.get(name) for name in SRAM_SIZES}
    elif any(sizes.get(name) is not None for name in SRAM_SIZES):
        sizes["sram_bytes"] = None
    arithmetic = Arithmetic(
        replace(base.arithmetic.reduction, **given[Reduction]),
        given[Arithmetic].get("requantize", base.arithmetic.profile),
    )
    return replace(
        base, arithmetic=arithmetic, memory=replace(base.memory, **sizes),
        datapath=replace(base.datapath, **given[Datapath]), **given[Accelerator],
    )  # fmt: skip


def settings_of(machine: Accelerator) -> dict[str, Setting]:
    """Return all fields of a machine as plain values, in the order of `MACHINE`; `machine_of` is the way back."""
    parts: dict[type, object] = {
        Accelerator: machine, Reduction: machine.arithmetic.reduction, Memory: machine.memory, Datapath: machine.datapath,
    }  # fmt: skip
    found = {}
    for name, field in MACHINE.items():
        value = machine.arithmetic.profile if field.owner is Arithmetic else getattr(parts[field.owner], name)
        found[name] = _plain(value)
    return found


def check_value(name: str, value: object) -> None:
    """Raise `InputError` where a value is not of its parameter's type."""
    if name in FILES:
        require(type(value) is str and bool(value), name, f"the path of a TOML file or {NONE!r}", repr(value))
    elif name in QUANTIZATION:
        words = {int: "an integer", str: "a text", bool: "true or false"}[QUANTIZATION[name]]
        require(value == NONE or type(value) is QUANTIZATION[name], name, f"{words} or {NONE!r}", repr(value))
    else:
        _parsed(name, MACHINE[name], value)


def _plain(value: object) -> Setting:
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, Register):
        return str(value)
    if isinstance(value, tuple):
        return ",".join(value)
    assert value is None or isinstance(value, bool | int | float | str)
    return value


def _parsed(name: str, field: Field, value: object) -> object:
    """Return the value that a field of the machine takes."""
    if field.optional and (value is None or value == NONE):
        return None
    kind = field.kind
    if kind is Register:
        return Register.parse(str(value), name)
    if issubclass(kind, enum.Enum):
        try:
            return kind(value)
        except ValueError:
            allowed = ", ".join(str(member.value) for member in kind)
            raise InputError(f"{name} must be one of {allowed}, not {value!r}") from None
    if kind is tuple:
        require(isinstance(value, str), name, "a text with commas between operators", repr(value))
        return tuple(part for part in str(value).split(",") if part)
    if kind is float:
        require(type(value) in (int, float), name, "a number", repr(value))
        return float(value)  # type: ignore[arg-type]
    words = {int: "an integer", bool: "true or false"}[kind]
    require(type(value) is kind, name, words + (f" or {NONE!r}" if field.optional else ""), repr(value))
    return value
