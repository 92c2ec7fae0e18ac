"""Bits by layer within a budget, for `hwsim quantize --mixed`: what is counted, the search, and what the document says."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from hwsim.graph import Array, Graph
from hwsim.quant import Scheme
from hwsim.quant.bit_search import Choice, Items, exact, greedy, total
from hwsim.quant.mixed_precision import (
    BITS,
    Assignment,
    Loss,
    Measured,
    Sensitivity,
    bandwidth_options,
    classes_of,
    error_of,
    has_output_bits,
    hessian_of,
    output_item,
    schemes_of,
    sensitivities,
    size_options,
    weight_item,
    with_curvatures,
)
from hwsim.quant.pipeline import Quantized, Ranges
from hwsim.sim.network import Samples
from hwsim.sim.quantize.document import MixedInfo, MixedItem, MixedOption
from hwsim.sim.quantize.errors import significant
from hwsim.sim.time.mixed_cycles import cycle_options
from hwsim.sim.time.network import time_network
from hwsim.spec import PRESETS, Accelerator, operand_format, require

EXACT = Sensitivity(0.0, math.inf, 1.0, hessian=0.0)


class Curvatures(Protocol):
    """What `hwsim.train.hessian.curvatures` does; it needs PyTorch, which nothing else here does."""

    def __call__(
        self, graph: Graph, batches: Iterable[tuple[Array, Array]], *, outputs: bool
    ) -> Mapping[str, float]: ...


class Measure(enum.Enum):
    """What a choice of bits loses."""

    ERROR = "error"
    """Squared error of the scores, and so their SQNR."""
    CLASSES = "classes"
    """Samples whose class changes."""
    HESSIAN = "hessian"
    """The rise of the loss, from the trace of its Hessian."""

    @property
    def loss(self) -> Loss:
        """As a function."""
        return {Measure.ERROR: error_of, Measure.CLASSES: classes_of, Measure.HESSIAN: hessian_of}[self]


class Cost(enum.Enum):
    """What a budget counts."""

    SIZE = "size"
    BANDWIDTH = "bandwidth"
    CYCLES = "cycles"

    @property
    def unit(self) -> Literal["bytes of weights", "bytes moved per image", "cycles per image"]:
        """In words."""
        units: dict[Cost, Literal["bytes of weights", "bytes moved per image", "cycles per image"]] = {
            Cost.SIZE: "bytes of weights", Cost.BANDWIDTH: "bytes moved per image", Cost.CYCLES: "cycles per image",
        }  # fmt: skip
        return units[self]


@dataclass(frozen=True)
class Budget:
    """The most that a choice of bits may cost.

    Parameters
    ----------
    cost
        Of what.
    amount
        A number of them, or percent of what the scheme's own bits cost.
    relative
        Whether it is percent.
    """

    cost: Cost
    amount: float
    relative: bool

    @classmethod
    def parse(cls, text: str, option: str = "--mixed") -> Budget:
        """Read ``size:40000`` or ``cycles:75%``.

        Raises
        ------
        InputError
            Naming `option` and what it takes.
        """
        kind, _, number = text.partition(":")
        known = {cost.value: cost for cost in Cost}
        relative = number.endswith("%")
        digits = number.removesuffix("%")
        whole = digits.replace(".", "", 1) if relative else digits
        allowed = f"one of {', '.join(known)}, with :NUMBER or :PERCENT%, such as size:60%"
        require(kind in known and whole.isascii() and whole.isdigit(), option, allowed, repr(text))
        require(float(digits) > 0, option, "more than 0", repr(text))
        return cls(known[kind], float(digits), relative)

    def __str__(self) -> str:
        return f"{self.cost.value}:{self.amount:.12g}{'%' if self.relative else ''}"

    def allowed(self, uniform: int) -> int:
        """Return the budget in units, where the scheme's own bits cost `uniform`."""
        return math.floor(uniform * self.amount / 100 if self.relative else self.amount)


@dataclass(frozen=True)
class MixedSettings:
    """How bits by layer are to be chosen.

    Parameters
    ----------
    budget
        The most that they may cost.
    bits
        Widths to choose from, 2 to 16.
    images
        Calibration samples that errors are measured on.
    accelerator
        The machine whose cycles count.
    by
        What is minimized.
    """

    budget: Budget
    bits: tuple[int, ...] = BITS
    images: int = 64
    accelerator: Accelerator = field(default=PRESETS[0])
    by: Measure = Measure.ERROR

    def __post_init__(self) -> None:
        for bits in self.bits:
            operand_format(bits, field="mixed bits")
        require(len(self.bits) == len(set(self.bits)) > 0, "mixed bits", "different from each other", self.bits)
        require(self.images >= 1, "mixed images", "1 or more", self.images)


@dataclass(frozen=True)
class Assigner:
    """Chooses bits by layer: what `hwsim.quant.pipeline.quantize_network` asks."""

    settings: MixedSettings
    scheme: Scheme
    samples: Samples
    curvatures: Callable[[Graph], Mapping[str, float]] | None = None
    """Of the loss, for `Measure.HESSIAN`."""

    def __call__(self, graph: Graph, ranges: Ranges) -> Assignment:
        """Measure every tensor at every width, and search."""
        settings = self.settings
        outputs = settings.budget.cost is Cost.BANDWIDTH
        measured = sensitivities(graph, ranges, self.samples, self.scheme, settings.bits, outputs=outputs)
        if settings.by is Measure.HESSIAN:
            assert self.curvatures is not None
            measured = with_curvatures(measured, self.curvatures(graph))
        items = self._options(graph, ranges, measured)
        choice = exact(items, settings.budget.allowed(self.uniform(graph, ranges)))
        return Assignment(schemes_of(graph, self.scheme, choice), items, choice, measured)

    def uniform(self, graph: Graph, ranges: Ranges) -> int:
        """Return what the scheme's own bits cost in every layer."""
        own: dict[str, dict[int, Sensitivity]] = {}
        for node in graph.nodes:
            if node.op.weighted:
                own[weight_item(node.name)] = {self.scheme.weight_bits: EXACT}
            if has_output_bits(graph, node.name):
                own[output_item(node.name)] = {self.scheme.activation_bits: EXACT}
        return sum(options[0].cost for options in self._options(graph, ranges, own).values())

    def _options(self, graph: Graph, ranges: Ranges, measured: Measured) -> Items:
        cost, loss = self.settings.budget.cost, self.settings.by.loss
        if cost is Cost.CYCLES:
            return cycle_options(graph, ranges, self.scheme, measured, self.settings.accelerator, loss)
        return (size_options if cost is Cost.SIZE else bandwidth_options)(graph, measured, loss)


def mixed_info(assigner: Assigner, made: Quantized) -> MixedInfo:
    """Return what the document says of the bits by layer of a network that `assigner` chose them for."""
    assignment, settings = made.assignment, assigner.settings
    assert assignment is not None
    uniform = assigner.uniform(made.real, made.ranges)
    allowed = settings.budget.allowed(uniform)
    cost, loss = total(assignment.choice)
    rough_cost, rough_loss = total(greedy(assignment.items, allowed))
    timed = None
    if settings.budget.cost is Cost.CYCLES:
        timed = sum(layer.time.cycles for layer in time_network(made.graph, settings.accelerator))
    free = [name for name in assignment.items if name in assignment.measured]
    return MixedInfo(
        budget=str(settings.budget), by=settings.by.value,
        unit=settings.budget.cost.unit, allowed=allowed, uniform=uniform, cost=cost,
        loss=significant(loss), greedy_cost=rough_cost, greedy_loss=significant(rough_loss), images=assigner.samples.images,
        items=tuple(_item(name, assignment.items, assignment.choice, assignment.measured[name]) for name in free),
        fixed=sum(option.cost for name, option in assignment.choice.items() if name not in assignment.measured),
        timed=timed,
    )  # fmt: skip


def _item(name: str, items: Items, choice: Choice, measured: Mapping[int, Sensitivity]) -> MixedItem:
    options = tuple(
        MixedOption(
            bits=option.bits, cost=option.cost, error=significant(measured[option.bits].error),
            sqnr_db=significant(measured[option.bits].sqnr_db) if measured[option.bits].error else None,
            agree=measured[option.bits].agree, hessian=_significant(measured[option.bits].hessian),
        )
        for option in items[name]
    )  # fmt: skip
    return MixedItem(name=name, bits=choice[name].bits, options=options)


def _significant(value: float | None) -> float | None:
    return None if value is None else significant(value)
