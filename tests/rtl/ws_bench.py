"""Plays output tiles to a weight-stationary engine, cycle by cycle, and says what the kernels expect of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amaranth.hdl import ResetInserter, Signal
from amaranth.lib import data
from amaranth.sim import Simulator
from os_bench import pack
from ws_tiles import Int64, KTile, Tile, tiles_of

from hwsim.cosim.golden import GemmCase, golden
from hwsim.kernels.monitor import REGISTERS
from hwsim.rtl.slots import biases_layout, outliers_layout, slot_layout, weights_layout
from hwsim.rtl.weight_stationary_engine import WeightStationaryEngine
from hwsim.spec import Core

Row = tuple[int, list[int], bool, bool, bool]
"""Cycle, accumulators, set, end, final."""


@dataclass(frozen=True)
class Pace:
    """When things come.

    Attributes
    ----------
    gap
        Share of cycles without a slot.
    weights
        ``early``: rows of weights follow the swap before, the first one in its very cycle; ``late``: the last one comes in the
        cycle before the swap; ``any``: in between, with pauses.
    slots
        Slots of a K tile at least, instead of the engine's own number.
    """

    gap: float = 0.0
    weights: str = "early"
    slots: int | None = None


PACES = (Pace(0.0, "early"), Pace(0.0, "late"), Pace(0.4, "any"))


@dataclass
class Program:
    """What the engine is given, and what has to come of it.

    Attributes
    ----------
    slots, weights, outliers
        Per cycle.
    biases
        By cycle what a parameter set holds from then on.
    rows
        In order.
    starts, events
        Per case the first cycle, and int64 [3, 2]; `starts` ends with the cycle in which all is over.
    swaps, ahead
        When K tiles begin, and how many cycles before them their last rows of weights came.
    """

    slots: list[int] = field(default_factory=list)
    weights: dict[int, int] = field(default_factory=dict)
    outliers: dict[int, int] = field(default_factory=dict)
    biases: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    rows: list[Row] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    events: list[Int64] = field(default_factory=list)
    swaps: list[int] = field(default_factory=list)
    ahead: set[int] = field(default_factory=set)


class Noise:
    """Bits that must not matter."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, width: int) -> int:
        return int.from_bytes(self._rng.bytes(-(-width // 8)), "little") & ((1 << width) - 1)

    def row(self, core: Core) -> int:
        """Return a row of weights that is none."""
        layout = weights_layout(core)
        return self(layout.size) & ~(1 << layout["valid"].offset)


class Scheduler:
    """Makes a program of cases. Whatever must not matter is noise.

    That is: all fields in cycles without a slot; operands and pixel of padding; biases outside of the time from a tile's
    first slot to its last row. (`play` adds rows of weights without ``valid``, and outliers without a swap.)
    """

    def __init__(self, dut: WeightStationaryEngine, pace: Pace, seed: int = 1) -> None:
        self._dut, self._core, self._pace = dut, dut.core, pace
        self._rng, self._noise = np.random.default_rng(seed), Noise(seed)
        self._layout = slot_layout(dut.core)
        # By parameter set the cycle from which it may be given to another tile.
        self._free = [0, 0]
        self._set = 0
        self.program = Program()

    def add(self, case: GemmCase) -> None:
        """Append a case."""
        program = self.program
        program.starts.append(len(program.slots))
        results, events = golden(self._core, case)
        program.events.append(events if self._core.count_events else np.zeros_like(events))
        tiles = list(tiles_of(self._core, case, results))
        for number, tile in enumerate(tiles):
            self._tile(tile, final=number == len(tiles) - 1)

    def drain(self) -> None:
        """Let everything leave; then events of the cases before are told from those of the cases to come."""
        for _ in range(max(self._dut.latency, self._dut.event_latency)):
            self._nothing()

    def _tile(self, tile: Tile, final: bool) -> None:
        program, pixels = self.program, len(tile.results)
        self._set ^= 1
        while len(program.slots) < self._free[self._set]:
            self._nothing()
        for k, k_tile in enumerate(tile.k_tiles):
            self._load(k_tile)
            if k == 0:
                program.biases[len(program.slots)][self._set] = pack(biases_layout(self._core)[0].shape, tile.bias)
            last = k == len(tile.k_tiles) - 1
            tags = {"first": k == 0, "last": last, "set": self._set}
            for i in range(max(pixels, self._pace.slots or self._dut.minimum_slots)):
                while i and self._rng.random() < self._pace.gap:
                    self._nothing()
                end = last and i == pixels - 1
                if last and i < pixels:
                    cycle = len(program.slots) + self._dut.latency
                    program.rows.append((cycle, tile.results[i].tolist(), bool(self._set), end, end and final))
                self._slot(tags | {"swap": i == 0} | self._pixel(k_tile, i, last, end, final))
        self._free[self._set] = program.rows[-1][0] + 1
        program.biases[self._free[self._set]][self._set] = self._noise(biases_layout(self._core)[0].width)

    def _pixel(self, k_tile: KTile, i: int, last: bool, end: bool, final: bool) -> dict[str, Any]:
        if i >= len(k_tile.operands):
            return {"real": 0}
        fields = {"real": 1, "pixel": i, "activations": k_tile.operands[i]}
        return fields | ({"end": end, "final": end and final} if last else {})

    def _load(self, k_tile: KTile) -> None:
        """Wait until a K tile's weights can be there; give them and its outliers, the swap being in the cycle to come."""
        program, core = self.program, self._core
        before = program.swaps[-1] if program.swaps else 0
        while len(program.slots) < before + core.rows or self._rng.random() < self._pace.gap:
            self._nothing()
        swap = len(program.slots)
        cycles = {
            "early": list(range(before, before + core.rows)),
            "late": list(range(swap - core.rows, swap)),
            "any": sorted(self._rng.choice(np.arange(before, swap), core.rows, replace=False).tolist()),
        }[self._pace.weights]
        for row, cycle in enumerate(cycles):
            fields = {"valid": 1, "row": row, "values": k_tile.weights[row].ravel()}
            program.weights[cycle] = pack(weights_layout(core), fields)
        program.swaps.append(swap)
        program.ahead.add(swap - cycles[-1])
        if core.outlier_lanes:
            unused = core.outlier_lanes - len(k_tile.outliers)
            nothing = [
                (self._rng.integers(core.tile_products), self._rng.integers(core.cols), 0) for _ in range(unused)
            ]
            entries = [{"index": i, "column": c, "value": v} for i, c, v in [*k_tile.outliers, *nothing]]
            program.outliers[swap] = pack(outliers_layout(core), entries)

    def _slot(self, fields: dict[str, Any]) -> None:
        bits = self._noise(self._layout.size)
        for name, value in ({"valid": 1} | fields).items():
            part = self._layout[name]
            number = pack(part.shape, value) if isinstance(part.shape, data.Layout) else int(value)
            bits = bits & ~(((1 << part.width) - 1) << part.offset) | number << part.offset
        self.program.slots.append(bits)

    def _nothing(self) -> None:
        self._slot({"valid": 0})


def schedule(dut: WeightStationaryEngine, cases: Sequence[GemmCase], pace: Pace, together: int = 4) -> Program:
    """Return a program of cases, so many without a pause between them."""
    scheduler = Scheduler(dut, pace)
    for number, case in enumerate(cases):
        if number % together == 0:
            scheduler.drain()
        scheduler.add(case)
    program = scheduler.program
    scheduler.drain()
    program.starts.append(len(program.slots))
    return program


def play(
    dut: WeightStationaryEngine, program: Program, reset_at: int | None = None, to_the_end: bool = True
) -> tuple[list[Row], Int64]:
    """Return all rows that come out, and int64 [cycles, 3, 2] events.

    Optionally with one cycle of reset, and not `to_the_end` but to the first wrong row.
    """
    rows: list[Row] = []
    events = np.zeros((len(program.slots), len(REGISTERS), 2), np.int64)
    reset, noise = Signal(), Noise(2)

    async def run(ctx: Any) -> None:
        for cycle, slot in enumerate(program.slots):
            ctx.set(dut.slot.as_value(), slot)
            ctx.set(reset, cycle == reset_at)
            ctx.set(dut.weights.as_value(), program.weights.get(cycle) or noise.row(dut.core))
            if hasattr(dut, "outliers"):
                outliers = program.outliers.get(cycle, noise(len(dut.outliers.as_value())))
                ctx.set(dut.outliers.as_value(), outliers)
            for number, bits in program.biases[cycle].items() if hasattr(dut, "biases") else ():
                ctx.set(dut.biases[number].as_value(), bits)
            row = ctx.get(dut.rows)
            if row.valid:
                rows.append((cycle, list(row.acc), bool(row.set), bool(row.end), bool(row.final)))
                if not to_the_end and rows[-1:] != program.rows[len(rows) - 1 : len(rows)]:
                    return
            if hasattr(dut, "events") and ctx.get(dut.events.as_value()):
                seen = ctx.get(dut.events)
                events[cycle] = [[seen[name].positive, seen[name].negative] for name in REGISTERS]
            await ctx.tick()

    simulator = Simulator(ResetInserter(reset)(dut))
    simulator.add_clock(1e-8)
    simulator.add_testbench(run)
    simulator.run()
    return rows, events


def by_group(program: Program, events: Int64, together: int = 4) -> tuple[Int64, Int64]:
    """Return int64 [groups, 3, 2] of events: those seen, and those expected, of the cases between two pauses."""
    starts = [0, *program.starts[together:-1:together]]
    return np.add.reduceat(events, starts), np.add.reduceat(
        np.array(program.events), range(0, len(program.events), together)
    )


def passes(dut: WeightStationaryEngine, cases: Sequence[GemmCase], pace: Pace) -> bool:
    """Whether the engine does what the kernels say."""
    program = schedule(dut, cases, pace)
    rows, events = play(dut, program, to_the_end=False)
    return rows == program.rows and np.array_equal(*by_group(program, events))
