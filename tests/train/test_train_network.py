"""A network in training: values of the integers to the bit, gradients of the float network where nothing clips."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hwsim.data import open_dataset
from hwsim.graph import Graph
from hwsim.load import load_model
from hwsim.ops import (
    Add,
    AveragePool2D,
    Concat,
    Conv2D,
    FullyConnected,
    MaxPool2D,
    Mul,
    Pad,
    Padding,
    Rectify,
    Reshape,
    Transpose,
    Window,
)
from hwsim.ops.activation import Activation
from hwsim.ops.lookup import Lookup
from hwsim.quant import Scheme, evaluate
from hwsim.quant.l1_projection import Budget
from hwsim.quant.ranges import MinMax, MovingAverage
from hwsim.sim.feed import Feed
from hwsim.spec import PRESETS, Accelerator, BiasAt, InputError, Profile, Reduction, Register
from hwsim.train.accumulator import bounds, confine, excess
from hwsim.train.network import TrainedNetwork
from hwsim.train.operators import require_trainable
from hwsim.train.ranges import FollowedRanges
from hwsim.train.run import soft_loss
from hwsim.train.settings import Distillation, Saturated, TrainSettings
from quant.float_nets import FloatNet, outputs_of

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'hwsim[train]'")

IMAGES = 12


def machine(acc: str = "32:wrap", **fields: Any) -> Accelerator:
    arithmetic = replace(
        PRESETS[0].arithmetic, reduction=Reduction(Register.parse(acc, "acc"), **{"bias_at": BiasAt.END, **fields}),
        profile=Profile.ORT_FLOAT32,
    )  # fmt: skip
    return replace(PRESETS[0], arithmetic=arithmetic)


def trained(graph: Graph, batch: np.ndarray, settings: TrainSettings) -> TrainedNetwork:
    return TrainedNetwork(graph, FollowedRanges(graph, [batch], settings.scheme), settings)


@pytest.fixture(scope="module")
def digits() -> tuple[Graph, Feed]:
    graph = load_model("digits_cnn").graph
    return graph, Feed(graph, open_dataset("digits"))


@pytest.mark.parametrize("name", ["digits_cnn", "digits_mobilenet"])
@pytest.mark.parametrize(
    "accelerator",
    [
        machine(), machine("9:saturate"), machine("10:wrap", bias_at=BiasAt.START),
        machine("20:wrap", chain=5, psum=Register.parse("9:saturate", "psum")),
    ],
    ids=lambda each: str(each.arithmetic.reduction),
)  # fmt: skip
def test_values_are_those_of_the_integer_network(name: str, accelerator: Accelerator) -> None:
    """Whatever the registers do: scores equal the dequantized scores of the program that `hwsim run` runs."""
    graph = load_model(name).graph
    feed = Feed(graph, open_dataset("digits"))
    scheme = Scheme(weight_bits=4, activation_bits=5, activation_ranges=MovingAverage())
    network = trained(graph, feed.real(0, IMAGES), TrainSettings(accelerator=accelerator, scheme=scheme))
    network.parameters.restore_norms(network.reference.statistics([feed.real(0, IMAGES)]))
    made = network.made()
    batch = Feed(made.integer, open_dataset("digits")).integers(0, IMAGES)
    scores = network.forward(made, batch, learn=True)
    output = made.integer.output
    assert output.quantization is not None
    expected = output.quantization.dequantize(made.program.run(batch)[output.name])
    assert np.array_equal(scores.detach().numpy(), expected.reshape(IMAGES, -1))


def _everything() -> Graph:
    """A network of every operator that is trained, with odd sizes and padding on one side only."""
    net = FloatNet(7, 5, 3)
    x = net.node("conv", Conv2D(Window((3, 2), (1, 1), (1, 1), Padding(1, 0, 0, 1)), activation=Activation.RELU), "x",
                 net.normal("w1", 4, 3, 2, 3), net.normal("b1", 4))  # fmt: skip
    pooled = net.node("max", MaxPool2D(Window((2, 2), (1, 1), (1, 1), Padding(1, 0, 1, 0))), x)
    mean = net.node("average", AveragePool2D(Window((2, 2), (1, 1), (1, 1), Padding(0, 1, 0, 1))), x)
    joined = net.node("concat", Concat(3), pooled, net.node("add", Add(Activation.RELU), mean, pooled))
    wide = net.node("pad", Pad(((0, 0), (1, 0), (0, 1), (0, 0))), joined)
    grouped = net.node("grouped", Conv2D(Window((3, 3), (2, 1), (1, 2)), groups=2), wide, net.normal("w2", 6, 3, 3, 4))
    turned = net.node("turn", Transpose((0, 2, 1, 3)), net.node("clamp", Rectify(Activation.RELU6), grouped))
    scaled = net.node("mul", Mul(), turned, net.normal("scales", 1, 1, 1, 6))
    net.node("fc", FullyConnected(), net.node("flat", Reshape((1, -1)), scaled),
             net.normal("w3", 5, net.tensors[scaled].elements))  # fmt: skip
    return net.graph()


def test_operators_compute_what_those_of_hwsim_do() -> None:
    graph = _everything()
    batch = np.random.default_rng(0).normal(0, 1, (3, 7, 5, 3)).astype(np.float32)
    network = trained(graph, batch, TrainSettings())
    expected = outputs_of(graph, batch)[graph.outputs[0]]
    assert np.allclose(network.reference.evaluate(batch).numpy(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["digits_cnn", "digits_mobilenet"])
def test_taking_batch_norm_out_changes_no_network(name: str) -> None:
    """The float network of the parameters scores as the one given: to 1e-4 of scores of a few tens."""
    graph = load_model(name).graph
    batch = Feed(graph, open_dataset("digits")).real(0, IMAGES)
    network = trained(graph, batch, TrainSettings())
    network.parameters.restore_norms(network.reference.statistics([batch]))
    layers = network.parameters.layers
    assert [name for name, layer in layers.items() if layer.norm is None] == ["logits"]
    found, given = (
        [outputs for _, outputs in evaluate(each, batch)][-1][0] for each in (network.parameters.real(), graph)
    )
    assert np.allclose(found, given, rtol=0, atol=1e-4)


def test_gradients_are_those_of_the_float_network_where_nothing_clips(digits: tuple[Graph, Feed]) -> None:
    """With 16 bits the integers are so near to the reals that PyTorch's own gradients of the float network are the reference."""
    graph, feed = digits
    scheme = Scheme(weight_bits=16, activation_bits=16, activation_ranges=MinMax())
    # Ranges with room, so that rounding takes no value to the other side of a clamp.
    network = trained(graph, 1.25 * feed.real(0, IMAGES), TrainSettings(accelerator=machine("48:wrap"), scheme=scheme))
    made = network.made()
    labels = torch.from_numpy(feed.labels(graph, 0, IMAGES))
    scores = network.forward(made, Feed(made.integer, open_dataset("digits")).integers(0, IMAGES), learn=False)
    torch.nn.functional.cross_entropy(scores, labels).backward()
    found = {name: layer.weights.grad.numpy().copy() for name, layer in network.parameters.layers.items()}

    class Reference(torch.nn.Module):  # type: ignore[misc]
        """The three convolutions and the matrix of the network, in PyTorch's own layout."""

        def forward(self, x: Any) -> Any:
            for node in graph.nodes:
                if node.op.weighted:
                    weights, bias = (values[name] for name in node.inputs[1:])
                    if weights.ndim == 4:
                        x = torch.relu(torch.nn.functional.conv2d(x, weights.permute(0, 3, 1, 2), bias, padding=1))
                    else:
                        x = x.permute(0, 2, 3, 1).flatten(1) @ weights.T + bias
                else:
                    x = torch.nn.functional.max_pool2d(x, 2)
            return x

    values = {
        name: torch.tensor(tensor.real(), requires_grad=True)
        for name, tensor in graph.tensors.items()
        if tensor.constant
    }
    images = torch.from_numpy(feed.real(0, IMAGES)).permute(0, 3, 1, 2)
    torch.nn.functional.cross_entropy(Reference()(images), labels).backward()
    for node in graph.nodes:
        if node.op.weighted:
            reference = values[node.inputs[1]].grad.numpy()
            assert np.abs(found[node.name] - reference).max() < 0.02 * np.abs(reference).max(), node.name


def _one_sum(saturated: Saturated, acc: str) -> tuple[float, list[float]]:
    """Return the score and the gradient of the weights of one sum, 0.7 * 0.8 + 0.7 * 0.8, in 4 bits: 2 * 7 * 12 = 168."""
    net = FloatNet(2)
    net.node("fc", FullyConnected(), "x", net.constant("w", [[0.7, 0.7]]))
    batch = np.array([[1, 1], [0, 1]], np.float32)
    scheme = Scheme(weight_bits=4, activation_bits=4, activation_ranges=MinMax())
    network = trained(net.graph(), batch, TrainSettings(accelerator=machine(acc), scheme=scheme, saturated=saturated))
    made = network.made()
    known = made.integer.input.quantization
    assert known is not None
    scores = network.forward(made, known.quantize(0.8 * batch[:1]), learn=False)
    scores.sum().backward()
    return float(scores.detach()), network.parameters.layers["fc"].weights.grad.ravel().tolist()


def test_the_gradient_of_a_sum_beyond_the_register() -> None:
    """A step of the sum is 0.1 / 15, one of the output 1.4 / 15: 168 are 1.12, 12 steps of it.

    8 bits saturate at 127: 0.847, nearest to 9 steps, 0.84. Wrapped it is -88, below the output's range. Its inputs are 0.8, and
    so is the gradient.
    """
    inputs = pytest.approx([0.8, 0.8])
    assert _one_sum(Saturated.ZERO, "16:saturate") == (pytest.approx(1.12), inputs)
    assert _one_sum(Saturated.ZERO, "8:saturate") == (pytest.approx(0.84), [0, 0])
    assert _one_sum(Saturated.THROUGH, "8:saturate") == (pytest.approx(0.84), inputs)
    assert _one_sum(Saturated.ZERO, "8:wrap") == (0, inputs)


def test_a_penalty_by_hand_and_weights_within_the_bounds_afterwards() -> None:
    """Activations 0..15, weights 7, 7, -7 in steps: 15 * 14 = 210 above, 15 * 7 = 105 below, against 127 and 128 of 8 bits."""
    net = FloatNet(3)
    net.node("fc", FullyConnected(), "x", net.constant("w", [[0.7, 0.7, -0.7]]))
    batch = np.eye(3, dtype=np.float32)
    scheme = Scheme(weight_bits=4, activation_bits=4, activation_ranges=MinMax())
    network = trained(net.graph(), batch, TrainSettings(accelerator=machine("8:wrap"), scheme=scheme))
    integer = network.quantized()
    (bound,), layer = (
        bounds(integer, integer.nodes[0], machine("8:wrap").arithmetic.reduction),
        network.parameters.layers["fc"],
    )
    assert float(excess(layer, bound, torch.tensor([0.1])).detach()) == pytest.approx(210 / 127 - 1, rel=1e-5)
    assert float(network.penalty(network.made()).detach()) == pytest.approx(210 / 127 - 1, rel=1e-5)
    confine(layer, bound, np.array([0.1]))
    rows = layer.weights.detach().double().numpy()[0] / 0.1
    # The nearest within: both positive ones shrink alike, to 127 / 15 together; the negative one was within.
    assert rows == pytest.approx([127 / 30, 127 / 30, -7], rel=1e-5)
    assert Budget(0, 15, 127, 128).holds(np.trunc(rows))


def test_soft_targets_by_hand() -> None:
    """T**2 * sum p log(p / q), in double precision."""
    student, teacher, t = np.array([[1.0, -2.0, 0.5]]), np.array([[2.0, 0.0, -1.0]]), 3.0
    p, q = (np.exp(values / t) / np.exp(values / t).sum() for values in (teacher, student))
    expected = t * t * float((p * np.log(p / q)).sum())
    found = soft_loss(torch.from_numpy(student), torch.from_numpy(teacher), Distillation(0.5, t))
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_an_operator_without_gradient_is_named() -> None:
    net = FloatNet(3)
    net.node("curve", Lookup("tanh"), "x")
    with pytest.raises(
        InputError, match="node curve must be a layer with weights, a softmax at the end, or one of add"
    ):
        require_trainable(net.graph())
