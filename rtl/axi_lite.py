"""An AXI4-Lite port in front of registers that take one write, and one read, at a time."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import require

OKAY, SLVERR = 0, 2
"""Responses of the bus."""


def lite_ports(address_bits: int) -> dict[str, wiring.Member]:
    """Return the ports of an AXI4-Lite slave with 32 bits of data, under the bus's own names."""
    return {
        "awaddr": In(address_bits),
        "awvalid": In(1),
        "awready": Out(1),
        "wdata": In(32),
        "wstrb": In(4),
        "wvalid": In(1),
        "wready": Out(1),
        "bresp": Out(2),
        "bvalid": Out(1),
        "bready": In(1),
        "araddr": In(address_bits),
        "arvalid": In(1),
        "arready": Out(1),
        "rdata": Out(32),
        "rresp": Out(2),
        "rvalid": Out(1),
        "rready": In(1),
    }


def register_ports(address_bits: int) -> dict[str, wiring.Member]:
    """Return the ports of the registers behind a slave: `AxiLite` has the same in the other direction.

    ``write``: a write happens in this cycle, to the word ``write_address``, of ``write_data`` as far as the bytes'
    ``write_strobes`` are set; ``write_error``, in the same cycle: it is refused. ``read_address`` stays for the fixed
    number of cycles after which ``read_data`` and ``read_error`` belong to it.
    """
    return {
        "write": In(1),
        "write_address": In(address_bits - 2),
        "write_data": In(32),
        "write_strobes": In(4),
        "write_error": Out(1),
        "read_address": In(address_bits - 2),
        "read_data": Out(32),
        "read_error": Out(1),
    }


class AxiLite(wiring.Component):
    """AXI4-Lite slave; address and data of a write may come in any order.

    Latency
        A write is done in the cycle after the later of its address and its data was taken, and answered one later. A read
        is answered ``read_cycles + 2`` cycles after its address was taken.
    Throughput
        One write and one read under way; the next one happens after the response.
    Back-pressure
        A response stays until it is taken. No ready or valid follows an input within the cycle.
    Reset
        Synchronous; what is under way is dropped.

    Parameters
    ----------
    address_bits
        Of a byte address; the lowest two bits are ignored.
    read_cycles
        From the first cycle with a `read_address` to the first with its `read_data`, at least 1.

    Members
    -------
    awaddr .. rready
        See `lite_ports`.
    write .. read_error
        See `register_ports`.
    """

    def __init__(self, address_bits: int, read_cycles: int) -> None:
        require(read_cycles >= 1, "read_cycles", "at least 1", read_cycles)
        self.read_cycles = read_cycles
        inside = {name: member.flip() for name, member in register_ports(address_bits).items()}
        super().__init__(lite_ports(address_bits) | inside)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m: Module) -> None:
        has_address, has_data = Signal(), Signal()
        m.d.comb += [
            self.awready.eq(~has_address),
            self.wready.eq(~has_data),
            self.write.eq(has_address & has_data & ~self.bvalid),
        ]
        with m.If(self.awvalid & self.awready):
            m.d.sync += [has_address.eq(1), self.write_address.eq(self.awaddr[2:])]
        with m.If(self.wvalid & self.wready):
            m.d.sync += [has_data.eq(1), self.write_data.eq(self.wdata), self.write_strobes.eq(self.wstrb)]
        with m.If(self.write):
            m.d.sync += [has_address.eq(0), has_data.eq(0), self.bvalid.eq(1)]
            m.d.sync += self.bresp.eq(Mux(self.write_error, SLVERR, OKAY))
        with m.Elif(self.bready):
            m.d.sync += self.bvalid.eq(0)

    def _read(self, m: Module) -> None:
        busy = Signal()
        # A one that moves up while the registers look up the data.
        waiting = Signal(self.read_cycles + 1)
        m.d.comb += self.arready.eq(~busy)
        m.d.sync += waiting.eq(waiting << 1)
        with m.If(self.arvalid & self.arready):
            m.d.sync += [busy.eq(1), waiting.eq(1), self.read_address.eq(self.araddr[2:])]
        with m.If(waiting[-1]):
            m.d.sync += [
                self.rvalid.eq(1),
                self.rdata.eq(Mux(self.read_error, 0, self.read_data)),
                self.rresp.eq(Mux(self.read_error, SLVERR, OKAY)),
            ]
        with m.Elif(self.rvalid & self.rready):
            m.d.sync += [self.rvalid.eq(0), busy.eq(0)]
