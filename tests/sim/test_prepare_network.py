"""Which integer network a run uses: the model's own, or one quantized here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwsim.data import Dataset
from hwsim.graph import Graph, InputScaling
from hwsim.load import load_model
from hwsim.load.catalog import LoadedModel
from hwsim.ops import FullyConnected
from hwsim.quant import Scheme, quantize
from hwsim.sim.feed import Feed
from hwsim.sim.network import Network, common_bits, prepare_network
from hwsim.sim.run import Settings, run
from hwsim.spec import InputError, Profile
from quant.float_nets import FloatNet
from sim.digits_runs import array_set, digits, network


def prepared(graph: Graph, data: Dataset, **changes: object) -> Network:
    options: dict[str, object] = {
        "weight_bits": None, "activation_bits": None, "calibration_images": 16, "scaling": None,
        "profile": Profile.TFLITE, **changes,
    }  # fmt: skip
    return prepare_network(LoadedModel(graph, Path("net.onnx"), "onnx", "0" * 64), data, **options)  # type: ignore[arg-type]


def test_a_quantized_model_runs_as_it_is() -> None:
    graph = network(weight_bits=5, activation_bits=7).integer
    found = prepared(graph, digits())
    assert found.integer is graph
    assert (found.quantized_by, found.real_source) == ("model", "dequantized model")
    assert (found.info.weight_bits, found.info.activation_bits, found.info.calibration_images) == (5, 7, 0)


def test_bits_quantize_a_quantized_model_anew() -> None:
    found = prepared(network(weight_bits=5).integer, digits(), weight_bits=6)
    assert (found.quantized_by, found.real_source) == ("hwsim", "dequantized model")
    assert (common_bits(found.integer, weights=True), common_bits(found.integer, weights=False)) == (6, 8)


def test_a_float_model_gets_eight_bits_where_none_are_asked_for() -> None:
    found = prepared(load_model("digits_cnn").graph, digits())
    assert (found.info.weight_bits, found.info.activation_bits, found.info.calibration_images) == (8, 8, 16)
    assert found.real_source == "float model"


def test_the_profile_of_shifts_gets_scales_that_are_powers_of_two() -> None:
    found = prepared(load_model("digits_cnn").graph, digits(), profile=Profile.POWER_OF_TWO)
    scales = [t.quantization.scale for t in found.integer.tensors.values() if t.quantization is not None]
    assert all((np.frexp(scale)[0] == 0.5).all() for scale in scales)


@pytest.mark.parametrize("quantized", [False, True])
def test_a_scaling_given_by_the_user_counts_for_float_and_for_quantized_models(quantized: bool) -> None:
    graph = network().integer if quantized else load_model("digits_cnn").graph
    given = InputScaling((3.0,), (5.0,))
    found = prepared(graph, digits(), scaling=given)
    for part in (found.integer, found.real):
        assert Feed(part, digits()).scaling == given
    pixel = digits().batch(0, 1)
    assert np.array_equal(Feed(found.real, digits()).real(0, 1), (pixel.astype(np.float32) - 3) / np.float32(5))


def test_a_scaling_for_tensors_is_refused_instead_of_ignored() -> None:
    tensors = array_set(np.zeros((2, 8, 8, 1), np.float32), [0, 1])
    with pytest.raises(InputError, match=r"^data set arrays: input mean and std must be left out for tensors"):
        prepared(load_model("digits_cnn").graph, tensors, scaling=InputScaling())


def test_bits_are_common_only_where_all_layers_agree() -> None:
    graph = network(weight_bits=5).integer
    name = next(node for node in graph.nodes if node.op.weighted).inputs[1]
    other = network(weight_bits=4).integer.tensors[name]
    assert common_bits(graph, weights=True) == 5
    assert common_bits(replace(graph, tensors={**graph.tensors, name: other}), weights=True) is None


def test_shared_weights_are_drawn_beside_their_float_values_whatever_their_names() -> None:
    """The copy of the second layer is called ``w@1@two``; there is a ``w`` of another shape to be mistaken for it."""
    net = FloatNet(3)
    net.normal("w@1", 3, 3)
    net.normal("w", 5, 3)
    first = net.node("one", FullyConnected(), "x", "w@1")
    second = net.node("two", FullyConnected(), first, "w@1")
    net.node("three", FullyConnected(), second, "w")
    graph = net.graph()
    data = array_set(np.random.default_rng(1).normal(0, 1, (6, 3)).astype(np.float32), [0, 1, 2, 3, 4, 0])
    document = run(LoadedModel(graph, Path("net.onnx"), "onnx", "0" * 64), data, Settings(weight_bits=2))
    one, two, three = (part.weights for part in document.layers)
    assert one is not None and two is not None and three is not None
    real = graph.tensors["w@1"].real()
    assert one == two
    assert (one.lo, one.hi, one.n) == (float(real.min()), float(real.max()), 9)
    assert three.n == 15


def test_a_network_quantized_with_two_bits_still_runs() -> None:
    net = FloatNet(4)
    net.node("fc", FullyConnected(), "x", net.normal("w", 3, 4), net.normal("b", 3))
    graph = net.graph()
    integer = quantize(graph, {"x": (-1.0, 1.0), "fc_out": (-1.0, 1.0)}, Scheme(weight_bits=2, activation_bits=2))
    data = array_set(np.random.default_rng(1).normal(0, 1, (6, 4)).astype(np.float32), [0, 1, 2, 0, 1, 2])
    document = run(LoadedModel(integer, Path("net.onnx"), "onnx", "0" * 64), data, Settings())
    assert document.layers[0].weight_bits == document.layers[0].activation_bits == 2
    assert document.accuracy.n == 6
