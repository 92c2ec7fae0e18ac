"""The certificate: for every layer that sums products, the extremes of each register over all inputs, and where they lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hwsim.spec import InputError

SCHEMA_VERSION: Final = 1


class Part(BaseModel):
    """A piece of the certificate: frozen, of plain numbers and texts, and nothing in it but its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RegisterSpec(Part):
    """Width and overflow of a register."""

    bits: Annotated[int, Field(ge=8, le=48)]
    overflow: Literal["wrap", "saturate"]


class Machine(Part):
    """The order of summation, as `hwsim.spec.Reduction` defines it."""

    acc: RegisterSpec
    lanes: Annotated[int, Field(ge=1, le=256)]
    tree: RegisterSpec | None
    chain: Annotated[int, Field(ge=1, le=65536)] | None
    psum: RegisterSpec | None
    bias_at: Literal["start", "end"]
    zero_points: Literal["subtract", "fold"]
    outlier_tile: Annotated[int, Field(ge=1, le=1 << 20)] | None = None
    """Products after whose dense sum their outliers follow, one write to the accumulator each; None: after all of an output."""


class Reached(Part):
    """An extreme of a register over all channels, and the first write that reaches it.

    That write is the sum of the dense products ``p[start..stop)`` of one output of that channel; the accumulator's begins at 0
    and has the bias besides, where it starts at it. ``start == stop == 0`` is that start itself. The accumulator's has besides
    the products of the channel's first so many `outliers`, in ascending order.
    """

    value: int
    channel: int
    start: int
    stop: int
    outliers: int = 0


class RegisterClaim(Part):
    """What a register can hold, whatever the input, and the width that takes."""

    name: Literal["tree", "psum", "acc"]
    low: Reached
    high: Reached
    channel_low: list[int]
    channel_high: list[int]
    safe_bits: int
    fits: bool
    """Whether the register is that wide: then it never overflows."""


class Activations(Part):
    """The integers that enter the layer, and what its multipliers see of them (`low`..`high`)."""

    bits: int
    signed: bool
    zero_point: int
    low: int
    high: int


class LayerClaim(Part):
    """One layer."""

    name: str
    products: int
    """Products per output."""
    channels: int
    weight_bits: int
    outliers: int = 0
    """Weights that are kept apart; they are 0 in the dense part."""
    outlier_bits: int = 0
    weights_sha256: str
    """Of the weights as little-endian int64, zero points subtracted, channel by channel in the order of summation, then of the
    biases likewise; where there are outliers, they stand between them as the weights do, 0 where there is none."""
    activations: Activations
    registers: list[RegisterClaim]
    no_overflow: bool
    """No register of the layer can overflow, for any input."""


class Certificate(Part):
    """The whole document."""

    schema_version: Literal[1]
    kind: Literal["hwsim accumulator certificate"]
    model: str
    model_sha256: str
    machine: Machine
    layers: list[LayerClaim]
    no_overflow: bool
    """No register of any layer can overflow, for any input."""

    def to_json(self) -> str:
        """The document as indented JSON text that ends in a newline; of outliers it says nothing where there are none."""
        return json.dumps(self.model_dump(exclude_defaults=True), indent=1) + "\n"


def read_certificate(path: Path) -> Certificate:
    """Read a certificate.

    Raises
    ------
    InputError
        One line that names the file and the first field that is not as it must be.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(f"certificate must be a file that can be read, not {path} ({reason})") from None
    try:
        return Certificate.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "it"
        raise InputError(f"certificate {path}: {place}: {first['msg']}") from None
