"""The columns of every table of the store, in order, with their types."""

from __future__ import annotations

import enum
import functools
from typing import Any

from hwsim.spec import Register
from hwsim.sweep.metrics import COST_METRICS, REGISTERS, TIME_METRICS, VALUE_METRICS
from hwsim.sweep.parameters import FILES, MACHINE, QUANTIZATION

Record = dict[str, Any]
"""A row of a table, by column."""

OVERFLOWS = tuple(f"overflow_{register}" for register in REGISTERS)


def _parameter_types() -> dict[str, type]:
    machine = {
        name: str if field.kind is Register or field.kind is tuple or issubclass(field.kind, enum.Enum) else field.kind
        for name, field in MACHINE.items()
    }
    return {**QUANTIZATION, **FILES, **machine}


@functools.cache
def table_types(table: str) -> dict[str, type]:
    """Return the types of the columns of ``rows``, ``values`` or ``times``, by name and in order."""
    if table == "values":
        return {"key": str, "start": int, "stop": int, "correct": int, **dict.fromkeys(OVERFLOWS, int), "error": str}
    if table == "times":
        return {"key": str, **TIME_METRICS, "error": str}
    return {
        "key": str, "status": str, "reason": str, "model": str, "data": str, "images": int, **_parameter_types(),
        "frames_per_second": float, **VALUE_METRICS, **TIME_METRICS, **COST_METRICS, "extrapolated": str,
        "model_sha256": str, "data_sha256": str, "layers_sha256": str, "model_path": str, "input_mean": str,
        "input_std": str, "stages": str,
        "hwsim_version": str, "schema_version": int,
    }  # fmt: skip
