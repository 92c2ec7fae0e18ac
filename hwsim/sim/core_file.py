"""Cores from accelerator files and presets: the accelerator's own fields, and those of its table ``[core]``."""

from __future__ import annotations

from hwsim.sim.accelerator_file import CoreTable, load_tables
from hwsim.spec import Core, Format, InputError, operand_format, require

SAME_FIELDS = (
    "weight_bits", "pixels", "weight_bus_bits", "activation_bus_bits", "result_bus_bits", "requantizers",
    "max_left_shift", "outlier_lanes", "outlier_bits", "count_events",
)  # fmt: skip
"""Fields that `CoreTable` and `Core` share."""

OUTPUT_BITS = 8
"""Of results, where neither ``output_bits`` nor ``raw`` is given."""


def load_core(name_or_path: str) -> Core:
    """Return the core of a preset or of a TOML file; see ``docs/accelerators.md``.

    Raises
    ------
    InputError
        One line that names the file or preset, the field, the value and what is allowed.
    """
    accelerator, table = load_tables(name_or_path)
    try:
        require(not table.fused, "fused", "left out in hardware", ", ".join(table.fused))
        return Core(
            name=accelerator.name,
            dataflow=accelerator.dataflow,
            rows=accelerator.rows,
            cols=accelerator.cols,
            activation=operand_format(table.activation_bits, table.activation_signed, "activation_bits"),
            arithmetic=accelerator.arithmetic,
            output=_output(table),
            **{field: getattr(table, field) for field in SAME_FIELDS},
        )
    except InputError as error:
        raise InputError(f"{name_or_path}: {error}") from None


def _output(table: CoreTable) -> Format | None:
    if table.raw:
        for name in ("output_bits", "output_signed"):
            given = getattr(table, name)
            require(given is None, name, "left out where raw is true", given)
        return None
    bits = OUTPUT_BITS if table.output_bits is None else table.output_bits
    return operand_format(bits, table.output_signed is not False, "output_bits")
