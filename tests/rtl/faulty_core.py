# amaranth: UnusedElaboratable=no
"""A core that breaks one rule of its ports, chosen by the job: what a driver must notice."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hwsim.rtl.gemm_core import GemmCore
from hwsim.spec import Core
from hwsim.spec.register_map import REGISTERS

FAULTS: dict[int, tuple[str, str, str]] = {
    1: ("", "", ""),
    2: ("tvalid falls", "results", "results: tvalid fell before the beat was taken"),
    3: ("tdata changes", "results", "results: tdata or tlast changed before the beat was taken"),
    4: ("tlast in every beat", "", "results: tlast is 1 in beat 1 of"),
    5: ("no results", "", "nothing moved for 3000 cycles"),
    6: ("results do not end", "", "results: a beat more than the expected"),
    7: ("writes are refused", "", "registers: the core refused a write to 0x"),
    8: ("an answer to nothing", "", "registers: a response that nothing asked for"),
    9: ("rdata changes", "registers", "registers: a response changed before it was taken"),
    10: ("rvalid falls", "registers", "registers: valid fell before the response was taken"),
}
"""By the register PIXELS of the job: the fault, the port that must pause for it to show, and what the driver says."""


class FaultyCore(wiring.Component):
    """A `GemmCore` whose fault is the last value that was written to PIXELS."""

    def __init__(self, core: Core) -> None:
        self.inner = GemmCore(core)
        super().__init__(self.inner.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.inner = inner = self.inner
        for name, member in self.signature.members.items():
            own, theirs = getattr(self, name), getattr(inner, name)
            m.d.comb += theirs.eq(own) if member.flow == In else own.eq(theirs)
        fault, address, toggle, over = Signal(8), Signal(8), Signal(), Signal()
        m.d.sync += toggle.eq(~toggle)
        # The driver offers both parts of a write in one cycle while it does not pause, or the address first.
        with m.If(self.s_axil_awvalid & self.s_axil_awready):
            m.d.sync += address.eq(self.s_axil_awaddr)
        taken = Signal(32)
        with m.If(self.s_axil_wvalid & self.s_axil_wready):
            m.d.sync += taken.eq(self.s_axil_wdata)
        with m.If(self.m_axis_results_tvalid & self.m_axis_results_tready & inner.m_axis_results_tlast):
            m.d.sync += over.eq(1)
        with m.If(self.s_axil_bvalid & (address == REGISTERS["PIXELS"])):
            m.d.sync += [fault.eq(taken), over.eq(0)]
        with m.Switch(fault):
            with m.Case(2):
                shown = inner.m_axis_results_tvalid & toggle
                m.d.comb += [self.m_axis_results_tvalid.eq(shown)]
                m.d.comb += inner.m_axis_results_tready.eq(self.m_axis_results_tready & toggle)
            with m.Case(3):
                m.d.comb += self.m_axis_results_tdata.eq(inner.m_axis_results_tdata ^ toggle)
            with m.Case(4):
                m.d.comb += self.m_axis_results_tlast.eq(1)
            with m.Case(5):
                m.d.comb += [self.m_axis_results_tvalid.eq(0), inner.m_axis_results_tready.eq(0)]
            with m.Case(6):
                m.d.comb += self.m_axis_results_tvalid.eq(inner.m_axis_results_tvalid | over)
            with m.Case(7):
                m.d.comb += self.s_axil_bresp.eq(2)
            with m.Case(8):
                m.d.comb += self.s_axil_bvalid.eq(1)
            with m.Case(9):
                m.d.comb += self.s_axil_rdata.eq(inner.s_axil_rdata ^ (toggle << 31))
            with m.Case(10):
                m.d.comb += self.s_axil_rvalid.eq(inner.s_axil_rvalid & toggle)
                m.d.comb += inner.s_axil_rready.eq(self.s_axil_rready & toggle)
        return m
