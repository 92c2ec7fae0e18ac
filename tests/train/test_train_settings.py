"""What of training needs no PyTorch: recipes, samples, ranges, bounds, and what the command refuses."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from cli.command import Command
from cli.conftest import hwsim
from hwsim.data import open_dataset
from hwsim.data.arrays import array_dataset
from hwsim.graph import Graph
from hwsim.load import load_model
from hwsim.ops import FullyConnected
from hwsim.quant import Scheme, calibrate
from hwsim.quant.l1_projection import Budget
from hwsim.quant.outliers import OutlierRule
from hwsim.quant.ranges import MeanSquaredError, MinMax, MovingAverage
from hwsim.sim.feed import Feed
from hwsim.spec import BiasAt, InputError, Reduction, Register
from hwsim.train.accumulator import bounds
from hwsim.train.ranges import FollowedRanges, spans_of
from hwsim.train.samples import TrainingSet, augmented
from hwsim.train.settings import Augmentation, Distillation, Fitting, TrainSettings, layer_schemes
from quant.float_nets import FloatNet, quantized

__all__ = ["hwsim"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"epochs": 0}, "epochs must be an integer from 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"batch": 0}, "batch must be an integer from 1"),
        ({"freeze": 11}, "freeze must be an integer from 0 to the number of epochs, not 11"),
        ({"edge_bits": 17}, "edge_bits must be"),
        ({"penalty": 0.0}, "penalty must be positive"),
        ({"seed": -1}, "seed must be an integer from 0"),
        ({"warm_up": 10}, "warm_up must be 0 or more epochs, and fewer than there are, not 10"),
        ({"weight_decay": -0.1}, "weight_decay must be 0 or more"),
        ({"learn_steps": True, "fitting": Fitting.PENALTY}, "learn_steps must be left out where weights are fitted"),
        ({"scheme": Scheme(group=4), "fitting": Fitting.PENALTY}, "fit must be left out with groups"),
        ({"scheme": Scheme(outliers=OutlierRule.parse("1%"))}, "scheme must be static, rounded to nearest"),
    ],
)
def test_recipes_that_no_training_has(fields: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(TrainSettings(), **fields)  # type: ignore[arg-type]


def test_distillation_and_augmentation_have_limits() -> None:
    for weight, temperature in ((0.0, 4.0), (1.1, 4.0), (0.5, 0.0)):
        with pytest.raises(InputError):
            Distillation(weight, temperature)
    with pytest.raises(InputError, match="shift must be"):
        Augmentation(-1)


def test_half_of_the_epochs_are_frozen_unless_said() -> None:
    assert [TrainSettings(epochs=epochs).frozen_after for epochs in (1, 2, 7)] == [1, 1, 4]
    assert TrainSettings(epochs=7, freeze=0).frozen_after == 0


def test_edges_have_bits_of_their_own() -> None:
    graph = load_model("digits_cnn").graph
    entry, layers = layer_schemes(graph, Scheme(weight_bits=3, activation_bits=4), 8)
    assert layers is not None and entry.activation_bits == 8
    found = {name: (scheme.weight_bits, scheme.activation_bits) for name, scheme in layers.items()}
    assert found["conv1_conv"] == (8, 4) and found["logits"] == (8, 8)
    assert {found[name] for name in ("conv2_conv", "conv3_conv")} == {(3, 4)}
    assert layer_schemes(graph, Scheme(), None) == (Scheme(), None)


def test_every_sample_comes_once_and_the_seed_decides_the_order() -> None:
    data = array_dataset(np.arange(23, dtype=np.int32)[:, None], np.arange(23) % 3)
    samples = TrainingSet(data, 20, Augmentation())

    def order(seed: int) -> list[int]:
        batches = samples.batches(7, np.random.default_rng(seed))
        return [int(value) for batch in batches for value in batch.batch(0, len(batch)).ravel()]

    # Two whole batches of 7 of the first 20 samples; the six that are left over are left out.
    assert len(order(1)) == 14 and len(set(order(1))) == 14 and max(order(1)) < 20
    assert order(1) == order(1) != order(2)
    for batch in samples.batches(7, np.random.default_rng(1)):
        assert (batch.labels == batch.batch(0, 7).ravel() % 3).all()


def test_images_move_and_turn() -> None:
    """One row of 5 pixels: moved by s it shows pixels 2+s.. of ``2 1 | 0 1 2 3 4 | 3 2``, its border mirrored by 2."""
    image = np.tile(np.arange(5, dtype=np.uint8), (64, 3, 1))[..., None]
    wide = np.array([2, 1, 0, 1, 2, 3, 4, 3, 2])
    shown = {tuple(row) for row in augmented(image, Augmentation(2), np.random.default_rng(0))[:, 0, :, 0].tolist()}
    assert shown == {tuple(wide[at : at + 5].tolist()) for at in range(5)}
    turned = augmented(image, Augmentation(0, mirror=True), np.random.default_rng(0))[:, 0, :, 0]
    assert {tuple(row) for row in turned.tolist()} == {(0, 1, 2, 3, 4), (4, 3, 2, 1, 0)}
    with pytest.raises(InputError, match="shift must be below the 8 pixels"):
        TrainingSet(open_dataset("digits"), None, Augmentation(8))


def test_ranges_that_follow_are_those_of_one_long_calibration() -> None:
    """The moving average of 32 samples at once is that of 8 samples with 24 more taken in, in batches of any size."""
    graph = load_model("digits_cnn").graph
    feed = Feed(graph, open_dataset("digits").calibration_split())
    scheme = Scheme(activation_ranges=MovingAverage(0.1))
    ranges = FollowedRanges(graph, [feed.real(0, 8)], scheme)
    name = graph.inputs[0]
    for start, stop in ((8, 19), (19, 32)):
        ranges.follow({name: spans_of(feed.real(start, stop))})
    whole = calibrate(graph, [feed.real(0, 32)], scheme.ranges)
    assert ranges.current[name] == pytest.approx(whole[name], rel=1e-12)


def test_other_ranges_are_measured_again_for_other_weights() -> None:
    graph = load_model("digits_cnn").graph
    batch = Feed(graph, open_dataset("digits")).real(0, 16)
    ranges = FollowedRanges(graph, [batch], Scheme(activation_ranges=MeanSquaredError()))
    name = graph.nodes[0].inputs[1]
    halved = replace(
        graph, tensors={**graph.tensors, name: replace(graph.tensors[name], data=graph.tensors[name].real() / 2)}
    )
    ranges.measure(halved)
    assert not ranges.moving
    assert ranges.current == calibrate(halved, [batch], Scheme(activation_ranges=MeanSquaredError()).ranges)


def _matrix(weights: list[list[float]], bias: list[float]) -> Graph:
    net = FloatNet(len(weights[0]))
    net.node("fc", FullyConnected(), "x", net.constant("w", weights), net.constant("b", bias))
    return net.graph()


@pytest.mark.parametrize("bias_at", list(BiasAt))
def test_bounds_leave_out_what_the_accumulator_starts_at(bias_at: BiasAt) -> None:
    """Inputs 0..1 in 4 bits: steps 0..15, scale 1/15. Weights to 0.7 in 4 bits: scale 0.1. A bias of 1 is 150 steps of 1/150."""
    graph = _matrix([[0.7, -0.7], [0.7, 0.0]], [1.0, 0.0])
    integer = quantized(graph, [np.array([[0, 1], [1, 0]], np.float32)], Scheme(weight_bits=4, activation_bits=4))
    reduction = Reduction(Register.parse("10:saturate", "acc"), bias_at=bias_at)
    (bound,) = bounds(integer, integer.nodes[0], reduction)
    assert (bound.low, bound.high) == (0, 15)
    start = 150 if bias_at is BiasAt.START else 0
    assert bound.above.tolist() == [511 - start, 511] and bound.below.tolist() == [512 + start, 512]
    # 15 * 7 above and 15 * 7 below: the first row fits either room, twenty of them would not.
    assert Budget(bound.low, bound.high, int(bound.above[0]), int(bound.below[0])).holds(np.array([7, -7]))


def test_partial_sums_bound_their_chains() -> None:
    graph = _matrix([[0.1] * 7], [0.0])
    integer = quantized(graph, [np.eye(7, dtype=np.float32)], Scheme(weight_bits=4, activation_bits=4))
    reduction = Reduction(lanes=1, chain=3, psum=Register.parse("9:saturate", "psum"))
    found = [
        (bound.part.start, bound.part.stop, bound.above.tolist())
        for bound in bounds(integer, integer.nodes[0], reduction)
    ]
    assert found == [(0, 3, [255]), (3, 6, [255]), (6, 9, [255])]


def test_without_pytorch_one_line_names_what_to_install(hwsim: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    said = hwsim.refused("train", "digits_cnn", "--output", "trained.onnx")
    assert said == "training needs PyTorch: pip install 'hwsim[train]'"
    by_hessian = ("--mixed", "size:60%", "--mixed-by", "hessian")
    said = hwsim.refused("quantize", "digits_cnn", *by_hessian)
    assert said == "the Hessian needs PyTorch: pip install 'hwsim[train]'"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--output", "trained"), "--output must be a .onnx file, not trained"),
        (("--output", "x.onnx", "--weight-bits", "3"), "weight_bits must be 4, 8 or 16 with --as onnx-qdq"),
        (("--output", "x.onnx", "--epochs", "0"), "epochs must be an integer from 1"),
        (("--output", "x.onnx", "--distill", "2"), "distill must be above 0 and at most 1"),
        (("--output", "x.onnx", "--scheme", "dynamic"), "scheme must be static"),
        (("--output", "x.onnx", "--ranges", "no"), "--ranges must be"),
        (("--output", "no/x.onnx"), "--output must be in a folder that can be written"),
    ],
)
def test_the_command_refuses_before_it_works(hwsim: Command, options: tuple[str, ...], said: str) -> None:
    assert hwsim.refused("train", "digits_cnn", *options).startswith(said)


def test_the_default_scheme_follows_moving_averages() -> None:
    assert TrainSettings().scheme == replace(Scheme(), activation_ranges=MovingAverage())
    assert not isinstance(TrainSettings().scheme.activation_ranges, MinMax)
