"""Plays output tiles to an output-stationary engine, cycle by cycle, and says what the kernel expects of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amaranth.hdl import ResetInserter, Signal
from amaranth.lib import data
from amaranth.sim import Simulator
from os_cases import Batch, Int64, Slot, Tile, slots_of

from hwsim.kernels.monitor import REGISTERS, Monitor
from hwsim.kernels.reduce import reduce_panel
from hwsim.rtl.output_stationary_engine import OutputStationaryEngine
from hwsim.rtl.slots import biases_layout, slot_layout
from hwsim.spec import BiasAt, Core

Row = tuple[int, list[int], bool, bool, bool]
"""Cycle, accumulators, set, end, final."""


def pack(layout: data.Layout, values: Any) -> int:
    """Return the bits of nested mappings and sequences of integers."""
    keys = values if isinstance(values, Mapping) else range(len(values))
    bits = 0
    for key in keys:
        part, value = layout[key], values[key]
        inner = part.shape
        number = pack(inner, value) if isinstance(inner, data.Layout) else int(value)
        bits |= (number & ((1 << part.width) - 1)) << part.offset
    return bits


@dataclass
class Program:
    """What the engine is given: a slot per cycle, biases from a cycle on; and when each output tile's last slot comes."""

    slots: list[int] = field(default_factory=list)
    biases: dict[int, int] = field(default_factory=dict)
    lasts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    spacings: list[int] = field(default_factory=list)


class Scheduler:
    """Makes a program of batches: as dense as the engine allows, with cycles without a slot in between.

    Whatever must not matter is random: a slot's fields in cycles without one, the biases after the last row has left.
    """

    def __init__(self, dut: OutputStationaryEngine, gap: float, rng: np.random.Generator) -> None:
        self._dut, self._core, self._gap, self._rng = dut, dut.core, gap, rng
        self._layout = slot_layout(dut.core)
        self.program = Program()

    def add(self, batch: Batch) -> None:
        """Append a batch, and the cycles until all of it has left."""
        program, core = self.program, self._core
        program.biases[len(program.slots)] = pack(biases_layout(core), batch.biases.tolist())
        last = len(program.slots) - core.rows - 1
        for number, tile in enumerate(batch.tiles):
            slots = list(slots_of(core, tile))
            # Slots with `last` come at least rows + 1 cycles apart.
            for _ in range(last + core.rows + 1 - (len(program.slots) + len(slots) - 1)):
                self._nothing(padding=True)
            for slot in slots:
                while self._rng.random() < self._gap:
                    self._nothing(padding=bool(self._rng.integers(2)))
                program.slots.append(self._slot(tile, slot))
            if number:
                program.spacings.append(len(program.slots) - 1 - last)
            last = len(program.slots) - 1
            program.lasts.append(last)
        left = max(self._dut.latency + core.rows, self._dut.event_latency + 1)
        while len(program.slots) < last + left:
            self._nothing(padding=bool(self._rng.integers(2)))
        program.ends.append(len(program.slots))

    def _slot(self, tile: Tile, slot: Slot) -> int:
        core, rng = self._core, self._rng
        return pack(
            self._layout,
            {
                "valid": 1,
                "real": 1,
                "activations": slot.activations.ravel().tolist(),
                "weights": slot.weights.ravel().tolist(),
                "first": slot.first,
                "last": slot.last,
                "commit": slot.commit if core.arithmetic.reduction.chain is not None else rng.integers(2),
                "end": slot.last or rng.integers(2),
                "final": tile.final if slot.last else rng.integers(2),
                "set": tile.parameter_set,
            },
        )

    def _nothing(self, padding: bool) -> None:
        """Append a cycle without products: a padding slot, or none."""
        bits = int.from_bytes(self._rng.bytes(-(-self._layout.size // 8)), "little") & ((1 << self._layout.size) - 1)
        for name, value in (("valid", padding), ("real", not padding)):
            position = self._layout[name].offset
            bits = bits & ~(1 << position) | value << position
        self.program.slots.append(bits)


def schedule(dut: OutputStationaryEngine, batches: Sequence[Batch], gap: float, seed: int = 1) -> Program:
    scheduler = Scheduler(dut, gap, np.random.default_rng(seed))
    for batch in batches:
        scheduler.add(batch)
    return scheduler.program


def play(dut: OutputStationaryEngine, program: Program, reset_at: int | None = None) -> tuple[list[Row], Int64]:
    """Return all rows that come out, and int64 [cycles, 3, 2] events; optionally with one cycle of reset."""
    rows: list[Row] = []
    events = np.zeros((len(program.slots), len(REGISTERS), 2), np.int64)
    reset = Signal()

    async def run(ctx: Any) -> None:
        for cycle, slot in enumerate(program.slots):
            ctx.set(dut.slot.as_value(), slot)
            ctx.set(reset, cycle == reset_at)
            if hasattr(dut, "biases") and cycle in program.biases:
                ctx.set(dut.biases.as_value(), program.biases[cycle])
            row = ctx.get(dut.rows)
            if row.valid:
                rows.append((cycle, list(row.acc), bool(row.set), bool(row.end), bool(row.final)))
            if hasattr(dut, "events") and ctx.get(dut.events.as_value()):
                seen = ctx.get(dut.events)
                events[cycle] = [[seen[name].positive, seen[name].negative] for name in REGISTERS]
            await ctx.tick()

    simulator = Simulator(ResetInserter(reset)(dut))
    simulator.add_clock(1e-8)
    simulator.add_testbench(run)
    simulator.run()
    return rows, events


def per_batch(program: Program, events: Int64) -> Int64:
    """Return int64 [batches, 3, 2]: the events of each batch, which must not show later than it says."""
    return np.add.reduceat(events, [0, *program.ends[:-1]])


def golden(core: Core, batch: Batch, monitor: Monitor) -> list[Int64]:
    """Return the accumulators [rows, cols] of each output tile by the kernel."""
    at_start = core.arithmetic.reduction.bias_at is BiasAt.START
    return [
        reduce_panel(
            tile.activations,
            tile.weights,
            batch.biases[tile.parameter_set] if at_start else None,
            core.arithmetic.reduction,
            monitor,
            pixel=number * core.rows,
        )
        for number, tile in enumerate(batch.tiles)
    ]


def expected(dut: OutputStationaryEngine, batches: Sequence[Batch], program: Program) -> tuple[list[Row], Int64]:
    """Return the rows with their cycles, and int64 [batches, 3, 2] events."""
    rows: list[Row] = []
    counts = []
    lasts = iter(program.lasts)
    for batch in batches:
        monitor = Monitor(dut.core.cols)
        for tile, accumulators in zip(batch.tiles, golden(dut.core, batch, monitor), strict=True):
            first = next(lasts) + dut.latency
            for pixel, acc in enumerate(accumulators.tolist()):
                end = pixel == dut.core.rows - 1
                rows.append((first + pixel, acc, bool(tile.parameter_set), end, end and tile.final))
        counts.append(monitor.counts.sum(axis=2) if dut.core.count_events else np.zeros((len(REGISTERS), 2), np.int64))
    return rows, np.array(counts)


def passes(dut: OutputStationaryEngine, batches: Sequence[Batch], gap: float) -> bool:
    """Whether the engine does what the kernel says."""
    program = schedule(dut, batches, gap)
    rows, events = play(dut, program)
    wanted_rows, wanted_events = expected(dut, batches, program)
    return rows == wanted_rows and np.array_equal(per_batch(program, events), wanted_events)
