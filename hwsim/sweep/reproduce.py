"""From a row back to commands: its machine as a file, and the options of ``hwsim run`` and ``hwsim time``."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hwsim.spec import Accelerator, Arithmetic, Datapath, Memory, Reduction
from hwsim.sweep.columns import Record, table_types
from hwsim.sweep.parameters import FILES, FORMATS, MACHINE, PREPARED, QUANTIZATION

_TABLES: dict[type, str] = {Accelerator: "", Arithmetic: "", Reduction: "reduction", Memory: "memory", Datapath: "core"}

OPTIONS = {name: f"--{name.replace('_', '-')}" for name in QUANTIZATION}
"""Options of the command line by column."""


Row = Mapping[str, Any]
"""A row of the results: a record of the store, or one of a DataFrame, as pandas gives it."""


def plain(row: Row) -> Record:
    """Return a row as the store has it, whatever a DataFrame made of it: Python's own numbers, None where there is none."""
    return {
        name: None if pd.isna(value := row.get(name)) else kind(value) for name, kind in table_types("rows").items()
    }


def machine_toml(row: Row) -> str:
    """Return the machine of a row as an accelerator file, see ``docs/accelerators.md``."""
    row = plain(row)
    tables: dict[str, list[str]] = {"": ["schema_version = 1", f'name = "sweep-{row["key"][:12]}"']}
    for name, field in MACHINE.items():
        value = row.get(name)
        if value is not None:
            kind = _TABLES[field.owner]
            tables.setdefault(kind, []).append(f"{name} = {_toml(value, field.kind)}")
    return "\n\n".join(
        "\n".join([f"[{table}]", *lines] if table else lines) for table, lines in tables.items()
    ) + "\n"  # fmt: skip


def commands(row: Row, machine: str) -> tuple[str, ...]:
    """Return what gives a row's figures again.

    Parameters
    ----------
    row
        The row.
    machine
        Path of its machine file.
    """
    row = plain(row)
    common = [_path(row["model_path"]), "--accelerator", machine]
    formats = _options(row, FORMATS)
    rate = ["--fps", f"{row['frames_per_second']:g}"] if row["frames_per_second"] != 30 else []
    found = []
    if row["data"] is not None:
        run = ["hwsim run", *common, "--data", shlex.quote(str(row["data"])), "--images", str(row["images"]), *formats]
        run += _options(row, [name for name in QUANTIZATION if name not in FORMATS])
        run += [part for name in FILES if row[name] is not None for part in (f"--{name}", _path(row[name]))]
        if row["outliers"] is not None:
            run += ["--outlier-bits", str(row["outlier_bits"])]
        for column, option in (("input_mean", "--input-mean"), ("input_std", "--input-std")):
            if row[column] is not None:
                run += [f"{option}={row[column]}"]
        found.append(" ".join([*run, *rate, "--no-float"]))
    if any(row[name] is not None for name in PREPARED):
        return tuple(found)
    return (*found, " ".join(["hwsim time", *common, *formats, *rate]))


def _path(text: object) -> str:
    """Return a path for the shell, which is to fill in the name of a variable: only what it would misread is quoted."""
    path = str(text)
    return f'"{path}"' if path.startswith("$") and not set(path) & set('"`\\') else shlex.quote(path)


def _options(row: Record, names: Sequence[str]) -> list[str]:
    found = []
    for name in names:
        value = row[name]
        if value is not None:
            found += [OPTIONS[name]] if value is True else [OPTIONS[name], shlex.quote(str(value))]
    return found


def _toml(value: object, kind: type) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind is tuple:
        return "[" + ", ".join(f'"{part}"' for part in str(value).split(",") if part) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
