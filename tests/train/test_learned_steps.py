"""Learned step sizes: gradients and beginnings by hand, values that stay those of the integers, and trainings that go on."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.command import Command
from cli.conftest import hwsim
from hwsim.api.inputs import open_inputs
from hwsim.data import open_dataset
from hwsim.graph import Graph
from hwsim.load import load_model
from hwsim.ops import Activation, FullyConnected
from hwsim.quant import Scheme, parse_scheme
from hwsim.quant.ranges import MinMax
from hwsim.sim.feed import Feed
from hwsim.train.document import Epoch, TrainDocument
from hwsim.train.ranges import FollowedRanges
from hwsim.train.settings import Gradients, Optimizer, TrainSettings
from quant.float_nets import FloatNet

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'hwsim[train]'")

__all__ = ["hwsim"]

IMAGES = 12


def learning(graph: Graph, batch: np.ndarray, scheme: Scheme, **fields: Any) -> Any:
    from hwsim.train.network import TrainedNetwork

    settings = TrainSettings(scheme=scheme, learn_steps=True, **fields)
    network = TrainedNetwork(graph, FollowedRanges(graph, [batch], scheme), settings)
    network.learn_steps([batch])
    return network


def test_gradients_by_hand() -> None:
    """Step 0.5, integers 0..15: 0.6, 1.3, -0.2 and 20 are 1.2, 2.6, below and above: q - x / s is -0.2 and 0.4, q is 0 and 15.

    With gradients 1, 2, 3, 4 from above the step's is -0.2 + 0.8 + 0 + 60, times the factor; in x it is 1, 2, 0, 0.
    """
    from hwsim.train.rounded import rounded

    x = torch.tensor([0.6, 1.3, -0.2, 20.0], requires_grad=True)
    for shape in ((), (1,)):
        step = torch.full(shape, 0.5, requires_grad=True)
        x.grad = None
        value = rounded(x, torch.tensor([0.5, 1.5, 0.0, 7.5]), (0.0, 7.5), step, 0.1)
        (value * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
        assert float(step.grad) == pytest.approx(6.06, rel=1e-5)
        assert x.grad.tolist() == [1, 2, 0, 0]
    # Two channels with a step each: -0.2 and 2 * 0.4 of the first, 3 * 0 and 4 * 15 of the second.
    steps = torch.full((2, 1), 0.5, requires_grad=True)
    pairs = x.detach().reshape(2, 2)
    ends = (torch.zeros(2, 1), torch.full((2, 1), 7.5))
    value = rounded(pairs, torch.tensor([[0.5, 1.5], [0.0, 7.5]]), ends, steps)
    (value * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert steps.grad.ravel().tolist() == pytest.approx([0.6, 60])


def matrix(activation: Activation = Activation.RELU) -> tuple[Graph, np.ndarray]:
    """Two outputs of weights (0.9, 0.1, 0.2) and (-0.3, 0.3, 0), and four samples."""
    net = FloatNet(3)
    x = net.node("fc", FullyConnected(activation), "x", net.constant("w", [[0.9, 0.1, 0.2], [-0.3, 0.3, 0.0]]))
    net.node("last", FullyConnected(), x, net.constant("v", [[1, 1]]))
    return net.graph(), np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], np.float32)


def test_where_steps_begin_by_hand() -> None:
    """Weights of 3 bits, Q = 3: mean |w| is 0.4 and 0.2, so 2 * 0.4 / sqrt(3) = 0.46, but the range 0.9 / 3 = 0.3 is finer.

    The second: 2 * 0.2 / sqrt(3) = 0.23 against 0.3 / 3. Factors: 1 / sqrt(3 weights * 3). Outputs behind the ReLU: 0.9, 0.1,
    0.2, 1.2 and 0, 0.3, 0, 0 have the mean 2.7 / 8; unsigned 4 bits, Q = 15: 2 * 0.3375 / sqrt(15) = 0.174, the range's is
    1.2 / 15 = 0.08.
    """
    graph, batch = matrix()
    scheme = parse_scheme("symmetric-activations", Scheme(weight_bits=3, activation_bits=4, activation_ranges=MinMax()))
    steps = learning(graph, batch, scheme).steps
    assert steps.weights["fc"].values() == pytest.approx([0.3, 0.1])
    assert steps.weights["fc"].factor == pytest.approx(1 / math.sqrt(3 * 3))
    assert float(steps.activations["fc_out"].values()) == pytest.approx(0.08)
    assert steps.activations["fc_out"].factor == pytest.approx(1 / math.sqrt(2 * 15))
    # 2 bits: 2 * 0.4 / sqrt(1) = 0.8 and 0.4, ranges 0.9 and 0.3; an output's Q is 3: 2 * 0.3375 / sqrt(3) = 0.390 against 0.4.
    steps = learning(graph, batch, replace(scheme, weight_bits=2, activation_bits=2)).steps
    assert steps.weights["fc"].values() == pytest.approx([0.8, 0.3])
    assert float(steps.activations["fc_out"].values()) == pytest.approx(2 * 0.3375 / math.sqrt(3))
    # Two channels in a group: mean 0.3, 2 * 0.3 / 1 = 0.6; six weights share it.
    steps = learning(graph, batch, parse_scheme("group:2", replace(scheme, weight_bits=2))).steps
    assert steps.weights["fc"].values() == pytest.approx([0.6])
    assert steps.weights["fc"].factor == pytest.approx(1 / math.sqrt(6))
    assert steps.quantizations()["fc"].scale == pytest.approx([0.6, 0.6])


@pytest.mark.parametrize(
    "words", ["", "symmetric-activations", "signed-activations,per-tensor", "affine-weights", "group:4"]
)
def test_the_integers_have_the_learned_steps_to_the_bit(words: str) -> None:
    """Steps at random: the scales of the integer network are they, float32, and values are those of its program."""
    graph = load_model("digits_cnn").graph
    feed = Feed(graph, open_dataset("digits"))
    scheme = parse_scheme(words, Scheme(weight_bits=4, activation_bits=5, activation_ranges=MinMax()))
    network = learning(graph, feed.real(0, IMAGES), scheme, gradients=Gradients.BFLOAT16)
    random = np.random.default_rng(1)
    with torch.no_grad():
        for size in network.steps.trained():
            size.mul_(torch.from_numpy(random.uniform(0.6, 1.4, tuple(size.shape)).astype(np.float32)))
    made = network.made()
    for name, step in network.steps.activations.items():
        assert float(made.integer.tensors[name].quantization.scale) == float(step.size.detach())
    for node in made.integer.nodes:
        if node.op.weighted:
            scale = made.integer.tensors[node.inputs[1]].quantization.scale
            sizes = network.steps.of_channels(node.name).detach().numpy()
            assert np.array_equal(scale.astype(np.float32), sizes)
    batch = Feed(made.integer, open_dataset("digits")).integers(0, IMAGES)
    scores = network.forward(made, batch, learn=True)
    output = made.integer.output
    expected = output.quantization.dequantize(made.program.run(batch)[output.name])
    assert np.array_equal(scores.detach().numpy(), expected.reshape(IMAGES, -1))
    torch.nn.functional.cross_entropy(scores, torch.from_numpy(feed.labels(graph, 0, IMAGES))).backward()
    assert all(bool(size.grad.abs().sum() > 0) for size in network.steps.trained())


def test_steps_stay_positive() -> None:
    graph, batch = matrix()
    network = learning(graph, batch, Scheme(weight_bits=4, activation_bits=4))
    with torch.no_grad():
        for size in network.steps.trained():
            size.sub_(10.0)
    network.steps.keep_positive()
    assert all(bool((size > 0).all()) for size in network.steps.trained())
    network.made()


def test_the_rate_rises_and_falls_by_hand() -> None:
    """Half an epoch of 4 steps rises over 2: a third, two thirds; then 6 of (1 + cos(pi k / 6)) / 2. Weights alone decay."""
    from hwsim.train.optimizers import optimizer_of, rates_of

    settings = TrainSettings(epochs=2, warm_up=0.5, learning_rate=0.1, optimizer=Optimizer.SGD, weight_decay=0.01)
    value = torch.nn.Parameter(torch.zeros(1))
    other, third = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = optimizer_of({"weights": [value], "others": [third], "steps": [other]}, settings)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0, 0.0]
    rates = rates_of(optimizer, settings, 4)
    seen = []
    for _ in range(8):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        rates.step()
    falling = [0.05 * (1 + math.cos(math.pi * k / 6)) for k in range(6)]
    assert seen == pytest.approx([0.1 / 3, 0.2 / 3, *falling])


class StoppedError(Exception):
    """Somebody pulled the plug."""


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """Stopped after the first of two epochs and begun again: the same integers and curve as without a stop."""
    from hwsim.train.run import train_model

    model, data = open_inputs("digits_cnn", None)
    scheme = Scheme(weight_bits=3, activation_bits=3)
    settings = TrainSettings(
        scheme=scheme,
        epochs=2,
        images=256,
        calibration_images=32,
        evaluated=60,
        learn_steps=True,
        warm_up=0.5,
        freeze=2,
    )
    kept = tmp_path / "kept.pt"

    def stop(epoch: Epoch) -> None:
        raise StoppedError(epoch)

    whole = train_model(model, data, settings)
    with pytest.raises(StoppedError):
        train_model(model, data, settings, report=stop, checkpoint=kept)
    rest: list[Epoch] = []
    again = train_model(model, data, settings, report=rest.append, checkpoint=kept)
    assert [epoch.epoch for epoch in rest] == [2]
    assert again.document == whole.document
    for name, tensor in whole.graph.tensors.items():
        other = again.graph.tensors[name]
        assert (tensor.data is None) == (other.data is None)
        assert tensor.data is None or np.array_equal(tensor.data, other.data)
        if tensor.quantization is not None and other.quantization is not None:
            assert np.array_equal(tensor.quantization.scale, other.quantization.scale)
    # A checkpoint of another recipe is not this one's.
    report: list[Epoch] = []
    train_model(model, data, replace(settings, seed=1, epochs=1, freeze=1), report=report.append, checkpoint=kept)
    assert [epoch.epoch for epoch in report] == [1]


def test_a_file_with_learned_steps_runs_to_the_same_bits(hwsim: Command) -> None:
    said = hwsim(
        "train", "digits_cnn", "--output", "trained.onnx", "--weight-bits", "4", "--activation-bits", "4", "--edge-bits", "8",
        "--learn-steps", "--optimizer", "sgd", "--learning-rate", "0.01", "--weight-decay", "1e-4", "--warm-up", "0.5",
        "--gradients", "bfloat16", "--train-images", "256", "--epochs", "1", "--calibration-images", "32",
    )  # fmt: skip
    assert said.code == 0, said
    document = TrainDocument.model_validate_json((hwsim.folder / "trained.json").read_text("utf-8"))
    assert document.training.learned_steps and document.training.optimizer == "SGD"
    assert document.after.accuracy.top1 > 0.9
    run = hwsim("run", "trained.onnx", "--data", "digits", "--json", "run.json")
    assert run.code == 0, run
    assert f'"correct": {document.after.accuracy.correct},' in (hwsim.folder / "run.json").read_text("utf-8")
