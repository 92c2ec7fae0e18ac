"""Mistakes in the model of a GEMM core behind a memory, and fixed jobs that find each of them."""

from __future__ import annotations

from dataclasses import asdict, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from small_core import small
from stalled_by_cycle import count_stalled

from hwsim.dataflow import CoreTiming, core_cycles, core_memory, core_results, core_stalls
from hwsim.spec import Core, Dataflow, StreamMemory

OS = Dataflow.OUTPUT_STATIONARY
AMPLE = Fraction(100_000)

FEW = StreamMemory(7, Fraction(3, 2), None, 4, 3, 5, 2)
FIXED: tuple[tuple[Core, tuple[int, int, int], StreamMemory], ...] = (
    (small(weight_bus_bits=8), (5, 30, 9), FEW),
    (small(outlier_lanes=2), (16, 20, 30), StreamMemory(3, Fraction(13, 3), None, 2, 2, 3, 4)),
    (
        small(outlier_lanes=1, activation_bus_bits=8, pixels=40),
        (40, 2, 8),
        StreamMemory(0, Fraction(5), Fraction(2), 8, 8, 8, 8),
    ),
    (small(dataflow=OS), (2, 60, 12), StreamMemory(9, Fraction(7, 2), None, 3, 1, 5, 1)),
    (small(dataflow=OS, result_bus_bits=16), (2, 3, 40), StreamMemory(1, AMPLE, Fraction(3, 4), 2, 2, 2, 1)),
    (Core(rows=1, cols=4, pixels=40, requantizers=1), (40, 2, 9), StreamMemory(0, AMPLE, Fraction(1, 3), 9, 9, 9, 3)),
    (Core(rows=2, cols=4, pixels=64, result_bus_bits=8), (64, 1, 30), StreamMemory(2, Fraction(9), None, 9, 9, 9, 2)),
    (Core(rows=2, cols=2, dataflow=OS, weight_bus_bits=8), (2, 3, 20), StreamMemory(5, Fraction(2), None, 8, 1, 8, 8)),
    (Core(rows=2, cols=4, pixels=16), (16, 30, 3), StreamMemory(3, Fraction(9, 2), None, 8, 8, 8, 8)),
    (Core(rows=2, cols=4, pixels=16), (2, 30, 3), StreamMemory(3, AMPLE, None, 8, 8, 8, 8)),
    (small(), (1, 1, 60), StreamMemory(0, AMPLE, None, 2, 2, 2, 2)),
    (small(pixels=200), (200, 1, 1), StreamMemory(3, Fraction(9), None, 20, 20, 20, 2)),
    (small(), (2, 3, 4), StreamMemory(1, AMPLE)),
)


def entries_of(core: Core, sizes: tuple[int, int, int]) -> list[int]:
    """Return numbers of outliers that change within output tiles, and before the last one."""
    tile = [1] * sizes[1]
    tile[sizes[1] * 2 // 3] = 9
    numbers = tile * (sizes[2] - 1) + [2] * sizes[1]
    return numbers if core.outlier_lanes else [1] * len(numbers)


def timing_of(core: Core, sizes: tuple[int, int, int]) -> CoreTiming:
    """Return a core's latencies; in one job so long a way and only one place, that every row under way fills."""
    timing = CoreTiming.of(core)
    return replace(timing, engine_latency=20, fifo_depth=1) if sizes[0] == 1 else timing


@cache
def expected() -> tuple[dict[str, int], ...]:
    return tuple(
        count_stalled(core, *sizes, entries_of(core, sizes), memory, timing_of(core, sizes))
        for core, sizes, memory in FIXED
    )


def check_fixed() -> None:
    for (core, sizes, memory), wanted in zip(FIXED, expected(), strict=True):
        entries = entries_of(core, sizes) if core.outlier_lanes else None
        assert asdict(core_cycles.predict(core, *sizes, entries, timing_of(core, sizes), memory)) == wanted


MUTANTS = {
    core_memory: {
        "a place is free at once": ("len(fifo) < places", "len(fifo) <= places"),
        "the last byte crosses late": ("(self.debt - 1) // self.units", "self.debt // self.units"),
        "the bus saves what it did not need": (
            "max(0, self.debt - cycles * self.units)",
            "self.debt - cycles * self.units",
        ),
        "the latency is one more": ("self.cycle + self._latency", "self.cycle + self._latency + 1"),
        "results are served first": ("for port in INPUTS if", "for port in reversed(INPUTS) if"),
        "a place for results is free early": ("crossing[0] < self.cycle", "crossing[0] <= self.cycle"),
        "results always have a bus": ("bus if memory.write_bytes_per_cycle is None else Bus(writes)", "Bus(writes)"),
        "waiting beats are forgotten where states are compared": (
            "state += [cycle - now if cycle > now else 0 for cycle in fifo]",
            "pass",
        ),
        "a jump does not move what is under way": ("[cycle + cycles for cycle in fifo]", "list(fifo)"),
        "a jump requests nothing": ("self.left[port] -= beats[port]", "pass"),
    },
    core_results: {
        "one place less behind the FIFO": ("len(self.inside) < self._places", "len(self.inside) < self._places - 1"),
        "a row follows late": ("self.beats_left - taken == 0", "self.beats_left == 0"),
        "rows keep no distance": ("cycle >= self.next_row", "cycle"),
        "a row is early": ("cycle + self._way", "cycle + self._way - 1"),
        "a jump does not move the rows": ("(time + cycles, end)", "(time, end)"),
    },
    core_stalls: {
        "activations are taken while others wait": (
            "free and self.memory.offers(ACTIVATIONS)",
            "self.memory.offers(ACTIVATIONS)",
        ),
        "weights are taken while others wait": (
            "            free = not loader.whole\n        else",
            "            free = True\n        else",
        ),
        "sets are never free again": ("self.sets += ends and self.record_beats > 0", "self.sets += 0"),
        "one set": ("timing.fifo_depth, 2", "timing.fifo_depth, 1"),
        "no place is given back": ("self.places += leaves", "self.places += 0"),
        "activations count as outliers": ("reason = 2", "reason = 1"),
        "empty slots take no time": ("            self._cycle()\n\n", "            pass\n\n"),
        "time stands still while nothing moves": ("self.memory.elapse(skipped)", "pass"),
        "a jump forgets the waits": ("time + times * (time - then)", "time"),
        "a jump goes beyond a stream's end": (
            "*(left // some for left, some in zip(now.left, beats, strict=True) if some)",
            "1 << 40",
        ),
        "a jump takes all K tiles": ("spare=2", "spare=0"),
        "a jump passes unlike K tiles": ("if alike:", "if True:"),
        "K tiles of a jump are not counted": ("loader.unit += units", "pass"),
    },
}  # fmt: skip


def put(monkeypatch: pytest.MonkeyPatch, module: ModuleType, old: str, new: str) -> None:
    """Let `predict` use a copy of a module in which `old`, found once, reads `new`."""
    source = Path(str(module.__file__)).read_text("utf-8")
    assert source.count(old) == 1, f"{source.count(old)} places like {old!r}; rewrite this mutant"
    copy = ModuleType(module.__name__)
    exec(compile(source.replace(old, new), f"<mutant of {module.__name__}>", "exec"), copy.__dict__)
    user = core_cycles if module is core_stalls else core_stalls
    for name in ("MemoryPorts", "RowsUnderWay", "StalledWalk"):
        if hasattr(user, name) and hasattr(copy, name):
            monkeypatch.setattr(user, name, getattr(copy, name))


def test_the_fixed_jobs_are_predicted() -> None:
    check_fixed()


@pytest.mark.parametrize("mistake", [mistake for mistakes in MUTANTS.values() for mistake in mistakes])
def test_a_mistake_in_the_model_is_found(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    (module,) = (module for module, mistakes in MUTANTS.items() if mistake in mistakes)
    put(monkeypatch, module, *MUTANTS[module][mistake])
    with pytest.raises((AssertionError, ValueError, IndexError)):
        check_fixed()
