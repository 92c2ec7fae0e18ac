"""A `GemmCore` in Amaranth's simulator: streams with pauses, jobs over AXI4-Lite, the protocols, and what has to come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from amaranth.hdl import ClockDomain, Elaboratable, Module
from stream_sim import simulate, until

from hwsim.cosim.golden import GemmCase, golden
from hwsim.cosim.streams import GemmStreams, JobStreams, from_results, to_streams
from hwsim.dataflow import CoreTiming, predict
from hwsim.rtl import GemmCore
from hwsim.spec import Core
from hwsim.spec.register_map import CONTROL_START, COUNTERS, REGISTERS, STATUS_BUSY, STATUS_DONE, counter_address

OKAY, SLVERR = 0, 2
PATIENCE_CYCLES = 1500
"""A job that gives no result for so long hangs."""

AFTER_CYCLES = 40
"""So long a bench looks for results that should not be there."""


class Resettable(Elaboratable):
    """A unit in a clock domain whose reset the bench can reach."""

    def __init__(self, unit: Any) -> None:
        self.unit = unit
        self.domain = ClockDomain("sync")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = self.domain
        m.submodules.unit = self.unit
        return m


@dataclass(frozen=True)
class Pauses:
    """How often a stream pauses: the share of cycles in which it offers, or takes, nothing."""

    weights: float = 0.0
    activations: float = 0.0
    outliers: float = 0.0
    results: float = 0.0

    @classmethod
    def everywhere(cls, share: float) -> Pauses:
        return cls(share, share, share, share)


@dataclass
class Job:
    """One start, and what came of it."""

    streams: JobStreams
    beats: list[int] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)


def as_integers(beats: Any) -> list[int]:
    """Return beats uint8 [beats, bytes] as integers."""
    return [int.from_bytes(beat.tobytes(), "little") for beat in beats]


class CoreBench:
    """One core and everything around it.

    Each stream's source may hold the beats of many jobs at once: a core that takes more than its job has is seen in the next.

    Attributes
    ----------
    probe
        Called once per cycle, before the edge.
    """

    def __init__(self, dut: GemmCore, seed: int = 0, pauses: Pauses | None = None) -> None:
        self.dut = dut
        self.pauses = Pauses() if pauses is None else pauses
        self.rng = np.random.default_rng(seed)
        self.inputs = ["weights", "activations", *(["outliers"] if dut.core.outlier_lanes else [])]
        self.job: Job | None = None
        self.cycle = self.progress = 0
        self.stop = False
        self.probe: Callable[[Any], None] = lambda ctx: None
        self.clear()

    def clear(self) -> None:
        """Forget what is queued and offered, as a reset does."""
        self.queues: dict[str, list[int]] = {name: [] for name in self.inputs}
        self.offered = dict.fromkeys(self.inputs, False)
        self.held: tuple[int, int] | None = None
        self.job = None

    def queue(self, streams: JobStreams) -> None:
        for name in self.inputs:
            self.queues[name] += as_integers(getattr(streams, name))

    def left(self) -> dict[str, int]:
        return {name: len(queue) for name, queue in self.queues.items()}

    def pin(self, name: str) -> Any:
        return getattr(self.dut, name)

    # Streams

    async def drive(self, ctx: Any) -> None:
        """Move all streams, cycle by cycle."""
        samples = [self.pin(f"s_axis_{name}_tready") for name in self.inputs]
        samples += [self.pin(f"m_axis_results_{pin}") for pin in ("tvalid", "tready", "tdata", "tlast")]
        while not self.stop:
            self._set_pins(ctx)
            self.probe(ctx)
            _, reset, *values = await ctx.tick().sample(*samples)
            self.cycle += 1
            if reset:
                continue
            for name, ready in zip(self.inputs, values, strict=False):
                if self.offered[name] and ready:
                    self.queues[name].pop(0)
                    self.offered[name] = False
            self._watch_results(*values[len(self.inputs) :])

    def _set_pins(self, ctx: Any) -> None:
        for name in self.inputs:
            if not self.offered[name]:
                offer = bool(self.queues[name] and self.rng.random() >= getattr(self.pauses, name))
                data = self.pin(f"s_axis_{name}_tdata")
                noise = int.from_bytes(self.rng.bytes(-(-len(data) // 8))) & ((1 << len(data)) - 1)
                ctx.set(data, self.queues[name][0] if offer else noise)
                ctx.set(self.pin(f"s_axis_{name}_tvalid"), offer)
                self.offered[name] = offer
        ctx.set(self.dut.m_axis_results_tready, bool(self.rng.random() >= self.pauses.results))

    def _watch_results(self, valid: int, ready: int, data: int, last: int) -> None:
        if self.held is not None:
            assert valid, "protocol: a result was withdrawn before it was taken"
            assert self.held == (data, last), "protocol: a result changed before it was taken"
        self.held = (data, last) if valid and not ready else None
        if valid and ready:
            assert self.job is not None, "a result without a job"
            self.job.beats.append(data)
            self.progress = self.cycle
            taken, all_beats = len(self.job.beats), self.job.streams.result_beats
            assert last == (taken == all_beats), f"tlast is {last} with beat {taken} of {all_beats}"

    # AXI4-Lite

    async def write(self, ctx: Any, address: int, value: int) -> int:
        dut = self.dut
        for name, bits in (("awaddr", address), ("wdata", value & 0xFFFFFFFF), ("wstrb", 15)):
            ctx.set(self.pin(f"s_axil_{name}"), bits)
        ctx.set(dut.s_axil_awvalid, 1)
        ctx.set(dut.s_axil_wvalid, 1)
        await until(ctx, dut.s_axil_awready & dut.s_axil_wready)
        ctx.set(dut.s_axil_awvalid, 0)
        ctx.set(dut.s_axil_wvalid, 0)
        ctx.set(dut.s_axil_bready, 1)
        (response,) = await until(ctx, dut.s_axil_bvalid, dut.s_axil_bresp)
        ctx.set(dut.s_axil_bready, 0)
        return int(response)

    async def read(self, ctx: Any, address: int) -> int:
        dut = self.dut
        ctx.set(dut.s_axil_araddr, address)
        ctx.set(dut.s_axil_arvalid, 1)
        await until(ctx, dut.s_axil_arready)
        ctx.set(dut.s_axil_arvalid, 0)
        ctx.set(dut.s_axil_rready, 1)
        data, response = await until(ctx, dut.s_axil_rvalid, dut.s_axil_rdata, dut.s_axil_rresp)
        ctx.set(dut.s_axil_rready, 0)
        assert response == OKAY
        return int(data)

    async def start(self, ctx: Any, streams: JobStreams) -> Job:
        """Start a job whose beats are queued."""
        for name, value in streams.registers.items():
            assert await self.write(ctx, REGISTERS[name], value) == OKAY
        self.job = job = Job(streams)
        assert await self.write(ctx, REGISTERS["CONTROL"], CONTROL_START) == OKAY
        return job

    async def finish(self, ctx: Any) -> None:
        """Wait for the end of the job; read its counters."""
        job = self.job
        assert job is not None
        self.progress = self.cycle
        while (status := await self.read(ctx, REGISTERS["STATUS"])) & STATUS_BUSY:
            assert status == STATUS_BUSY
            assert self.cycle - self.progress < PATIENCE_CYCLES, f"hangs with {len(job.beats)} beats, {self.left()}"
        assert status == STATUS_DONE
        assert len(job.beats) == job.streams.result_beats, "done before the last result was taken"
        job.counters = await self.read_counters(ctx)
        self.job = None

    async def read_counters(self, ctx: Any) -> dict[str, int]:
        counters = {}
        for name in COUNTERS:
            low = await self.read(ctx, counter_address(name))
            counters[name] = await self.read(ctx, counter_address(name) + 4) << 32 | low
        return counters


def check_case(core: Core, case: GemmCase, streams: GemmStreams, jobs: Sequence[Job], exact: bool) -> None:
    """Compare what came of a case with the kernels, and its counters with what the streams say.

    With `exact` also the cycles with their prediction: that holds for streams that never pause.
    """
    width = core.result_packing.bus_bits // 8
    beats = [
        np.array([list(beat.to_bytes(width, "little")) for beat in job.beats], np.uint8).reshape(-1, width)
        for job in jobs
    ]
    timing = CoreTiming.of(core)
    results, events = golden(core, case)
    assert np.array_equal(from_results(core, streams.plan, beats), results), "results"
    counted = [
        [sum(job.counters[f"{register}_{side}"] for job in jobs) for side in ("ABOVE", "BELOW")]
        for register in ("TREE", "PSUM", "ACC")
    ]
    assert counted == (events if core.count_events else 0 * events).tolist(), "events"
    for job, planned in zip(jobs, streams.plan.jobs, strict=True):
        sent = job.streams
        predicted = asdict(
            predict(core, planned.pixels, planned.k_tiles, planned.output_tiles, sent.outlier_entries.tolist() or None)
        )
        found = {name: job.counters[name.upper()] for name in predicted}
        if exact:
            assert found == predicted, "cycles"
        independent = [name for name in predicted if name == "slots" or name.startswith("beats")]
        assert [found[name] for name in independent] == [predicted[name] for name in independent], "beats"
        # Every cycle until the last slot is a slot or exactly one wait; the pipelines behind it cannot be shorter.
        waits = sum(count for name, count in found.items() if name.startswith("wait"))
        shortest = timing.engine_latency + 3 + timing.result_latency - (timing.minimum_slots - 1)
        assert found["cycles"] - found["slots"] - waits >= max(1, shortest), "tail"


def run_cases(
    core: Core, cases: Sequence[GemmCase], seed: int = 0, pauses: Pauses | None = None, dut: GemmCore | None = None
) -> dict[str, int]:
    """Run cases one behind the other on one core and check each; return the sum of all counters."""
    bench = CoreBench(GemmCore(core) if dut is None else dut, seed, pauses)
    all_streams = [to_streams(core, case) for case in cases]
    for streams in all_streams:
        for sent in streams.jobs:
            bench.queue(sent)
    total = dict.fromkeys(COUNTERS, 0)

    async def master(ctx: Any) -> None:
        for case, streams in zip(cases, all_streams, strict=True):
            jobs = []
            for sent in streams.jobs:
                jobs.append(await bench.start(ctx, sent))
                await bench.finish(ctx)
            check_case(core, case, streams, jobs, exact=pauses is None)
            for job in jobs:
                for name, count in job.counters.items():
                    total[name] += count
        for _ in range(AFTER_CYCLES):
            await ctx.tick()
        bench.stop = True

    simulate(bench.dut, bench.drive, master)
    assert not any(bench.left().values()), f"left over: {bench.left()}"
    return total
