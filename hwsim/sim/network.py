"""The integer network of a run: as the model's makers quantized it, or quantized here."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, overload

from hwsim.data import Dataset
from hwsim.graph import Array, Graph, InputScaling
from hwsim.load.catalog import LoadedModel
from hwsim.quant import Calibration, Mode, Scheme, dequantized, quantize
from hwsim.quant.outliers import OutlierRule
from hwsim.sim.document import QuantizationInfo
from hwsim.sim.execute import batch_size
from hwsim.sim.feed import Feed, spans
from hwsim.spec import Profile, require

Calibrations = MutableMapping[int, Calibration]
"""What calibrates one float network on one data set, by number of samples."""


@dataclass(frozen=True)
class Network:
    """An integer network, the float network that it stands for, and how it came about."""

    integer: Graph
    real: Graph
    real_source: Literal["float model", "dequantized model"]
    quantized_by: Literal["model", "hwsim"]
    info: QuantizationInfo


def prepare_network(
    model: LoadedModel, dataset: Dataset, *, weight_bits: int | None, activation_bits: int | None, calibration_images: int,
    scaling: InputScaling | None, profile: Profile, scheme: Scheme | None = None, calibrations: Calibrations | None = None,
) -> Network:  # fmt: skip
    """Return a model's integer network.

    A model that is quantized runs as it is, unless bits or a scheme are asked for: then its dequantized network is quantized
    anew, as a float model is. Bits take the place of the scheme's. Ranges come from the first `calibration_images` samples of
    the data set's training split (of the set itself where it has none). `calibrations` has those of earlier calls for this model,
    data set and scaling, and is added to: ranges of other bits, schemes and methods follow from the same values.
    """
    graph = model.graph
    if scaling is not None:
        kind = f"data set {dataset.name}: input mean and std"
        require(dataset.kind == "pixels", kind, "left out for tensors, which are what the model takes", scaling)
        graph = replace(graph, scaling=scaling)
    if graph.quantized and weight_bits is None and activation_bits is None and scheme is None:
        info = QuantizationInfo(
            scheme="as stored in the model", weight_bits=common_bits(graph, weights=True),
            activation_bits=common_bits(graph, weights=False), calibration_images=0,
        )  # fmt: skip
        return Network(graph, dequantized(graph), "dequantized model", "model", info)
    real = dequantized(graph)
    source: Literal["float model", "dequantized model"] = "dequantized model" if graph.quantized else "float model"
    scheme = _scheme(scheme or Scheme(), weight_bits, activation_bits, profile)
    require(
        scheme.mode is Mode.STATIC, "scheme", "static where integers run (hwsim quantize has the others)", scheme.name
    )
    samples = calibration_samples(model, real, dataset, calibration_images)
    known = {} if calibrations is None else calibrations
    ranges = known.setdefault(samples.images, Calibration(real, samples)).ranges(scheme.ranges)
    info = QuantizationInfo(
        scheme=scheme.described, weight_bits=scheme.weight_bits,
        activation_bits=scheme.activation_bits, calibration_images=samples.images,
        outliers=None if scheme.outliers is None else str(scheme.outliers),
    )  # fmt: skip
    return Network(quantize(real, ranges, scheme), real, source, "hwsim", info)


def _scheme(scheme: Scheme, weight_bits: int | None, activation_bits: int | None, profile: Profile) -> Scheme:
    return replace(
        scheme, weight_bits=weight_bits or scheme.weight_bits,
        activation_bits=activation_bits or scheme.activation_bits,
        power_of_two=scheme.power_of_two or profile is Profile.POWER_OF_TWO,
    )  # fmt: skip


def outlier_scheme(rule: OutlierRule | None, weight_bits: int | None, base: Scheme | None = None) -> Scheme | None:
    """Return a scheme (the default one) with outliers beside dense weights of those bits; without a rule, as it is given."""
    if rule is None:
        return base
    base = base or Scheme()
    return replace(base, weight_bits=weight_bits or base.weight_bits, outliers=rule)


class Samples(Sequence[Array]):
    """Batches of real inputs, read from a data set whenever they are asked for."""

    def __init__(self, feed: Feed, images: int, size: int) -> None:
        self.images, self._feed, self._spans = images, feed, list(spans(images, size))

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...
    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        if isinstance(index, slice):
            return [self._feed.real(*span) for span in self._spans[index]]
        return self._feed.real(*self._spans[index])


def calibration_samples(model: LoadedModel, real: Graph, dataset: Dataset, images: int) -> Samples:
    """Return the first samples of a data set's training split (of the set itself where it has none) for a float network."""
    feed = Feed(real, dataset.calibration_split(), model.graph.input.quantization)
    return Samples(feed, min(images, len(feed.dataset)), batch_size(real))


def common_bits(graph: Graph, *, weights: bool) -> int | None:
    """Return the one width of all weights (or of the activations that meet them), or None where layers differ."""
    found = set()
    for node in graph.nodes:
        if node.op.weighted:
            quantization = graph.tensors[node.inputs[int(weights)]].quantization
            found.add(None if quantization is None else quantization.format.bits)
    return found.pop() if len(found) == 1 else None
