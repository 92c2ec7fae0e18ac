"""Orders of summation whose registers are searched, and what width they need for any input."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hwsim.sim.analyze.layers import Proof, widths
from hwsim.spec import Overflow, Reduction, Register, require
from hwsim.spec.number import REGISTER_BITS

LEAST_BITS = REGISTER_BITS[0]


@dataclass(frozen=True)
class Order:
    """An order, and which registers have the width that is searched.

    Parameters
    ----------
    text
        ``sequential``: the accumulator takes products one by one. ``lanes:N``: groups of N through an exact adder tree.
        ``tree:N``: the same, and every node of the tree has the width of the accumulator. ``chain:R``: partial sums of R
        products have the width; the accumulator behind them is the machine's.
    lanes, chain
        As in `hwsim.spec.Reduction`.
    registers
        Fields of the reduction that have the width.
    """

    text: str
    lanes: int
    chain: int | None
    registers: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Order:
        """Read an order; see `text`."""
        kind, colon, number = text.partition(":")
        allowed = "sequential, lanes:N, tree:N or chain:R"
        plain = text == "sequential"
        known = kind in ("lanes", "tree", "chain") and number.isascii() and number.isdigit() and len(number) < 6
        require(plain or (bool(colon) and known), "--order", allowed, repr(text))
        if plain:
            return cls(text, 1, None, ("acc",))
        size = int(number)
        most, least = (65536, 1) if kind == "chain" else (256, 2)
        require(least <= size <= most, "--order", f"{kind}:N with N from {least} to {most}", repr(text))
        if kind == "chain":
            return cls(text, 1, size, ("psum",))
        return cls(text, size, None, ("acc",) if kind == "lanes" else ("tree", "acc"))

    def of(self, machine: Reduction, bits: int, overflow: Overflow) -> Reduction:
        """Return a machine's reduction in this order, with registers of that width."""
        register = Register(bits, overflow)
        return replace(
            machine,
            acc=register if "acc" in self.registers else machine.acc,
            lanes=self.lanes,
            tree=register if "tree" in self.registers else None,
            chain=self.chain,
            psum=register if "psum" in self.registers else None,
        )

    def proven_bits(self, proof: Proof) -> int:
        """Return the smallest width that no input of a layer in this order can overflow, at least `LEAST_BITS`."""
        return max(proven_bits(proof, self.registers), LEAST_BITS)


def proven_bits(proof: Proof, registers: tuple[str, ...]) -> int:
    """Return the smallest width at which no input of a layer overflows any of these registers."""
    found = [proof.found[name] for name in registers]
    return max(max(widths(register.low, register.high)) for register in found)
