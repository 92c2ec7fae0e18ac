"""The per-layer table: one definition of its columns for the page and for the CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hwsim.report.measures import OPERANDS, REGISTERS, accumulator_bits, register_events
from hwsim.report.text import bytes_text, grouped, minus, percent, shorten, si
from hwsim.sim.document import Events, Layer, Overflow, ReductionInfo, RunDocument, Traffic

Value = str | int | float | None
Look = Literal["text", "number", "prose"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name in the file, what it holds, and how the page shows it.

    Parameters
    ----------
    name
        Header in the CSV file, with the unit as in the document.
    value
        The plain value; None is an empty cell.
    header
        Header on the page with its unit, or None if only the file has this column.
    show
        The value as the page shows it.
    look
        Class of its cells on the page.
    """

    name: str
    value: Callable[[Layer], Value]
    header: str | None = None
    show: Callable[[Value], str] = str
    look: Look = "number"

    def cell(self, layer: Layer) -> str:
        """Return what the page shows for `layer`."""
        value = self.value(layer)
        return "–" if value is None else self.show(value)


def _number(show: Callable[[float], str]) -> Callable[[Value], str]:
    return lambda value: minus(show(value)) if isinstance(value, int | float) else str(value)


def _shape(value: Value) -> str:
    return str(value).replace("x", "×") or "scalar"


def _of_reduction(read: Callable[[ReductionInfo], Value]) -> Callable[[Layer], Value]:
    return lambda layer: None if layer.reduction is None else read(layer.reduction)


def _traffic_column(name: str, part: Callable[[Traffic], int]) -> Column:
    return Column(
        f"dram_{name.replace(' ', '_')}_bytes",
        lambda layer: part(layer.dram_bytes),
        f"DRAM {name}",
        _number(bytes_text),
    )


def _register_column(name: str, part: Callable[[Overflow], Events]) -> Column:
    return Column(
        f"{name}_overflow_events",
        lambda layer: None if layer.reduction is None else register_events(layer, part),
        f"overflow {name} (events)",
        lambda value: grouped(int(value or 0)),
    )


def _side_columns(name: str, part: Callable[[Overflow], Events]) -> tuple[Column, Column]:
    return (
        Column(f"{name}_overflow_positive", _of_reduction(lambda reduction: part(reduction.overflow).positive)),
        Column(f"{name}_overflow_negative", _of_reduction(lambda reduction: part(reduction.overflow).negative)),
    )


COLUMNS: tuple[Column, ...] = (
    Column("name", lambda layer: layer.name, "layer", lambda value: shorten(str(value), 28), "text"),
    Column("op", lambda layer: layer.op, "op", lambda value: shorten(str(value), 24), "text"),
    Column("input_shape", lambda layer: "x".join(map(str, layer.input_shape)), "input", _shape, "text"),
    Column("output_shape", lambda layer: "x".join(map(str, layer.output_shape)), "output", _shape, "text"),
    Column("macs", lambda layer: layer.macs, "MACs", _number(si)),
    Column("weight_bits", lambda layer: layer.weight_bits, "weight (bits)"),
    Column("activation_bits", lambda layer: layer.activation_bits, "activation (bits)"),
    Column("accumulator_bits", accumulator_bits, "accumulator (bits)"),
    Column("proven_safe_bits", _of_reduction(lambda reduction: reduction.proven_safe_bits), "proven safe (bits)"),
    Column("observed_safe_bits", _of_reduction(lambda reduction: reduction.observed_safe_bits), "observed safe (bits)"),
    Column("headroom_bits", _of_reduction(lambda reduction: reduction.headroom_bits), "headroom (bits)", _number(str)),
    *(_register_column(*register) for register in REGISTERS),
    *(column for register in REGISTERS for column in _side_columns(*register)),
    Column("overflow_channels", _of_reduction(lambda reduction: reduction.overflow.channels)),
    Column("sums", _of_reduction(lambda reduction: reduction.overflow.sums)),
    Column("dram_bytes", lambda layer: layer.dram_bytes.total, "DRAM total", _number(bytes_text)),
    *(_traffic_column(*operand) for operand in OPERANDS),
    Column("compute_cycles", lambda layer: layer.compute_cycles, "compute (cycles)", _number(si)),
    Column("stall_cycles", lambda layer: layer.stall_cycles, "stall (cycles)", _number(si)),
    Column("cycles", lambda layer: layer.cycles, "total (cycles)", _number(si)),
    Column("utilization", lambda layer: layer.utilization, "utilization", _number(percent)),
    Column("sqnr_db", lambda layer: layer.sqnr_db, "SQNR (dB)", _number(lambda value: f"{value:.1f}")),
    Column("kernel", _of_reduction(lambda reduction: reduction.kernel), "kernel", str, "text"),
    Column("proof", _of_reduction(lambda reduction: reduction.proof), "proof", str, "prose"),
)
"""Every column, in order."""


def shown_columns() -> tuple[Column, ...]:
    """Return the columns of the page."""
    return tuple(column for column in COLUMNS if column.header is not None)


def layers_csv(document: RunDocument) -> str:
    """Return the table as CSV text: one line per layer, plain numbers, empty where a value does not exist."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["layer", *(column.name for column in COLUMNS)])
    for number, layer in enumerate(document.layers, start=1):
        writer.writerow([number, *(column.value(layer) for column in COLUMNS)])
    return out.getvalue()
