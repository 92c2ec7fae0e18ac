"""What training may be told."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import Literal

from hwsim.graph import Graph, InputScaling
from hwsim.quant import Mode, Scheme
from hwsim.quant.ranges import MovingAverage
from hwsim.quant.rounding import Nearest
from hwsim.spec import PRESETS, Accelerator, operand_format, require
from hwsim.spec.errors import within


class Saturated(enum.Enum):
    """What the gradient of a sum beyond a saturating accumulator is."""

    ZERO = "zero"
    """That of the clamp which the register is: nothing."""
    THROUGH = "through"
    """That of the exact sum."""


class Gradients(enum.Enum):
    """What the operands of gradients' products are; values come from the kernels either way."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    """With sums in float32: about half the time, where the processor has such products."""


class Optimizer(enum.Enum):
    """Who takes the steps of training."""

    ADAM = "adam"
    SGD = "sgd"
    """With a momentum of 0.9."""

    @property
    def title(self) -> Literal["Adam", "SGD"]:
        """As documents say it."""
        return "Adam" if self is Optimizer.ADAM else "SGD"


class Fitting(enum.Enum):
    """How training keeps weights within what the registers hold, whatever the input (A2Q+)."""

    PENALTY = "penalty"
    """The excess over the bounds is added to the loss."""
    PROJECTION = "projection"
    """After every step, weights beyond the bounds go to the nearest ones within."""


@dataclass(frozen=True)
class Distillation:
    """Soft targets of the float network (G. Hinton, O. Vinyals, J. Dean, arXiv 1503.02531, section 2).

    ``loss = (1 - weight) * cross_entropy + weight * T**2 * KL(softmax(teacher / T) || softmax(student / T))``.

    Parameters
    ----------
    weight
        0 to 1; above 0.
    temperature
        T, positive.
    """

    weight: float = 0.5
    temperature: float = 4.0

    def __post_init__(self) -> None:
        require(0 < self.weight <= 1, "distill", "above 0 and at most 1", self.weight)
        require(0 < self.temperature < 1e6, "temperature", "positive and below 1e6", self.temperature)


@dataclass(frozen=True)
class Augmentation:
    """Changes of images that keep their class, drawn anew for every epoch.

    Parameters
    ----------
    shift
        Pixels, at most, by which an image moves in each direction; its border is mirrored into what opens.
    mirror
        Left and right change places in half of the images.
    """

    shift: int = 0
    mirror: bool = False

    def __post_init__(self) -> None:
        require(within(self.shift, range(1025)), "shift", "an integer from 0 to 1024", self.shift)


@dataclass(frozen=True)
class TrainSettings:
    """What `hwsim train` may be told; the defaults are those of the command line.

    Parameters
    ----------
    accelerator
        The machine: its reduction and its rounding are in the forward pass.
    scheme
        Which integers. Ranges of activations by moving average follow the training; those of other methods are set again before
        every epoch.
    edge_bits
        Bits of the network's input, of the weights of its first and its last layer with weights, and of what leaves the last
        one; None: those of `scheme`.
    epochs, learning_rate, batch
        The rate falls to 0 along a cosine.
    optimizer
        Of all that is trained.
    warm_up
        Epochs, or a part of one, over which the rate rises first.
    weight_decay
        Of weights: biases, batch norm and steps have none.
    learn_steps
        Train the step sizes of weights and activations too (`hwsim.train.steps`); ranges then are where they begin.
    gradients
        Precision of their products.
    images
        Training samples in use, the first ones; None for all.
    freeze
        Epochs after which statistics of batch norm and ranges stay; None for half of them, rounded up.
    distillation
        Soft targets of the float network, or None.
    fitting
        How weights are kept within the bounds of the registers, or None.
    penalty
        Weight of the excess in the loss, with `Fitting.PENALTY`.
    saturated
        The gradient of sums beyond a saturating accumulator.
    augmentation
        Of training images.
    calibration_images
        Training samples that set the ranges at the beginning.
    evaluated
        Samples to measure accuracy on, the first ones; None for all.
    scaling
        How pixels become real inputs, where the model does not say.
    seed
        Of the order of samples and of their augmentation.
    """

    accelerator: Accelerator = field(default_factory=lambda: PRESETS[0])
    scheme: Scheme = field(default_factory=lambda: Scheme(activation_ranges=MovingAverage()))
    edge_bits: int | None = None
    epochs: int = 10
    learning_rate: float = 1e-3
    batch: int = 64
    optimizer: Optimizer = Optimizer.ADAM
    warm_up: float = 0.0
    weight_decay: float = 0.0
    learn_steps: bool = False
    gradients: Gradients = Gradients.FLOAT32
    images: int | None = None
    freeze: int | None = None
    distillation: Distillation | None = None
    fitting: Fitting | None = None
    penalty: float = 1.0
    saturated: Saturated = Saturated.ZERO
    augmentation: Augmentation = field(default_factory=Augmentation)
    calibration_images: int = 256
    evaluated: int | None = None
    scaling: InputScaling | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        scheme = self.scheme
        plain = scheme.mode is Mode.STATIC and scheme.outliers is None and isinstance(scheme.rounding, Nearest)
        require(plain, "scheme", "static, rounded to nearest and without outliers for training", scheme.name)
        if self.edge_bits is not None:
            operand_format(self.edge_bits, field="edge_bits")
        require(within(self.epochs, range(1, 100_001)), "epochs", "an integer from 1 to 100000", self.epochs)
        require(0 < self.learning_rate < 1e3, "learning_rate", "positive and below 1000", self.learning_rate)
        require(within(self.batch, range(1, 65537)), "batch", "an integer from 1 to 65536", self.batch)
        require(0 <= self.warm_up < self.epochs, "warm_up", "0 or more epochs, and fewer than there are", self.warm_up)
        require(0 <= self.weight_decay < 1, "weight_decay", "0 or more and below 1", self.weight_decay)
        free = self.fitting is None or not self.learn_steps
        require(
            self.fitting is None or scheme.group == 1,
            "fit",
            "left out with groups, whose channels share a step",
            "given",
        )
        require(free, "learn_steps", "left out where weights are fitted to the accumulator, which sets steps", "given")
        require(self.images is None or self.images >= 1, "training images", "1 or more", self.images)
        freeze = "an integer from 0 to the number of epochs"
        require(self.freeze is None or within(self.freeze, range(self.epochs + 1)), "freeze", freeze, self.freeze)
        require(0 < self.penalty < 1e6, "penalty", "positive and below 1e6", self.penalty)
        require(self.calibration_images >= 1, "calibration_images", "1 or more", self.calibration_images)
        require(self.evaluated is None or self.evaluated >= 1, "images", "1 or more", self.evaluated)
        require(within(self.seed, range(2**63)), "seed", "an integer from 0", self.seed)

    @property
    def frozen_after(self) -> int:
        """Epochs after which statistics and ranges stay."""
        return (self.epochs + 1) // 2 if self.freeze is None else self.freeze


def layer_schemes(graph: Graph, scheme: Scheme, edge_bits: int | None) -> tuple[Scheme, dict[str, Scheme] | None]:
    """Return the scheme of a network's input, and those of its nodes where they differ, see `TrainSettings.edge_bits`."""
    if edge_bits is None:
        return scheme, None
    weighted = [index for index, node in enumerate(graph.nodes) if node.op.weighted]
    first, last = weighted[0], weighted[-1]
    schemes = {}
    for index, node in enumerate(graph.nodes):
        own = replace(scheme, weight_bits=edge_bits) if index in (first, last) else scheme
        schemes[node.name] = replace(own, activation_bits=edge_bits) if index >= last else own
    return replace(scheme, activation_bits=edge_bits), schemes
