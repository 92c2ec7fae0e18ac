"""What a layer asks of the machine: all that the time engine may know of it, and no tensor value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Role = Literal["weights", "outliers", "biases", "scales", "activations_in", "activations_out"]

ROLES: tuple[Role, ...] = ("weights", "outliers", "biases", "scales", "activations_in", "activations_out")


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor of a layer: `elements` integers of `element_bits` bits without gaps, or compressed to `stored_bits` in all."""

    role: Role
    elements: int
    element_bits: int
    stored_bits: int | None = None

    @property
    def packed_bytes(self) -> int:
        """Bytes of the tensor in the DRAM; the last one may be partly used."""
        bits = self.elements * self.element_bits if self.stored_bits is None else self.stored_bits
        return math.ceil(bits / 8)

    @property
    def expanded_bytes(self) -> int:
        """Bytes of the tensor on chip, where nothing is compressed."""
        return math.ceil(self.elements * self.element_bits / 8)


@dataclass(frozen=True, slots=True)
class Sliding:
    """Which part of an image each output pixel of a layer reads; sizes are (height, width).

    Parameters
    ----------
    image, channels
        What is read.
    output
        Pixels that are written.
    kernel, stride, dilation
        Of the window.
    before
        Padding above and on the left.
    """

    image: tuple[int, int]
    channels: int
    output: tuple[int, int]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)


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
    sliding
        Where its products' activations come from; None where every result may need every activation.
    outliers
        For each output channel of all groups the products k whose weights are outliers, ascending; empty where there are none.
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
    sliding: Sliding | None = None
    outliers: tuple[tuple[int, ...], ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-accumulates per image; 1 MAC = 2 operations."""
        return self.m * self.k * self.n * self.groups

    def role_bytes(self, role: Role) -> int:
        """Bytes of all operands of a role."""
        return sum(operand.packed_bytes for operand in self.operands if operand.role == role)
