"""What the pages share: the networks, their accuracy under a scheme, differences between two of them, tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from threadpoolctl import threadpool_limits

from hwsim.data import open_dataset
from hwsim.graph import Array, Graph
from hwsim.load import LoadedModel, load_model
from hwsim.ops import DepthwiseConv2D
from hwsim.quant import Mode, Scheme, calibrate
from hwsim.quant.pipeline import Quantized, find_repairs, quantize_network
from hwsim.sim.execute import batch_size, execute, execute_float
from hwsim.sim.feed import Feed, spans
from hwsim.sim.network import calibration_samples
from hwsim.sim.quantize.engines import DynamicEngine, StaticEngine
from hwsim.spec.wilson import Z95

NETWORKS = ("cifar_lenet", "cifar_resnet8", "cifar_resnet20", "cifar_mobilenet_v1_025", "cifar_mobilenet_v1_050")
"""Bundled networks that the pages measure; more need no change elsewhere."""

DATASET = "cifar10"
CALIBRATION_IMAGES = 256


@dataclass(frozen=True, eq=False)
class Score:
    """Which images a network classified rightly.

    Parameters
    ----------
    right
        bool [images].
    graph
        The network that did.
    """

    right: Array
    graph: Graph

    @property
    def top1(self) -> float:
        """In percent."""
        return 100 * float(self.right.mean())


@dataclass(frozen=True)
class Gap:
    """What one network has over another on the same images.

    Parameters
    ----------
    points
        Of top-1.
    half
        Half of the 95 % interval of `points`: of paired differences, so from the images that only one of the two has right.
    """

    points: float
    half: float

    @classmethod
    def between(cls, one: Array, other: Array) -> Gap:
        """Return the gap of two bool [images]."""
        n = len(one)
        more, less = int((one & ~other).sum()), int((other & ~one).sum())
        half = Z95 * math.sqrt(max(more + less - (more - less) ** 2 / n, 0)) / n
        return cls(100 * (more - less) / n, 100 * half)

    @property
    def clear(self) -> bool:
        """Whether the images tell the two networks apart."""
        return abs(self.points) > self.half

    def __str__(self) -> str:
        return f"{signed(self.points)} ± {self.half:.2f}"


class Bench:
    """A float network of the zoo, with the images that calibrate and evaluate it.

    Parameters
    ----------
    name
        Of a bundled network for CIFAR-10.
    images
        Test images, the first so many.
    calibration_images
        Training images that set ranges and that repairs look at.
    model
        A float network in the place of the bundled one; its pixels are scaled as it says.
    dataset
        What it classifies.
    """

    def __init__(
        self, name: str, images: int, calibration_images: int = CALIBRATION_IMAGES, *, model: LoadedModel | None = None,
        dataset: str = DATASET,
    ) -> None:  # fmt: skip
        self.name, self.model, self.dataset = name, model or load_model(name), open_dataset(dataset)
        self.graph = self.model.graph
        self.images = min(images, len(self.dataset))
        self.samples = calibration_samples(self.model, self.graph, self.dataset, calibration_images)

    @cached_property
    def real(self) -> Score:
        """The float network."""
        return self.score_float(self.graph)

    @property
    def depthwise(self) -> bool:
        """Whether the network has depthwise layers."""
        return any(isinstance(node.op, DepthwiseConv2D) for node in self.graph.nodes)

    def score(self, scheme: Scheme, repairs: str = "") -> Score:
        """Quantize, repair (names with commas between) and run the network."""
        return self.score_quantized(self.quantized(scheme, repairs).graph, scheme)

    def quantized(self, scheme: Scheme, repairs: str = "") -> Quantized:
        """Quantize and repair the network."""
        return quantize_network(self.graph, self.samples, scheme, find_repairs(filter(None, repairs.split(","))))

    def ranges(self, scheme: Scheme) -> dict[str, tuple[float, float]]:
        """Return the ranges of activations."""
        return calibrate(self.graph, self.samples, scheme.ranges)

    def score_quantized(self, graph: Graph, scheme: Scheme) -> Score:
        """Run a network that was quantized with a scheme, in the scheme's mode."""
        if scheme.mode is Mode.STATIC:
            return self.score_integers(graph)
        return self.score_dynamic(graph, scheme) if scheme.mode is Mode.DYNAMIC else self.score_float(graph)

    def score_integers(self, graph: Graph) -> Score:
        """Run an integer network, with sums that nothing overflows."""
        found = execute(StaticEngine(graph).program, Feed(graph, self.dataset), self.images, threads=1)
        return self._score(found.predictions, graph)

    def score_float(self, graph: Graph) -> Score:
        """Run a float network, its weights maybe integers."""
        with threadpool_limits(limits=1, user_api="blas"):
            predictions, _ = execute_float(graph, Feed(graph, self.dataset), self.images, threads=1)
        return self._score(predictions, graph)

    def score_dynamic(self, graph: Graph, scheme: Scheme) -> Score:
        """Run a float network whose layers quantize their inputs, image by image."""
        engine, feed = DynamicEngine(graph, scheme), Feed(graph, self.dataset)
        with threadpool_limits(limits=1, user_api="blas"):
            found = [engine.scores(feed.real(*span)).argmax(axis=-1) for span in spans(self.images, batch_size(graph))]
        return self._score(np.concatenate(found), graph)

    def gap(self, score: Score, base: Score | None = None) -> Gap:
        """Return what a network has over another, or over the float network."""
        return Gap.between(score.right, (base or self.real).right)

    def _score(self, predictions: Array, graph: Graph) -> Score:
        right = predictions == Feed(self.graph, self.dataset).labels(self.graph, 0, self.images)
        return Score(np.asarray(right, bool), graph)


Page = Callable[[Sequence[Bench]], str]
"""A page's Markdown, from the networks."""


def with_tensors(graph: Graph, data: dict[str, Array]) -> Graph:
    """Return a network with other constants."""
    changed = {name: replace(graph.tensors[name], data=found) for name, found in data.items()}
    return replace(graph, tensors={**graph.tensors, **changed})


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def signed(points: float) -> str:
    """Return points with a sign; what rounds to nothing has none."""
    return f"{points:+.2f}" if round(points, 2) else "0.00"


def fraction(score: Score) -> str:
    """Return a top-1 as the sources that state fractions do."""
    return f"{score.top1 / 100:.4f}"


def listed(names: Sequence[str]) -> str:
    """Return names with commas between."""
    return ", ".join(names) or "none"


def against_float(bench: Bench, score: Score) -> str:
    """Say in words what a network lost."""
    gap = bench.gap(score)
    if not gap.clear:
        return f"cannot be told from its float network ({gap} points)"
    return f"{'loses' if gap.points < 0 else 'gains'} {abs(gap.points):.2f} points (± {gap.half:.2f})"


def measured_on(benches: Sequence[Bench]) -> str:
    """Say what the figures of a page are of."""
    counts = ", ".join(f"`{bench.name}` {bench.images:,}" for bench in benches)
    return (
        f"Ours: top-1 on the first test images of CIFAR-10 ({counts}); {benches[0].samples.images} training images set ranges; "
        f"integer "
        "networks run bit for bit, with sums that nothing overflows. Intervals are 95 %, of paired differences on the same "
        f"images."
    )
