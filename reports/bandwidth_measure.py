"""What `reports/bandwidth.py` measures: schemes, networks with real inputs, and the bytes that they take."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hwsim.data import Dataset, open_dataset
from hwsim.data.dataset import ArrayDataset
from hwsim.graph import Array, Graph
from hwsim.load import LoadedModel, load_model
from hwsim.models.catalog import BUNDLED
from hwsim.ops.products import ProductsUnit
from hwsim.sim.feed import Feed
from hwsim.sim.network import prepare_network
from hwsim.sim.program import Program
from hwsim.sim.time.bandwidth import (
    Shared,
    Sizes,
    activation_sizes,
    crossing_bytes,
    shared_weights,
    stored_as,
    weight_sizes,
)
from hwsim.sim.time.network import time_network
from hwsim.spec import PRESETS, ROLES, Accelerator, Arithmetic, Format, Reduction, Register, Role

CALIBRATION = 16
"""Images that set the ranges of activations, where hwsim quantizes."""

CODEBOOKS = {8: 16, 4: 8}
"""Shared values per layer, by the bits of the weights: half of them for an index at 8 bits, and one bit less at 4."""

MACHINES = PRESETS[:2]


@dataclass(frozen=True)
class Scheme:
    """A row: widths on the way through the memory (None: float32), and accumulators."""

    name: str
    weight_bits: int | None
    activation_bits: int | None
    acc: str = "32:wrap"

    @property
    def arithmetic(self) -> Arithmetic:
        """How it sums."""
        return Arithmetic(Reduction(Register.parse(self.acc)))


FLOAT = Scheme("float32", None, None)
WEIGHTS = Scheme("weights int8 (weight-only, dynamic)", 8, None)
STATIC = Scheme("static int8, 32-bit accumulators", 8, 8)
STATIC_16 = Scheme("static int8, 16-bit accumulators", 8, 8, "16:wrap")
WEIGHTS_4 = Scheme("weights int4 (weight-only, dynamic)", 4, None)
MIXED = Scheme("static, int4 weights, int8 activations", 4, 8)
STATIC_4 = Scheme("static int4", 4, 4)
SCHEMES = (WEIGHTS, STATIC, STATIC_16, WEIGHTS_4, MIXED, STATIC_4)
"""Weight-only and dynamic quantization move the same: the second makes integers of the activations behind the memory."""


def _in_pack(name: str) -> Path:
    return Path(os.environ.get("HWSIM_DATA", ""), name)


@dataclass(frozen=True)
class Source:
    """A network, and where real inputs come from: a data set, a file of the pack, or photographs of the network's size."""

    name: str
    model: str
    data: str

    def missing(self) -> str:
        """Say what is not there."""
        files = [self.model] if self.model.endswith(".tflite") else []
        if self.data != BUNDLED_DATA:
            files.append(FOLDERS.get(self.data, self.data))
        root = os.environ.get("HWSIM_DATA")
        if files and root is None:
            return "HWSIM_DATA is not set"
        lacking = [name for name in files if not Path(root or "", name).exists()]
        return f"HWSIM_DATA has no {', '.join(lacking)}" if lacking else ""

    def load(self) -> LoadedModel:
        """Return the network."""
        return load_model(_in_pack(self.model) if self.model.endswith(".tflite") else self.model)

    def inputs(self, model: LoadedModel) -> Dataset:
        """Return samples for the network."""
        if self.data != "photographs":
            return open_dataset(str(_in_pack(self.data)) if self.data.endswith(".npz") else self.data)
        height, width = model.graph.input.shape[1:3]
        pictures = open_dataset("imagenet_sample", image_size=(height, width)).batch(0, CALIBRATION)
        # Nobody asks for the class.
        labels = np.zeros(len(pictures), np.int64)
        return ArrayDataset(pictures, labels, name=self.data, split="test", kind="pixels", digest="")


PACK = (
    Source("ResNet-8", "mlperf_tiny/resnet8_int8.tflite", "cifar10"),
    Source("DS-CNN", "mlperf_tiny/kws_dscnn_int8.tflite", "mlperf_tiny/kws01.npz"),
    Source("VWW (MobileNetV1 0.25, 96)", "mlperf_tiny/vww_mobilenet_v1_0.25_int8.tflite", "photographs"),
    Source("MobileNetV1 0.25, 128", "tflite_imagenet/mobilenet_v1_0.25_128_quant.tflite", "photographs"),
    Source("MobileNetV2 1.0, 224", "tflite_imagenet/tf2_mobilenet_v2_1.0_224_ptq.tflite", "photographs"),
)
"""Networks of the data pack."""

SOURCES = (*(Source(bundled.name, bundled.name, bundled.dataset) for bundled in BUNDLED), *PACK)
"""All bundled networks, in their order, and those of the pack: another bundled one needs no change here."""

FOLDERS = {"photographs": "imagenet_sample", "cifar10": "cifar-10-batches-bin"}
"""Data sets by their folders in the pack."""

BUNDLED_DATA = "digits"
"""Needs no pack."""

Bytes = dict[Role, int]


@dataclass(frozen=True)
class Compressed:
    """Real tensors of a network at some bits, in other formats."""

    weights: Sizes
    shared: Shared
    activations: Sizes


@dataclass(frozen=True)
class Narrow:
    """Layers of products: those where some input can overflow 16 bits, those whose bias alone does, and all."""

    may_overflow: int
    large_biases: int
    layers: int


@dataclass(frozen=True)
class Found:
    """What one network gives: bytes of an image by scheme, once through the memory and on machines; tensors compressed.

    `model` is the digest of its file, `images` the number of real inputs.
    """

    name: str
    model: str
    images: int
    once: dict[str, Bytes]
    moved: dict[str, dict[str, Bytes]]
    compressed: dict[int, Compressed]
    narrow: Narrow


def is_current(found: Found, model: LoadedModel, images: int) -> bool:
    """Whether a network's numbers are of this file and so many images, and of all schemes and machines."""
    names = [scheme.name for scheme in (FLOAT, *SCHEMES)]
    tables = [found.once, *found.moved.values()]
    return (
        (found.model, found.images) == (model.sha256, images)
        and list(found.moved) == [machine.name for machine in MACHINES]
        and all(list(table) == names for table in tables)
    )


def measure(source: Source, model: LoadedModel, images: int) -> Found:
    """Work out everything for a network."""
    data = source.inputs(model)
    once: dict[str, Bytes] = {}
    moved: dict[str, dict[str, Bytes]] = {machine.name: {} for machine in MACHINES}
    for scheme in (FLOAT, *SCHEMES):
        graph = stored_as(model.graph, scheme.weight_bits, scheme.activation_bits)
        once[scheme.name] = crossing_bytes(graph, scheme.arithmetic)
        for machine in MACHINES:
            moved[machine.name][scheme.name] = on_machine(graph, replace(machine, arithmetic=scheme.arithmetic))
    programs = {bits: integers(model, data, bits, images) for bits in CODEBOOKS}
    compressed = {
        bits: Compressed(
            weight_sizes(program.graph),
            shared_weights(program.graph, CODEBOOKS[bits]),
            activation_sizes(program, batch),
        )
        for bits, (program, batch) in programs.items()
    }
    return Found(source.name, model.sha256, images, once, moved, compressed, narrow(programs[8][0]))


def on_machine(graph: Graph, machine: Accelerator) -> Bytes:
    """Return the bytes that `hwsim time` has over the DRAM."""
    layers = time_network(graph, machine)
    return {role: sum(layer.time.dram_bytes[role] for layer in layers) for role in ROLES}


def integers(model: LoadedModel, data: Dataset, bits: int, images: int) -> tuple[Program, Array]:
    """Return the network in integers, as its makers stored it where they did at those bits, and some inputs for it."""
    own = bits == 8 and model.graph.quantized
    width = None if own else bits
    network = prepare_network(
        model, data, weight_bits=width, activation_bits=width, calibration_images=CALIBRATION, scaling=None,
        profile=model.graph.profile,
    )  # fmt: skip
    feed = Feed(network.integer, data, model.graph.input.quantization)
    return Program(network.integer), feed.integers(0, images)


def narrow(program: Program) -> Narrow:
    """Return what 16 bits would meet in a network's layers of products."""
    units = [unit for unit in program.units.values() if isinstance(unit, ProductsUnit)]
    form = Format(16)
    return Narrow(
        sum(unit.bounds.safe_bits() > form.bits for unit in units),
        sum(bool(unit.bias.min() < form.lo or unit.bias.max() > form.hi) for unit in units),
        len(units),
    )
