"""The integer network of a run: as the model's makers quantized it, or quantized here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from hwsim.data import Dataset
from hwsim.graph import Graph, InputScaling
from hwsim.load.catalog import LoadedModel
from hwsim.quant import SCHEMES, Scheme, calibrate, dequantized, quantize
from hwsim.sim.document import QuantizationInfo
from hwsim.sim.execute import batch_size
from hwsim.sim.feed import Feed, spans
from hwsim.spec import Profile, require


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
    scaling: InputScaling | None, profile: Profile,
) -> Network:  # fmt: skip
    """Return a model's integer network.

    A model that is quantized runs as it is, unless bits are asked for: then its dequantized network is quantized anew, as a
    float model is. Ranges come from the first `calibration_images` samples of the data set's training split (of the set
    itself where it has none).
    """
    graph = model.graph
    if scaling is not None:
        kind = f"data set {dataset.name}: input mean and std"
        require(dataset.kind == "pixels", kind, "left out for tensors, which are what the model takes", scaling)
        graph = replace(graph, scaling=scaling)
    if graph.quantized and weight_bits is None and activation_bits is None:
        info = QuantizationInfo(
            scheme="as stored in the model", weight_bits=common_bits(graph, weights=True),
            activation_bits=common_bits(graph, weights=False), calibration_images=0,
        )  # fmt: skip
        return Network(graph, dequantized(graph), "dequantized model", "model", info)
    real = dequantized(graph)
    source: Literal["float model", "dequantized model"] = "dequantized model" if graph.quantized else "float model"
    scheme = _scheme(weight_bits or 8, activation_bits or 8, profile)
    feed = Feed(real, dataset.calibration_split(), graph.input.quantization)
    count = min(calibration_images, len(feed.dataset))
    ranges = calibrate(real, (feed.real(*span) for span in spans(count, batch_size(real))), scheme.ranges)
    info = QuantizationInfo(
        scheme=f"{scheme.name}, {scheme.ranges.name} ranges", weight_bits=scheme.weight_bits,
        activation_bits=scheme.activation_bits, calibration_images=count,
    )  # fmt: skip
    return Network(quantize(real, ranges, scheme), real, source, "hwsim", info)


def _scheme(weight_bits: int, activation_bits: int, profile: Profile) -> Scheme:
    base = next(scheme for scheme in SCHEMES if scheme.power_of_two == (profile is Profile.POWER_OF_TWO))
    return replace(base, weight_bits=weight_bits, activation_bits=activation_bits)


def common_bits(graph: Graph, *, weights: bool) -> int | None:
    """Return the one width of all weights (or of the activations that meet them), or None where layers differ."""
    found = set()
    for node in graph.nodes:
        if node.op.weighted:
            quantization = graph.tensors[node.inputs[int(weights)]].quantization
            found.add(None if quantization is None else quantization.format.bits)
    return found.pop() if len(found) == 1 else None
