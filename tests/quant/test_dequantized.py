"""The float network of an integer one: real arithmetic on its real weights, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.data import open_dataset
from hwsim.graph import Graph, Node, Quantization, Tensor
from hwsim.load import load_model
from hwsim.ops import Activation, Conv2D, Dequantize, FullyConnected, Quantize, Window
from hwsim.quant import dequantized
from hwsim.sim import Program
from hwsim.sim.feed import Feed
from hwsim.spec import Format
from quant.float_nets import FloatNet, outputs_of, quantized, sqnr_db


def int8(scale: float, zero_point: int = 0) -> Quantization:
    return Quantization(Format(8), np.array(scale), np.array(zero_point))


def test_a_layer_is_its_real_weights_and_bias_by_hand() -> None:
    """Weights (2, -4) at scales (0.5, 0.25) are 1 and -1; biases (6, 8) count in 0.1 * scale, so 0.3 and 0.2."""
    weights = Quantization(Format(8), np.array([0.5, 0.25]), np.array([0, 0]), 0)
    tensors = {
        "x": Tensor("x", (1, 1), int8(0.1, 3)),
        "w": Tensor("w", (2, 1), weights, np.array([[2], [-4]], np.int8)),
        "b": Tensor("b", (2,), None, np.array([6, 8])),
        "y": Tensor("y", (1, 2), int8(0.2, -5)),
    }
    real = dequantized(Graph("net", tensors, [Node("fc", FullyConnected(), ("x", "w", "b"), ("y",))], ("x",), ("y",)))
    assert not real.quantized
    assert outputs_of(real, np.array([[2.0]], np.float32))["y"] == pytest.approx(np.array([[2.3, -1.8]]))
    # An int8 input takes pixel - 128: pixel p is 0.1 * (p - 128 - 3), which is (p - 131) / 10.
    assert real.scaling is not None
    assert (real.scaling.mean, real.scaling.std) == ((131.0,), (pytest.approx(10.0),))


def test_a_convolution_equals_real_arithmetic_in_double_precision() -> None:
    net = FloatNet(5, 4, 3)
    window = Window((3, 2))
    net.node("conv", Conv2D(window, activation=Activation.RELU6), "x", net.normal("w", 2, 3, 2, 3), net.normal("b", 2))
    graph = net.graph()
    batch = np.random.default_rng(4).normal(0, 2, (2, 5, 4, 3)).astype(np.float32)
    integer = quantized(graph, [batch])
    weights, bias = integer.tensors["w"], integer.tensors["b"]
    assert weights.quantization is not None and bias.data is not None and weights.data is not None
    assert integer.input.quantization is not None
    scale = weights.quantization.scale
    real_bias = bias.data * float(integer.input.quantization.scale) * scale
    expected = np.empty((2, 3, 3, 2))
    for b, y, x, o in np.ndindex(expected.shape):
        patch = batch[b, y : y + 3, x : x + 2].astype(np.float64)
        expected[b, y, x, o] = np.clip((patch * weights.data[o] * scale[o]).sum() + real_bias[o], 0, 6)
    np.testing.assert_allclose(outputs_of(dequantized(integer), batch)["conv_out"], expected, atol=1e-5)


def test_quantize_and_dequantize_nodes_disappear() -> None:
    tensors = {
        "x": Tensor("x", (1, 2)),
        "q": Tensor("q", (1, 2), int8(0.5)),
        "w": Tensor("w", (2, 2), int8(0.25), np.array([[4, 0], [0, -4]], np.int8)),
        "y": Tensor("y", (1, 2), int8(0.5)),
        "z": Tensor("z", (1, 2)),
    }
    nodes = [
        Node("enter", Quantize(), ("x",), ("q",)),
        Node("fc", FullyConnected(), ("q", "w"), ("y",)),
        Node("leave", Dequantize(), ("y",), ("z",)),
    ]
    graph = Graph("net", tensors, nodes, ("x",), ("z",))
    assert graph.quantized
    real = dequantized(graph)
    assert [(node.name, node.inputs, node.outputs) for node in real.nodes] == [("fc", ("x", "w"), ("y",))]
    assert real.outputs == ("y",)
    assert real.scaling is None
    assert outputs_of(real, np.array([[0.3, 0.7]], np.float32))["y"] == pytest.approx(np.array([[0.3, -0.7]]))


def test_a_float_network_is_returned_as_it_is() -> None:
    net = FloatNet(3)
    net.node("fc", FullyConnected(), "x", net.normal("w", 2, 3))
    graph = net.graph()
    assert dequantized(graph) is graph


def test_a_quantized_tflite_model_can_be_quantized_anew(data_root: Path) -> None:
    """MLPerf Tiny's ResNet-8 at 8 bits again: its own 8 bits are what is lost, so it stays near its dequantized self."""
    graph = load_model(data_root / "mlperf_tiny" / "resnet8_int8.tflite").graph
    real = dequantized(graph)
    test = open_dataset("cifar10")
    feed = Feed(real, test)
    again = quantized(real, [Feed(real, test.calibration_split()).real(0, 64)])
    images = feed.real(0, 200)
    assert again.input.quantization is not None and again.tensors[again.nodes[-2].outputs[0]].quantization is not None
    kept = Program(again).run(again.input.quantization.quantize(images), keep=True)
    exact = outputs_of(real, images)
    logits = again.nodes[-2].outputs[0]
    assert sqnr_db(exact[logits], again.tensors[logits].quantization.dequantize(kept[logits])) > 20
    found, own = (values[real.outputs[0]].argmax(axis=1) for values in (kept, exact))
    assert (found == own).mean() > 0.95
