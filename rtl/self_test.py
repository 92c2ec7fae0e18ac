"""A GEMM core that tests itself: a job's streams out of memories, its results compared as they come."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from amaranth.hdl import Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Core, require
from hwsim.spec.register_map import ADDRESS_BITS, CONTROL_START, REGISTERS, STATUS_DONE, counter_address

from .axi_lite import lite_ports
from .gemm_core import GemmCore
from .lite_master import LiteMaster, request_layout
from .rom_stream import RomStream
from .text_sender import NUMBER_BITS


@dataclass(frozen=True)
class SelfTestJob:
    """One job as integers: beats of the streams, and the results that are right.

    Parameters
    ----------
    registers
        What to write before the start, by name; negative values as they are.
    weights, activations, outliers
        What the ports take, in order; `outliers` is empty for a core without outlier lanes.
    results
        What the core must send.
    patience
        Cycles from the start of the test, after which the core hangs: 1 to 2^20 - 1.
    """

    registers: Mapping[str, int]
    weights: tuple[int, ...]
    activations: tuple[int, ...]
    outliers: tuple[int, ...]
    results: tuple[int, ...]
    patience: int


class Verdict(enum.IntEnum):
    """What came of a test."""

    PASS = 0
    MISMATCH = 1
    """A result was wrong, or the last one was not marked so, or another one was."""
    HANG = 2
    """Results are missing, or the core does not say that it is done."""
    REFUSED = 3
    """An access to a register was answered with an error."""


class SelfTest(wiring.Component):
    """A `GemmCore` with a job in read-only memories.

    Latency
        The job's own, and some cycles for each access to a register.
    Throughput
        One test at a time. The streams never pause, so the core's counter CYCLES is what `hwsim.dataflow.predict` says.
    Back-pressure
        `start` counts only if the test is not `busy`.
    Reset
        Synchronous. The core is reset at the start of each test too.

    Parameters
    ----------
    core
        The configuration.
    job
        See `SelfTestJob`.

    Members
    -------
    start : In(1)
    busy : Out(1)
    finished : Out(1)
        In the first cycle in which the test is not busy any more.
    verdict : Out(Verdict)
        From `finished` on until the next one is.
    beat : Out(unsigned(NUMBER_BITS))
        From `finished` to `start`: of a mismatch the first wrong beat's number, from 0 on; else how many beats came.
    cycles : Out(unsigned(NUMBER_BITS))
        From `finished` to `start`: the core's counter CYCLES; 0 if it was not read.
    """

    def __init__(self, core: Core, job: SelfTestJob) -> None:
        require(job.patience in range(1, 1 << NUMBER_BITS), "patience", f"from 1 to 2^{NUMBER_BITS} - 1", job.patience)
        require(len(job.results) in range(1, 1 << NUMBER_BITS), "results", "at least one", len(job.results))
        self.core = core
        self.job = job
        super().__init__(
            {
                "start": In(1),
                "busy": Out(1),
                "finished": Out(1),
                "verdict": Out(Verdict),
                "beat": Out(NUMBER_BITS),
                "cycles": Out(NUMBER_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        begin = Signal()
        m.d.comb += begin.eq(self.start & ~self.busy)
        gemm = GemmCore(self.core)
        # Also out of a test that hung.
        m.submodules.core = ResetInserter(begin)(gemm)
        m.submodules.master = ResetInserter(begin)(master := LiteMaster(ADDRESS_BITS))
        for name, member in lite_ports(ADDRESS_BITS).items():
            inside, outside = getattr(gemm, f"s_axil_{name}"), getattr(master, name)
            m.d.comb += inside.eq(outside) if member.flow == In else outside.eq(inside)
        self._feed(m, gemm, begin)
        complete, mismatch = self._compare(m, gemm, begin)
        self._control(m, master, begin, complete, mismatch)
        return m

    def _feed(self, m: Module, gemm: GemmCore, begin: Value) -> None:
        """Send the streams; the core takes nothing before its own start."""
        core, job = self.core, self.job
        inputs = {
            "weights": (job.weights, core.weight_packing.bus_bits),
            "activations": (job.activations, core.activation_packing.bus_bits),
        }
        if core.outlier_lanes:
            inputs["outliers"] = (job.outliers, core.outlier_bus_bits)
        for name, (words, bits) in inputs.items():
            m.submodules[name] = rom = RomStream(words, bits)
            m.d.comb += [
                rom.start.eq(begin),
                getattr(gemm, f"s_axis_{name}_tdata").eq(rom.words.payload),
                getattr(gemm, f"s_axis_{name}_tvalid").eq(rom.words.valid),
                rom.words.ready.eq(getattr(gemm, f"s_axis_{name}_tready")),
            ]

    def _compare(self, m: Module, gemm: GemmCore, begin: Value) -> tuple[Value, Value]:
        """Return whether all results have come, and whether one was wrong: registers."""
        beats = len(self.job.results)
        m.submodules.expected = rom = RomStream(self.job.results, self.core.result_packing.bus_bits)
        data, last, came = Signal.like(gemm.m_axis_results_tdata), Signal(), Signal()
        complete, mismatch = Signal(), Signal()
        # A register before the comparison, which is then no part of the core's timing.
        m.d.sync += [
            data.eq(gemm.m_axis_results_tdata),
            last.eq(gemm.m_axis_results_tlast),
            came.eq(gemm.m_axis_results_tvalid & ~begin),
        ]
        m.d.comb += [gemm.m_axis_results_tready.eq(1), rom.start.eq(begin), rom.words.ready.eq(came)]
        expected_last = self.beat == beats - 1
        wrong = complete | (data != rom.words.payload) | (last != expected_last)
        with m.If(begin):
            m.d.sync += [complete.eq(0), mismatch.eq(0), self.beat.eq(0)]
        with m.Elif(came & ~mismatch):
            m.d.sync += [mismatch.eq(wrong), complete.eq(expected_last)]
            with m.If(~wrong):
                m.d.sync += self.beat.eq(self.beat + 1)
        return complete, mismatch

    def _control(self, m: Module, master: LiteMaster, begin: Value, complete: Value, mismatch: Value) -> None:
        """Write the registers, wait until the core is done, read its cycles."""
        accesses = self._accesses()
        m.submodules.writes = writes = RomStream(accesses, request_layout(ADDRESS_BITS).size)
        request, done = master.requests, master.done
        left = Signal(range(self.job.patience + 1))
        wrong = mismatch | done & master.error | (left == 0)
        m.d.comb += writes.start.eq(begin)
        m.d.sync += [left.eq(left - 1), self.finished.eq(0)]
        with m.FSM() as states:
            m.d.comb += self.busy.eq(~states.ongoing("IDLE"))
            with m.State("IDLE"), m.If(begin):
                m.d.sync += [self.cycles.eq(0), left.eq(self.job.patience)]
                m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += [request.payload.eq(writes.words.payload), request.valid.eq(writes.words.valid)]
                m.d.comb += writes.words.ready.eq(done)
                with m.If(wrong):
                    m.next = "IDLE"
                with m.Elif(writes.index == len(accesses)):
                    m.next = "POLL"
            with m.State("POLL"):
                m.d.comb += [request.payload.address.eq(REGISTERS["STATUS"]), request.valid.eq(1)]
                with m.If(wrong):
                    m.next = "IDLE"
                with m.Elif(done & complete & (master.data == STATUS_DONE)):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += [request.payload.address.eq(counter_address("CYCLES")), request.valid.eq(1)]
                with m.If(wrong | done):
                    m.next = "IDLE"
        with m.If(self.busy & wrong):
            refused = Mux(done & master.error, Verdict.REFUSED, Verdict.HANG)
            m.d.sync += [self.finished.eq(1), self.verdict.eq(Mux(mismatch, Verdict.MISMATCH, refused))]
        with m.Elif(states.ongoing("READ") & done):
            m.d.sync += [self.finished.eq(1), self.verdict.eq(Verdict.PASS), self.cycles.eq(master.data)]

    def _accesses(self) -> list[int]:
        """Return the writes of a job, its start last, as `request_layout`."""
        layout = request_layout(ADDRESS_BITS)
        writes = [*self.job.registers.items(), ("CONTROL", CONTROL_START)]
        return [
            layout.const({"data": value & 0xFFFFFFFF, "address": REGISTERS[name], "write": 1}).as_value().value
            for name, value in writes
        ]
