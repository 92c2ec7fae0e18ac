"""Accelerators from TOML files and by name. The schema is the pydantic models below; ``docs/accelerators.md`` explains it."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, Strict, ValidationError

from hwsim.spec import (
    PRESETS,
    Accelerator,
    Arithmetic,
    BiasAt,
    Dataflow,
    Datapath,
    Fusion,
    InputError,
    Memory,
    Profile,
    Reduction,
    Register,
    ZeroPoints,
    require,
)

MAX_FILE_BYTES = 1 << 20


def _register(value: object) -> Register:
    if isinstance(value, Register):
        return value
    try:
        return Register.parse(str(value))
    except InputError as error:
        raise ValueError(str(error).removeprefix("register ")) from None


RegisterText = Annotated[Register, BeforeValidator(_register), PlainSerializer(str)]
Integer = Annotated[int, Strict()]
"""Not a text, not `true`: what TOML calls an integer."""
Number = Annotated[float, Strict()]
"""A TOML float or integer."""
Truth = Annotated[bool, Strict()]
"""``true`` or ``false``."""


class Table(BaseModel):
    """A table of a file: frozen, and no key that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class ReductionTable(Table):
    """``[reduction]``: the fields of `hwsim.spec.Reduction`; registers are texts such as ``16:saturate``."""

    acc: RegisterText = Register.parse("32:wrap")
    lanes: Integer = 1
    tree: RegisterText | None = None
    chain: Integer | None = None
    psum: RegisterText | None = None
    bias_at: BiasAt = BiasAt.START
    zero_points: ZeroPoints = ZeroPoints.SUBTRACT


class MemoryTable(Table):
    """``[memory]``: the fields of `hwsim.spec.Memory`."""

    sram_bytes: Integer | None = None
    weight_sram_bytes: Integer | None = None
    activation_sram_bytes: Integer | None = None
    result_sram_bytes: Integer | None = None
    double_buffered: Truth = True
    dram_latency_cycles: Integer = Memory().dram_latency_cycles
    burst_bytes: Integer = Memory().burst_bytes
    direct: Truth = False
    fusion: Fusion = Memory().fusion
    prefetch_weights: Truth = False


class CoreTable(Table):
    """``[core]``: what `hwsim.spec.Core` has beyond the accelerator; `hwsim.sim.core_file` builds the core and checks ranges."""

    dataflow: Dataflow | None = None
    activation_bits: Integer = 8
    activation_signed: Truth = True
    weight_bits: Integer = 8
    output_bits: Integer | None = None
    output_signed: Truth | None = None
    raw: Truth = False
    pixels: Integer = 256
    weight_bus_bits: Integer | None = None
    activation_bus_bits: Integer | None = None
    result_bus_bits: Integer | None = None
    requantizers: Integer | None = None
    max_left_shift: Integer = 1
    outlier_lanes: Integer = 0
    outlier_bits: Integer = 16
    count_events: Truth = True
    fused: tuple[str, ...] = ()


class AcceleratorTable(Table):
    """A whole file: the fields of `hwsim.spec.Accelerator`, with ``requantize``, ``[reduction]``, ``[memory]`` and ``[core]``."""

    schema_version: Literal[1] = 1
    name: str = Field(default="custom", min_length=1, max_length=100)
    rows: Integer = 16
    cols: Integer = 16
    clock_hz: Number = 200e6
    dram_bytes_per_cycle: Number = 8.0
    dataflow: Dataflow | None = None
    requantize: Profile = Profile.TFLITE
    reduction: ReductionTable = ReductionTable()
    memory: MemoryTable = MemoryTable()
    core: CoreTable = CoreTable()


def load_accelerator(name_or_path: str) -> Accelerator:
    """Return a preset by name, or read a TOML file.

    Raises
    ------
    InputError
        One line that names the file, the field, the value and what is allowed.
    """
    return load_tables(name_or_path)[0]


def load_tables(name_or_path: str) -> tuple[Accelerator, CoreTable]:
    """Return a preset or the accelerator of a file, and its table ``[core]`` or the default one; for errors see above."""
    for preset in PRESETS:
        if preset.name == name_or_path:
            return preset, CoreTable()
    path = Path(name_or_path)
    # Not is_file(): it raises where a name is too long.
    if not os.path.isfile(path):  # noqa: PTH113
        names = ", ".join(preset.name for preset in PRESETS)
        raise InputError(f"accelerator must be {names} or a TOML file, not {name_or_path!r} (no such file)")
    table = read_table(path, AcceleratorTable)
    try:
        return _accelerator(table), table.core
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


Read = TypeVar("Read", bound=Table)


def read_table(path: Path, kind: type[Read]) -> Read:
    """Return a TOML file as the table that it is.

    Raises
    ------
    InputError
        One line that names the file, the field and what is allowed.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"file size must be at most {MAX_FILE_BYTES} bytes, not {path.stat().st_size}")
        return kind.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable TOML file: {reason}") from None
    except RecursionError:
        raise InputError(f"{path}: not a readable TOML file: nested too deeply") from None
    except ValidationError as error:
        raise InputError(f"{path}: {_first_problem(error, kind)}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def toml_text(text: str) -> str:
    """Return a text, or a key, as TOML has it."""
    # JSON's texts are TOML's but for this one character.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _accelerator(table: AcceleratorTable) -> Accelerator:
    reduction = Reduction(**{field: getattr(table.reduction, field) for field in ReductionTable.model_fields})
    # Files from before `dataflow` was a key of the machine say it of the core.
    dataflow = table.dataflow or table.core.dataflow or Dataflow.WEIGHT_STATIONARY
    require(table.core.dataflow in (None, dataflow), "core.dataflow", f"left out, or {dataflow.value} as dataflow is",
            table.core.dataflow and table.core.dataflow.value)  # fmt: skip
    return Accelerator(
        table.name, table.rows, table.cols, table.clock_hz, table.dram_bytes_per_cycle,
        Arithmetic(reduction, table.requantize), dataflow,
        Datapath(**{field.name: getattr(table.core, field.name) for field in fields(Datapath)}),
        Memory(**{field: getattr(table.memory, field) for field in MemoryTable.model_fields}),
    )  # fmt: skip


def _first_problem(error: ValidationError, kind: type[Table]) -> str:
    """Put pydantic's first finding into one sentence of the house form."""
    problem = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{field} is not a known key; allowed are {', '.join(_table_at(kind, problem['loc'][:-1]).model_fields)}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("must be ")
    message = message.split(", not '")[0]
    message = message if message[:2].isupper() else message[0].lower() + message[1:]
    return f"{field} must be {message}, not {problem['input']!r}"


def _table_at(kind: type[Table], place: Sequence[int | str]) -> type[Table]:
    """Return the table that a key leads to: a field of a table, or any name of one that has names for keys."""
    found: object = kind
    for part in place:
        if isinstance(found, type) and issubclass(found, Table):
            found = found.model_fields[str(part)].annotation
        else:
            found = get_args(found)[0 if isinstance(part, int) else -1]
    assert isinstance(found, type) and issubclass(found, Table)
    return found
