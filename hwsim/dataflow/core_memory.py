"""The memory in front of a `GemmCore`'s ports in one job, cycle by cycle: "Memory in front of the ports" of ``docs/rtl-core.md``.

The time model and the bench in a simulator run the same one; the compiled core's driver has its own, in C++.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hwsim.spec import Core, StreamMemory

WEIGHTS, OUTLIERS, ACTIVATIONS, RESULTS = range(4)
"""Positions in `hwsim.spec.MEMORY_PORTS`."""

INPUTS = (WEIGHTS, OUTLIERS, ACTIVATIONS)


class Bus:
    """Beats one behind the other, each as long as its bytes take.

    Parameters
    ----------
    units
        What it carries in a cycle, in units of which a beat takes an integer.

    Attributes
    ----------
    debt
        Units of beats that were given to it and have not crossed before this cycle.
    """

    __slots__ = ("debt", "units")

    def __init__(self, units: int) -> None:
        self.units = units
        self.debt = 0

    def give(self, cost: int) -> int:
        """Add a beat; return how many cycles from now its last byte crosses."""
        self.debt += cost
        return (self.debt - 1) // self.units

    def elapse(self, cycles: int) -> None:
        """Go on; what the bus did not need meanwhile is lost."""
        self.debt = max(0, self.debt - cycles * self.units)


class MemoryPorts:
    """The FIFOs, the buses and the cycle of a job's memory.

    In each cycle: `request` once, then for any port `offers`, `take`, `has_room`, `put`, then `elapse`.

    Parameters
    ----------
    memory, core
        The configurations.
    beats
        Of the job, by port in the order of `hwsim.spec.MEMORY_PORTS`.

    Attributes
    ----------
    cycle
        Of the job.
    fifos
        By port, oldest first: the cycles from which on beats can be taken; of results, in which they cross the bus.
    left
        By port: beats that nobody asked for yet.
    buses
        That of the inputs and that of the results; the same where they share it.
    """

    def __init__(self, memory: StreamMemory, core: Core, beats: Sequence[int]) -> None:
        self.cycle = 0
        self.left = list(beats)
        self.fifos: list[deque[int]] = [deque() for _ in beats]
        reads, writes = memory.bus_units
        bus = Bus(reads)
        self.buses = (bus, bus if memory.write_bytes_per_cycle is None else Bus(writes))
        self._latency = memory.latency_cycles
        self._places = memory.places
        self._costs = memory.bus_costs(core)
        self._inputs = tuple(
            (port, self.fifos[port], self._places[port], self._costs[port]) for port in INPUTS if beats[port]
        )

    def request(self) -> bool:
        """Ask for a beat of each input that has a place for it; return whether any has."""
        asked = False
        left, bus, first = self.left, self.buses[0], self.cycle + self._latency
        for port, fifo, places, cost in self._inputs:
            if left[port] and len(fifo) < places:
                left[port] -= 1
                fifo.append(first + bus.give(cost))
                asked = True
        return asked

    def offers(self, port: int) -> bool:
        """Whether the core can take a beat of an input."""
        fifo = self.fifos[port]
        return bool(fifo) and fifo[0] <= self.cycle

    def take(self, port: int) -> None:
        """The core takes it: its place is free in the next cycle."""
        self.fifos[port].popleft()

    def has_room(self) -> bool:
        """Whether a beat of results finds a place."""
        crossing = self.fifos[RESULTS]
        while crossing and crossing[0] < self.cycle:
            crossing.popleft()
        return len(crossing) < self._places[RESULTS]

    def put(self) -> None:
        """Take a beat of results from the core."""
        self.fifos[RESULTS].append(self.cycle + self.buses[1].give(self._costs[RESULTS]))
        self.left[RESULTS] -= 1

    def elapse(self, cycles: int = 1) -> None:
        """Go on to a later cycle: nothing can happen in those between."""
        self.cycle += cycles
        self.buses[0].elapse(cycles)
        if self.buses[1] is not self.buses[0]:
            self.buses[1].elapse(cycles)

    def next_events(self) -> list[int]:
        """Return from this cycle on: when the oldest beat of each input arrives, and when a place for results becomes free."""
        found = [fifo[0] for fifo in self.fifos[:RESULTS] if fifo and fifo[0] >= self.cycle]
        crossing = self.fifos[RESULTS]
        if crossing and crossing[0] + 1 >= self.cycle:
            found.append(crossing[0] + 1)
        return found

    def state(self) -> tuple[int, ...]:
        """Return what the memory will do next, relative to this cycle."""
        self.has_room()
        now = self.cycle
        state = [bus.debt for bus in self.buses]
        for fifo in self.fifos:
            # A beat that could have been taken before is like one that can be taken now.
            state.append(len(fifo))
            state += [cycle - now if cycle > now else 0 for cycle in fifo]
        return tuple(state)

    def shift(self, cycles: int, beats: Sequence[int]) -> None:
        """Be so much later, with so many beats of each port asked for meanwhile."""
        self.cycle += cycles
        for port, fifo in enumerate(self.fifos):
            moved = [cycle + cycles for cycle in fifo]
            fifo.clear()
            fifo.extend(moved)
            self.left[port] -= beats[port]
