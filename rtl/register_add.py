"""One addition into a register: the exact sum, what the register keeps of it, and whether it did not fit."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Overflow, Register, require


class RegisterAdd(wiring.Component):
    """Adder in front of a register that wraps or saturates.

    Equals one write in `hwsim.kernels.reduce` (`_write`). Combinational: latency 0, no clock, no reset.

    Parameters
    ----------
    register
        What the sum is written to.
    a_bits, b_bits
        Signed widths of the addends, 1..64. An accumulator is its own `a`; an adder-tree node adds two others.

    Members
    -------
    a : In(signed(a_bits))
    b : In(signed(b_bits))
    sum : Out(signed(register.bits))
        What the register holds after ``a + b`` is written to it.
    overflow_positive, overflow_negative : Out(1)
        The exact ``a + b`` is above the largest, below the smallest value of the register.
    """

    def __init__(self, register: Register, a_bits: int, b_bits: int) -> None:
        for name, bits in (("a_bits", a_bits), ("b_bits", b_bits)):
            require(bits in range(1, 65), name, "an integer from 1 to 64", bits)
        self.register = register
        super().__init__(
            {
                "a": In(signed(a_bits)),
                "b": In(signed(b_bits)),
                "sum": Out(signed(register.bits)),
                "overflow_positive": Out(1),
                "overflow_negative": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        limits = self.register.format
        exact = Signal((self.a + self.b).shape())
        # A sum fits where the register's sign bit and all bits above it are the same. A comparison with the limits would be
        # a second carry chain behind that of the sum.
        above = exact[min(self.register.bits, len(exact)) - 1 :]
        sign = above[-1]
        m.d.comb += [
            exact.eq(self.a + self.b),
            self.overflow_positive.eq(~sign & above.any()),
            self.overflow_negative.eq(sign & ~above.all()),
            # An assignment keeps the low bits: that is the wrap.
            self.sum.eq(exact),
        ]
        if self.register.overflow is Overflow.SATURATE:
            with m.If(self.overflow_positive | self.overflow_negative):
                m.d.comb += self.sum.eq(Mux(self.overflow_positive, limits.hi, limits.lo))
        return m
