"""Energy of a network's counted events, under every table."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from hwsim.dataflow.array import ModelCore, array_of
from hwsim.memory.energy import PARTS, Energy, Events, Macs, SramAccesses, energies
from hwsim.sim.document_parts import EnergyInfo
from hwsim.sim.time.equal_machines import unhurried
from hwsim.sim.time.network import TimedLayer
from hwsim.sim.time.ports import sparse_products
from hwsim.spec import Accelerator, Dataflow

COUNTED = "multiply-accumulates, accesses of the buffers, bits over the DRAM interface"
"""What energies are sums of; the array's registers and accumulators are not among them."""


def energy_infos(layers: Sequence[TimedLayer], accelerator: Accelerator, seconds: float) -> tuple[EnergyInfo, ...]:
    """Return the energy of an image under each table of `hwsim.memory.energy_tables`."""
    # Cores are made once for all speeds.
    return tuple(_info(energy) for energy in energies(_events(layers, unhurried(accelerator), seconds)))


def _events(layers: Sequence[TimedLayer], accelerator: Accelerator, seconds: float) -> Events:
    acc = accelerator.arithmetic.reduction.acc.bits
    macs: dict[tuple[int, int], int] = {}
    # By buffer, capacity and word: reads and writes.
    words: dict[tuple[str, int, int], list[int]] = {}
    loaded = stored = 0

    @functools.cache
    def core(weight_bits: int, activation_bits: int, output_bits: int) -> ModelCore:
        return array_of(accelerator, weight_bits, activation_bits, output_bits)

    for layer in layers:
        work, time = layer.workload, layer.time
        if work.macs:
            widths = work.weight_bits, work.activation_bits
            macs[widths] = macs.get(widths, 0) + work.macs
        if work.outliers:
            widths = accelerator.datapath.outlier_bits, work.activation_bits
            macs[widths] = macs.get(widths, 0) + sparse_products(work, work.m, len(work.outliers), 0)
        out = time.dram_bytes["activations_out"]
        loaded, stored = loaded + time.total_bytes - out, stored + out
        for (name, capacity, word), read, written in _accesses(layer, accelerator, core):
            counts = words.setdefault((name, capacity, word), [0, 0])
            counts[0] += -(-8 * read // word)
            counts[1] += -(-8 * written // word)
    return Events(
        tuple(Macs(number, *widths, acc) for widths, number in macs.items()),
        tuple(SramAccesses(*key, *counts) for key, counts in words.items()),
        8 * loaded, 8 * stored, seconds=seconds,
    )  # fmt: skip


def _accesses(
    layer: TimedLayer, accelerator: Accelerator, core_of: Callable[[int, int, int], ModelCore]
) -> list[tuple[tuple[str, int, int], int, int]]:
    """Return for each buffer its name, capacity and word in bits, and the bytes read and written.

    A word is what the array's port takes in a beat. The port reads weights and activations, or writes results; the DRAM does
    the opposite.
    """
    work, time, memory = layer.workload, layer.time, accelerator.memory
    if memory.direct:
        return []
    bits = next((part.element_bits for part in work.operands if part.role == "activations_out"), 8)
    core = core_of(work.weight_bits or 8, work.activation_bits or 8, bits)
    held, streamed = core.weight_packing.bus_bits, core.activation_packing.bus_bits
    if accelerator.dataflow is Dataflow.INPUT_STATIONARY:
        held, streamed = streamed, held
    moved, ports = time.dram_bytes, time.ports
    constants = moved["weights"] + moved["outliers"] + moved["biases"] + moved["scales"]

    def buffer(name: str, size: int | None, word: int) -> tuple[str, int, int]:
        return (name, size, word) if size is not None else ("SRAM", memory.total_bytes, word)

    # A result that stays on chip is where activations are.
    results = ("activations", memory.activation_sram_bytes) if layer.on_chip("activations_out") else (
        "results", memory.result_sram_bytes
    )  # fmt: skip
    return [
        (buffer("weights", memory.weight_sram_bytes, held), ports.weights + ports.outliers, constants),
        (buffer("activations", memory.activation_sram_bytes, streamed), ports.activations, moved["activations_in"]),
        (buffer(*results, core.result_packing.bus_bits), moved["activations_out"], ports.results),
    ]


def _info(energy: Energy) -> EnergyInfo:
    table = energy.table
    parts = {part: getattr(energy, part) for part in PARTS if part != "registers"}
    return EnergyInfo(
        table=table.name, unit=table.unit, source=table.source, stretched=table.stretched, **parts,
        total=None if None in parts.values() else sum(parts.values()), leakage=energy.leakage,
    )  # fmt: skip
