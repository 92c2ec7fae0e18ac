"""Quantization schemes: which integers a weight or an activation becomes. `SCHEMES` lists what a scheme is put together of."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hwsim.graph import Array, Quantization
from hwsim.quant.grid import Grid
from hwsim.quant.outliers import OutlierRule
from hwsim.quant.ranges import MinMax, RangeMethod, RangeSetting
from hwsim.quant.rounding import Nearest, Rounding, SharedValues, Stochastic
from hwsim.spec import InputError, operand_format, require
from hwsim.spec.errors import within


class Mode(enum.Enum):
    """When activations become integers."""

    STATIC = "static"
    """Ahead of time, over ranges from calibration samples: an integer network."""
    DYNAMIC = "dynamic"
    """As they come: each layer of products quantizes its input over that image's own range, and gives floats."""
    WEIGHT_ONLY = "weight-only"
    """Never: float activations meet weights that are integers in memory and reals in the multiplier."""


@dataclass(frozen=True)
class Scheme:
    """Which integers to use; the default is symmetric per-channel weights and affine per-tensor activations.

    Parameters
    ----------
    weight_bits, activation_bits
        2..16, independently.
    affine_weights, affine_activations
        Whether zero points may be others than 0, see `hwsim.quant.grid`.
    per_channel
        Scales of weights per output channel; otherwise per tensor. Groups of input channels with scales of their own are not
        to be had: an accumulator of this hardware is requantized once per output channel.
    group
        Consecutive output channels that share a scale, with `per_channel` (groups of output neurons: S. Shen et al., "Q-BERT",
        AAAI 2020, section 3.3); 1: none do. The last group is what is left.
    unsigned
        Symmetric activations without negative values are unsigned, as they are behind a ReLU.
    power_of_two
        Round scales up to powers of two, for machines that requantize by shifting.
    weight_ranges, activation_ranges
        How ranges are set.
    rounding
        How weights become integers.
    mode
        When activations do.
    outliers
        Which weights are kept apart, in more bits; None: none.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    affine_weights: bool = False
    affine_activations: bool = True
    per_channel: bool = True
    group: int = 1
    unsigned: bool = True
    power_of_two: bool = False
    weight_ranges: RangeMethod = field(default_factory=MinMax)
    activation_ranges: RangeMethod = field(default_factory=MinMax)
    rounding: Rounding = field(default_factory=Nearest)
    mode: Mode = Mode.STATIC
    outliers: OutlierRule | None = None

    def __post_init__(self) -> None:
        operand_format(self.weight_bits, field="weight_bits")
        operand_format(self.activation_bits, field="activation_bits")
        require(within(self.group, range(1, 1 << 16)), "group", "1 to 65535 output channels", self.group)
        if self.outliers is not None:
            require(self.group == 1, "group", "left out with outliers, which set scales of their own", self.group)
            plain = not self.affine_weights and self.mode is Mode.STATIC
            plain = plain and isinstance(self.weight_ranges, MinMax) and isinstance(self.rounding, Nearest)
            require(
                plain, "outliers", "left out, or with symmetric weights of min-max ranges, rounded to nearest, and static "
                "activations", self.outliers,
            )  # fmt: skip
            least = self.weight_bits + 1
            require(
                self.outliers.bits >= least,
                "outlier_bits",
                f"at least {least}, more than the dense part's",
                self.outliers.bits,
            )

    @property
    def name(self) -> str:
        """What reports call it."""
        weights = f"{_kind(self.affine_weights)} {self.granularity} weights"
        activations = f"{_kind(self.affine_activations)} per-tensor activations"
        if not self.affine_activations and self.unsigned:
            activations += " (unsigned where none is negative)"
        if self.mode is Mode.WEIGHT_ONLY:
            activations = "float activations"
        elif self.mode is Mode.DYNAMIC:
            activations = f"dynamic {activations}"
        parts = [weights, activations, "power-of-two scales" if self.power_of_two else "", str(self.rounding)]
        if not isinstance(self.weight_ranges, MinMax):
            parts.append(f"{self.weight_ranges} ranges of weights")
        if self.outliers is not None:
            parts.append(f"outliers: {self.outliers}")
        return ", ".join(part for part in parts if part)

    @property
    def granularity(self) -> str:
        """What weights share a scale."""
        if not self.per_channel:
            return "per-tensor"
        return "per-channel" if self.group == 1 else f"group:{self.group}"

    @property
    def described(self) -> str:
        """The name, with the ranges of activations where they are set ahead of time."""
        return f"{self.name}, {self.activation_ranges} ranges" if self.mode is Mode.STATIC else self.name

    @property
    def weight_grid(self) -> Grid:
        """How ranges of weights become integers; symmetric ones leave out the lowest, as TFLite's."""
        return Grid(self.weight_bits, affine=self.affine_weights, narrow=True, power_of_two=self.power_of_two)

    @property
    def activation_grid(self) -> Grid:
        """How ranges of activations become integers."""
        return Grid(
            self.activation_bits, affine=self.affine_activations, unsigned=self.unsigned, power_of_two=self.power_of_two
        )

    @property
    def ranges(self) -> RangeSetting:
        """How `calibrate` sets the ranges of activations."""
        return RangeSetting(self.activation_ranges, self.activation_grid)

    def weights(self, values: Array, axis: int, least: Array) -> Quantization:
        """Return the quantization of a weight tensor whose output channels `axis` counts; no scale is below `least` [C]."""
        setting, clips = RangeSetting(self.weight_ranges, self.weight_grid), self.weight_ranges.clips
        if not self.per_channel:
            lo, hi = (np.asarray(end, np.float64) for end in setting.of(values))
            return self.weight_grid.weights(lo, hi, None, least.max(), clipped=clips)
        channels = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
        starts = range(0, len(channels), self.group)
        found = np.array([setting.of(channels[at : at + self.group]) for at in starts], np.float64)
        lo, hi = (self.spread(ends, len(channels)) for ends in found.T)
        return self.weight_grid.weights(lo, hi, axis, self.shared(least, np.maximum), clipped=clips)

    def spread(self, values: Array, channels: int) -> Array:
        """Return values of groups as values of output channels."""
        found: Array = np.repeat(values, self.group)[:channels]
        return found

    def shared(self, values: Array, join: np.ufunc) -> Array:
        """Return what the channels of a group have together, for each of them; `values` are of output channels."""
        starts = np.arange(0, len(values), self.group)
        return self.spread(join.reduceat(values, starts), len(values))

    def weight_scales(self, channels: int) -> int:
        """Return how many scales the weights of so many output channels have."""
        return -(-channels // self.group) if self.per_channel else 1

    def weight_integers(self, name: str, values: Array, quantization: Quantization) -> Array:
        """Return the integers of the weight tensor called `name`."""
        return self.rounding.quantize(name, values, quantization)

    def activations(self, lo: float, hi: float) -> Quantization:
        """Return the quantization of an activation whose values lie in ``lo..hi``; 0 is always represented exactly."""
        return self.activation_grid.over(lo, hi)


def _kind(affine: bool) -> str:
    return "affine" if affine else "symmetric"


@dataclass(frozen=True)
class Choice:
    """A word that ``--scheme`` takes.

    Parameters
    ----------
    word
        As it is written.
    text
        What it means.
    fields
        Of `Scheme`, that it sets.
    number
        For ``WORD:NUMBER``: a field that an integer makes, with the default of `fields` where none is given.
    """

    word: str
    text: str
    fields: Mapping[str, object]
    number: tuple[str, Callable[[int], object]] | None = None


SCHEMES: tuple[Choice, ...] = (
    Choice("per-channel", "a scale per output channel of the weights (default)", {"per_channel": True}),
    Choice("per-tensor", "one scale for all weights of a layer", {"per_channel": False}),
    Choice("group", "a scale per so many consecutive output channels", {"per_channel": True, "group": 8}, ("group", int)),
    Choice("symmetric-weights", "weights without zero points (default)", {"affine_weights": False}),
    Choice("affine-weights", "weights with zero points", {"affine_weights": True}),
    Choice("affine-activations", "activations with zero points (default)", {"affine_activations": True}),
    Choice(
        "symmetric-activations", "activations without zero points, unsigned where none is negative",
        {"affine_activations": False, "unsigned": True},
    ),
    Choice(
        "signed-activations", "activations without zero points, always signed",
        {"affine_activations": False, "unsigned": False},
    ),
    Choice("power-of-two", "scales that are powers of two", {"power_of_two": True}),
    Choice(
        "stochastic", "weights rounded up or down by chance; the number is the seed", {"rounding": Stochastic()},
        ("rounding", Stochastic),
    ),
    Choice(
        "codebook", "weights in 2**NUMBER shared values per tensor (k-means)", {"rounding": SharedValues()},
        ("rounding", SharedValues),
    ),
    Choice("static", "ranges of activations from calibration samples (default)", {"mode": Mode.STATIC}),
    Choice("dynamic", "ranges of activations from each image itself", {"mode": Mode.DYNAMIC}),
    Choice("weight-only", "float activations", {"mode": Mode.WEIGHT_ONLY}),
)  # fmt: skip
"""Words of ``--scheme``; several are joined by commas."""


def parse_scheme(text: str, base: Scheme | None = None, option: str = "--scheme") -> Scheme:
    """Return the scheme that words joined by commas stand for, for example ``per-tensor,power-of-two``.

    Raises
    ------
    InputError
        Naming `option` and the words there are, or two words that set the same.
    """
    scheme, given = base or Scheme(), dict[str, str]()
    for part in filter(None, text.split(",")):
        word, colon, number = part.partition(":")
        choice = next((choice for choice in SCHEMES if choice.word == word), None)
        if choice is None or (colon and choice.number is None):
            known = ", ".join(choice.word + (":NUMBER" if choice.number else "") for choice in SCHEMES)
            raise InputError(f"{option} must be one or more of {known}, with commas between, not {part!r}")
        fields = dict(choice.fields)
        if colon and choice.number is not None:
            name, make = choice.number
            require(number.isascii() and number.isdigit(), option, f"{word}:NUMBER", repr(part))
            fields[name] = make(int(number))
        for name in fields:
            require(name not in given, option, f"with one of {given.get(name)} and {word}", repr(text))
            given[name] = word
        scheme = replace(scheme, **fields)  # type: ignore[arg-type]
    return scheme
