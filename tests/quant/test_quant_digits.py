"""Quantization of the bundled networks: how close to float, at which widths."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from hwsim.data import open_dataset
from hwsim.graph import Array, Graph
from hwsim.load import load_model
from hwsim.quant import Scheme
from hwsim.sim import Program
from hwsim.sim.feed import Feed
from hwsim.spec import Arithmetic, Reduction, Register
from quant.float_nets import outputs_of, quantized, sqnr_db

MODELS = ("digits_cnn", "digits_mobilenet")
WIDE = Arithmetic(Reduction(Register.parse("48:saturate")))
"""Products of 16 by 16 bits need more than 32 bits of sum."""


@functools.cache
def float_model(name: str) -> tuple[Graph, Array, Array, Array]:
    """Return the network, calibration images, test images and labels."""
    graph = load_model(name).graph
    test = open_dataset("digits")
    feed = Feed(graph, test)
    return graph, Feed(graph, test.calibration_split()).real(0, 256), feed.real(0, len(test)), test.labels


def scores(name: str, weight_bits: int, activation_bits: int, count: int) -> tuple[Array, Array]:
    """Return the float and the dequantized integer scores of the first `count` test images."""
    graph, calibration, images, _ = float_model(name)
    integer = quantized(graph, [calibration], Scheme(weight_bits=weight_bits, activation_bits=activation_bits))
    assert integer.input.quantization is not None and integer.output.quantization is not None
    found = Program(integer, WIDE).run(integer.input.quantization.quantize(images[:count]))[graph.outputs[0]]
    return outputs_of(graph, images[:count])[graph.outputs[0]], integer.output.quantization.dequantize(found)


@pytest.mark.parametrize("name", MODELS)
def test_sixteen_bits_are_within_60_db_of_float(name: str) -> None:
    real, integer = scores(name, 16, 16, 40)
    assert sqnr_db(real, integer) > 60


@pytest.mark.parametrize("name", MODELS)
def test_eight_bits_lose_less_than_a_point_of_accuracy(name: str) -> None:
    labels = float_model(name)[3]
    real, integer = scores(name, 8, 8, len(labels))
    accuracy = [float((found.argmax(axis=1) == labels).mean()) for found in (real, integer)]
    assert accuracy[0] > 0.98
    assert abs(accuracy[0] - accuracy[1]) <= 0.01


@pytest.mark.parametrize("which", ["weights", "activations"])
def test_fewer_bits_are_never_closer_to_float(which: str) -> None:
    noise = []
    for bits in (2, 4, 6, 8, 12):
        pair = (bits, 16) if which == "weights" else (16, bits)
        noise.append(sqnr_db(*scores("digits_cnn", *pair, 40)))
    assert noise == sorted(noise)
    # Each two bits are worth 12 dB where rounding is white noise: at least half of that between 4 and 8.
    assert noise[3] - noise[1] > 12


def test_quantizing_twice_gives_the_same_integers() -> None:
    graph, calibration, *_ = float_model("digits_mobilenet")
    one, two = (quantized(graph, [calibration]) for _ in range(2))
    for name, tensor in one.tensors.items():
        assert np.array_equal(tensor.data, two.tensors[name].data) or tensor.data is None
