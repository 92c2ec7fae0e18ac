"""Layers that stay in float32 between integers: the declared order, to the bit, and what is said of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cli.command import Command
from cli.conftest import hwsim
from hwsim.data import open_dataset
from hwsim.graph import Graph
from hwsim.load import load_model
from hwsim.ops import Activation, Conv2D, DepthwiseConv2D, FullyConnected, Padding, Reshape, Window
from hwsim.quant import Scheme
from hwsim.quant.float_layers import is_float, ordered_sums, with_float_layers
from hwsim.quant.pipeline import find_repairs, quantize_network
from hwsim.sim.feed import Feed
from hwsim.sim.quantize.engines import StaticEngine
from hwsim.spec import InputError
from quant.float_nets import FloatNet, outputs_of

__all__ = ["hwsim"]

F = np.float32


def oracle(window: Window, x: np.ndarray, rows: np.ndarray, bias: np.ndarray, groups: int) -> np.ndarray:
    """One float32 at a time: rows [O, KH, KW, C / groups] of weights; every product and every sum is rounded."""
    (kh, kw), (sy, sx), (dy, dx), pad = window.kernel, window.stride, window.dilation, window.padding
    height, width = window.output(*x.shape[1:3])
    out = np.zeros((len(x), height, width, len(rows)), F)
    depth, wide = rows.shape[3], len(rows) // groups
    for b, oy, ox, o in np.ndindex(*out.shape):
        total = F(0)
        for ky, kx, i in np.ndindex(kh, kw, depth):
            y, column = oy * sy + ky * dy - pad.top, ox * sx + kx * dx - pad.left
            inside = 0 <= y < x.shape[1] and 0 <= column < x.shape[2]
            value = x[b, y, column, o // wide * depth + i] if inside else F(0)
            total = F(total + F(value * rows[o, ky, kx, i]))
        out[b, oy, ox, o] = F(total + bias[o])
    return out


@pytest.mark.parametrize("groups", [1, 2])
def test_the_order_of_a_convolution(groups: int) -> None:
    random = np.random.default_rng(groups)
    op = Conv2D(Window((3, 2), (2, 1), (1, 2), Padding(1, 0, 0, 1)), groups)
    x = random.normal(0, 1, (2, 5, 7, 4)).astype(F)
    weights, bias = random.normal(0, 1, (6, 3, 2, 4 // groups)).astype(F), random.normal(0, 1, 6).astype(F)
    found = ordered_sums(op, x, weights, bias)
    assert np.array_equal(found, oracle(op.window, x, weights, bias, groups))
    assert np.allclose(found, op.evaluate([x, weights, bias])[0], atol=1e-5)


def test_the_order_of_a_depthwise_convolution_and_of_a_matrix() -> None:
    random = np.random.default_rng(3)
    deep = DepthwiseConv2D(Window((3, 3), (1, 1), (1, 1), Padding(1, 1, 1, 1)), 2)
    x, weights, bias = (random.normal(0, 1, shape).astype(F) for shape in ((2, 5, 4, 3), (1, 3, 3, 6), (6,)))
    rows = np.moveaxis(weights, 3, 0)[:, 0, :, :, None]
    assert np.array_equal(ordered_sums(deep, x, weights, bias), oracle(deep.window, x, rows, bias, 3))
    x, weights, bias = (random.normal(0, 1, shape).astype(F) for shape in ((3, 60), (5, 60), (5,)))
    found = ordered_sums(FullyConnected(), x.reshape(3, 3, 4, 5), weights, bias)
    expected = oracle(Window((1, 1)), x[:, None, None], weights[:, None, None], bias, 1)
    assert np.array_equal(found, expected[:, 0, 0])


def test_the_order_is_not_that_of_another_library() -> None:
    """1e8 + 1 - 1e8 is 0 in float32 from left to right, whatever a BLAS makes of it."""
    x = np.array([[1, 1, 1]], F)
    assert ordered_sums(FullyConnected(), x, np.array([[1e8, 1, -1e8], [1e8, -1e8, 1]], F)).tolist() == [[0, 1]]


def small() -> tuple[Graph, np.ndarray]:
    net = FloatNet(6, 6, 2)
    x = net.node(
        "first",
        Conv2D(Window((3, 3)), activation=Activation.RELU),
        "x",
        net.normal("w1", 4, 3, 3, 2),
        net.normal("b1", 4),
    )
    x = net.node("second", Conv2D(Window((2, 2)), activation=Activation.RELU), x, net.normal("w2", 3, 2, 2, 4))
    net.node(
        "fc", FullyConnected(), net.node("flat", Reshape((1, -1)), x), net.normal("w3", 5, 27), net.normal("b3", 5)
    )
    return net.graph(), np.random.default_rng(5).normal(0, 1, (4, 6, 6, 2)).astype(F)


def test_a_float_layer_between_integers_by_the_oracle() -> None:
    """Input integers as reals, sums by the oracle, the ReLU, and ``clamp(round(x / s) + z)``; the layer before is as it was."""
    graph, batch = small()
    scheme = Scheme(weight_bits=3, activation_bits=6)
    plain = quantize_network(graph, [batch], scheme)
    made = quantize_network(graph, [batch], scheme, floats=["second"])
    assert made.floats == {"second"}
    assert [is_float(made.graph, node) for node in made.graph.nodes] == [False, True, False, False]
    runs = [list(StaticEngine(each.graph).program.steps(batch_of(each.graph, batch))) for each in (plain, made)]
    assert np.array_equal(runs[0][0][2][0], runs[1][0][2][0])
    entering, leaving = (made.graph.tensors[name].quantization for name in ("first_out", "second_out"))
    assert entering is not None and leaving is not None
    x = (runs[1][0][2][0].astype(F) - F(entering.zero_point)) * F(entering.scale)
    sums = oracle(Window((2, 2)), x, graph.tensors["w2"].real(), np.zeros(3, F), 1)
    steps = np.trunc(np.maximum(sums, 0) / F(leaving.scale) + F(0.5)) + int(leaving.zero_point)
    assert np.array_equal(runs[1][1][2][0], np.clip(steps, leaving.lo, leaving.hi))
    error, exact = (
        float(np.abs(StaticEngine(each).scores(batch) - reference(graph, batch)).mean())
        for each in (plain.graph, made.graph)
    )
    assert exact < error


def batch_of(graph: Graph, batch: np.ndarray) -> np.ndarray:
    known = graph.input.quantization
    assert known is not None
    return known.quantize(batch)


def reference(graph: Graph, batch: np.ndarray) -> np.ndarray:
    found: np.ndarray = outputs_of(graph, batch)[graph.outputs[0]]
    return found


def test_repairs_of_integers_come_before() -> None:
    """A repaired network with a float layer: its constants are those of the float network, of the others the repaired ones."""
    graph, batch = small()
    repairs = find_repairs(["clip-weights", "correct-bias"])
    whole = quantize_network(graph, [batch], Scheme(weight_bits=3), repairs).graph
    made = quantize_network(graph, [batch], Scheme(weight_bits=3), repairs, floats=["fc"]).graph
    for before, after in zip(whole.nodes, made.nodes, strict=True):
        for old, new in zip(whole.inputs_of(before)[1:], made.inputs_of(after)[1:], strict=True):
            if after.name != "fc":
                assert old.data is not None and new.data is not None and np.array_equal(old.data, new.data)
            else:
                assert new.quantization is None and new.data is not None and new.data.dtype == np.float32
    with pytest.raises(InputError, match="float layers must be of first, second, fc, not 'flat'"):
        with_float_layers(graph, whole, ["flat"])


def test_the_command_says_what_they_are(hwsim: Command) -> None:
    options: tuple[Any, ...] = ("--weight-bits", "2", "--images", "100", "--calibration-images", "32")
    said = hwsim(
        "quantize", "digits_cnn", *options, "--float-layers", "conv1_conv,logits", "--json", "q.json", "--analyze",
        "--analyze-images", "8", "--report", "page",
    )  # fmt: skip
    assert said.code == 0, said.err
    found = json.loads((hwsim.folder / "q.json").read_text("utf-8"))
    graph = load_model("digits_cnn").graph
    sizes = {node.name: graph.tensors[node.inputs[1]].elements for node in graph.nodes if node.op.weighted}
    assert [(each["name"], each["weight_bytes"], each["integer_bytes"]) for each in found["float_layers"]] == [
        (name, 4 * sizes[name], -(-sizes[name] // 4)) for name in ("conv1_conv", "logits")
    ]
    assert {layer["name"] for layer in found["layers"]} == set(sizes) - {"conv1_conv", "logits"}
    assert "do not run on an array of integer multipliers" in said.out.replace("\n", " ")
    plain = hwsim("quantize", "digits_cnn", *options, "--json", "p.json")
    assert plain.code == 0
    before = json.loads((hwsim.folder / "p.json").read_text("utf-8"))["accuracy"]["correct"]
    assert found["accuracy"]["correct"] > before
    refusals = {
        ("--float-layers", "conv1_conv", "-o", "q.onnx"): "--float-layers must be left out with --output",
        ("--float-layers", "nothing"): "float layers must be of conv1_conv",
        ("--float-layers", "logits", "--scheme", "weight-only"): "float layers must be left out with other modes",
        ("--float-layers", "logits", "--mixed", "size:60%"): "float layers must be left out with bits by layer",
    }
    for arguments, line in refusals.items():
        assert hwsim.refused("quantize", "digits_cnn", *arguments).startswith(line)


def test_a_network_of_integers_is_near_its_float_layers() -> None:
    """All layers of the digits network in float32 between 16-bit integers: the classes of the float network."""
    graph, data = load_model("digits_cnn").graph, open_dataset("digits")
    feed = Feed(graph, data)
    names = [node.name for node in graph.nodes if node.op.weighted]
    made = quantize_network(graph, [feed.real(0, 32)], Scheme(activation_bits=16), floats=names)
    scores = StaticEngine(made.graph).scores(feed.real(0, 32))
    assert np.array_equal(scores.reshape(32, -1).argmax(axis=1), reference(graph, feed.real(0, 32)).argmax(axis=1))
