"""The points of a space: an assignment of values to parameters, and the configuration that it stands for."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from hwsim.sim.layer_registers import reductions_of
from hwsim.spec import PRESETS, Accelerator, Arithmetic, Overflow, Profile, Register, require
from hwsim.sweep.fpga_cost import fpga_cost
from hwsim.sweep.layer_files import LayerFile
from hwsim.sweep.parameters import (
    ANEW,
    FORMATS,
    MACHINE,
    NONE,
    PREPARED,
    QUANTIZATION,
    Scalar,
    Setting,
    machine_of,
    settings_of,
)
from hwsim.sweep.quantization import network_machine, settings_of_run, values_machine
from hwsim.sweep.space import MOST_POINTS, Domain, Halving, Space, model_name

Assignment = dict[str, Scalar]
"""Values by parameter, ``model`` first; those whose condition does not hold are left out."""

Choose = Callable[[str, Domain], Scalar]
"""Picks a value of a parameter."""

MOST_TRIES = 100
"""Draws per point that is wanted: a space of few points runs out of new ones."""

DEFAULT_BITS = 8
"""Of weights and activations where hwsim quantizes and nothing else is said."""

ROW_VERSION = 3
"""Of the columns and their meaning; part of every key, so that rows of another version are never taken for these."""


@dataclass(frozen=True)
class ModelSource:
    """A network and its data, with what identifies them.

    Attributes
    ----------
    name, text, path
        What rows call it, how the file of the sweep names it, and what `hwsim.load.load_model` takes.
    sha256, quantized, profile
        Digest of the file; whether it is quantized, and how its makers round.
    data, data_path, data_sha256
        The same of the set, None where only the time is of interest, and its digest.
    image_size, samples
        What a folder of images is brought to, and how many samples the set has.
    mean, std
        Input scaling, where the model does not say.
    weight_bits, activation_bits
        Of all its layers, None where they differ or are not integers.
    """

    name: str
    text: str
    path: str
    sha256: str
    quantized: bool
    profile: Profile
    data: str | None = None
    data_path: str | None = None
    data_sha256: str | None = None
    image_size: tuple[int, int] | None = None
    samples: int = 0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    weight_bits: int | None = None
    activation_bits: int | None = None


@dataclass(frozen=True)
class Configuration:
    """A point as what is computed: the effective machine and quantization, whichever parameters brought them about.

    Parameters
    ----------
    source
        The network and its data.
    quantization
        Options by name in `QUANTIZATION`; None where left to the model.
    machine
        The accelerator, its rounding settled.
    images
        Samples that accuracy is of; 0 without data.
    frames_per_second
        For the bandwidth.
    stages
        Numbers of images of successive halving, or nothing.
    layers
        Registers of single layers in place of the machine's, or None.
    """

    source: ModelSource
    quantization: tuple[tuple[str, Setting], ...]
    machine: Accelerator
    images: int
    frames_per_second: float
    stages: tuple[int, ...] = ()
    layers: LayerFile | None = None

    @functools.cached_property
    def options(self) -> dict[str, Setting]:
        """The quantization by name."""
        return dict(self.quantization)

    @functools.cached_property
    def settings(self) -> dict[str, Setting]:
        """All effective parameters of the row."""
        files = {"layers": None if self.layers is None else self.layers.text}
        return {**self.options, **files, **settings_of(self.machine)}

    @functools.cached_property
    def key(self) -> str:
        """Hash of all that the row depends on."""
        source = self.source
        return digest(
            "row", ROW_VERSION, source.name, source.sha256, source.data_sha256, source.mean, source.std, self.settings,
            self.images, self.frames_per_second, self.stages, self._layers,
        )  # fmt: skip

    @property
    def _layers(self) -> str | None:
        return None if self.layers is None else self.layers.content

    @functools.cached_property
    def values_key(self) -> str:
        """Hash of what the values engine depends on, the number of images apart."""
        source = self.source
        return digest(
            "values", ROW_VERSION, source.sha256, source.data_sha256, source.mean, source.std, self._given,
            settings_of(self.values_machine), self._layers,
        )  # fmt: skip

    @property
    def _given(self) -> dict[str, Setting]:
        return {name: value for name, value in self.quantization if value is not None}

    @property
    def values_machine(self) -> Accelerator:
        """The machine as the values engine sees it."""
        return values_machine(self.machine, self.options)

    @property
    def prepared(self) -> bool:
        """Whether the network has to be quantized before it can be timed."""
        return any(self.options[name] is not None for name in PREPARED)

    @functools.cached_property
    def cost(self) -> dict[str, int | str | None]:
        """What the machine's core takes of an FPGA, by column."""
        own = self.source if all(self.options[name] is None for name in ANEW) else None
        bits = (
            self.options[name] or (getattr(own, name) if own is not None and own.quantized else DEFAULT_BITS)
            for name in FORMATS
        )
        return vars(fpga_cost(self.machine, *bits))

    @functools.cached_property
    def time_machine(self) -> Accelerator:
        """The machine as the time engine sees it: what a register does with an overflow takes no time."""
        arithmetic = self.machine.arithmetic
        reduction = arithmetic.reduction
        wrapping: dict[str, Any] = {
            name: Register(register.bits, Overflow.WRAP)
            for name in ("acc", "psum", "tree")
            if (register := getattr(reduction, name)) is not None
        }
        return replace(self.machine, name="", arithmetic=Arithmetic(replace(reduction, **wrapping), arithmetic.profile))

    @functools.cached_property
    def time_key(self) -> str:
        """Hash of what the time engine depends on."""
        formats: object = [self.options.get(name) for name in FORMATS]
        if self.prepared:
            source, machine = self.source, network_machine(self.machine, self.options)
            formats = [self._given, source.data_sha256, source.mean, source.std, settings_of(machine)]
        return digest(
            "time", ROW_VERSION, self.source.sha256, formats, settings_of(self.time_machine), self.frames_per_second
        )


def digest(*parts: object) -> str:
    """Return 32 hex digits that name what was given."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def configure(
    space: Space, base: Accelerator, source: ModelSource, assignment: Assignment,
    files: Mapping[str, LayerFile] = MappingProxyType({}),
) -> Configuration:  # fmt: skip
    """Return the configuration of an assignment; `files` are those of `hwsim.sweep.layer_files.open_layers`.

    Raises
    ------
    InputError
        Where the values do not go together.
    """
    values = {name: value for name, value in assignment.items() if name != "model"}
    options: dict[str, Setting] = {
        name: None if values.get(name) == NONE else values.get(name) for name in QUANTIZATION
    }
    machine = machine_of(base, {name: value for name, value in values.items() if name in MACHINE})
    layers = files.get(str(values.get("layers", NONE)))
    if layers is not None:
        reductions_of(layers.tables, machine.arithmetic.reduction)
    if options["accumulator_aware"] is False:
        options["accumulator_aware"] = None
    anew = any(options[name] is not None for name in ANEW)
    # What cannot be read is said of the point here, not by each of its jobs.
    settings_of_run(options, machine, source.mean, source.std)
    preset = any(preset == base for preset in PRESETS)
    # As `hwsim run` does: a preset rounds as the model's makers do, where they are asked.
    if "requantize" not in values and source.quantized and not anew and preset:
        machine = replace(machine, arithmetic=replace(machine.arithmetic, profile=source.profile))
    images = min(space.images or source.samples, source.samples)
    return Configuration(
        source, tuple(options.items()), machine, images, space.frames_per_second, _stages(space.halving, images), layers
    )


def _stages(halving: Halving | None, images: int) -> tuple[int, ...]:
    if halving is None or images == 0:
        return ()
    stages = [halving.start_images]
    while stages[-1] < images:
        stages.append(stages[-1] * halving.factor)
    return (*(count for count in stages if count < images), images)


def grid(space: Space) -> list[Assignment]:
    """Return all points, models outermost and the last parameter fastest."""
    generator = random.Random(space.seed)
    values = {name: _listed(domain, generator) for name, domain in space.parameters.items()}
    found: list[Assignment] = []
    for entry in space.models:
        for point in _product(space, values, list(space.parameters), {"model": model_name(entry)}):
            require(len(found) < MOST_POINTS, "a grid", f"of at most {MOST_POINTS} points", "more")
            found.append(point)
    return found


def drawn(space: Space, wanted: int) -> list[Assignment]:
    """Return so many different points drawn at random, fewer where the space has no more; the same for the same seed."""
    generator = random.Random(space.seed)
    found: dict[str, Assignment] = {}
    for _ in range(wanted * MOST_TRIES):
        if len(found) == wanted:
            break
        model = model_name(generator.choice(space.models))
        point = assign(space, model, lambda _name, domain: _one(domain, generator))
        found.setdefault(digest(point), point)
    return list(found.values())


def assign(space: Space, model: str, choose: Choose) -> Assignment:
    """Return a point: `choose` is asked for each parameter whose condition holds."""
    point: Assignment = {"model": model}
    for name, domain in space.parameters.items():
        if _holds(domain, point):
            point[name] = choose(name, domain)
    return point


def _product(
    space: Space, values: dict[str, tuple[Scalar, ...]], names: list[str], point: Assignment
) -> Iterator[Assignment]:
    if not names:
        yield dict(point)
        return
    name, rest = names[0], names[1:]
    if not _holds(space.parameters[name], point):
        yield from _product(space, values, rest, point)
        return
    for value in values[name]:
        yield from _product(space, values, rest, {**point, name: value})


def _holds(domain: Domain, point: Assignment) -> bool:
    for name, wanted in domain.when.items():
        choices = wanted if isinstance(wanted, tuple) else (wanted,)
        # True is not 1 here: they are different words in TOML.
        if name not in point or not any(type(point[name]) is type(c) and point[name] == c for c in choices):
            return False
    return True


def _listed(domain: Domain, generator: random.Random) -> tuple[Scalar, ...]:
    if domain.draw is None:
        return domain.listed()
    return tuple(dict.fromkeys(_one(domain, generator) for _ in range(domain.count or 0)))


def _one(domain: Domain, generator: random.Random) -> Scalar:
    if domain.draw is None:
        return generator.choice(domain.listed())
    assert domain.start is not None and domain.stop is not None
    if domain.draw == "log-uniform":
        low, high = math.log(domain.start), math.log(domain.stop)
        value = min(max(math.exp(generator.uniform(low, high)), domain.start), domain.stop)
        return round(value) if domain.integral else float(value)
    if domain.integral:
        return generator.randint(int(domain.start), int(domain.stop))
    return generator.uniform(domain.start, domain.stop)
