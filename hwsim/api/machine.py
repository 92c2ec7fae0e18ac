"""The machine of a call or a command: a preset, a file or an object, with single fields changed."""

from __future__ import annotations

import enum
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

from hwsim.graph import Graph
from hwsim.sim.accelerator_file import load_accelerator
from hwsim.spec import PRESETS, Accelerator, BiasAt, Dataflow, InputError, Memory, Profile, Register, ZeroPoints

Machine = str | Path | Accelerator
"""The name of a preset, a TOML file (``docs/accelerators.md``), or an object."""

Enum = TypeVar("Enum", bound=enum.Enum)


class MachineOptions(TypedDict, total=False):
    """Fields of the machine that a call changes; what is left out, or None, stays as the preset or the file has it."""

    acc: str | Register | None
    """Accumulator, such as ``"16:saturate"`` or ``"20:wrap"``."""
    psum: str | Register | None
    """Partial-sum register; needs `chain`."""
    chain: int | None
    """Groups per partial sum (array rows)."""
    lanes: int | None
    """Products per adder-tree group."""
    tree: str | Register | None
    """Register of each adder-tree node; exact where there is none."""
    bias_at: str | BiasAt | None
    """``"start"`` or ``"end"`` of the sum."""
    zero_points: str | ZeroPoints | None
    """Subtracted before the multiplier (``"subtract"``) or folded into the bias (``"fold"``)."""
    requantize: str | Profile | None
    """Rounding profile; otherwise a preset rounds as the makers of a quantized model do."""
    rows: int | None
    """Rows of the array."""
    cols: int | None
    """Columns of the array."""
    dataflow: str | Dataflow | None
    """``"weight_stationary"``, ``"output_stationary"`` or ``"input_stationary"``."""
    sram_bytes: int | None
    """One buffer for everything."""
    dram_bytes_per_cycle: float | None
    """Bandwidth of the external memory."""
    dram_latency_cycles: int | None
    """Latency of the external memory."""
    direct: bool
    """No buffers: the array's ports are at the DRAM."""


def machine_of(machine: Machine, **options: Unpack[MachineOptions]) -> Accelerator:
    """Return a machine with the fields that were given in place of its own.

    Parameters
    ----------
    machine
        What to start from.
    **options
        See `MachineOptions`.

    Raises
    ------
    InputError
        For a field, a value or a combination that no machine has.
    """
    accelerator = machine if isinstance(machine, Accelerator) else load_accelerator(str(machine))
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in MachineOptions.__annotations__:
            raise InputError(
                f"an option of the machine must be {', '.join(MachineOptions.__annotations__)}, not {name}"
            )
    sums: dict[str, Any] = {name: _register(given[name], name) for name in ("acc", "psum", "tree") if name in given}
    sums |= {name: given[name] for name in ("chain", "lanes") if name in given}
    sums |= {
        name: member(kind, given[name], name)
        for name, kind in (("bias_at", BiasAt), ("zero_points", ZeroPoints))
        if name in given
    }
    arithmetic = replace(accelerator.arithmetic, reduction=replace(accelerator.arithmetic.reduction, **sums))
    if "requantize" in given:
        arithmetic = replace(arithmetic, profile=member(Profile, given["requantize"], "requantize"))
    fields: dict[str, Any] = {name: given[name] for name in ("rows", "cols", "dram_bytes_per_cycle") if name in given}
    if "dataflow" in given:
        fields["dataflow"] = member(Dataflow, given["dataflow"], "dataflow")
    return replace(accelerator, arithmetic=arithmetic, memory=_memory(accelerator.memory, given), **fields)


def rounding_as(
    accelerator: Accelerator, machine: Machine, requantize: str | Profile | None, graph: Graph, *, anew: bool
) -> Accelerator:  # fmt: skip
    """Return the machine with the rounding of a model's makers, where neither an option nor a file states one.

    `machine` is what `accelerator` was made from; `anew`: the model is quantized again, so its makers' rounding says nothing.
    """
    stated = requantize is not None or all(preset.name != machine for preset in PRESETS)
    if stated or anew or not graph.quantized:
        return accelerator
    return replace(accelerator, arithmetic=replace(accelerator.arithmetic, profile=graph.profile))


def _memory(memory: Memory, given: dict[str, Any]) -> Memory:
    if "sram_bytes" in given:
        memory = replace(
            memory, sram_bytes=given["sram_bytes"], weight_sram_bytes=None, activation_sram_bytes=None, result_sram_bytes=None,
            direct=False,
        )  # fmt: skip
    if "dram_latency_cycles" in given:
        memory = replace(memory, dram_latency_cycles=given["dram_latency_cycles"])
    return replace(memory, direct=True) if given.get("direct") else memory


def _register(value: str | Register, name: str) -> Register:
    return value if isinstance(value, Register) else Register.parse(str(value), name)


def member(kind: type[Enum], value: object, name: str) -> Enum:
    """Return the member of an enumeration that a text names; `name` is what errors call it."""
    allowed = [member.value for member in kind]
    if isinstance(value, kind):
        return value
    if value not in allowed:
        raise InputError(f"{name} must be {', '.join(allowed)}, not {value!r}")
    return kind(value)
