"""The JSON document of `hwsim train`: what was trained, on what, how it went, and what it reached."""

from __future__ import annotations

from typing import Final, Literal

from hwsim.sim.document import Accuracy, DataInfo, ModelInfo, Part, Provenance, QuantizationInfo
from hwsim.sim.document_parts import AcceleratorInfo

SCHEMA_VERSION: Final = 1


class DistillationInfo(Part):
    """Soft targets of the float network."""

    weight: float
    temperature: float


class TrainingInfo(Part):
    """The recipe."""

    epochs: int
    learning_rate: float
    """The highest; it falls to 0 along a cosine."""
    optimizer: Literal["Adam", "SGD"]
    batch: int
    warm_up: float = 0.0
    """Epochs over which the rate rises first."""
    weight_decay: float = 0.0
    """Of weights alone."""
    learned_steps: bool = False
    """Whether step sizes were trained (LSQ)."""
    gradients: Literal["float32", "bfloat16"] = "float32"
    """Operands of their products."""
    frozen_after: int
    """Epochs after which statistics of batch norm and ranges stay."""
    batch_norms: int
    """Layers that batch norm was taken out of again."""
    weight_bits: int
    activation_bits: int
    """Of all but the edges."""
    edge_bits: int | None
    """Of the input, the first and the last layer's weights, and the scores; None where they have those of the others."""
    distillation: DistillationInfo | None
    fitting: Literal["penalty", "projection"] | None
    penalty: float | None
    saturated: Literal["zero", "through"]
    shift_pixels: int
    mirror: bool


class Epoch(Part):
    """Means over the training samples of an epoch, in the integers of each step."""

    epoch: int
    loss: float
    penalty: float | None
    """Excess of the weights over the bounds of the registers, before its weight in the loss."""
    top1: float
    frozen: bool
    """Whether statistics and ranges stayed."""


class Reached(Part):
    """An integer network on the machine."""

    accuracy: Accuracy
    overflow_events: int


class TrainDocument(Part):
    """Everything that a training says of itself."""

    schema_version: Literal[1]
    model: ModelInfo
    data: DataInfo
    """What was trained on."""
    evaluated: DataInfo
    quantization: QuantizationInfo
    accelerator: AcceleratorInfo
    training: TrainingInfo
    curve: tuple[Epoch, ...]
    before: Reached
    """The integers of the same scheme without training: quantization after training."""
    after: Reached
    certified: bool
    """Whether the verifier accepted that no input overflows a register."""
    notes: tuple[str, ...]
    provenance: Provenance

    def to_json(self) -> str:
        """The document as indented JSON text that ends in a newline."""
        return self.model_dump_json(indent=2) + "\n"
