"""The way of rows from a core's array to its result port, where they may wait ("Rows that wait" in ``docs/rtl-core.md``)."""

from __future__ import annotations

from collections import deque

from hwsim.dataflow.core_timing import CoreTiming
from hwsim.spec import Core


class RowsUnderWay:
    """The result FIFO, the rows in the requantizers and behind them, and the row whose beats are being taken.

    Attributes
    ----------
    waiting
        Rows of the result FIFO, oldest first: from which cycle on each can leave it, and whether it is its output tile's last.
    inside
        From which cycle on each row behind the result FIFO can go to the port.
    beats_left
        Of the row at the port.
    next_row
        From which cycle on a row may leave the result FIFO, for its distance from the one before.
    """

    def __init__(self, core: Core, timing: CoreTiming) -> None:
        self.waiting: deque[tuple[int, bool]] = deque()
        self.inside: deque[int] = deque()
        self.beats_left = 0
        self.next_row = 0
        self._pace = timing.row_pace
        self._beats = core.result_packing.beats
        self._requantizes = core.output is not None
        # z - x, less the beats.
        self._way = timing.result_latency - self._beats
        latency = self._way - core.requantize_cycles - 2
        self._places = 1 << (latency + 3).bit_length()

    def step(self, cycle: int, room: bool) -> tuple[bool, bool, bool, bool]:
        """Do what happens in a cycle.

        Returns
        -------
        tuple of bool
            A beat is taken (if there is `room` for it); a row leaves the result FIFO; it is its output tile's last; a row goes
            to the port.
        """
        taken = room and self.beats_left > 0
        free = self.beats_left - taken == 0
        leaves = bool(self.waiting) and self.waiting[0][0] <= cycle >= self.next_row
        if self._requantizes:
            leaves = leaves and len(self.inside) < self._places
            moves = free and bool(self.inside) and self.inside[0] <= cycle
        else:
            leaves = moves = leaves and free
        self.beats_left -= taken
        end = False
        if leaves:
            end = self.waiting.popleft()[1]
            self.next_row = cycle + self._pace
            self.inside.append(cycle + self._way)
        if moves:
            self.inside.popleft()
            self.beats_left = self._beats
        return taken, leaves, end, moves

    def next_events(self, cycle: int) -> list[int]:
        """Return from a cycle on: when the oldest row can leave the result FIFO, when the oldest behind it can go to the port."""
        times = [max(self.waiting[0][0], self.next_row)] if self.waiting else []
        times += list(self.inside)[:1]
        return [time for time in times if time >= cycle]

    def state(self, cycle: int) -> tuple[int, ...]:
        """Return what the next rows depend on, relative to a cycle."""
        rows = [2 * max(time - cycle, 0) + end for time, end in self.waiting]
        inside = [max(time - cycle, 0) for time in self.inside]
        return self.beats_left, max(self.next_row - cycle, 0), len(rows), *rows, *inside

    def shift(self, cycles: int) -> None:
        """Be so much later."""
        self.next_row += cycles
        self.waiting = deque((time + cycles, end) for time, end in self.waiting)
        self.inside = deque(time + cycles for time in self.inside)
