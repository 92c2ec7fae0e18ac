"""The generator of ordered sums of products: every register is written in the declared order, one output per lane.

A vector holds neighbouring output channels, so that its lanes never meet and the order within each is the declared one. Two
products of words meet in one instruction only where they meet in an exact tree; a single one has a weight of zero beside it.
The definition is `hwsim.kernels.reduce`, which every kernel here is tested equal to.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from hwsim.kernels.codegen import Writer
from hwsim.kernels.compiled import address_of
from hwsim.kernels.gated_writer import GatedBytesWriter, GatedWriter
from hwsim.kernels.ordered_form import Form
from hwsim.kernels.ordered_writer import OrderedWriter
from hwsim.kernels.targets import Target


@dataclass(frozen=True)
class Ordered(Form):
    """One ordered kernel; its fields are all that its code depends on."""

    def address(self, target: Target | None = None) -> int:
        """Return the compiled kernel."""
        return address_of(repr(self), self.write, target)

    def write(self, target: Target, name: str) -> ir.Module:
        """Write the kernel."""
        gated = GatedBytesWriter if self.fours else GatedWriter
        return (gated if self.stretch else OrderedWriter)(self, Writer(target, name)).write()
