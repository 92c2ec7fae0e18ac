"""The JSON document of `hwsim analyze`: what each register needs, proven and observed, and what overflowed.

Units are in the names. Widths are in bits of a signed register. Channels are output channels, pixels row-major output pixels.
"""

from __future__ import annotations

from typing import Final, Literal

from hwsim.sim.document import (
    AcceleratorInfo,
    DataInfo,
    FirstOverflow,
    ModelInfo,
    Part,
    Provenance,
    QuantizationInfo,
)

SCHEMA_VERSION: Final = 1


class ReachedSum(Part):
    """An extreme over all inputs and channels; the write that reaches it sums products ``p[start..stop)`` (and the bias)."""

    value: int
    channel: int
    start: int
    stop: int
    outliers: int = 0
    """How many of the channel's outliers are in it besides."""


class RegisterWidths(Part):
    """One register of a layer: what it needs and what it did."""

    name: Literal["tree", "psum", "acc"]
    bits: int
    overflow: Literal["wrap", "saturate"]
    any_order_bits: int
    """Smallest width that no input overflows, in any order of the products."""
    proven_bits: int
    """The same for the declared order."""
    fits: bool
    """Whether the register is as wide as `proven_bits`."""
    low: ReachedSum
    high: ReachedSum
    observed_bits: int | None
    """Smallest width that holds every running sum of the data, had no register overflowed; not known of tree nodes."""
    channel_any_order_bits: tuple[int, ...]
    channel_proven_bits: tuple[int, ...]
    channel_observed_bits: tuple[int, ...] | None
    positive: int
    negative: int
    """Events: writes of a sum above the largest value of the register, below the smallest."""
    positive_by_place: tuple[int, ...]
    negative_by_place: tuple[int, ...]
    """Events by equal parts of the products of an output, in the order of summation; those of outliers count where their K tile
    ends."""


class SparsePath(Part):
    """The outliers of a layer: their products are written to the accumulator, past tree and partial sum."""

    entries: int
    bits: int
    tile: int | None
    """Products after whose dense sum their outliers follow, those of a K tile; None: after all."""
    dense_bits: int
    """Accumulator width that no input overflows in this order with the dense part alone."""
    apart_bits: int
    """The same for the outliers alone, from 0: what a register of their own would need."""
    positive: int
    negative: int
    """Those events of the accumulator that writes of outliers were."""


class Grid(Part):
    """Events by output pixel, of all images and registers: blocks of pixels in rows and columns."""

    height: int
    width: int
    """Output pixels."""
    counts: tuple[tuple[int, ...], ...]


class Observed(Part):
    """What the data showed of a layer's accumulators."""

    images: int
    outputs: int
    """Dot products."""
    needed_bits: dict[int, int]
    """Outputs by the width that holds all running sums of the accumulator; the headroom is its width minus that."""
    struck: int
    """Outputs with at least one overflow on the way, or whose bias the accumulator could not start from."""
    cancelled: int
    """Those that left the accumulator right nevertheless: wrapped, and came back."""
    channel_struck: tuple[int, ...]
    channel_cancelled: tuple[int, ...]
    first: FirstOverflow | None
    events_by_pixel: Grid

    @property
    def worst_bits(self) -> int:
        """The width that holds all of them."""
        return max(self.needed_bits)


class AnalyzedLayer(Part):
    """A layer that sums products."""

    name: str
    op: str
    index: int
    """Place in the network, from 1."""
    products: int
    channels: int
    outputs_per_image: int
    activation_low: int
    activation_high: int
    """What the multipliers may see."""
    registers: tuple[RegisterWidths, ...]
    """In the order in which a sum passes them; the accumulator is last."""
    outliers: SparsePath | None = None
    observed: Observed | None

    @property
    def acc(self) -> RegisterWidths:
        """The accumulator."""
        return self.registers[-1]

    @property
    def no_overflow(self) -> bool:
        """Whether no register can overflow, for any input."""
        return all(register.fits for register in self.registers)

    @property
    def events(self) -> int:
        """Overflow events of all registers."""
        return sum(register.positive + register.negative for register in self.registers)

    @property
    def headroom_bits(self) -> int | None:
        """Bits to spare of the accumulator for the data; negative where it was too narrow."""
        return None if self.observed is None else self.acc.bits - self.observed.worst_bits


class AnalysisTotal(Part):
    """The layers together."""

    layers: int
    proven_layers: int
    """Layers in which no register can overflow, for any input."""
    any_order_bits: int
    proven_bits: int
    observed_bits: int | None
    """Widths of an accumulator that all layers share."""
    events: int
    struck: int
    cancelled: int


class AnalysisDocument(Part):
    """Everything that `hwsim analyze` found out."""

    schema_version: Literal[1]
    model: ModelInfo
    data: DataInfo | None
    """None where nothing was observed."""
    quantization: QuantizationInfo
    accelerator: AcceleratorInfo
    layers: tuple[AnalyzedLayer, ...]
    total: AnalysisTotal
    provenance: Provenance

    def to_json(self) -> str:
        """The document as indented JSON text that ends in a newline."""
        return self.model_dump_json(indent=2) + "\n"
