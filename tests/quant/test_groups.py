"""Groups of output channels that share a scale: between one for all and one for each."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from cli.command import Command
from cli.conftest import hwsim
from hwsim.data import open_dataset
from hwsim.graph import Graph
from hwsim.load import load_model
from hwsim.quant import Scheme, calibrate, parse_scheme, quantize
from hwsim.quant.outliers import OutlierRule
from hwsim.quant.pipeline import find_repairs, quantize_network
from hwsim.quant.ranges import MeanSquaredError
from hwsim.quant.repair.weight_clipping import best_limits
from hwsim.sim.feed import Feed
from hwsim.spec import InputError

__all__ = ["hwsim"]

ROWS = np.array([[7, 1], [3.5, 0], [-14, 2], [7, 0], [0.7, 0.1]])
"""Five channels, whose largest magnitudes are 7, 3.5, 14, 7 and 0.7."""


def test_a_scale_for_two_channels_by_hand() -> None:
    """4 bits, Q = 7: the larger of each pair, and the last channel alone; a bound from below is the pair's too."""
    scheme = parse_scheme("group:2", Scheme(weight_bits=4))
    found = scheme.weights(ROWS, 0, np.zeros(5))
    assert found.scale == pytest.approx([1, 1, 2, 2, 0.1])
    assert found.axis == 0
    least = np.array([0, 3, 0, 0, 0.0])
    assert scheme.weights(ROWS, 0, least).scale == pytest.approx([3, 3, 2, 2, 0.1])
    turned = scheme.weights(np.ascontiguousarray(ROWS.T)[None, None], 3, np.zeros(5))
    assert turned.scale == pytest.approx([1, 1, 2, 2, 0.1])
    assert [scheme.weight_scales(channels) for channels in (1, 2, 5, 8)] == [1, 1, 3, 4]


@pytest.mark.parametrize("ranges", ["min-max", "mse"])
@pytest.mark.parametrize("affine", [False, True])
def test_the_ends_are_a_scale_for_each_and_one_for_all(ranges: str, affine: bool) -> None:
    """Groups of 1 are channels; a group of all, or of more, is the tensor."""
    base = Scheme(weight_bits=4, affine_weights=affine)
    if ranges == "mse":
        base = replace(base, weight_ranges=MeanSquaredError())
    rows = np.random.default_rng(2).normal(0, 1, (6, 40)) * np.array([[1], [2], [0.5], [4], [1], [3]])
    each, tensor = base.weights(rows, 0, np.zeros(6)), replace(base, per_channel=False).weights(rows, 0, np.zeros(6))
    assert replace(base, group=1).weights(rows, 0, np.zeros(6)).scale == pytest.approx(each.scale)
    for size in (6, 99):
        whole = replace(base, group=size).weights(rows, 0, np.zeros(6))
        assert whole.scale == pytest.approx(np.full(6, float(tensor.scale)))
        assert (whole.zero_point == tensor.zero_point).all()
    errors = [
        float(((rows - known.dequantize(known.quantize(rows))) ** 2).sum())
        for known in (each, replace(base, group=2).weights(rows, 0, np.zeros(6)), tensor)
    ]
    assert errors[0] < errors[1] < errors[2]


def test_what_a_scheme_says_and_refuses() -> None:
    assert parse_scheme("group:8").name.startswith("symmetric group:8 weights")
    assert parse_scheme("per-channel").name.startswith("symmetric per-channel weights")
    with pytest.raises(InputError, match="--scheme must be with one of per-tensor and group"):
        parse_scheme("per-tensor,group:8")
    with pytest.raises(InputError, match="group must be 1 to 65535 output channels, not 0"):
        parse_scheme("group:0")
    with pytest.raises(InputError, match="group must be left out with outliers"):
        Scheme(weight_bits=4, group=2, outliers=OutlierRule.parse("1%"))


def test_clipping_cuts_a_group_together() -> None:
    """Each pair's clip is that of the two as one tensor, so their scales stay one."""
    scheme = parse_scheme("group:2", Scheme(weight_bits=3))
    rows = np.random.default_rng(4).normal(0, 1, (4, 60)).astype(np.float32)
    limits = best_limits(rows, 0, scheme)
    for pair in (slice(0, 2), slice(2, 4)):
        alone = best_limits(rows[pair].reshape(1, -1), 0, Scheme(weight_bits=3))
        assert limits[pair] == pytest.approx([alone[0], alone[0]])


def _network(words: str, repairs: tuple[str, ...] = ()) -> Graph:
    graph = load_model("digits_cnn").graph
    samples = [Feed(graph, open_dataset("digits").calibration_split()).real(0, 16)]
    scheme = parse_scheme(words, Scheme(weight_bits=4))
    if repairs:
        return quantize_network(graph, samples, scheme, find_repairs(repairs)).graph
    return quantize(graph, calibrate(graph, samples, scheme.ranges), scheme)


@pytest.mark.parametrize("repairs", [(), ("clip-weights", "correct-bias")])
def test_every_layer_of_a_network_has_shared_scales(repairs: tuple[str, ...]) -> None:
    network = _network("group:4", repairs)
    for node in network.nodes:
        if node.op.weighted:
            known = network.tensors[node.inputs[1]].quantization
            assert known is not None
            scale = known.scale
            for at in range(0, len(scale), 4):
                assert len(set(scale[at : at + 4].tolist())) == 1
            assert len(set(scale.tolist())) > 1


def test_the_command_counts_a_multiplier_for_each_group_and_the_file_runs(hwsim: Command) -> None:
    """40 bits for each 8 channels of a layer, rounded up to whole groups; accuracy is that of `hwsim run` of the file."""
    said = hwsim(
        "quantize", "digits_cnn", "--scheme", "group:8", "--weight-bits", "4", "--images", "100", "-o", "q.onnx", "--json",
        "q.json",
    )  # fmt: skip
    assert said.code == 0, said.err
    found = json.loads((hwsim.folder / "q.json").read_text("utf-8"))
    graph = load_model("digits_cnn").graph
    channels = {node.name: graph.tensors[node.inputs[1]].shape[0] for node in graph.nodes if node.op.weighted}
    assert {layer["name"]: layer["scales"] for layer in found["layers"]} == {
        name: -(-count // 8) for name, count in channels.items()
    }
    assert all(layer["scale_bytes"] == 5 * layer["scales"] for layer in found["layers"])
    run = hwsim("run", "q.onnx", "--data", "digits", "--images", "100", "--json", "run.json")
    assert run.code == 0, run.err
    accuracy = json.loads((hwsim.folder / "run.json").read_text("utf-8"))["accuracy"]
    assert accuracy["correct"] == found["accuracy"]["correct"]
