"""Everything around one `GemmCore` in a simulator: its pins, its registers, and one job at a time. Needs cocotb."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import Task
from cocotb.triggers import ClockCycles, Event

from hwsim.cosim.accepted import Accepted
from hwsim.cosim.axi import Agent, AxiLite, Monitor, Pauses, Sink, Source, Stream, run
from hwsim.cosim.memory_agent import MemoryAgent
from hwsim.cosim.streams import JobStreams
from hwsim.spec import MEMORY_PORTS, Core, StreamMemory
from hwsim.spec.register_map import CONTROL_START, COUNTERS, REGISTERS, STATUS_BUSY, STATUS_DONE, counter_address

CLOCK_NS = 10

PATIENCE_CYCLES = 3000
"""A device that does nothing for so long while nobody holds it back hangs."""

QUIET_CYCLES = 64
"""When everything else waits for a port that is held back: nothing moved for so long."""


@dataclass(frozen=True)
class Load:
    """How the streams behave: probability and longest length of a pause, of the inputs and of the results."""

    name: str
    inputs: tuple[float, int] = (0.0, 1)
    results: tuple[float, int] = (0.0, 1)

    @property
    def free(self) -> bool:
        """Whether no stream ever pauses."""
        return not self.inputs[0] and not self.results[0]


@dataclass
class JobRun:
    """What happened in one job: the beats that the device took and gave, and its counters by name."""

    accepted: Accepted
    results: list[int]
    counters: dict[str, int]


class Driver:
    """Runs jobs on a device.

    Parameters
    ----------
    dut
        The simulator's handle of a `GemmCore`.
    core
        Its configuration.
    rng
        Where pauses come from.

    Attributes
    ----------
    lite
        Its registers, word by word.
    beats
        Beats that moved over each stream since the simulation began.
    """

    def __init__(self, dut: Any, core: Core, rng: np.random.Generator) -> None:
        self.dut, self.core, self._rng = dut, core, rng
        inputs = ("weights", "activations", "outliers") if core.outlier_lanes else ("weights", "activations")
        streams = {name: Stream(dut, f"s_axis_{name}") for name in inputs}
        results = Stream(dut, "m_axis_results", last="tlast")
        self._memory = MemoryAgent(streams | {"results": results})
        self._pauses = {name: Pauses(rng, closed=partial(self._memory.closed, name)) for name in (*inputs, "results")}
        self._sources = {name: Source(stream, self._pauses[name], rng) for name, stream in streams.items()}
        self._sink = Sink(results, self._pauses["results"])
        self._monitors = {name: Monitor(stream, self._taker(name)) for name, stream in streams.items()}
        self._monitors["results"] = Monitor(results, self._take_result)
        self.lite = AxiLite(dut, "s_axil", dut.clk, Pauses(rng, 0.1, longest=3))
        self._registers: dict[str, int] = {}
        self._accepted: Accepted | None = None
        self._queued: JobStreams | None = None
        self._results: list[int] = []
        self._due = 0
        self._finished = Event()
        self._quiet = 0
        self._moved = 0
        Clock(dut.clk, CLOCK_NS, unit="ns", impl="gpi").start()
        self._agents: Task[None] | None = None

    @property
    def beats(self) -> dict[str, int]:
        return {name: monitor.beats for name, monitor in self._monitors.items()}

    def tick(self) -> None:
        """Watch whether anything moves; `run` calls it once per cycle."""
        moved = sum(monitor.beats for monitor in self._monitors.values())
        self._quiet = self._quiet + 1 if moved == self._moved else 0
        self._moved = moved
        if self._accepted is not None and self._quiet > PATIENCE_CYCLES:
            raise AssertionError(f"the device hangs: nothing moved for {PATIENCE_CYCLES} cycles; {self.progress()}")

    def progress(self) -> str:
        """Return how far the job is, in one line."""
        left = ", ".join(f"{name} {source.left}" for name, source in self._sources.items())
        return f"{len(self._results)} of {self._due} result beats came, beats not taken: {left}"

    async def reset(self, cycles: int = 2) -> None:
        """Reset the device and drop what is under way."""
        # Nobody looks at the streams meanwhile: a reset may withdraw what was offered.
        if self._agents is not None:
            self._agents.cancel()
        self.dut.rst.value = 1
        for source in self._sources.values():
            source.reset()
        for monitor in self._monitors.values():
            monitor.reset()
        self._memory.end()
        self._accepted = self._queued = None
        self._registers.clear()
        await ClockCycles(self.dut.clk, cycles)
        self.dut.rst.value = 0
        agents: tuple[Agent, ...] = (self._memory, *self._sources.values(), self._sink, *self._monitors.values(), self)
        self._agents = cocotb.start_soon(run(self.dut.clk, *agents))

    def load(self, load: Load, undefined: bool) -> None:
        """Let the streams behave so from now on; `undefined`: data that are not valid are X, else random."""
        for name, pauses in self._pauses.items():
            pauses.become(*(load.results if name == "results" else load.inputs))
        for source in self._sources.values():
            source.noise = None if undefined else self._rng

    async def start(self, job: JobStreams, following: JobStreams | None = None) -> None:
        """Write the registers that differ from what they hold, queue all beats and start the job.

        The beats of the job that follows stand behind them: a device that takes one too many is seen.
        """
        for name, value in job.registers.items():
            if self._registers.get(name) != value:
                await self.write(name, value)
        for waiting in (job, following):
            if waiting is not None and waiting is not self._queued:
                for name, source in self._sources.items():
                    source.send(int.from_bytes(beat.tobytes(), "little") for beat in getattr(waiting, name))
        self._queued = following
        self._accepted, self._results, self._due = Accepted(self.core, job.registers), [], job.result_beats
        self._finished.clear()
        self._quiet = 0
        await self.write("CONTROL", CONTROL_START)

    async def run(
        self, job: JobStreams, held: str | None = None, following: JobStreams | None = None,
        memory: StreamMemory | None = None,
    ) -> JobRun:  # fmt: skip
        """Run one job to its end.

        Parameters
        ----------
        job
            What to run.
        held
            A stream that is held back until nothing else moves.
        following
            The job that is run next, if its beats may stand behind this one's.
        memory
            What stands in front of the ports; not together with one of the two above.

        Raises
        ------
        AssertionError
            If the device hangs, breaks a rule of its ports, takes beats too many or too few, or miscounts them.
        """
        before = self.beats
        if held is not None:
            self._pauses[held].hold = True
        if memory is not None:
            self._memory.begin(memory, self.core, self._beats_of(job))
        await self.start(job, following)
        if held is not None:
            while self._quiet < QUIET_CYCLES:
                await ClockCycles(self.dut.clk, 8)
            self._pauses[held].hold = False
        await self._finished.wait()
        await self._idle()
        self._memory.end()
        accepted, self._accepted = self._accepted, None
        assert accepted is not None
        for name, source in self._sources.items():
            wanted = 0 if following is None else len(getattr(following, name))
            if source.left != wanted:
                raise AssertionError(f"{name}: {source.left - wanted:+d} beats are left after the job")
        counters = {name: await self.counter(name) for name in COUNTERS}
        self._check(counters, {name: count - before[name] for name, count in self.beats.items()})
        return JobRun(accepted, self._results, counters)

    def _beats_of(self, job: JobStreams) -> dict[str, int]:
        inputs = {name: len(getattr(job, name)) for name in MEMORY_PORTS if name in self._sources}
        return inputs | {"results": job.result_beats}

    async def write(self, name: str, value: int) -> None:
        """Write a register that must take it."""
        answer = await self.lite.write(REGISTERS[name], value)
        if answer != "OKAY":
            raise AssertionError(f"writing {value} to {name} is answered {answer}")
        self._registers[name] = value

    async def read(self, name: str) -> int:
        """Read a register, unsigned."""
        return await self._word(REGISTERS[name])

    async def counter(self, name: str) -> int:
        """Read a counter; its high word only where the low one says that a simulation can get there."""
        address = counter_address(name)
        return await self._word(address) | await self._high_word(name, address + 4)

    async def _high_word(self, name: str, address: int) -> int:
        # Reads cost cycles: one high word stands for the others, which no simulation can fill.
        return await self._word(address) << 32 if name == COUNTERS[0] else 0

    async def _word(self, address: int) -> int:
        word, answer = await self.lite.read(address)
        if answer != "OKAY":
            raise AssertionError(f"reading address {address:#x} is answered {answer}")
        return word

    async def _idle(self) -> None:
        """Wait for the end of busy, which must come soon after the last result beat, and for done with it."""
        for _ in range(3):
            status = await self.read("STATUS")
            if status == STATUS_DONE:
                return
        raise AssertionError(
            f"STATUS is {status:#x} after the last result, not {STATUS_DONE:#x}; busy: {STATUS_BUSY:#x}"
        )

    def _check(self, counters: Mapping[str, int], moved: Mapping[str, int]) -> None:
        """Hold the counters of beats to what the monitors saw."""
        for name, beats in moved.items():
            counted = counters[f"BEATS_{name.upper()}"]
            if counted != beats:
                raise AssertionError(f"BEATS_{name.upper()} is {counted}, the monitor saw {beats}")

    def _taker(self, name: str) -> Any:
        def take(beat: int, last: bool) -> None:
            if self._accepted is None:
                raise AssertionError(f"{name}: the device took a beat without a job")
            getattr(self._accepted, name).append(beat)

        return take

    def _take_result(self, beat: int, last: bool) -> None:
        if self._accepted is None or len(self._results) == self._due:
            raise AssertionError("results: a beat that nobody expects")
        self._results.append(beat)
        if last != (len(self._results) == self._due):
            raise AssertionError(f"results: tlast is {int(last)} in beat {len(self._results)} of {self._due}")
        if last:
            self._finished.set()
