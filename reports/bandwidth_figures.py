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
    """A row: widths on the way through the memory (None: float32), accumulators, and what the slides say (None: nothing)."""

    name: str
    weight_bits: int | None
    activation_bits: int | None
    slides: tuple[str, str] | None
    acc: str = "32:wrap"

    @property
    def arithmetic(self) -> Arithmetic:
        """How it sums."""
        return Arithmetic(Reduction(Register.parse(self.acc)))


FLOAT = Scheme("float32", None, None, None)
STATIC = Scheme("static int8, 32-bit accumulators", 8, 8, ("4x", "4x"))
SCHEMES = (
    Scheme("weight-only int8", 8, None, ("4x", "1x")),
    Scheme("dynamic int8", 8, None, ("4x", "1x")),
    STATIC,
    Scheme("static int8, 16-bit accumulators", 8, 8, ("4x", "4x"), "16:wrap"),
    Scheme("static, int4 weights, int8 activations", 4, 8, None),
    Scheme("static int4", 4, 4, None),
)
"""The four of the slides, in their order, and two of 4 bits."""


@dataclass(frozen=True)
class Source:
    """A network, and where real inputs come from: a data set, a file of the pack, or photographs of the network's size."""

    name: str
    model: str
    data: str

    def missing(self) -> str:
        """Say what is not there."""
        root = os.environ.get("HWSIM_DATA")
        if not self.model.endswith(".tflite"):
            return ""
        if root is None:
            return "HWSIM_DATA is not set"
        data = {"photographs": "imagenet_sample", "cifar10": "cifar-10-batches-bin"}.get(self.data, self.data)
        files = (self.model, data)
        lacking = [name for name in files if not Path(root, name).exists()]
        return f"HWSIM_DATA has no {', '.join(lacking)}" if lacking else ""

    def load(self) -> tuple[LoadedModel, Dataset]:
        """Return the network and its samples."""
        root = Path(os.environ.get("HWSIM_DATA", ""))
        model = load_model(root / self.model if self.model.endswith(".tflite") else self.model)
        if self.data != "photographs":
            return model, open_dataset(str(root / self.data) if self.data.endswith(".npz") else self.data)
        height, width = model.graph.input.shape[1:3]
        pictures = open_dataset("imagenet_sample", image_size=(height, width)).batch(0, CALIBRATION)
        # Nobody asks for the class.
        labels = np.zeros(len(pictures), np.int64)
        return model, ArrayDataset(pictures, labels, name=self.data, split="test", kind="pixels", digest="")


SOURCES = (
    Source("digits_cnn", "digits_cnn", "digits"),
    Source("digits_mobilenet", "digits_mobilenet", "digits"),
    Source("ResNet-8", "mlperf_tiny/resnet8_int8.tflite", "cifar10"),
    Source("DS-CNN", "mlperf_tiny/kws_dscnn_int8.tflite", "mlperf_tiny/kws01.npz"),
    Source("VWW (MobileNetV1 0.25, 96)", "mlperf_tiny/vww_mobilenet_v1_0.25_int8.tflite", "photographs"),
    Source("MobileNetV1 0.25, 128", "tflite_imagenet/mobilenet_v1_0.25_128_quant.tflite", "photographs"),
    Source("MobileNetV2 1.0, 224", "tflite_imagenet/tf2_mobilenet_v2_1.0_224_ptq.tflite", "photographs"),
)

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
    """What one network gives: bytes of an image by scheme, once through the memory and on machines; tensors compressed."""

    name: str
    once: dict[Scheme, Bytes]
    moved: dict[str, dict[Scheme, Bytes]]
    compressed: dict[int, Compressed]
    narrow: Narrow


def measure(source: Source, images: int) -> Found:
    """Work out everything for a network."""
    model, data = source.load()
    once: dict[Scheme, Bytes] = {}
    moved: dict[str, dict[Scheme, Bytes]] = {machine.name: {} for machine in MACHINES}
    for scheme in (FLOAT, *SCHEMES):
        graph = stored_as(model.graph, scheme.weight_bits, scheme.activation_bits)
        once[scheme] = crossing_bytes(graph, scheme.arithmetic)
        for machine in MACHINES:
            moved[machine.name][scheme] = on_machine(graph, replace(machine, arithmetic=scheme.arithmetic))
    programs = {bits: integers(model, data, bits, images) for bits in CODEBOOKS}
    compressed = {
        bits: Compressed(
            weight_sizes(program.graph),
            shared_weights(program.graph, CODEBOOKS[bits]),
            activation_sizes(program, batch),
        )
        for bits, (program, batch) in programs.items()
    }
    return Found(source.name, once, moved, compressed, narrow(programs[8][0]))


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
