"""The memory that an accelerator file puts in front of a core's ports: `hwsim time` times it, and the RTL runs behind it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from hwsim.sim.accelerator_file import AcceleratorTable, MemoryTable, load_accelerator, read_table
from hwsim.sim.time.direct_layer import stream_memory
from hwsim.spec import PRESETS, Fusion, InputError, StreamMemory, require
from hwsim.spec.stream_memory import MOST_RATIO

_BUFFERED = ("sram_bytes", "weight_sram_bytes", "activation_sram_bytes", "result_sram_bytes", "double_buffered")

NEAR = Fraction(1, 1000)
"""How far the ratio that the bus carries may be from the file's bandwidth, in parts of it."""


def load_port_memory(name_or_path: str) -> StreamMemory | None:
    """Return the memory that a file puts in front of a core's ports, or None: a preset, or a file without a table ``[memory]``.

    A table that is there has ``direct``. What only machines with buffers have has no meaning at the ports: it is refused, other
    than by `hwsim time`, which is about those too.

    Parameters
    ----------
    name_or_path
        As for `hwsim.sim.accelerator_file.load_accelerator`.

    Raises
    ------
    InputError
        One line that names the file, the field, the value and what is allowed.
    """
    machine = load_accelerator(name_or_path)
    if name_or_path in (preset.name for preset in PRESETS):
        return None
    table = read_table(Path(name_or_path), AcceleratorTable)
    if "memory" not in table.model_fields_set:
        return None
    try:
        _check(table.memory)
        # The bus carries ratios: a bandwidth that none is near would be played as another.
        asked = Fraction(machine.dram_bytes_per_cycle)
        ratio = asked.limit_denominator(1000)
        require(
            abs(ratio - asked) <= NEAR * asked and ratio.numerator <= MOST_RATIO, "dram_bytes_per_cycle",
            f"near a ratio of integers up to {MOST_RATIO} and 1000 at the core's ports", machine.dram_bytes_per_cycle,
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{name_or_path}: {error}") from None
    return stream_memory(machine)


def _check(memory: MemoryTable) -> None:
    """Raise `InputError` for the first field that says what is not at a core's ports."""
    require(
        memory.direct, "memory.direct", "true (a core has ports and no buffers; --no-memory: they never wait)", "false"
    )
    for name in _BUFFERED:
        given = getattr(memory, name)
        require(name not in memory.model_fields_set, f"memory.{name}", "left out at a core's ports", _toml(given))
    given = memory.burst_bytes
    require(
        "burst_bytes" not in memory.model_fields_set or given == 1, "memory.burst_bytes",
        "left out, or 1, at a core's ports, whose beats cross one by one", given,
    )  # fmt: skip
    require(memory.fusion is Fusion.NONE, "memory.fusion", "none at a core's ports", memory.fusion.value)
    require(not memory.prefetch_weights, "memory.prefetch_weights", "false at a core's ports", "true")


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
