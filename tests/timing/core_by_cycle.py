"""The rules of ``docs/rtl-core.md`` ("Time") one cycle after the other: what `hwsim.dataflow.predict` has to equal."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hwsim.dataflow import CoreTiming
from hwsim.spec import Core, Dataflow

WAITS = ("wait_weights", "wait_outliers", "wait_activations", "wait_results")


@dataclass
class Slot:
    """What one slot needs and gives."""

    real: bool
    swap: bool
    rows: int
    end: bool


class Stream:
    """Beats that are taken one by one; the end of each unit (a vector, a K tile's entries) makes it whole."""

    def __init__(self, beats: Iterator[str]) -> None:
        self.beats = deque(beats)
        self.whole = False

    def ready(self, consumed: bool, *, held_back: bool, sets: int = 0) -> bool:
        """Whether the next beat is taken in this cycle; `held_back`: no beat is taken while a unit waits."""
        if not self.beats:
            return False
        if self.beats[0].startswith("record"):
            return sets > 0
        if held_back:
            return not self.whole
        return self.beats[0] != "end" or not self.whole or consumed

    def step(self, taken: bool, consumed: bool) -> str:
        beat = self.beats.popleft() if taken else ""
        self.whole = beat == "end" or (self.whole and not consumed)
        return beat


def _units(sizes: Sequence[int]) -> Iterator[str]:
    for size in sizes:
        yield from ["part"] * (size - 1) + ["end"]


def _weights(core: Core, k_tiles: int, output_tiles: int) -> Iterator[str]:
    """Weight stationary, a unit is what a K tile needs."""
    load = core.weight_packing.beats * (core.rows if core.dataflow is Dataflow.WEIGHT_STATIONARY else 1)
    records = core.cols * core.record_beats
    for _ in range(output_tiles):
        yield from (["record"] * (records - 1) + ["record end"] if records else [])
        yield from _units([load] * k_tiles)


def _slots(core: Core, pixels: int, k_tiles: int, output_tiles: int, minimum: int) -> Iterator[Slot]:
    for _ in range(output_tiles):
        if core.dataflow is Dataflow.OUTPUT_STATIONARY:
            for k in range(max(k_tiles, minimum)):
                last = k == k_tiles - 1
                yield Slot(k < k_tiles, False, core.rows * last, last)
            continue
        for k in range(k_tiles):
            for p in range(max(pixels, minimum)):
                yields = p < pixels and k == k_tiles - 1
                yield Slot(p < pixels, p == 0, int(yields), yields and p == pixels - 1)


def count_by_cycle(
    core: Core, pixels: int, k_tiles: int, output_tiles: int, entries: Sequence[int], timing: CoreTiming
) -> dict[str, int]:
    """Return the ten counters of a job; `entries` are the outliers of each K tile."""
    stationary = core.dataflow is Dataflow.WEIGHT_STATIONARY
    real = k_tiles * output_tiles * (pixels if stationary else 1)
    weights = Stream(_weights(core, k_tiles, output_tiles))
    activations = Stream(_units([core.activation_packing.beats] * real))
    outliers = Stream(_units(entries if core.outlier_lanes else []))
    slots = deque(_slots(core, pixels, k_tiles, output_tiles, timing.minimum_slots))
    counts: Counter[str] = Counter()
    places, sets, pause = timing.fifo_depth, 2, 0
    rows: deque[tuple[int, bool]] = deque()
    cycle = 0
    while slots or rows:
        consumed = swapped = False
        freed = None
        if slots:
            slot = slots[0]
            lacks = (
                (slot.swap or (not stationary and slot.real)) and not weights.whole,
                slot.swap and core.outlier_lanes > 0 and not outliers.whole,
                slot.real and not activations.whole,
                slot.rows > places,
            )
            if any(lacks):
                counts[WAITS[lacks.index(True)]] += 1
            else:
                counts["slots"] += 1
                slots.popleft()
                places -= slot.rows
                consumed, swapped = slot.real, slot.swap
                for row in range(slot.rows):
                    rows.append((cycle + timing.engine_latency + 3 + row, slot.end and row == slot.rows - 1))
        pause = max(0, pause - 1)
        if rows and rows[0][0] <= cycle and not pause:
            freed = rows.popleft()
            pause = timing.row_pace
            counts["beats_results"] += core.result_packing.beats
            counts["cycles"] = cycle + timing.result_latency + 1
        for name, stream, used, ready in (
            ("weights", weights, swapped if stationary else consumed,
             weights.ready(consumed, held_back=stationary, sets=sets)),
            ("activations", activations, consumed, activations.ready(consumed, held_back=False)),
            ("outliers", outliers, swapped, outliers.ready(swapped, held_back=True)),
        ):  # fmt: skip
            counts[f"beats_{name}"] += ready
            sets -= stream.step(ready, used) == "record end"
        if freed is not None:
            places += 1
            sets += freed[1]
        cycle += 1
    return {name: counts[name] for name in (
        "cycles", "slots", *WAITS, "beats_weights", "beats_activations", "beats_outliers", "beats_results",
    )}  # fmt: skip
