"""What a layer asks of the machine: all that the time engine may know of it, and no tensor value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Role = Literal["weights", "biases", "scales", "activations_in", "activations_out"]

ROLES: tuple[Role, ...] = ("weights", "biases", "scales", "activations_in", "activations_out")


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor of a layer: `elements` integers of `element_bits` bits, packed without gaps."""

    role: Role
    elements: int
    element_bits: int

    @property
    def packed_bytes(self) -> int:
        """Bytes of the packed tensor; the last one may be partly used."""
        return math.ceil(self.elements * self.element_bits / 8)


@dataclass(frozen=True, slots=True)
class Workload:
    """One layer for one image.

    Parameters
    ----------
    name, op
        The node's name and its operator.
    m, k, n
        GEMM shape per group: output pixels, products per output, output channels. Zero for a layer without products.
    groups
        Independent GEMMs of that shape (depthwise: one per channel).
    operands
        Every tensor that the layer reads or writes.
    weight_bits, activation_bits
        Operand widths; 0 for a layer without weights.
    """

    name: str
    op: str
    m: int
    k: int
    n: int
    groups: int
    operands: tuple[Operand, ...]
    weight_bits: int
    activation_bits: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image; 1 MAC = 2 operations."""
        return self.m * self.k * self.n * self.groups

    def role_bytes(self, role: Role) -> int:
        """Bytes of all operands of a role."""
        return sum(operand.packed_bytes for operand in self.operands if operand.role == role)
