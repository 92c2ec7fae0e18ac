"""A multiplication wider than a hardware multiplier, in limbs, with a register after every step."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import require

from .delay import delay

LIMB_BITS = 17
"""Unsigned bits that a signed 18 x 18 multiplier takes."""


def count_columns(a_bits: int, b_bits: int, limb_bits: int = LIMB_BITS) -> int:
    """Return how many limbs the product of signed `a_bits` and unsigned `b_bits` has.

    >>> count_columns(8, 31), count_columns(18, 31), count_columns(32, 31), count_columns(49, 31)
    (2, 2, 3, 4)
    """
    # The highest limb of the signed factor takes one bit more, as the hardware's multiplier does.
    return max(1, -(-(a_bits - 1) // limb_bits)) + -(-b_bits // limb_bits) - 1


class WideMultiplier(wiring.Component):
    """``product = a * b + nudge * 2**limb_bits``, exact.

    Written in limbs of ``n = limb_bits`` bits, all unsigned but the highest one of `a`, the product is a sum of columns:
    ``a * b = sum(c[k] * 2**(n*k))`` with ``c[k] = sum(a[i] * b[k-i])``. One column after the other hands what is above its
    `n` low bits to the next, so no carry runs further than one column: ``2n + 3`` bits.

    Latency
        `latency` cycles: the operands are registered, then the partial products, twice, then the columns, then each column but
        the lowest. Multipliers stand where the FPGA has them, so what comes from afar, or goes there, gets a cycle for it.
    Throughput
        One product per cycle; free running, no back-pressure.
    Reset
        None is needed: every register is overwritten each cycle.

    Parameters
    ----------
    a_bits
        Signed, 1..64.
    b_bits
        Unsigned, at most two limbs, so that no column has more than two partial products.
    nudge_bits
        Signed, 0 (no nudge) ..18.
    limb_bits
        2..17; others than 17 are for proofs.

    Members
    -------
    a : In(signed(a_bits))
    b : In(unsigned(b_bits))
    nudge : In(signed(nudge_bits))
        Only with `nudge_bits`; of the same cycle as `a` and `b`.
    product : Out(signed(product_bits))
        ``a_bits + b_bits`` hold the product; with a nudge there is one bit more than the wider one of both addends has.
    """

    def __init__(self, a_bits: int, b_bits: int, nudge_bits: int = 0, limb_bits: int = LIMB_BITS) -> None:
        require(a_bits in range(1, 65), "a_bits", "an integer from 1 to 64", a_bits)
        require(limb_bits in range(2, LIMB_BITS + 1), "limb_bits", f"an integer from 2 to {LIMB_BITS}", limb_bits)
        require(b_bits in range(1, 2 * limb_bits + 1), "b_bits", f"an integer from 1 to {2 * limb_bits}", b_bits)
        require(nudge_bits in range(19), "nudge_bits", "an integer from 0 to 18", nudge_bits)
        self.limb_bits = limb_bits
        self.product_bits = a_bits + b_bits
        if nudge_bits:
            self.product_bits = max(self.product_bits, limb_bits + nudge_bits) + 1
        self.columns = count_columns(a_bits, b_bits, limb_bits)
        super().__init__(
            {
                "a": In(signed(a_bits)),
                "b": In(unsigned(b_bits)),
                "product": Out(signed(self.product_bits)),
            }
            | ({"nudge": In(signed(nudge_bits))} if nudge_bits else {})
        )

    @property
    def latency(self) -> int:
        """Cycles from the operands to the product."""
        return 3 + self.columns

    def elaborate(self, platform: object) -> Module:
        m = Module()
        columns = self._sum_columns(m, self._multiply_limbs(m))
        self._carry(m, columns)
        return m

    def _multiply_limbs(self, m: Module) -> list[list[Value]]:
        """Cycles 1 to 3: return the partial products of each column."""
        n = self.limb_bits
        b = [self.b[low : low + n] for low in range(0, len(self.b), n)]
        top = n * (self.columns - len(b))
        a = [*(self.a[low : low + n] for low in range(0, top, n)), self.a[top:].as_signed()]
        a, b = ([delay(m, x, 1, f"{name}_{i}") for i, x in enumerate(limbs)] for name, limbs in (("a", a), ("b", b)))
        columns: list[list[Value]] = [[] for _ in range(self.columns)]
        for i, left in enumerate(a):
            for j, right in enumerate(b):
                columns[i + j].append(delay(m, left * right, 2, f"product_{i}_{j}"))
        return columns

    def _sum_columns(self, m: Module, products: list[list[Value]]) -> list[Value]:
        """Cycle 4: return the low bits of column 0, what it carries, the nudge added, and the sums of the other columns."""
        ((lowest,), *others) = products
        low, carry = self._split(m, lowest, "lowest")
        if "nudge" in self.signature.members:
            carry = carry + delay(m, self.nudge, 3, "nudge")
        sums = [sum(column[1:], column[0]) for column in others]
        return [delay(m, value, 1, f"column_{k}") for k, value in enumerate([low, carry, *sums])]

    def _carry(self, m: Module, columns: list[Value]) -> None:
        """From cycle 5: one column per cycle takes over what is above the low bits of the one before."""
        done, carry, *others = columns
        for cycle, column in enumerate(others):
            total = delay(m, delay(m, column, cycle, f"waiting_{cycle}") + carry, 1, f"sum_{cycle}")
            low, carry = self._split(m, total, f"sum_{cycle}")
            done = Cat(delay(m, done, 1, f"done_{cycle}"), low)
        m.d.comb += self.product.eq(Cat(done, carry).as_signed())

    def _split(self, m: Module, value: Value, name: str) -> tuple[Value, Value]:
        """Return the low bits of a value, which may have fewer, and what is above."""
        low = Signal(self.limb_bits, name=f"{name}_low")
        m.d.comb += low.eq(value)
        return low, value.shift_right(self.limb_bits)
