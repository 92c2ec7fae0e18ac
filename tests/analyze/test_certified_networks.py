"""Certificates of whole networks, confirmed register by register: reached exactly by an input, and broken by a bit less."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from analyze.worst_inputs import confirm
from hwsim.graph import Graph
from hwsim.load import load_model
from hwsim.models.catalog import BUNDLED
from hwsim.quant.outliers import OutlierRule
from hwsim.sim.network import outlier_scheme, prepare_network
from hwsim.spec import BiasAt, Overflow, Profile, Reduction, Register, ZeroPoints
from sim.digits_runs import array_set, digits, network

WIDE = Register(48, Overflow.WRAP)

ORDERS = {
    "one by one": Reduction(WIDE),
    "bias at the end": Reduction(WIDE, bias_at=BiasAt.END, zero_points=ZeroPoints.FOLD),
    "chains that spill": Reduction(WIDE, chain=16, psum=WIDE, zero_points=ZeroPoints.FOLD),
    "an adder tree": Reduction(WIDE, lanes=8, tree=WIDE),
    "all of it": Reduction(WIDE, 5, WIDE, 3, WIDE),
}


@pytest.mark.parametrize("order", ORDERS)
def test_every_register_of_the_bundled_network(order: str) -> None:
    """4 layers that sum products, one to three registers."""
    reduction = ORDERS[order]
    registers = 1 + (reduction.tree is not None) + (reduction.psum is not None)
    assert confirm(network("digits_cnn").integer, reduction) == 4 * registers


@pytest.mark.parametrize("order", ORDERS)
def test_every_register_of_resnet8(order: str, data_root: Path) -> None:
    """10 layers that sum products."""
    path = data_root / "mlperf_tiny" / "resnet8_int8.tflite"
    if not path.exists():
        pytest.skip("resnet8_int8.tflite is not in the data pack")
    reduction = ORDERS[order]
    registers = 1 + (reduction.tree is not None) + (reduction.psum is not None)
    assert confirm(load_model(path).graph, reduction) == 10 * registers


@functools.cache
def bundled(name: str) -> Graph:
    """Quantize a bundled network with the ranges of random pixels: the weights, which certificates are about, are its own."""
    model = load_model(name)
    pixels = np.random.default_rng(0).integers(0, 256, (4, *model.graph.input.shape[1:])).astype(np.uint8)
    return prepare_network(
        model, array_set(pixels, [0] * 4, "pixels"), weight_bits=8, activation_bits=8, calibration_images=4, scaling=None,
        profile=Profile.TFLITE,
    ).integer  # fmt: skip


@pytest.mark.parametrize("name", [model.name for model in BUNDLED])
@pytest.mark.parametrize("order", ORDERS)
def test_every_register_of_the_zoo(name: str, order: str) -> None:
    """Whatever is added to `models` is confirmed with the rest."""
    graph, reduction = bundled(name), ORDERS[order]
    registers = 1 + (reduction.tree is not None) + (reduction.psum is not None)
    assert confirm(graph, reduction) == sum(node.op.weighted for node in graph.nodes) * registers > 0


@pytest.mark.parametrize("tile", [None, 48])
@pytest.mark.parametrize("order", ORDERS)
def test_every_register_of_a_network_with_outliers(order: str, tile: int | None) -> None:
    """Dense weights of 4 bits, outliers of 16 behind every 48 products (45 in chains of 15) or behind all."""
    graph, reduction = with_outliers(), ORDERS[order]
    tile = 45 if tile is not None and order == "all of it" else tile
    registers = 1 + (reduction.tree is not None) + (reduction.psum is not None)
    assert confirm(graph, reduction, tile) == 4 * registers


@functools.cache
def with_outliers() -> Graph:
    return prepare_network(
        load_model("digits_cnn"), digits(), weight_bits=4, activation_bits=8, calibration_images=64, scaling=None,
        profile=Profile.TFLITE, scheme=outlier_scheme(OutlierRule.parse("3%"), 4),
    ).integer  # fmt: skip
