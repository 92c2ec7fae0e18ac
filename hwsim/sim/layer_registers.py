"""Registers of single layers, in place of the machine's: a TOML file with a table per layer.

    schema_version = 1
    [layers."conv_1"]
    acc = "18:saturate"

The keys are `acc`, `psum` and `tree`; lanes and chain stay the machine's. Only values follow: times and bytes are those of the
machine's own registers.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hwsim.sim.accelerator_file import MAX_FILE_BYTES, RegisterText, toml_text
from hwsim.spec import InputError, Reduction


class LayerTable(BaseModel):
    """Registers of one layer; what is None stays the machine's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    acc: RegisterText | None = None
    psum: RegisterText | None = None
    tree: RegisterText | None = None

    def of(self, reduction: Reduction) -> Reduction:
        """Return the machine's reduction with these registers."""
        given = {name: value for name in REGISTERS if (value := getattr(self, name)) is not None}
        return replace(reduction, **given)


REGISTERS = tuple(LayerTable.model_fields)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    layers: dict[str, LayerTable] = {}


def load_layer_registers(path: Path) -> dict[str, LayerTable]:
    """Read a file.

    Raises
    ------
    InputError
        One line that names the file, the field and what is allowed.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(f"{path}: file size must be at most {MAX_FILE_BYTES} bytes, not {size}")
        return _File.model_validate(tomllib.loads(path.read_text("utf-8"))).layers
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable TOML file: {reason}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "it"
        if problem["type"] == "extra_forbidden":
            allowed = REGISTERS if len(problem["loc"]) > 1 else tuple(_File.model_fields)
            raise InputError(f"{path}: {place} is not a known key; allowed are {', '.join(allowed)}") from None
        message = problem["msg"].removeprefix("Value error, ")
        raise InputError(f"{path}: {place}: {message[0].lower()}{message[1:]}") from None


def reductions_of(layers: Mapping[str, LayerTable], machine: Reduction) -> dict[str, Reduction]:
    """Return the reductions of the layers that have registers of their own.

    Raises
    ------
    InputError
        Naming the layer, where the machine has no such register.
    """
    found = {}
    for name, table in layers.items():
        try:
            found[name] = table.of(machine)
        except InputError as error:
            raise InputError(f"layer {name!r}: {error}") from None
    return found


def layer_registers_text(layers: Mapping[str, Reduction], machine: Reduction) -> str:
    """Return a file that gives layers these reductions on that machine."""
    lines = ["schema_version = 1"]
    for layer, reduction in layers.items():
        own = {register: getattr(reduction, register) for register in REGISTERS}
        changed = [f'{name} = "{value}"' for name, value in own.items() if value != getattr(machine, name)]
        if changed:
            lines += ["", f"[layers.{toml_text(layer)}]", *changed]
    return "\n".join(lines) + "\n"
