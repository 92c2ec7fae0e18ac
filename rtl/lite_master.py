"""An AXI4-Lite master that does one access after the other."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .axi_lite import OKAY, lite_ports


def request_layout(address_bits: int) -> data.StructLayout:
    """Return the layout of an access: ``data`` counts only if it is a ``write``."""
    return data.StructLayout({"data": unsigned(32), "address": unsigned(address_bits), "write": unsigned(1)})


class LiteMaster(wiring.Component):
    """Writes or reads one register at a time.

    Latency
        `done` comes in the cycle in which the slave's response is there.
    Throughput
        One access at a time; the next one begins in the cycle after `done`.
    Back-pressure
        A request stays until `done`, which is its ready. No valid follows a ready within the cycle.
    Reset
        Synchronous; to be reset together with the slave.

    Parameters
    ----------
    address_bits
        Of a byte address.

    Members
    -------
    requests : In(stream of request_layout)
    done : Out(1), error : Out(1), data : Out(32)
        The access is over in this cycle; whether it was refused; what was read.
    awaddr .. rready
        `lite_ports`, seen from the master.
    """

    def __init__(self, address_bits: int) -> None:
        outside = {name: member.flip() for name, member in lite_ports(address_bits).items()}
        super().__init__(
            {
                "requests": In(stream.Signature(request_layout(address_bits))),
                "done": Out(1),
                "error": Out(1),
                "data": Out(32),
            }
            | outside
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request, valid = self.requests.payload, self.requests.valid
        address_sent, data_sent = Signal(), Signal()
        m.d.comb += [
            self.awaddr.eq(request.address),
            self.araddr.eq(request.address),
            self.wdata.eq(request.data),
            self.wstrb.eq(-1),
            self.awvalid.eq(valid & request.write & ~address_sent),
            self.wvalid.eq(valid & request.write & ~data_sent),
            self.arvalid.eq(valid & ~request.write & ~address_sent),
            self.bready.eq(1),
            self.rready.eq(1),
            self.done.eq(self.bvalid | self.rvalid),
            self.error.eq(Mux(self.bvalid, self.bresp, self.rresp) != OKAY),
            self.data.eq(self.rdata),
            self.requests.ready.eq(self.done),
        ]
        with m.If(self.done):
            m.d.sync += [address_sent.eq(0), data_sent.eq(0)]
        with m.Else():
            taken = self.awvalid & self.awready | self.arvalid & self.arready
            m.d.sync += [address_sent.eq(address_sent | taken), data_sent.eq(data_sent | self.wvalid & self.wready)]
        return m
