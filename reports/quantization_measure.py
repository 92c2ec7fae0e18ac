"""What `reports/quantization.py` measures: networks and ways to quantize them, in the words of `hwsim quantize`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from hwsim.cli.options import scheme_of
from hwsim.graph import Graph, InputScaling
from hwsim.load import load_model
from hwsim.models.catalog import BUNDLED
from hwsim.quant import Mode, Scheme
from hwsim.quant.repair import RemoveUpperClamps, cost
from hwsim.sim.execute import execute, execute_float
from hwsim.sim.feed import Feed
from hwsim.sim.quantize.engines import StaticEngine

sys.path.insert(0, str(Path(__file__).resolve().parent / "sources"))
from zoo import DATASET, Bench

Json = dict[str, Any]

TARGETS = "targets"
PARTS = (TARGETS, "ranges", "schemes", "repairs")

CHOICE_IMAGES = 2000
"""Training images, behind those that set ranges, that choose among the candidates of a target."""


@dataclass(frozen=True)
class Network:
    """A network of the report.

    Parameters
    ----------
    name
        What tables call it.
    dataset
        What it classifies.
    file
        Its float model in the data pack, which takes pixels as they are; empty for a bundled network.
    """

    name: str
    dataset: str = DATASET
    file: str = ""

    def missing(self) -> bool:
        """Whether the data pack has not got it."""
        return bool(self.file) and not Path(os.environ.get("HWSIM_DATA", ""), self.file).exists()

    @property
    def residual(self) -> bool:
        """Whether it is a ResNet."""
        return "resnet" in self.name.lower()


NETWORKS = (
    Network("MLPerf Tiny ResNet-8", file="mlperf_tiny/resnet8_float.tflite"),
    *(Network(bundled.name, bundled.dataset) for bundled in reversed(BUNDLED)),
)
"""Another bundled network needs no change here."""


@dataclass(frozen=True)
class Options:
    """Options of `hwsim quantize`; empty ones are its defaults."""

    weight_bits: int = 8
    activation_bits: int = 8
    scheme: str = ""
    ranges: str = ""
    weight_ranges: str = ""
    repair: str = ""

    def __str__(self) -> str:
        widths = (("weight-bits", self.weight_bits), ("activation-bits", self.activation_bits))
        words = (("scheme", self.scheme), ("ranges", self.ranges), ("weight-ranges", self.weight_ranges))
        given = [f"--{name} {bits}" for name, bits in widths if bits != 8]
        given += [f"--{name} {text}" for name, text in (*words, ("repair", self.repair)) if text]
        return " ".join(given)

    def parsed(self) -> Scheme:
        """Return the scheme, read as the command reads it."""
        found = scheme_of(
            self.scheme, self.ranges or None, weight_ranges=self.weight_ranges or None, weight_bits=self.weight_bits,
            activation_bits=self.activation_bits,
        )  # fmt: skip
        assert found is not None
        return found


RANGES = ("", "moving-average", "percentile:99.99", "percentile:99.9", "sigma", "entropy", "mse")
"""The first is the default, min-max."""
RANGE_ROWS = ((8, 8, ""), (8, 6, ""), (8, 4, ""), (4, 8, ""), (4, 8, "mse"))
"""Bits of weights and activations, and ranges of weights."""

SCHEMES = (
    "", "affine-weights", "per-tensor", "per-tensor,affine-weights", "symmetric-activations", "signed-activations",
    "power-of-two", "stochastic", "codebook:4", "weight-only", "dynamic",
)  # fmt: skip
SCHEME_BITS = (8, 6, 4)

REPAIRS = (
    "", "equalize", "equalize,absorb-bias", "split-channels", "split-range", "split-range:1", "clip-weights",
    "correct-bias-analytically", "correct-bias", "adaround", "clip-weights,correct-bias", "clip-weights,adaround",
    "equalize,clip-weights,adaround,correct-bias", "split-range:1,adaround",
)  # fmt: skip
CHANNEL_REPAIRS = ("", "clip-weights", "correct-bias", "clip-weights,correct-bias", "adaround", "clip-weights,adaround")
REPAIR_BITS = (8, 6, 4, 3)


@dataclass(frozen=True)
class Target:
    """What post-training quantization should lose at most.

    Parameters
    ----------
    weight_bits
        Beside activations of 8 bits.
    loss
        Points of top-1 on all test images.
    residual
        Whether it is asked of ResNets alone.
    candidates
        Ways to reach it, with a scale per channel; none costs anything when the network runs.
    """

    weight_bits: int
    loss: float
    residual: bool
    candidates: tuple[Options, ...]

    def asks(self, network: Network) -> bool:
        """Whether it is asked of a network."""
        return network.residual or not self.residual


WANTED = (
    Target(8, 0.3, residual=False, candidates=(
        Options(), Options(ranges="percentile:99.99"), Options(ranges="mse"), Options(ranges="entropy"),
        Options(repair="correct-bias"), Options(ranges="mse", repair="correct-bias"), Options(repair="adaround"),
    )),
    Target(4, 2.0, residual=True, candidates=(
        Options(4, repair="clip-weights,correct-bias"), Options(4, repair="adaround"),
        Options(4, repair="clip-weights,adaround"), Options(4, repair="clip-weights,adaround,correct-bias"),
        Options(4, repair="equalize,clip-weights,adaround,correct-bias"),
        Options(4, ranges="mse", repair="clip-weights,adaround,correct-bias"),
    )),
)  # fmt: skip


def opened(graph: Graph, repairs: str) -> str:
    """Return repairs with ReLU6 made ReLU before channels are equalized, where a network has any."""
    clamped = RemoveUpperClamps().repair(graph, (), Scheme()).nodes != graph.nodes
    return f"relu6-to-relu,{repairs}" if clamped and repairs.startswith("equalize") else repairs


def cases(part: str, network: Network, graph: Graph) -> Iterator[Options]:
    """Yield the ways to quantize a network of one part of the report."""
    if part == TARGETS:
        for target in (target for target in WANTED if target.asks(network)):
            yield from (replace(each, repair=opened(graph, each.repair)) for each in target.candidates)
    elif part == "ranges":
        for weights, activations, clipped in RANGE_ROWS:
            yield from (Options(weights, activations, ranges=name, weight_ranges=clipped) for name in RANGES)
    elif part == "schemes":
        for scheme in SCHEMES:
            # A codebook is a choice among 8-bit integers.
            yield from (Options(bits, scheme=scheme) for bits in SCHEME_BITS[: 1 if "codebook" in scheme else None])
    else:
        for scheme, repairs in (("per-tensor", REPAIRS), ("", CHANNEL_REPAIRS)):
            for bits in reversed(REPAIR_BITS):  # the most telling first
                yield from (Options(bits, scheme=scheme, repair=opened(graph, repair)) for repair in repairs)


@cache
def bench_of(network: Network, images: int) -> Bench:
    """Return a network with so many images, of which there may be fewer."""
    if not network.file:
        return Bench(network.name, images, dataset=network.dataset)
    model = load_model(Path(os.environ["HWSIM_DATA"], network.file))
    model = replace(model, graph=replace(model.graph, scaling=InputScaling()))
    return Bench(network.name, images, model=model, dataset=network.dataset)


class Choice:
    """Training images that choose among candidates: those that a candidate classifies as the float network does.

    Parameters
    ----------
    bench
        The network; its calibration images are left out.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench, self.split, self.first = bench, bench.dataset.calibration_split(), bench.samples.images
        self.images = min(CHOICE_IMAGES, len(self.split) - self.first)

    @cached_property
    def real(self) -> np.ndarray:
        """Classes by the float network."""
        graph = self.bench.graph
        return execute_float(graph, Feed(graph, self.split), self.first + self.images, threads=1)[0][self.first :]

    def agreeing(self, graph: Graph) -> int:
        """Return on how many images an integer network agrees with the float network."""
        program = StaticEngine(graph).program
        found = execute(program, Feed(graph, self.split), self.first + self.images, threads=1)
        return int((found.predictions[self.first :] == self.real).sum())


def point(bench: Bench, options: Options, choice: Choice | None = None) -> Json:
    """Quantize and run; return the images that are right, the points over float with their interval, and what it costs."""
    scheme = options.parsed()
    made = bench.quantized(scheme, options.repair)
    score = bench.score_quantized(made.graph, scheme)
    gap = bench.gap(score)
    found: Json = {"correct": int(score.right.sum()), "points": gap.points, "half": gap.half}
    if scheme.mode is Mode.STATIC:
        costs = cost(made.graph)
        found |= {"macs": costs.macs, "parameters": costs.parameter_bytes, "activations": costs.activation_bytes}
    if choice is not None:
        found |= {"agreeing": choice.agreeing(made.graph), "of": choice.images}
    return found


def begun(network: Network, images: int, before: Mapping[str, Json]) -> tuple[Bench, Json]:
    """Return a network and what an earlier call measured of it on the same images, or a document without points."""
    bench = bench_of(network, images)
    head = {"model": bench.model.sha256, "calibration": bench.samples.images, "n": bench.images}
    kept = before.get(network.name, {})
    if all(kept.get(field) == value for field, value in head.items()):
        return bench, kept
    return bench, {**head, "float": int(bench.real.right.sum()), "points": {}}


def measure(network: Network, part: str, images: int, before: Mapping[str, Json]) -> Iterator[Json]:
    """Yield a network's document after each point of a part that it had not."""
    bench, found = begun(network, images, before)
    choice = Choice(bench) if part == TARGETS else None
    for options in cases(part, network, bench.graph):
        if str(options) not in found["points"]:
            with threadpool_limits(limits=1, user_api="blas"):
                row = found["points"][str(options)] = point(bench, options, choice)
            print(f"{network.name}: {options} {100 * row['correct'] / bench.images:.2f} %", flush=True)
            yield found
