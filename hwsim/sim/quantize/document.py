"""The JSON document of `hwsim quantize`: the integers of every layer, how far they are from the floats, and what to do about it.

Errors compare real values: what integers stand for against the float network's. Ratios are of powers, in dB; they are None where
signal or noise is 0. Lists by channel are in the order of output channels.
"""

from __future__ import annotations

from typing import Final, Literal

from hwsim.sim.document import Accuracy, DataInfo, Histogram, ModelInfo, Part, Provenance, QuantizationInfo

SCHEMA_VERSION: Final = 1


class ErrorFigures(Part):
    """Approximate values against exact ones."""

    rms: float
    """Root of the mean squared difference, in the values' own unit."""
    sqnr_db: float | None
    """``10 log10(sum(exact**2) / sum(difference**2))``."""
    cosine: float | None
    """Of the angle between the two."""


class Integers(Part):
    """``real = scale * (q - zero_point)`` of a tensor."""

    tensor: str
    format: str
    axis: int | None
    """What `scale` and `zero_point` count along; None where they have one entry for all."""
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    lo: float
    hi: float
    """Real values of the lowest and the highest integer in use, over all channels."""


class Causes(Part):
    """Shares of a layer's own error, by what is rounded or clipped alone; together they are 1."""

    input: float
    weights: float
    output: float


class LayerAnalysis(Part):
    """What the analyzed images showed of a layer with weights."""

    alone: ErrorFigures
    """Of its output where only it is quantized, on the float network's own input."""
    accumulated: ErrorFigures
    """Of its output in the quantized network."""
    effect: ErrorFigures
    """Of the network's output where only this layer is quantized."""
    blame: float
    """Share of the noise that all layers, each by itself, make at the network's output."""
    causes: Causes
    shift: float
    """Share of the error `alone` that is a constant per output channel: what a bias can take away."""
    clipped: float
    """Share of the output's float values beyond its integers by more than half a step."""
    channels: tuple[float, ...]
    """Largest magnitude of the weights of each output channel."""
    equalized: tuple[float, ...] | None
    """The same after equalization; None where that was not done, or left no such layer."""
    weights: Histogram
    output: Histogram | None
    equalized_weights: Histogram | None
    equalized_output: Histogram | None
    advice: str


class QuantizedLayer(Part):
    """A layer with weights."""

    name: str
    op: str
    index: int
    """Place in the network, from 1."""
    weights: Integers
    values: int
    """Different integers among the weights."""
    scales: int
    """Of the weights: one for each output channel, group of channels, or tensor."""
    scale_bytes: int
    """What they take where each is stored once: a multiplier of 32 bits and a shift of 8, or where activations are floats a
    float32. `hwsim time` counts them as the hardware reads them: once for each output channel."""
    weight_error: ErrorFigures
    """Against the weights that were quantized, after float repairs."""
    input: Integers | None
    output: Integers | None
    """None where activations are floats."""
    analysis: LayerAnalysis | None


class FloatLayerInfo(Part):
    """A layer that stayed in float32, between integers; it does not run on an array of integer multipliers."""

    name: str
    op: str
    index: int
    """Place in the network, from 1."""
    weights: int
    weight_bytes: int
    """At 32 bits each."""
    integer_bytes: int
    """What they would take in the scheme's bits."""


class AnalysisInfo(Part):
    """What an analysis ran on."""

    images: int
    equalization: str
    """The repairs behind "equalized", as on the command line: those of the float network that were asked for, or else
    cross-layer equalization, which was tried for comparison; empty where it does not apply."""
    output: ErrorFigures
    """Of the network's output with all layers quantized."""
    ranked: tuple[int, ...]
    """Indices of the layers, most blame first."""


class MixedOption(Part):
    """A width that an item could have had."""

    bits: int
    cost: int
    """In the unit of the budget."""
    error: float
    """Mean squared change of the scores where only this item is quantized, to this width."""
    sqnr_db: float | None
    agree: float
    """Share of the images whose class stays."""
    hessian: float | None = None
    """By how much the loss is estimated to rise, from the trace of its Hessian; None where that is not what was minimized."""


class MixedItem(Part):
    """The weights or the output of one layer, which have bits of their own."""

    name: str
    bits: int
    options: tuple[MixedOption, ...]


class MixedInfo(Part):
    """Bits by layer, within a budget. Losses are sums over the items of what `by` names."""

    budget: str
    """As it was given."""
    by: Literal["error", "classes", "hessian"] = "error"
    """`MixedOption.error`, ``1 - MixedOption.agree`` or `MixedOption.hessian`."""
    unit: Literal["bytes of weights", "bytes moved per image", "cycles per image"]
    allowed: int
    uniform: int
    """What the scheme's own bits cost in every layer."""
    cost: int
    """Of the choice: the costs of its items, added."""
    loss: float
    greedy_cost: int
    greedy_loss: float
    """What a greedy search finds within the same budget."""
    images: int
    """That errors were measured on."""
    items: tuple[MixedItem, ...]
    fixed: int
    """Part of the costs that no choice changes."""
    timed: int | None
    """Cycles of the mixed network as a whole, where the budget is of cycles: tensors that stay on chip with some widths and not
    with others make them differ from `cost`."""


class QuantizeDocument(Part):
    """Everything that `hwsim quantize` found out."""

    schema_version: Literal[1]
    model: ModelInfo
    data: DataInfo
    """What was calibrated on."""
    evaluated: DataInfo | None
    """What `accuracy` and the analysis ran on."""
    quantization: QuantizationInfo
    mode: Literal["static", "dynamic", "weight-only"]
    repairs: tuple[str, ...]
    mixed: MixedInfo | None = None
    """Bits by layer; None where all have the scheme's."""
    accuracy: Accuracy | None
    layers: tuple[QuantizedLayer, ...]
    """Those with integer weights."""
    float_layers: tuple[FloatLayerInfo, ...] = ()
    analysis: AnalysisInfo | None
    notes: tuple[str, ...]
    provenance: Provenance

    def to_json(self) -> str:
        """The document as indented JSON text that ends in a newline."""
        return self.model_dump_json(indent=2) + "\n"
