"""Cycles of a `GemmCore` from the rules in ``docs/rtl-core.md``. Exact, and never sees a tensor.

Here for streams that never pause; behind a memory, `hwsim.dataflow.core_stalls` counts. Slots, beats and rows are followed as
the rules say, but what repeats is computed once: slots that wait for nothing but their vectors, and output tiles that begin in
the state in which an earlier one began.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt

from hwsim.dataflow.core_stalls import StalledWalk
from hwsim.dataflow.core_timing import CoreTiming
from hwsim.dataflow.gemm_plan import MOST_TILES, GemmPlan
from hwsim.spec import Core, Dataflow, StreamMemory, require
from hwsim.spec.errors import within

LONG_AGO = -(1 << 62)

SLOTS_BETWEEN_LOOKS = 8
"""Slots that yield rows are looked at so often whether they repeat, where the rows before them matter; a look costs as much."""

Groups = Sequence[tuple[int, tuple[int, ...]]]
"""Output tiles in a row with the same numbers of outlier entries: how many, and the numbers by K tile."""


@dataclass(frozen=True)
class Counters:
    """The counters of a `GemmCore` that do not depend on values; see ``docs/rtl-core.md``."""

    cycles: int = 0
    slots: int = 0
    wait_weights: int = 0
    wait_outliers: int = 0
    wait_activations: int = 0
    wait_results: int = 0
    beats_weights: int = 0
    beats_activations: int = 0
    beats_outliers: int = 0
    beats_results: int = 0

    def __add__(self, other: Counters) -> Counters:
        """Return the counters of two jobs together."""
        return Counters(
            *(one + another for one, another in zip(vars(self).values(), vars(other).values(), strict=True))
        )

    def times(self, number: int) -> Counters:
        """Return the counters of so many equal jobs."""
        return Counters(*(value * number for value in vars(self).values()))


def predict(
    core: Core, pixels: int, k_tiles: int, output_tiles: int, entries: npt.ArrayLike | None = None,
    timing: CoreTiming | None = None, memory: StreamMemory | None = None,
) -> Counters:  # fmt: skip
    """Return the counters of one job.

    Parameters
    ----------
    core
        The configuration.
    pixels, k_tiles, output_tiles
        The registers PIXELS (output stationary: ignored), K_TILES and OUTPUT_TILES.
    entries
        With outlier lanes: entries of each K tile, in the order of the stream; by default one each.
    timing
        Other latencies than the core's own.
    memory
        What stands in front of the ports; None: streams never pause.

    Raises
    ------
    InputError
        For a size that the registers do not take.
    """
    stationary = core.dataflow is Dataflow.WEIGHT_STATIONARY
    pixels = pixels if stationary else core.rows
    for name, value, most in (
        ("pixels", pixels, core.tile_pixels),
        ("k_tiles", k_tiles, MOST_TILES),
        ("output_tiles", output_tiles, MOST_TILES),
    ):
        require(within(value, range(1, most + 1)), name, f"an integer from 1 to {most}", value)
    timing = CoreTiming.of(core) if timing is None else timing
    groups = list(_groups(core, entries, k_tiles, output_tiles))
    beats = _beats(core, pixels, k_tiles, groups)
    walk: _Walk | StalledWalk
    if memory is None:
        walk = _Walk(core, timing, pixels, k_tiles)
    else:
        given = None if entries is None or not core.outlier_lanes else np.asarray(entries).tolist()
        walk = StalledWalk(core, timing, memory, pixels, k_tiles, beats, given)
    for tiles, numbers in groups:
        walk.run(tiles, numbers)
    last = walk.finish()
    weights, outliers, activations, results = beats
    return Counters(
        cycles=last + 1,
        slots=output_tiles * _slots(core, timing, pixels, k_tiles),
        **dict(zip(WAITS, walk.waits, strict=True)),
        beats_weights=weights,
        beats_activations=activations,
        beats_outliers=outliers,
        beats_results=results,
    )


def _slots(core: Core, timing: CoreTiming, pixels: int, k_tiles: int) -> int:
    """Return the slots of an output tile."""
    if core.dataflow is Dataflow.WEIGHT_STATIONARY:
        return k_tiles * max(pixels, timing.minimum_slots)
    return max(k_tiles, timing.minimum_slots)


def _beats(core: Core, pixels: int, k_tiles: int, groups: Groups) -> tuple[int, int, int, int]:
    """Return the beats of a job, by port in the order of `hwsim.spec.MEMORY_PORTS`."""
    stationary = core.dataflow is Dataflow.WEIGHT_STATIONARY
    tiles = sum(number for number, _ in groups)
    visits = tiles * k_tiles
    loads = visits * (core.rows if stationary else 1)
    return (
        tiles * core.cols * core.record_beats + loads * core.weight_packing.beats,
        sum(number * sum(entries) for number, entries in groups),
        visits * (pixels if stationary else 1) * core.activation_packing.beats,
        tiles * pixels * core.result_packing.beats,
    )


def _groups(
    core: Core, entries: npt.ArrayLike | None, k_tiles: int, output_tiles: int
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield how many output tiles in a row have the same numbers of entries, and these."""
    if entries is None or not core.outlier_lanes:
        yield output_tiles, (int(core.outlier_lanes > 0),) * k_tiles
        return
    numbers = np.asarray(entries)
    visits = k_tiles * output_tiles
    right = numbers.shape == (visits,) and bool(np.all(numbers >= 1))
    require(right, "entries", f"at least 1 for each of {visits} K tiles", entries)
    by_tile = numbers.reshape(output_tiles, k_tiles)
    changes = np.flatnonzero(np.any(by_tile[1:] != by_tile[:-1], axis=1)) + 1
    for first, end in pairwise([0, *changes.tolist(), output_tiles]):
        yield end - first, tuple(by_tile[first].tolist())


def predict_plan(
    plan: GemmPlan, entries: Iterable[npt.ArrayLike | None] | None = None, memory: StreamMemory | None = None
) -> Counters:
    """Return the sum over all jobs of a GEMM; `entries` and `memory` as for `predict`, the former by job."""
    by_job = [None] * len(plan.jobs) if entries is None else list(entries)
    jobs = zip(plan.jobs, by_job, strict=True)
    counters = (
        predict(plan.core, job.pixels, job.k_tiles, job.output_tiles, part, memory=memory) for job, part in jobs
    )
    return sum(counters, Counters())


WAITS = ("wait_weights", "wait_outliers", "wait_activations", "wait_results")
"""In the order in which a slot that misses several is counted."""


@dataclass
class _Unpacker:
    """What takes a stream apart into vectors of some beats.

    Attributes
    ----------
    beats
        Of a vector.
    late
        From the cycle in which a vector is consumed to that in which the last beat of the next one can be taken.
    taken
        Cycle of the last beat of the latest vector.
    consumed
        Cycle in which it was consumed.
    """

    beats: int
    late: int = 0
    taken: int = -1
    consumed: int = -1

    @property
    def ready(self) -> int:
        """The first cycle in which the next vector can be consumed."""
        return max(self.taken + self.beats, self.consumed + self.late) + 1

    def consume(self, cycle: int, ready: int) -> None:
        self.taken, self.consumed = ready - 1, cycle


class _Walk:
    """One job, output tile by output tile; all times are cycles of the job."""

    def __init__(self, core: Core, timing: CoreTiming, pixels: int, k_tiles: int) -> None:
        self.core, self.timing = core, timing
        self.stationary = core.dataflow is Dataflow.WEIGHT_STATIONARY
        self.pixels, self.k_tiles = pixels, k_tiles
        self.record_beats = core.cols * core.record_beats
        self.activations = _Unpacker(core.activation_packing.beats)
        # Weight stationary: a K tile's weights are like one vector, of which no beat is taken before the last one is consumed.
        load = core.weight_packing.beats * (core.rows if self.stationary else 1)
        self.weights = _Unpacker(load, load if self.stationary else 0)
        self.slot = -1
        self.row_left = LONG_AGO
        rows = 1 if self.stationary else core.rows
        # At the end of an output tile, and weight stationary at any time: with the latest row leaving the FIFO so many cycles
        # after the last slot, or earlier, no row that is in it can be in the way of one to come. Rows leave one by one, and
        # slots that yield rows are at least as many cycles apart as each yields.
        spacing = 1 if self.stationary else max(k_tiles, timing.minimum_slots)
        self.harmless = timing.fifo_depth - rows if spacing >= rows else LONG_AGO
        # When the rows that may still be in the FIFO leave it, oldest first.
        self.leaving = deque([LONG_AGO] * timing.fifo_depth, timing.fifo_depth)
        # From which cycle on the parameter sets of the next two output tiles are free.
        self.free_sets = [0, 0]
        self.waits = [0, 0, 0, 0]

    def finish(self) -> int:
        """Return the cycle of the last beat of results."""
        return self.row_left + self.timing.result_latency

    def run(self, tiles: int, entries: tuple[int, ...]) -> None:
        """Go through output tiles with the same numbers of outlier entries; jump where states repeat."""
        seen: dict[tuple[int, ...], tuple[int, int, list[int]]] = {}
        while tiles:
            tiles -= 1
            self._output_tile(entries)
            state = self._state()
            if state not in seen:
                seen[state] = tiles, self.slot, list(self.waits)
                continue
            before, slot, waits = seen[state]
            times, tiles = divmod(tiles, before - tiles)
            self._shift(times * (self.slot - slot))
            self.waits = [now + times * (now - then) for now, then in zip(self.waits, waits, strict=True)]
            seen.clear()

    def _state(self) -> tuple[int, ...]:
        """Return what the next output tiles depend on, relative to the last slot; what is over long ago is all the same."""
        units = [self.weights.taken, self.weights.consumed, self.activations.taken, self.activations.consumed]
        free = [max(cycle, self.weights.taken) for cycle in self.free_sets]
        # Of rows that are in nobody's way the latest keeps its distance to the next all the same.
        rows = [self.row_left] if self._clear else self.leaving
        return (*(cycle - self.slot for cycle in (*units, *free)), *self._rows(rows, self.slot))

    @property
    def _clear(self) -> bool:
        """Whether no row in the FIFO will be in the way of another."""
        return self.row_left - self.slot <= self.harmless

    def _rows(self, leaving: Iterable[int], slot: int) -> list[int]:
        """Return what rows in the FIFO are to the slots after one."""
        # Neither a place that was free before, nor a row so old that the next one need not keep its distance.
        long_ago = min(0, self.timing.engine_latency + 4 - self.timing.row_pace)
        return [max(long_ago, cycle - slot) for cycle in leaving]

    def _shift(self, cycles: int) -> None:
        for unit in (self.weights, self.activations):
            unit.taken += cycles
            unit.consumed += cycles
        self.slot += cycles
        self.row_left += cycles
        self.leaving = deque((cycle + cycles for cycle in self.leaving), self.timing.fifo_depth)
        self.free_sets = [cycle + cycles for cycle in self.free_sets]

    def _output_tile(self, entries: tuple[int, ...]) -> None:
        if self.record_beats:
            self.weights.taken = max(self.weights.taken + 1, self.free_sets[0]) + self.record_beats - 1
        if self.stationary:
            for number, alike in groupby(entries[:-1]):
                self._k_tiles(len(list(alike)), number)
            self._k_tile(entries[-1], yields=True)
        else:
            self._issue_alike(self.k_tiles - 1)
            self._issue(yields=True)
            self.slot += max(0, self.timing.minimum_slots - self.k_tiles)
        self.free_sets = [self.free_sets[1], self.row_left + 1]

    def _k_tile(self, entries: int, *, yields: bool) -> None:
        """Issue the slots of a K tile, weight stationary."""
        self._issue(first=True, entries=entries, yields=yields)
        if yields:
            self._issue_rows(self.pixels - 1)
        else:
            self._issue_alike(self.pixels - 1)
        self.slot += max(0, self.timing.minimum_slots - self.pixels)

    def _k_tiles(self, number: int, entries: int) -> None:
        """Issue K tiles that yield no rows. As soon as one leaves all as it found it, but later, so do the others."""
        units = (self.activations, self.weights)
        while number:
            number -= 1
            before, slot, waits = self._places(units), self.slot, list(self.waits)
            self._k_tile(entries, yields=False)
            if before == self._places(units):
                self._repeat(number, slot, waits, units)
                return

    def _places(self, units: Sequence[_Unpacker]) -> list[int]:
        """Return where streams are, relative to the last slot."""
        return [cycle - self.slot for unit in units for cycle in (unit.taken, unit.consumed)]

    def _repeat(self, number: int, slot: int, waits: Sequence[int], units: Sequence[_Unpacker]) -> None:
        """Do so often again what was done since a slot, when waits were fewer, to the slot and some streams."""
        later = number * (self.slot - slot)
        self.slot += later
        for unit in units:
            unit.taken += later
            unit.consumed += later
        self.waits = [now + number * (now - then) for now, then in zip(self.waits, waits, strict=True)]

    def _issue(self, *, first: bool = False, entries: int = 0, yields: bool = False) -> None:
        """Issue a slot with a pixel (a K tile) as soon as nothing is missing."""
        weighs = first or not self.stationary
        rows = 1 if self.stationary else self.core.rows
        weights, activations = self.weights.ready if weighs else 0, self.activations.ready
        needs = (
            weights,
            # The K tile before started when its weights were consumed.
            self.weights.consumed + entries + 1 if entries else 0,
            activations,
            # A place is free from the cycle after its row has left.
            self.leaving[rows - 1] + 1 if yields else 0,
        )
        cycle = self.slot + 1
        for reason, ready in enumerate(needs):
            if ready > cycle:
                self.waits[reason] += ready - cycle
                cycle = ready
        self.slot = cycle
        self.activations.consume(cycle, activations)
        if weighs:
            self.weights.consume(cycle, weights)
        if yields:
            # Rows of one slot are written one per cycle; as they leave no faster, only the first may wait for that.
            written = cycle + self.timing.engine_latency + 3
            for _ in range(rows):
                self.row_left = max(written, self.row_left + self.timing.row_pace)
                self.leaving.append(self.row_left)

    def _issue_rows(self, number: int) -> None:
        """Issue slots that yield rows; as soon as one leaves all as it found it, but later, so do the others."""
        while number:
            number -= 1
            clear = self._clear
            if number % SLOTS_BETWEEN_LOOKS and not clear:
                self._issue(yields=True)
                continue
            unit, slot, left, waits = self.activations, self.slot, self.row_left, list(self.waits)
            taken, consumed, leaving = unit.taken, unit.consumed, () if clear else list(self.leaving)
            self._issue(yields=True)
            later = self.slot - slot
            same = unit.taken - taken == unit.consumed - consumed == self.row_left - left == later
            if same and (clear or self._rows(leaving, slot) == self._rows(self.leaving, self.slot)):
                last = self.row_left + number * later
                if clear:
                    first = max(self.row_left + later, last - (self.timing.fifo_depth - 1) * later)
                    self.leaving.extend(range(first, last + 1, later))
                else:
                    self.leaving = deque((cycle + number * later for cycle in self.leaving), self.timing.fifo_depth)
                self.row_left = last
                self._repeat(number, slot, waits, (unit,))
                return

    def _issue_alike(self, number: int) -> None:
        """Issue slots that wait for vectors only. As soon as one leaves all as it found it, but later, so do the others."""
        units = (self.activations,) if self.stationary else (self.activations, self.weights)
        while number:
            number -= 1
            before, slot, waits = self._places(units), self.slot, list(self.waits)
            self._issue()
            if before == self._places(units):
                self._repeat(number, slot, waits, units)
                return
