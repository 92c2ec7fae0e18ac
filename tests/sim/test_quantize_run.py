"""The job of `hwsim quantize` on small networks whose noise is known, and on a bundled one."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from hwsim.data import Dataset, open_dataset
from hwsim.graph import Array, Graph
from hwsim.load import load_model
from hwsim.load.catalog import LoadedModel
from hwsim.ops import Activation, FullyConnected
from hwsim.quant import Mode, Scheme, parse_scheme, range_method
from hwsim.quant.pipeline import find_repairs, quantize_network
from hwsim.quant.repair import FloatRepair, QuantizedRepair
from hwsim.quant.seen import Seen
from hwsim.sim.quantize.analysis import measure, resume, run_float
from hwsim.sim.quantize.document import QuantizedLayer, QuantizeDocument
from hwsim.sim.quantize.engines import engine_of
from hwsim.sim.quantize.errors import ChannelSums, ErrorSums
from hwsim.sim.quantize.run import QuantizeSettings, quantize_model
from hwsim.spec import InputError
from quant.float_nets import FloatNet, outputs_of, sqnr_db
from sim.digits_runs import array_set


def chain(spread: float = 1.0, bad: str = "two") -> Graph:
    """Three layers; the channels of one are wider and wider, up to `spread` times."""
    net = FloatNet(12)
    source = "x"
    for name in ("one", "two", "three"):
        weights = net.rng.normal(0, 0.3, (12, 12))
        if name == bad:
            weights *= np.geomspace(1 / spread, 1, 12)[:, None]
        net.constant(f"{name}_w", weights)
        source = net.node(
            name, FullyConnected(Activation.RELU), source, f"{name}_w", net.normal(f"{name}_b", 12, scale=0.1)
        )
    return net.graph()


def batch(count: int = 20, seed: int = 7) -> Array:
    return np.random.default_rng(seed).normal(0, 1, (count, 12)).astype(np.float32)


def data(count: int = 40) -> Dataset:
    return array_set(batch(count), [place % 12 for place in range(count)])


def loaded(graph: Graph) -> LoadedModel:
    return LoadedModel(graph, Path("net.onnx"), "onnx", "0" * 64)


def analyzed(graph: Graph, scheme: Scheme, **settings: object) -> QuantizeDocument:
    wanted = QuantizeSettings(scheme=scheme, calibration_images=20, analyzed=16, **settings)  # type: ignore[arg-type]
    return quantize_model(loaded(graph), data(), wanted).document


def by_name(document: QuantizeDocument) -> dict[str, QuantizedLayer]:
    return {layer.name: layer for layer in document.layers}


def test_errors_by_hand() -> None:
    """Exact 3 and 4, approximate 3 and 2: rms sqrt(4 / 2), 25 to 4 is 7.959 dB, cosine (9 + 8) / (5 * sqrt(13))."""
    sums = ErrorSums()
    sums.add(np.array([3.0]), np.array([3.0]))
    sums.add(np.array([4.0]), np.array([2.0]))
    found = sums.figures()
    assert found.rms == pytest.approx(math.sqrt(2), rel=1e-5)
    assert found.sqnr_db == pytest.approx(7.959, abs=1e-3)
    assert found.cosine == pytest.approx(17 / (5 * math.sqrt(13)), rel=1e-5)
    assert ErrorSums().figures().sqnr_db is None


def test_the_constant_part_of_an_error_by_hand() -> None:
    """Channel 0 is always 1 too high; channel 1 is 1 too high or too low: half of the squared error is constant."""
    sums = ChannelSums()
    sums.add(np.zeros((2, 2)), np.array([[1.0, 1.0], [1.0, -1.0]]))
    assert sums.shift() == 0.5


def test_each_layers_noise_is_that_of_a_network_with_only_it_quantized() -> None:
    """The effect of a layer, computed apart: its integer unit on float inputs, and the rest of the network in float64."""
    graph, scheme = chain(), Scheme(weight_bits=3, activation_bits=5)
    made = quantize_network(graph, [batch()], scheme)
    engine = engine_of(made.graph, scheme)
    noise = measure(made, engine, scheme, [batch()], lambda _: None)
    exact = outputs_of(graph, batch())
    weights = {name: graph.tensors[f"{name}_w"].real().astype(np.float64) for name in ("one", "two", "three")}
    source = {"one": batch(), "two": exact["one_out"], "three": exact["two_out"]}
    names = list(weights)
    for place, name in enumerate(names):
        node = next(node for node in made.graph.nodes if node.name == name)
        values = engine.alone(node, [source[name], *(graph.tensors[tensor].real() for tensor in node.inputs[1:])])
        assert noise.layers[name].alone.noise == pytest.approx(np.square(values - exact[f"{name}_out"]).sum(), rel=1e-5)
        for other in names[place + 1 :]:
            values = np.maximum(values.astype(np.float64) @ weights[other].T + graph.tensors[f"{other}_b"].real(), 0)
        expected = float(np.square(values - exact["three_out"]).sum())
        assert noise.layers[name].effect.noise == pytest.approx(expected, rel=1e-3)
    accumulated = noise.layers["three"].accumulated
    assert accumulated.noise == pytest.approx(noise.output.noise)
    assert 10 * math.log10(accumulated.signal / accumulated.noise) == pytest.approx(
        sqnr_db(exact["three_out"], engine.scores(batch())), rel=1e-4
    )


def test_running_on_from_a_layer_changes_what_depends_on_it_only() -> None:
    graph = chain()
    values = run_float(graph, batch())
    changed = resume(graph, values, graph.nodes[1], values["two_out"])
    assert set(changed) == {"two_out", "three_out"}
    np.testing.assert_array_equal(changed["three_out"], values["three_out"])


def test_the_layer_with_wide_channels_is_blamed_and_told_why() -> None:
    """With one scale per tensor, channels of 1/1000 of the widest are lost; a scale per channel brings them back."""
    document = analyzed(chain(1000.0), Scheme(weight_bits=6, activation_bits=12, per_channel=False))
    layer = by_name(document)["two"]
    assert document.analysis is not None and layer.analysis is not None
    assert document.analysis.ranked[0] == layer.index
    assert layer.analysis.causes.weights > 0.95
    assert (
        "per-channel scales (--scheme per-channel)" in layer.analysis.advice
        or "--repair equalize" in layer.analysis.advice
    )
    again = analyzed(chain(1000.0), Scheme(weight_bits=6, activation_bits=12))
    other = by_name(again)["two"].analysis
    assert other is not None and other.alone.sqnr_db is not None and layer.analysis.alone.sqnr_db is not None
    assert other.alone.sqnr_db > layer.analysis.alone.sqnr_db


def test_a_range_with_a_long_tail_is_blamed_and_told_why() -> None:
    """Student's t with 3 degrees of freedom: few values set the range, and in 3 bits most others become one integer."""
    values = np.random.default_rng(1).standard_t(3, (200, 12)).astype(np.float32)
    settings = QuantizeSettings(scheme=Scheme(activation_bits=3), calibration_images=200, analyzed=200)
    document = quantize_model(loaded(chain()), array_set(values, [0] * 200), settings).document
    first = by_name(document)["one"].analysis
    assert first is not None and first.causes.weights < 0.05
    assert "has the least squared error (--ranges mse)" in first.advice


@pytest.mark.parametrize(
    "words", ["static", "weight-only", "dynamic", "per-tensor,affine-weights,symmetric-activations"]
)
def test_every_mode_is_measured_and_documented(words: str) -> None:
    document = analyzed(chain(), parse_scheme(words, Scheme(weight_bits=5)), evaluated=30)
    assert document.accuracy is not None and document.accuracy.n == 30
    assert document.accuracy.float32 is not None and 0 <= document.accuracy.float32.agree <= 30
    for layer in document.layers:
        assert layer.weights.format == "int5" and layer.analysis is not None
        assert (layer.output is None) == (document.mode != "static")
        shares = layer.analysis.causes
        assert shares.input + shares.weights + shares.output == pytest.approx(1, abs=1e-5)
        if document.mode == "weight-only":
            assert shares.weights == 1
    assert sum(layer.analysis.blame for layer in document.layers if layer.analysis) == pytest.approx(1, abs=1e-5)
    assert QuantizeDocument.model_validate_json(document.to_json()) == document


def test_the_same_job_gives_the_same_bytes() -> None:
    one, two = (analyzed(chain(), Scheme(weight_bits=4), evaluated=10, threads=threads) for threads in (1, 2))
    assert one.to_json() == two.to_json()


def test_scales_and_zero_points_are_those_of_the_network() -> None:
    settings = QuantizeSettings(scheme=Scheme(affine_weights=True), calibration_images=20)
    result = quantize_model(loaded(chain()), data(), settings)
    for layer in result.document.layers:
        known = result.graph.tensors[layer.weights.tensor].quantization
        leaving = result.graph.tensors[f"{layer.name}_out"].quantization
        assert known is not None and leaving is not None and layer.output is not None
        assert layer.weights.scale == tuple(known.scale.tolist()) and layer.weights.zero_point == tuple(
            known.zero_point.tolist()
        )
        assert (layer.output.scale, layer.output.zero_point) == ((float(leaving.scale),), (int(leaving.zero_point),))
        assert layer.output.lo <= 0 <= layer.output.hi


class Doubled(FloatRepair):
    """A repair that shows when it was called: biases doubled."""

    name = "doubled"

    def repair(self, graph: Graph, samples: object, scheme: Scheme) -> Graph:
        tensors = dict(graph.tensors)
        for name in ("one_b", "two_b", "three_b"):
            old = tensors[name]
            assert old.data is not None
            tensors[name] = dataclasses.replace(old, data=old.data * 2)
        return dataclasses.replace(graph, tensors=tensors)


class Raised(QuantizedRepair):
    """A repair of integers: every bias a step up."""

    name = "raised"

    def repair(self, graph: Graph, quantized: Graph, samples: object, scheme: Scheme) -> Graph:
        tensors = dict(quantized.tensors)
        old = tensors["three_b"]
        assert old.data is not None
        tensors["three_b"] = dataclasses.replace(old, data=old.data + 1)
        return dataclasses.replace(quantized, tensors=tensors)


def test_float_repairs_come_before_ranges_and_integer_repairs_last() -> None:
    graph = chain()
    made = quantize_network(graph, [batch()], Scheme(), (Raised(), Doubled(), Raised()))
    assert made.original is graph
    doubled = Doubled().repair(graph, [], Scheme())
    seen = Seen()
    seen.look(outputs_of(doubled, batch())["three_out"])
    assert made.ranges["three_out"] == (seen.lo, seen.hi)
    plain, raised = made.plain.tensors["three_b"].data, made.graph.tensors["three_b"].data
    assert plain is not None and raised is not None
    assert (raised - plain).tolist() == [2] * 12


def test_repairs_of_integers_need_integers() -> None:
    with pytest.raises(
        InputError, match=r"^repair must be one of the float network with dynamic quantization, not raised"
    ):
        quantize_network(chain(), [batch()], Scheme(mode=Mode.DYNAMIC), (Raised(),))
    with pytest.raises(InputError, match=r"^--repair must be one or more of .*, not 'magic'$"):
        find_repairs(["magic"])


def test_a_bundled_network_is_measured_as_hwsim_run_would() -> None:
    """The accuracy of the integers, from the scores one by one; and fewer bits are blamed on what has fewer."""
    dataset = open_dataset("digits")
    scheme = Scheme(weight_bits=8, activation_bits=3, activation_ranges=range_method("mse"))
    settings = QuantizeSettings(scheme=scheme, calibration_images=64, evaluated=60, analyzed=8)
    document = quantize_model(load_model("digits_cnn"), dataset, settings).document
    assert document.accuracy is not None and document.analysis is not None
    assert 0.5 < document.accuracy.top1 <= 1
    for layer in document.layers:
        assert layer.analysis is not None and layer.analysis.causes.weights < 0.2
        assert layer.weight_error.sqnr_db is not None and layer.weight_error.sqnr_db > 35
        assert sum(layer.analysis.weights.counts) == layer.analysis.weights.n
        assert layer.analysis.output is not None and sum(layer.analysis.output.counts) == layer.analysis.output.n
