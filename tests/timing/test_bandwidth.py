"""What a network's tensors take in other formats, by arithmetic on a network of two layers with a shortcut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwsim.graph import Graph, Quantization
from hwsim.memory.compression import SCHEMES
from hwsim.ops import Add, Conv2D, FullyConnected, Reshape
from hwsim.ops.geometry import Window
from hwsim.sim.program import Program
from hwsim.sim.time.bandwidth import (
    DENSE,
    Sizes,
    activation_sizes,
    crossing_bytes,
    shared_weights,
    stored_as,
    weight_sizes,
)
from hwsim.spec import Arithmetic, Format, Reduction, Register
from quant.float_nets import FloatNet, quantized


def shortcut() -> Graph:
    """``fc(reshape(x + conv(x)))``: x and its like have 5 x 3 x 2 = 30 elements; 4 + 90 weights, 2 + 3 biases."""
    net = FloatNet(5, 3, 2)
    conv = net.node("conv", Conv2D(Window((1, 1))), "x", net.normal("w", 2, 1, 1, 2), net.normal("b", 2))
    flat = net.node("flat", Reshape((1, 30)), net.node("add", Add(), "x", conv))
    net.node("fc", FullyConnected(), flat, net.normal("v", 3, 30), net.normal("c", 3))
    return net.graph()


@pytest.mark.parametrize(
    ("bits", "acc", "weights", "biases", "scales", "read", "written"),
    [
        ((None, None), 32, 4 * 94, 4 * 5, 0, 4 * 120, 4 * 63),
        ((8, None), 32, 94, 4 * 5, 5 * 5, 4 * 120, 4 * 63),
        ((8, 8), 32, 94, 4 * 5, 5 * 5, 120, 63),
        ((8, 8), 16, 94, 2 * 5, 5 * 5, 120, 63),
        ((4, 8), 32, 47, 4 * 5, 5 * 5, 120, 63),
        ((4, 4), 32, 47, 4 * 5, 5 * 5, 60, 15 + 15 + 2),
    ],
)
def test_every_layer_reads_and_writes_once(
    bits: tuple[int | None, int | None], acc: int, weights: int, biases: int, scales: int, read: int, written: int
) -> None:
    """Read: conv 30, add 30 + 30, fc 30; written: 30, 30, 3; the reshape moves nothing.

    A bias is as wide as the accumulator; a scale is 32 bits of multiplier and 8 of shift. Three results of 4 bits take 2 bytes.
    """
    graph = shortcut()
    images = np.random.default_rng(1).normal(0, 1, (4, 5, 3, 2)).astype(np.float32)
    expected = {
        "weights": weights,
        "outliers": 0,
        "biases": biases,
        "scales": scales,
        "activations_in": read,
        "activations_out": written,
    }
    arithmetic = Arithmetic(Reduction(replace(Register.parse("32:wrap"), bits=acc)))
    # A network in integers stands for the float one, whatever its own widths are.
    for network in (graph, quantized(graph, [images])):
        assert crossing_bytes(stored_as(network, *bits), arithmetic) == expected


def test_a_tensor_that_does_not_shrink_is_stored_plain() -> None:
    """100 elements of 8 bits, 40 of them the zero point: a bitmask takes 100 + 60 * 8 = 580 bits of 800; without zeros, 900."""
    quantization = Quantization(Format(8), np.array(0.5), np.array(-3))
    values = np.r_[np.full(40, -3), np.arange(60)].astype(np.int8)
    sparse = Sizes.of(values, quantization)
    assert (sparse.elements, sparse.zeros, sparse.bits[DENSE], sparse.bits["bitmask"]) == (100, 40, 800, 580)
    full = Sizes.of(np.arange(100, dtype=np.int8), quantization)
    assert (full.zeros, full.bits["bitmask"]) == (0, 800)
    both = Sizes.total([sparse, full])
    assert (both.elements, both.zeros, both.bits[DENSE], both.bits["bitmask"]) == (200, 40, 1600, 1380)
    assert set(both.bits) == {DENSE, *(scheme.name for scheme in SCHEMES)}


def test_activations_are_counted_as_often_as_they_cross() -> None:
    """An image of zeros, a conv of zeros: x is read twice, conv's result written and read, the sum as well: 6 x 30 zeros.

    fc writes 3 more. A bitmask of 30 zeros takes 30 bits, and only fc's results, which are 1, 2, 3, take 3 + 24 and stay plain.
    """
    net = FloatNet(5, 3, 2)
    conv = net.node("conv", Conv2D(Window((1, 1))), "x", net.constant("w", np.zeros((2, 1, 1, 2))))
    flat = net.node("flat", Reshape((1, 30)), net.node("add", Add(), "x", conv))
    net.node("fc", FullyConnected(), flat, net.constant("v", np.ones((3, 30))), net.constant("c", [1, 2, 3]))
    graph = quantized(net.graph(), [np.linspace(-1, 1, 30, dtype=np.float32).reshape(1, 5, 3, 2)])
    zero = graph.input.quantization
    assert zero is not None
    images = np.full((2, 5, 3, 2), int(zero.zero_point), np.int8)
    found = activation_sizes(Program(graph), images)
    assert (found.elements, found.zeros) == (2 * 183, 2 * 180)
    assert found.bits[DENSE] == 2 * 183 * 8
    assert found.bits["bitmask"] == 2 * (6 * 30 + 24)


def test_weights_of_few_values_lose_nothing_in_a_codebook() -> None:
    """Weights of -1, 0 and 1, 8 bits, in 4 and 90 elements.

    The first layer's codebook would take 4 * 2 + 3 * 8 = 32 bits, which is what it has, and stays plain; the second's takes
    90 * 2 + 3 * 8 = 204 bits of 720. With two values one of the three is rounded away.
    """
    net = FloatNet(5, 3, 2)
    conv = net.node("conv", Conv2D(Window((1, 1))), "x", net.constant("w", np.array([1, 0, -1, 1]).reshape(2, 1, 1, 2)))
    weights = np.arange(90).reshape(3, 30) % 3 - 1
    net.node("fc", FullyConnected(), net.node("flat", Reshape((1, 30)), conv), net.constant("v", weights))
    graph = quantized(net.graph(), [np.linspace(-1, 1, 30, dtype=np.float32).reshape(1, 5, 3, 2)])
    assert (weight_sizes(graph).elements, weight_sizes(graph).zeros) == (94, 1 + 30)
    exact = shared_weights(graph, 16)
    assert (exact.dense_bits, exact.index_bits, exact.noise) == (94 * 8, 32 + 204, 0)
    # The integers are -127, 0 and 127, and as many of each but for one 127 more.
    assert exact.signal == (3 + 60) * 127**2
    coarse = shared_weights(graph, 2)
    assert coarse.index_bits == (4 + 2 * 8) + (90 + 2 * 8)
    # Zeros share a value with the 31 of one sign: a mean of 63.5, which becomes one 64 from the one and 63 from the other.
    assert coarse.noise == (1 + 30) * (63**2 + 64**2)
