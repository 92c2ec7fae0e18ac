"""The JSON document of `hwsim narrow`: the narrowest registers, by order of summation and by what is permitted.

Units are in the names. Accuracies are of the same `data.n` images throughout.
"""

from __future__ import annotations

from typing import Final, Literal

from hwsim.sim.document import DataInfo
from hwsim.sim.document_parts import AcceleratorInfo, ModelInfo, Part, Provenance, QuantizationInfo

SCHEMA_VERSION: Final = 1

Permitted = Literal["nothing, proven", "nothing, observed", "loss"]
"""What a row permits: no overflow for any input; none on the data; any overflow that costs no more than the permitted loss."""

KnownBy = Literal["run", "proven", "observed", "refused"]
"""Proven: no input overflows; observed: nothing did on the data. Either way it is the exact network, which did not run again."""


class LayerBits(Part):
    """A layer and the width of its registers."""

    name: str
    macs: int
    """Per image."""
    bits: int


class Row(Part):
    """The narrowest registers of one kind."""

    order: str
    """As the command line says it."""
    overflow: Literal["wrap", "saturate", "either"]
    """What the registers do; either where they never overflow."""
    permitted: Permitted
    bits: int | None
    """One width for all layers, or None where each has its own."""
    layers: tuple[LayerBits, ...]
    mean_bits: float
    """Mean width, each layer weighted by its multiply-accumulates: what adders cost per multiply-accumulate."""
    correct: int
    top1: float
    events: int
    """Overflow events in all registers."""
    changed: int
    """Images with another class than without overflow."""
    also: tuple[int, ...]
    """Narrower widths that were tried and meet the loss too, though one between does not."""
    failed: tuple[int, ...]
    """Narrower widths that were tried and lose more."""
    command: str
    """Repeats the row with `hwsim run`."""
    registers: str
    """The file of registers by layer that the command reads; empty where it needs none."""


class Point(Part):
    """The accuracy at one width of all layers."""

    order: str
    overflow: Literal["wrap", "saturate"]
    bits: int
    correct: int | None
    """None where the network is refused."""
    events: int
    known_by: KnownBy
    refused: str
    """Why; a saturating accumulator must hold the bias that it starts at."""


class NarrowDocument(Part):
    """Everything that a search found out."""

    schema_version: Literal[1]
    model: ModelInfo
    data: DataInfo
    quantization: QuantizationInfo
    accelerator: AcceleratorInfo
    exact_correct: int
    """Images that are right without any overflow."""
    loss_points: float
    """Permitted loss of accuracy against that, in percentage points."""
    least_correct: int
    """Images that must be right at the permitted loss."""
    rows: tuple[Row, ...]
    points: tuple[Point, ...]
    runs: int
    """Networks that were run, from some layer on."""
    provenance: Provenance

    def to_json(self) -> str:
        """The document as indented JSON text that ends in a newline."""
        return self.model_dump_json(indent=2) + "\n"
