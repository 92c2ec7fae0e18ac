"""``hwsim quantize --mixed``: bits by layer, within a budget that is kept, in the file that is written."""

from __future__ import annotations

import json
import math

import pytest

from cli.command import Command
from hwsim.load import load_model
from hwsim.sim.quantize.document import MixedInfo, QuantizeDocument
from hwsim.sim.time.network import time_network
from hwsim.spec import PRESETS

SHORT = ("--calibration-images", "16", "--mixed-images", "8")


def document(hwsim: Command, *arguments: str) -> tuple[QuantizeDocument, MixedInfo]:
    """Return what a command wrote about the digits network."""
    answer = hwsim("quantize", "digits_cnn", "--json", "q.json", *SHORT, *arguments)
    assert answer.code == 0, answer.err
    found = QuantizeDocument.model_validate(json.loads((hwsim.folder / "q.json").read_text()))
    assert found.mixed is not None
    return found, found.mixed


def weights() -> dict[str, int]:
    """Weights of each layer of the digits network."""
    graph = load_model("digits_cnn").graph
    return {node.name: graph.tensors[node.inputs[1]].elements for node in graph.nodes if node.op.weighted}


def test_bytes_of_weights_are_those_of_the_layers_and_within_the_budget(hwsim: Command) -> None:
    """A layer of n weights of b bits takes n * b / 8 bytes, rounded up."""
    found, mixed = document(hwsim, "--mixed", "size:60%")
    sizes = weights()
    bits = {layer.name: int(layer.weights.format.removeprefix("int")) for layer in found.layers}
    assert mixed.uniform == sum(sizes.values())
    assert mixed.allowed == math.floor(0.6 * mixed.uniform)
    assert mixed.cost == sum(math.ceil(sizes[name] * bits[name] / 8) for name in sizes) <= mixed.allowed
    assert {item.name: item.bits for item in mixed.items} == {f"{name}: weights": b for name, b in bits.items()}
    assert len(set(bits.values())) > 1
    assert (found.quantization.weight_bits, found.quantization.activation_bits) == (None, 8)
    assert mixed.loss <= mixed.greedy_loss
    assert mixed.loss == pytest.approx(
        sum(option.error for item in mixed.items for option in item.options if option.bits == item.bits), rel=1e-4
    )
    assert (mixed.fixed, mixed.timed, mixed.images) == (0, None, 8)


def test_cycles_are_those_of_the_machine(hwsim: Command) -> None:
    """Layers take what those of the written file take.

    The first and the last, whose neighbours there turn reals into integers and back, find their tensors elsewhere.
    """
    _, mixed = document(
        hwsim, "--mixed", "cycles:95%", "--mixed-bits", "2,4,8", "--accelerator", "nvdla-small", "--as", "qonnx", "-o",
        "net.onnx",
    )  # fmt: skip
    machine = next(preset for preset in PRESETS if preset.name == "nvdla-small")
    written = load_model(hwsim.folder / "net.onnx").graph
    timed = zip(written.nodes, time_network(written, machine), strict=True)
    times = [layer.time.cycles for node, layer in timed if node.op.weighted]
    chosen = [option.cost for item in mixed.items for option in item.options if option.bits == item.bits]
    assert chosen[1:-1] == times[1:-1]
    assert mixed.cost == mixed.timed == sum(chosen) + mixed.fixed
    assert mixed.cost <= mixed.allowed < mixed.uniform


def test_a_file_of_mixed_bits_runs_as_it_was_measured(hwsim: Command) -> None:
    """Weights and outputs of odd widths go through QONNX, and the network that is read back is as accurate."""
    found, mixed = document(
        hwsim, "--mixed", "bandwidth:50%", "--mixed-bits", "3,5,8", "--repair", "clip-weights,correct-bias", "--as", "qonnx",
        "-o", "net.onnx", "--images", "40", "--analyze", "--analyze-images", "8",
    )  # fmt: skip
    assert {item.bits for item in mixed.items} > {8}
    answer = hwsim("run", "net.onnx", "--data", "digits", "--images", "40", "--json", "run.json", "--observe", "1")
    assert answer.code == 0, answer.err
    ran = json.loads((hwsim.folder / "run.json").read_text())["accuracy"]
    assert found.accuracy is not None
    assert (ran["correct"], ran["n"]) == (found.accuracy.correct, found.accuracy.n)
    # Advice goes by a layer's own bits: two more than those.
    for layer in found.layers:
        assert layer.analysis is not None
        own = int(layer.weights.format.removeprefix("int"))
        if "--weight-bits" in layer.analysis.advice:
            assert f"--weight-bits {own + 2}" in layer.analysis.advice


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mixed", "size"], "--mixed must be one of size, bandwidth, cycles, with :NUMBER or :PERCENT%"),
        (["--mixed", "bytes:10"], "--mixed must be one of size, bandwidth, cycles, with"),
        (["--mixed", "size:1.5"], "--mixed must be one of"),
        (["--mixed", "size:0%"], "--mixed must be more than 0, not 'size:0%'"),
        (["--mixed", "size:10"], "budget must be at least"),
        (["--mixed", "size:60%", "--mixed-bits", "4,1"], "mixed bits must be an integer from 2 to 16, not 1"),
        (["--mixed", "size:60%", "--mixed-bits", "4,4"], "mixed bits must be different from each other, not (4, 4)"),
        (["--mixed", "size:60%", "--mixed-bits", "four"], "--mixed-bits must be numbers with commas between, not 'four'"),
        (["--mixed", "size:60%", "--mixed-images", "0"], "mixed images must be 1 or more, not 0"),
        (["--mixed", "size:60%", "--accelerator", "nvdla-small"], "--accelerator must be left out with other budgets than"),
        (["--mixed-bits", "4,8"], "--mixed-bits must be left out without --mixed, not 4,8"),
        (["--mixed", "size:60%", "-o", "x.onnx"], "--mixed-bits must be 4, 8 or 16 for --as onnx-qdq"),
        (["--mixed", "size:60%", "--scheme", "weight-only"], "bits by layer must be left out with other modes than static"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(hwsim: Command, arguments: list[str], said: str) -> None:
    assert hwsim.refused("quantize", "digits_cnn", "--calibration-images", "8", *arguments).startswith(said)
