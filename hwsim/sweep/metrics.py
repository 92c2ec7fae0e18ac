"""What a row says of a point: the figures of `hwsim time` and `hwsim run`, one column each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwsim.memory.energy_tables import TABLES
from hwsim.sim.document import EnergyInfo, PortTraffic, TotalTimes, Traffic
from hwsim.spec import Accelerator

Value = int | float | None

REGISTERS = ("tree", "psum", "acc")
ENERGY_PARTS = ("macs", "sram", "dram", "total")
OPERANDS = tuple(name for name in Traffic.model_fields if name != "total")
PORTS = tuple(name for name in PortTraffic.model_fields if name != "total")


def slug(table: str) -> str:
    """Return the name of an energy table as part of a column's name."""
    words = "".join(c if c.isalnum() else " " for c in table.lower()).split()
    return "_".join(words)


ENERGY_TABLES = {table.name: slug(table.name) for table in TABLES}
ENERGY_UNITS = {slug(table.name): table.unit for table in TABLES}

VALUE_METRICS: dict[str, type] = {
    "top1": float, "top1_low": float, "top1_high": float, "correct": int, "n": int,
    **{f"overflow_{register}": int for register in REGISTERS}, "overflow_events": int,
}  # fmt: skip
"""Of the values engine, with their types: accuracy as a fraction, its 95 % interval, and overflow events."""

TIME_METRICS: dict[str, type] = {
    "macs": int,
    **{f"dram_{operand}_bytes": int for operand in OPERANDS}, "dram_bytes": int, "bound_bytes": int,
    **{f"port_{port}_bytes": int for port in PORTS}, "port_bytes": int,
    "compute_cycles": int, "stall_cycles": int, "cycles": int, "least_cycles": int, "seconds": float,
    "images_per_second": float, "utilization": float, "operations_per_byte": float, "operations_per_second": float,
    "dram_bytes_per_second": float, "peak_bytes_per_cycle": float, "bandwidth_bytes_per_second": float,
    "multipliers": int, "on_chip_bytes": int,
    **{f"energy_{name}_{part}": float for name in ENERGY_TABLES.values() for part in ENERGY_PARTS},
}  # fmt: skip
"""Of the time engine, for one image. Bytes per second: ``dram_`` while it runs, ``bandwidth_`` at the frame rate."""

COST_METRICS: dict[str, type] = {"luts": int, "dsps": int}
"""Of the core on an FPGA, see `hwsim.sweep.fpga_cost`."""

METRICS = {**VALUE_METRICS, **TIME_METRICS, **COST_METRICS}


def time_metrics(total: TotalTimes, accelerator: Accelerator) -> dict[str, Value]:
    """Return the columns of `TIME_METRICS` from the totals of `hwsim time`; energies are in the unit of their table."""
    seconds = total.seconds_per_image
    found: dict[str, Any] = {
        "macs": total.macs,
        **{f"dram_{operand}_bytes": getattr(total.dram_bytes, operand) for operand in OPERANDS},
        "dram_bytes": total.dram_bytes.total,
        **{f"port_{port}_bytes": getattr(total.port_bytes, port) for port in PORTS},
        "port_bytes": total.port_bytes.total,
        "seconds": seconds,
        "operations_per_second": 2 * total.macs / seconds if seconds else None,
        "dram_bytes_per_second": total.dram_bytes.total / seconds if seconds else None,
        "multipliers": accelerator.multipliers,
        "on_chip_bytes": accelerator.memory.total_bytes,
        **_energies(total.energy),
    }
    for name in TIME_METRICS:
        if name not in found:
            found[name] = getattr(total, name)
    return {name: found[name] for name in TIME_METRICS}


def _energies(energies: tuple[EnergyInfo, ...]) -> Mapping[str, Value]:
    found: dict[str, Value] = {
        f"energy_{name}_{part}": None for name in ENERGY_TABLES.values() for part in ENERGY_PARTS
    }
    for energy in energies:
        for part in ENERGY_PARTS:
            found[f"energy_{ENERGY_TABLES[energy.table]}_{part}"] = getattr(energy, part)
    return found
