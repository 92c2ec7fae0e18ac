"""DRAM writes of SCALE-Sim 3: how its output buffer leaves, line by line of as many words as the array has columns.

Each time that more than half of the buffer is in use, half of it (in lines, rounded up) is written. A line that is not full
at such a moment is closed; what it lacks is counted as written, unless it is the last line of its part. Nothing waits: the array
brings no more words per cycle than leave.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from hwsim.scalesim.folds import Folds


@dataclass(frozen=True, slots=True)
class Drain:
    """DRAM writes of outputs: in which cycles they begin and end, and how many words they are said to be."""

    start: int
    stop: int
    writes: int


@dataclass(frozen=True, slots=True)
class WriteTimes:
    """When the array writes its outputs: a fold's lines, each with its columns one cycle after the other."""

    folds: Folds

    @property
    def first_line(self) -> int:
        """Cycle of a fold in which a line of outputs may begin at the earliest."""
        return self.folds.time - 1 if self.folds.dataflow == "os" else 2 * self.folds.rows - 1

    def extent(self, row_fold: int, col_fold: int) -> tuple[int, int, int]:
        """Return the cycle of a fold in which its first line begins, its lines, and its columns."""
        columns = self.folds.used_cols(col_fold)
        if self.folds.dataflow != "os":
            return self.first_line, self.folds.time, columns
        # The bottom row comes first, whether it is in use or not.
        lines = self.folds.used_rows(row_fold)
        return self.first_line + self.folds.rows - lines, lines, columns

    @property
    def first(self) -> int:
        """Cycle of the first word."""
        return self.extent(0, 0)[0]

    @property
    def last(self) -> int:
        """Cycle of the last word."""
        begin, lines, columns = self.extent(self.folds.row_folds - 1, self.folds.col_folds - 1)
        return (self.folds.number - 1) * self.folds.fold_cycles + begin + lines + columns - 2

    def of_words(self) -> tuple[np.ndarray, np.ndarray]:
        """Return, by fold, the words before it and the cycle in which it begins."""
        sizes = [lines * columns for _, lines, columns in (self.extent(*fold) for fold in self.folds.order())]
        return np.concatenate([[0], np.cumsum(sizes)]), np.arange(len(sizes)) * self.folds.fold_cycles


def drain(folds: Folds, buffer_kb: int) -> Drain:
    """Return the DRAM writes of a layer's outputs through a buffer of so many KiB."""
    half = 512 * buffer_kb
    times = WriteTimes(folds)
    before, begins = times.of_words()
    total = int(before[-1])
    order = folds.order()

    def cycle_of(word: int) -> int:
        fold = int(np.searchsorted(before, word, side="right")) - 1
        begin, lines, columns = times.extent(*order[fold])
        offset = np.arange(lines + columns - 1)
        here = np.minimum(np.minimum(offset + 1, lines + columns - 1 - offset), min(lines, columns))
        line = int(np.searchsorted(np.cumsum(here), word - int(before[fold]), side="right"))
        return int(begins[fold]) + begin + line

    buffer = _Lines(folds.cols, -(-half // folds.cols))
    start = None
    stored, free = 0, 2 * half
    while True:
        # The word with which more than half is in use.
        word = stored + (free - half)
        if word >= total:
            break
        cycle = cycle_of(word)
        buffer.add(word + 1 - stored)
        lines, counted = buffer.leave()
        free += counted - (word + 1 - stored)
        stored = word + 1
        start = cycle if start is None else start
        stop = cycle + lines - 1
    buffer.add(total - stored)
    now = folds.cycles - 1
    if start is None:
        start, stop = now, now
    while buffer.lines:
        lines, _ = buffer.leave()
        stop = max(stop, now + lines - 1)
        now += lines
    return Drain(start, stop, buffer.written)


class _Lines:
    """Lines that wait to be written, as runs of (lines, words in each)."""

    def __init__(self, columns: int, at_once: int) -> None:
        self.columns, self.at_once = columns, at_once
        self.lines: deque[tuple[int, int]] = deque()
        self.written = 0

    def add(self, words: int) -> None:
        """Take words in, and close the line that they end in."""
        full, rest = divmod(words, self.columns)
        self.lines.extend(run for run in ((full, self.columns), (1, rest)) if run[0] and run[1])

    def leave(self) -> tuple[int, int]:
        """Write a part; return its lines, and the words that it is said to have."""
        left, last = self.at_once, self.columns
        while left and self.lines:
            lines, last = self.lines.popleft()
            taken = min(left, lines)
            left -= taken
            if taken < lines:
                self.lines.appendleft((lines - taken, last))
        number = self.at_once - left
        counted = number * self.columns - (self.columns - last)
        self.written += counted
        return number, counted
