"""The rules of ``docs/rtl-core.md`` behind a memory, one cycle after the other: what `predict(..., memory=...)` has to equal.

The bus runs on exact fractions of a cycle, and what comes behind the array is built as the hardware builds it.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from fractions import Fraction

from core_by_cycle import WAITS, Slot, Stream, _slots, _units, _weights

from hwsim.dataflow import CoreTiming
from hwsim.dataflow.core_timing import requantizer_latency
from hwsim.spec import Core, Dataflow, StreamMemory

NAMES = ("weights", "outliers", "activations")


class ExactBus:
    """Beats one behind the other, from `free` on; times are fractions of cycles."""

    def __init__(self, bytes_per_cycle: Fraction) -> None:
        self.bytes_per_cycle, self.free = bytes_per_cycle, Fraction(0)

    def cross(self, cycle: int, size: int) -> int:
        """Return the cycle in which the last byte of a beat crosses that is given in a cycle."""
        self.free = max(self.free, Fraction(cycle)) + size / self.bytes_per_cycle
        return math.ceil(self.free) - 1


class Behind:
    """Result FIFO, requantizers, the rows behind them, and the packer, as what each register holds at the start of a cycle."""

    def __init__(self, core: Core, timing: CoreTiming) -> None:
        self.core, self.pace_cycles = core, timing.row_pace
        self.fifo: deque[tuple[int, bool]] = deque()
        self.pause = 0
        latency = 0 if core.output is None else requantizer_latency(core)
        self.credits = next(1 << i for i in range(9) if 1 << i >= latency + 4)
        # One place per cycle that a row is in the requantizers; then the FIFO behind them, and its output register.
        self.pipe = [False] * (core.requantize_cycles + latency)
        self.level, self.valid = 0, False
        self.beats = 0

    def step(self, cycle: int, *, ready: bool) -> tuple[bool, bool, bool]:
        """Return whether a beat was taken, whether a row left the FIFO, and whether it was its tile's last."""
        taken = self.beats > 0 and ready
        free = self.beats == 0 or (taken and self.beats == 1)
        offered = bool(self.fifo) and self.fifo[0][0] <= cycle
        if self.core.output is None:
            leaves = moves = offered and free
        else:
            leaves = offered and self.pause == 0 and self.credits > 0
            moves = self.valid and free
            read = self.level > 0 and (not self.valid or moves)
            self.valid = read or (self.valid and not moves)
            self.level += self.pipe[-1] - read
            self.pipe = [leaves, *self.pipe[:-1]]
            self.credits += moves - leaves
            self.pause = self.pace_cycles - 1 if leaves else max(0, self.pause - 1)
        self.beats = self.core.result_packing.beats if moves else self.beats - taken
        return taken, leaves, leaves and self.fifo.popleft()[1]


def _missing(slot: Slot, streams: dict[str, Stream], core: Core, places: int) -> int | None:
    weighs = slot.swap or (core.dataflow is Dataflow.OUTPUT_STATIONARY and slot.real)
    lacks = (
        weighs and not streams["weights"].whole,
        slot.swap and core.outlier_lanes > 0 and not streams["outliers"].whole,
        slot.real and not streams["activations"].whole,
        slot.rows > places,
    )
    return lacks.index(True) if any(lacks) else None


def count_stalled(
    core: Core, pixels: int, k_tiles: int, output_tiles: int, entries: Sequence[int], memory: StreamMemory,
    timing: CoreTiming,
) -> dict[str, int]:  # fmt: skip
    """Return the ten counters of a job; `entries` are the outliers of each K tile."""
    stationary = core.dataflow is Dataflow.WEIGHT_STATIONARY
    real = k_tiles * output_tiles * (pixels if stationary else 1)
    streams = {
        "weights": Stream(_weights(core, k_tiles, output_tiles)),
        "outliers": Stream(_units(entries if core.outlier_lanes else [])),
        "activations": Stream(_units([core.activation_packing.beats] * real)),
    }
    bits = (core.weight_packing.bus_bits, core.outlier_bus_bits, core.activation_packing.bus_bits)
    sizes = {name: number // 8 for name, number in zip(NAMES, bits, strict=True)}
    places_of = {
        "weights": memory.weight_beats,
        "outliers": memory.outlier_beats,
        "activations": memory.activation_beats,
    }
    to_request = {name: len(stream.beats) for name, stream in streams.items()}
    coming: dict[str, list[int]] = {name: [] for name in NAMES}
    bus = ExactBus(memory.bytes_per_cycle)
    own = memory.write_bytes_per_cycle
    writes = bus if own is None else ExactBus(own)
    crossing: list[int] = []
    behind, slots = Behind(core, timing), deque(_slots(core, pixels, k_tiles, output_tiles, timing.minimum_slots))
    counts: Counter[str] = Counter()
    places, sets, cycle = timing.fifo_depth, 2, 0
    due = output_tiles * (pixels if stationary else core.rows) * core.result_packing.beats
    while slots or counts["beats_results"] < due:
        for name in NAMES:
            if to_request[name] and len(coming[name]) < places_of[name]:
                to_request[name] -= 1
                coming[name].append(bus.cross(cycle, sizes[name]) + memory.latency_cycles)
        consumed = swapped = False
        taken_places = 0
        if slots:
            reason = _missing(slots[0], streams, core, places)
            if reason is not None:
                counts[WAITS[reason]] += 1
            else:
                slot = slots.popleft()
                counts["slots"] += 1
                consumed, swapped, taken_places = slot.real, slot.swap, slot.rows
        ready = sum(end >= cycle for end in crossing) < memory.result_beats
        taken, left, ended = behind.step(cycle, ready=ready)
        if taken:
            counts["beats_results"] += 1
            counts["cycles"] = cycle + 1
            crossing.append(writes.cross(cycle, core.result_packing.bus_bits // 8))
        for row in range(taken_places):
            written = cycle + timing.engine_latency + 3 + row
            behind.fifo.append((written, slot.end and row == slot.rows - 1))
        for name, stream in streams.items():
            used = consumed if name == "activations" or not stationary else swapped
            held = name == "outliers" or (name == "weights" and stationary)
            take = bool(coming[name]) and coming[name][0] <= cycle and stream.ready(used, held_back=held, sets=sets)
            if take:
                coming[name].pop(0)
            counts[f"beats_{name}"] += take
            sets -= stream.step(take, used) == "record end"
        places += left - taken_places
        sets += ended
        cycle += 1
    return {name: counts[name] for name in (
        "cycles", "slots", *WAITS, "beats_weights", "beats_activations", "beats_outliers", "beats_results",
    )}  # fmt: skip
