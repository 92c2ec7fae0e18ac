"""What the commands around a core share."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated

import typer

from hwsim.hardware.port_memory import load_port_memory
from hwsim.spec import InputError, StreamMemory, require

ConfigArgument = Annotated[
    str, typer.Argument(help="An accelerator file with a \\[core] table, or a preset.", metavar="CONFIG")
]

MEMORY = "Memory in front of the core"

MemoryBytesOption = Annotated[
    str | None,
    typer.Option("--memory-bytes-per-cycle", help="Bandwidth of all ports, such as 8 or 3/2.", rich_help_panel=MEMORY),
]
MemoryLatencyOption = Annotated[
    int | None, typer.Option("--memory-latency", help="Cycles to a beat, 0 by default.", rich_help_panel=MEMORY)
]
MemoryBeatsOption = Annotated[
    int | None, typer.Option("--memory-beats", help="Places of each port's FIFO.", rich_help_panel=MEMORY)
]
NoMemoryOption = Annotated[
    bool,
    typer.Option("--no-memory", help="Streams never pause, whatever the accelerator file has.", rich_help_panel=MEMORY),
]

_OPTIONS = {
    "latency_cycles": "--memory-latency", "bytes_per_cycle": "--memory-bytes-per-cycle", "weight_beats": "--memory-beats",
}  # fmt: skip


def memory_of(
    accelerator: str, none: bool, bytes_per_cycle: str | None, latency: int | None, beats: int | None
) -> StreamMemory | None:
    """Return the memory of the options, else that of the accelerator file, else None.

    Parameters
    ----------
    accelerator
        A preset or a TOML file.
    none
        Whether there shall be none.
    bytes_per_cycle, latency, beats
        A memory in place of the file's; the latter two only with the first.

    Raises
    ------
    InputError
        Naming the option, or the file and its field.
    """
    if none:
        require(bytes_per_cycle is None, "--no-memory", "left out with --memory-bytes-per-cycle", "given")
    if bytes_per_cycle is None:
        for option, value in (("--memory-latency", latency), ("--memory-beats", beats)):
            if value is not None:
                raise InputError(f"{option} must be given with --memory-bytes-per-cycle, not alone")
        return None if none else load_port_memory(accelerator)
    try:
        bandwidth = Fraction(bytes_per_cycle)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"--memory-bytes-per-cycle must be a ratio such as 8 or 3/2, not {bytes_per_cycle}") from None
    places = () if beats is None else (beats,) * 4
    try:
        return StreamMemory(latency or 0, bandwidth, None, *places)
    except InputError as error:
        field, rest = str(error).split(" ", 1)
        raise InputError(f"{_OPTIONS[field]} {rest}") from None
