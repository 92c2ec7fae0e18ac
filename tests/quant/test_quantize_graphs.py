"""What `quantize` makes of each kind of tensor, on hand-built networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwsim.graph import Graph
from hwsim.ops import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    Mean,
    Mul,
    Pad,
    Padding,
    Reshape,
    Softmax,
    Window,
)
from hwsim.quant import Scheme, calibrate, quantize
from hwsim.sim import Program
from quant.float_nets import FloatNet, outputs_of, quantized, sqnr_db

SAME = Window((3, 3), padding=Padding(1, 1, 1, 1))


def batch_of(graph: Graph, count: int = 5, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, *graph.input.shape[1:])).astype(np.float32)


def full_net() -> Graph:
    """A network with every kind of rule: weights by both axes, moves, constants, a softmax."""
    net = FloatNet(7, 5, 3)
    conv = net.node(
        "conv", Conv2D(SAME, activation=Activation.RELU), "x", net.normal("w", 4, 3, 3, 3), net.normal("b", 4)
    )
    deep = net.node("deep", DepthwiseConv2D(SAME), conv, net.normal("dw", 1, 3, 3, 4))
    pool = net.node("pool", MaxPool2D(Window((2, 2), (2, 2))), deep)
    padded = net.node("pad", Pad(((0, 0), (1, 0), (0, 1), (0, 0))), pool)
    scaled = net.node("scale", Mul(), padded, net.normal("gain", 1, 1, 1, 4))
    shifted = net.node("shift", Add(), scaled, net.normal("offset", 1, 1, 1, 4))
    mean = net.node("mean", Mean((1, 2), keep_dims=False), shifted)
    flat = net.node("flat", Reshape((1, 4)), mean)
    logits = net.node("fc", FullyConnected(), flat, net.normal("fw", 6, 4), net.normal("fb", 6))
    net.node("softmax", Softmax(), logits)
    return net.graph()


def test_names_nodes_and_shapes_stay_and_everything_is_integer() -> None:
    graph = full_net()
    integer = quantized(graph, [batch_of(graph)])
    assert integer.quantized and not graph.quantized
    assert [(node.name, node.op, node.outputs) for node in integer.nodes] == [
        (node.name, node.op, node.outputs) for node in graph.nodes
    ]
    assert {name: tensor.shape for name, tensor in integer.tensors.items()} == {
        name: tensor.shape for name, tensor in graph.tensors.items()
    }
    assert all(tensor.quantization is not None for name, tensor in integer.tensors.items() if name not in ("b", "fb"))


def test_weights_are_quantized_along_their_output_channels() -> None:
    """OHWI weights and matrices count outputs on axis 0, depthwise weights on axis 3."""
    graph = full_net()
    integer = quantized(graph, [batch_of(graph)], Scheme(weight_bits=5))
    for name, axis, size in (("w", 0, 4), ("dw", 3, 4), ("fw", 0, 6)):
        q = integer.tensors[name].quantization
        assert q is not None
        assert (q.axis, q.scale.shape, str(q.format)) == (axis, (size,), "int5")
        others = tuple(i for i in range(len(graph.tensors[name].shape)) if i != axis)
        assert q.scale == pytest.approx(np.abs(graph.tensors[name].real()).max(axis=others) / 15)


def test_moves_keep_their_inputs_quantization_and_others_do_not() -> None:
    graph = full_net()
    tensors = quantized(graph, [batch_of(graph)]).tensors
    for node in graph.nodes:
        source, result = (tensors[name].quantization for name in (node.inputs[0], node.outputs[0]))
        assert (source is result) == (node.name in ("pool", "pad", "flat")), node.name


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_a_softmax_gets_the_scale_that_its_kernel_computes(bits: int) -> None:
    """TFLite's specification: scale 1/256 and zero point -128 for int8, whatever was observed."""
    graph = full_net()
    q = quantized(graph, [batch_of(graph)], Scheme(activation_bits=bits)).output.quantization
    assert q is not None
    assert (float(q.scale), int(q.zero_point)) == (1 / 2**bits, -(2 ** (bits - 1)))


def test_biases_count_in_steps_of_input_times_weight_scale() -> None:
    graph = full_net()
    tensors = quantized(graph, [batch_of(graph)]).tensors
    source, weights, bias = (tensors[name] for name in ("x", "w", "b"))
    assert source.quantization is not None and weights.quantization is not None and bias.data is not None
    assert bias.data.dtype == np.int64
    for steps, real, scale in zip(
        bias.data.tolist(), graph.tensors["b"].real().tolist(), weights.quantization.scale.tolist(), strict=True
    ):
        step = float(source.quantization.scale) * scale
        assert abs(steps * step - real) <= step / 2


def test_constants_of_sums_and_products_become_activations() -> None:
    graph = full_net()
    tensors = quantized(graph, [batch_of(graph)], Scheme(activation_bits=9)).tensors
    for name in ("gain", "offset"):
        tensor, real = tensors[name], graph.tensors[name].real()
        assert tensor.quantization is not None and tensor.data is not None
        assert str(tensor.quantization.format) == "int9"
        assert float(tensor.quantization.scale) == pytest.approx((max(real.max(), 0) - min(real.min(), 0)) / 511)
        assert np.abs(tensor.real() - real).max() <= float(tensor.quantization.scale) * 0.5001


def test_a_channel_of_almost_no_weight_keeps_its_bias_within_32_bits() -> None:
    """Weights of 1e-9 with a bias of 5: at scale 1e-9 / 127 the bias would be 1e13 steps; a coarser scale keeps it right."""
    net = FloatNet(4)
    net.constant("w", [[1e-9, 0, -1e-9, 1e-9], [1, -1, 0.5, 0.25]])
    net.constant("b", [5.0, -1.0])
    net.node("fc", FullyConnected(), "x", "w", "b")
    graph = net.graph()
    batch = batch_of(graph)
    integer = quantized(graph, [batch])
    bias = integer.tensors["b"].data
    assert bias is not None and np.abs(bias).max() < 2**31
    q = integer.output.quantization
    assert q is not None
    found = q.dequantize(Program(integer).run(integer.input.quantization.quantize(batch))["fc_out"])
    assert np.abs(found[:, 0] - 5).max() <= float(q.scale)


def test_layers_that_share_weights_and_bias_get_copies_in_their_own_steps() -> None:
    net = FloatNet(3)
    net.normal("w", 3, 3)
    net.constant("b", [1, 2, 3])
    first = net.node("one", FullyConnected(), "x", "w", "b")
    net.node("two", FullyConnected(), first, "w", "b")
    graph = net.graph()
    batch = batch_of(graph)
    integer = quantized(graph, [batch])
    assert [node.inputs for node in integer.nodes] == [("x", "w", "b"), ("one_out", "w@two", "b@two")]
    steps = [integer.tensors[name].data for name in ("b", "b@two")]
    assert steps[0] is not None and steps[1] is not None
    ratio = [integer.tensors[name].quantization for name in ("one_out", "x")]
    assert ratio[0] is not None and ratio[1] is not None
    assert steps[0] / steps[1] == pytest.approx(float(ratio[0].scale) / float(ratio[1].scale), rel=0.01)


def test_a_constant_that_a_layer_and_a_sum_share_is_quantized_for_each() -> None:
    """Weights get symmetric scales per output channel; the operand of a sum is one affine tensor over its own range."""
    net = FloatNet(4)
    shared = net.constant("shared", [[0.5, -1.0, 2.0, 0.25]])
    net.node("layer", FullyConnected(), "x", shared)
    net.node("sum", Add(), "x", shared)
    graph = quantized(net.graph(), [np.random.default_rng(0).normal(0, 1, (8, 4)).astype(np.float32)])
    weights, operand = (graph.tensors[node.inputs[1]] for node in graph.nodes)
    assert (weights.name, operand.name) == ("shared", "shared@sum")
    assert weights.quantization is not None and operand.quantization is not None
    assert weights.quantization.scale.tolist() == [2.0 / 127]
    assert float(operand.quantization.scale) == 3.0 / 255
    Program(graph)


def test_power_of_two_schemes_run_on_shifts_alone() -> None:
    """`Profile.POWER_OF_TWO` refuses every multiplier that is none, so that preparing the program is the proof."""
    from hwsim.spec import Arithmetic, Profile

    net = FloatNet(7, 5, 3)
    conv = net.node("conv", Conv2D(SAME, activation=Activation.RELU), "x", net.normal("w", 4, 3, 3, 3))
    net.node("pool", MaxPool2D(Window((2, 2), (2, 2))), conv)
    graph = net.graph()
    batch = batch_of(graph)
    scheme = Scheme(power_of_two=True)
    integer = quantized(graph, [batch], scheme)
    program = Program(integer, Arithmetic(profile=Profile.POWER_OF_TWO))
    found = program.run(integer.input.quantization.quantize(batch))["pool_out"]
    real = outputs_of(graph, batch)["pool_out"]
    assert sqnr_db(real, integer.output.quantization.dequantize(found)) > 30


@pytest.mark.parametrize("op", ["conv", "depthwise", "fully connected"])
def test_the_integer_network_is_close_to_the_float_one(op: str) -> None:
    net = FloatNet(7, 5, 4)
    if op == "conv":
        net.node("n", Conv2D(SAME, groups=2), "x", net.normal("w", 6, 3, 3, 2), net.normal("b", 6))
    elif op == "depthwise":
        net.node("n", DepthwiseConv2D(SAME, multiplier=2), "x", net.normal("w", 1, 3, 3, 8), net.normal("b", 8))
    else:
        net.node("n", FullyConnected(), "x", net.normal("w", 6, 140), net.normal("b", 6))
    graph = net.graph()
    batch = batch_of(graph, 20)
    integer = quantized(graph, [batch])
    found = Program(integer).run(integer.input.quantization.quantize(batch))["n_out"]
    assert sqnr_db(outputs_of(graph, batch)["n_out"], integer.output.quantization.dequantize(found)) > 35


def test_quantize_leaves_the_float_network_as_it_was() -> None:
    graph = full_net()
    before = {name: tensor.data.copy() for name, tensor in graph.tensors.items() if tensor.data is not None}
    scheme = Scheme()
    ranges = calibrate(graph, [batch_of(graph)], scheme.ranges)
    one = quantize(graph, ranges, replace(scheme, weight_bits=4))
    two = quantize(graph, ranges, replace(scheme, weight_bits=4))
    assert all(np.array_equal(graph.tensors[name].data, data) for name, data in before.items())
    assert all(np.array_equal(one.tensors[n].data, two.tensors[n].data) for n in one.tensors if one.tensors[n].constant)
