"""Cycles of a `GemmCore` behind a memory that makes it wait, from the rules in ``docs/rtl-core.md``. Exact.

Cycle by cycle; but cycles in which nothing moves are passed at once, and where a state comes back, what happened since is
repeated by arithmetic: slots of a K tile (output stationary: of an output tile), K tiles, output tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.dataflow.core_memory import ACTIVATIONS, OUTLIERS, RESULTS, WEIGHTS, MemoryPorts
from hwsim.dataflow.core_results import RowsUnderWay
from hwsim.dataflow.core_timing import CoreTiming
from hwsim.spec import Core, Dataflow, StreamMemory

MOST_STATES = 1000
"""States that are kept for comparison: a period of more slots, or tiles, is not looked for."""


@dataclass(slots=True)
class _Loader:
    """What takes a stream apart into units: vectors, or what a K tile needs.

    Attributes
    ----------
    left
        Beats until the unit is whole.
    unit
        Its number.
    whole
        Whether one waits for its slot.
    records
        Beats of parameters that come first.
    """

    left: int
    unit: int = 0
    whole: bool = False
    records: int = 0

    def take(self, size: int) -> bool:
        """Take a beat of a unit; the next one has `size` beats. Return whether this one is whole."""
        self.left -= 1
        if self.left:
            return False
        self.left, self.whole = size, True
        self.unit += 1
        return True


@dataclass(frozen=True, slots=True)
class _Moment:
    """How far a job was in a state: steps to go, cycle, K tiles (vectors) used, waits, beats that nobody asked for yet."""

    steps: int
    cycle: int
    unit: int
    waits: tuple[int, ...]
    left: tuple[int, ...]


class StalledWalk:
    """One job.

    Parameters
    ----------
    core, timing, memory
        The configurations.
    pixels, k_tiles
        Of an output tile.
    beats
        Of the job, by port in the order of `hwsim.spec.MEMORY_PORTS`.
    entries
        Outlier entries of each K tile of the job; None: one each.

    Attributes
    ----------
    waits
        Cycles in which a slot waited, by reason.
    """

    def __init__(
        self, core: Core, timing: CoreTiming, memory: StreamMemory, pixels: int, k_tiles: int, beats: Sequence[int],
        entries: Sequence[int] | None,
    ) -> None:  # fmt: skip
        self.core, self.timing, self.pixels, self.k_tiles = core, timing, pixels, k_tiles
        self.stationary = core.dataflow is Dataflow.WEIGHT_STATIONARY
        self.memory = MemoryPorts(memory, core, beats)
        self.rows = RowsUnderWay(core, timing)
        self.entries = entries
        self.record_beats = core.cols * core.record_beats
        self.load = core.weight_packing.beats * (core.rows if self.stationary else 1)
        self.weights = _Loader(self.load, records=self.record_beats)
        self.outliers = _Loader(self._entries(0))
        self.vector = core.activation_packing.beats
        self.activations = _Loader(self.vector)
        self.places, self.sets = timing.fifo_depth, 2
        # K tiles (output stationary: vectors of weights) that have been used.
        self.unit = 0
        self.waits = [0, 0, 0, 0]
        self.last_beat = 0

    def run(self, tiles: int, entries: tuple[int, ...]) -> None:
        """Go through output tiles with the same numbers of outlier entries."""
        seen = _Seen()
        while tiles:
            tiles -= 1
            self._output_tile(alike=len(set(entries)) == 1)
            tiles -= self._jump(seen, tiles, spare=1, briefly=False)

    def finish(self) -> int:
        """Wait for the last results; return the cycle of the last beat."""
        while self.memory.left[RESULTS]:
            self._wait()
        return self.last_beat

    def _output_tile(self, *, alike: bool) -> None:
        """Go through an output tile; `alike`: its K tiles have the same numbers of outlier entries."""
        if not self.stationary:
            self._slots_alike(self.k_tiles - 1, 0)
            self._slot(first=False, rows=self.core.rows, end=True)
            self._empty_slots(self.timing.minimum_slots - self.k_tiles)
            return
        seen, left = _Seen(), self.k_tiles
        while left:
            if alike:
                left -= self._jump(seen, left, spare=2, briefly=False)
            left -= 1
            rows = int(left == 0)
            self._slot(first=True, rows=rows, end=rows > 0 and self.pixels == 1)
            self._slots_alike(self.pixels - 1 - rows, rows)
            if rows and self.pixels > 1:
                self._slot(first=False, rows=1, end=True)
            self._empty_slots(self.timing.minimum_slots - self.pixels)

    def _slots_alike(self, number: int, rows: int) -> None:
        """Issue slots that are not their K tile's first one, and yield so many rows, none the output tile's last."""
        seen = _Seen()
        # Output stationary: weights are taken up to two K tiles ahead, which must not be the next output tile's.
        spare = 0 if self.stationary else 3
        while number > 0:
            number -= 1
            self._slot(first=False, rows=rows, end=False)
            number -= self._jump(seen, number, spare, briefly=True)

    def _slot(self, *, first: bool, rows: int, end: bool) -> None:
        """Issue a slot with a pixel (a K tile) as soon as nothing is missing."""
        weighs = first or not self.stationary
        sparse = first and self.core.outlier_lanes > 0
        while True:
            if weighs and not self.weights.whole:
                reason = 0
            elif sparse and not self.outliers.whole:
                reason = 1
            elif not self.activations.whole:
                reason = 2
            elif rows > self.places:
                reason = 3
            else:
                break
            self.waits[reason] += self._wait()
        self.places -= rows
        self.unit += weighs
        written = self.memory.cycle + self.timing.engine_latency + 3
        for row in range(rows):
            self.rows.waiting.append((written + row, end and row == rows - 1))
        self._cycle(consumed=True, weighs=weighs)

    def _empty_slots(self, number: int) -> None:
        for _ in range(number):
            self._cycle()

    def _wait(self) -> int:
        """Pass cycles without a slot until something has moved; return how many."""
        if self._cycle():
            return 1
        now = self.memory.cycle
        skipped = min((*self.memory.next_events(), *self.rows.next_events(now))) - now
        self.memory.elapse(skipped)
        return 1 + skipped

    def _cycle(self, *, consumed: bool = False, weighs: bool = False) -> bool:
        """Pass one cycle, in which a slot consumes activations, and weights, or none; return whether anything moved."""
        memory = self.memory
        moved = memory.request()
        taken, leaves, ends, moves = self.rows.step(memory.cycle, memory.has_room())
        if taken:
            memory.put()
            self.last_beat = memory.cycle
        moved |= self._load_weights(consumed=weighs)
        if self.core.outlier_lanes:
            moved |= self._load_outliers(consumed=weighs)
        moved |= self._load_activations(consumed=consumed)
        self.places += leaves
        # Without records nothing takes a set.
        self.sets += ends and self.record_beats > 0
        memory.elapse()
        return moved or taken or leaves or moves

    def _load_weights(self, *, consumed: bool) -> bool:
        loader = self.weights
        if loader.records:
            free = self.sets > 0
        elif self.stationary:
            free = not loader.whole
        else:
            free = loader.left > 1 or not loader.whole or consumed
        if consumed:
            loader.whole = False
        if not (free and self.memory.offers(WEIGHTS)):
            return False
        self.memory.take(WEIGHTS)
        if loader.records:
            loader.records -= 1
            self.sets -= not loader.records
        elif loader.take(self.load) and loader.unit % self.k_tiles == 0:
            loader.records = self.record_beats
        return True

    def _load_outliers(self, *, consumed: bool) -> bool:
        loader = self.outliers
        free = not loader.whole
        if consumed:
            loader.whole = False
        if not (free and self.memory.offers(OUTLIERS)):
            return False
        self.memory.take(OUTLIERS)
        loader.take(self._entries(loader.unit + 1))
        return True

    def _load_activations(self, *, consumed: bool) -> bool:
        loader = self.activations
        free = loader.left > 1 or not loader.whole or consumed
        if consumed:
            loader.whole = False
        if not (free and self.memory.offers(ACTIVATIONS)):
            return False
        self.memory.take(ACTIVATIONS)
        loader.take(self.vector)
        return True

    def _entries(self, unit: int) -> int:
        return 1 if self.entries is None or unit >= len(self.entries) else self.entries[unit]

    def _jump(self, seen: _Seen, steps: int, spare: int, *, briefly: bool) -> int:
        """Return how many of the `steps` to go, less `spare`, are done at once because this state was seen before."""
        now = _Moment(steps, self.memory.cycle, self.unit, tuple(self.waits), tuple(self.memory.left))
        before = seen.before(self, now, briefly=briefly)
        if before is None:
            return 0
        length = before.steps - steps
        beats = [then - left for then, left in zip(before.left, now.left, strict=True)]
        # What is left of a stream matters from when all of it has been asked for.
        times = min(
            (steps - spare) // length, *(left // some for left, some in zip(now.left, beats, strict=True) if some)
        )
        if times <= 0:
            return 0
        cycles = times * (now.cycle - before.cycle)
        self.memory.shift(cycles, [times * some for some in beats])
        self.rows.shift(cycles)
        units = times * (now.unit - before.unit)
        for loader in (self, self.weights, self.outliers):
            loader.unit += units
        self.waits = [time + times * (time - then) for time, then in zip(now.waits, before.waits, strict=True)]
        seen.clear()
        return times * length

    def brief(self) -> tuple[int, ...]:
        """Return a part of `state` that takes no time."""
        now, bus, fifos = self.memory.cycle, self.memory.buses[0], self.memory.fifos
        latest = fifos[ACTIVATIONS][-1] - now if fifos[ACTIVATIONS] else 0
        left = self.weights.left, self.activations.left, self.rows.beats_left
        return bus.debt, self.places, latest, *left, *map(len, fifos)

    def state(self) -> tuple[int, ...]:
        """Return what the next slots depend on, relative to this cycle."""
        state = [self.places, self.sets]
        for loader in (self.weights, self.outliers) if self.core.outlier_lanes else (self.weights,):
            state += [loader.left, loader.unit - self.unit, loader.whole, loader.records]
        state += [self.activations.left, self.activations.whole]
        return *state, *self.rows.state(self.memory.cycle), *self.memory.state()


class _Seen:
    """States of a job and when they were seen."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._brief: set[tuple[int, ...]] = set()
        self._moments: dict[tuple[int, ...], _Moment] = {}

    def before(self, walk: StalledWalk, now: _Moment, *, briefly: bool) -> _Moment | None:
        """Return when this state was seen; `briefly`: look only where a part of it comes back that takes no time."""
        if briefly:
            brief = walk.brief()
            if brief not in self._brief:
                self._brief.add(brief)
                return None
        if len(self._moments) > MOST_STATES:
            self.clear()
        state = walk.state()
        before = self._moments.get(state)
        if before is None:
            self._moments[state] = now
        return before
