"""``hwsim run`` and ``hwsim inspect`` on quantized ONNX models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnxruntime.quantization import QuantType

from cli.command import Command
from hwsim.data import open_dataset
from onnx_quantized.ort_layers import ort_tensors
from onnx_quantized.ort_quantize import digits, quantized_model
from onnx_quantized.test_qonnx import QonnxNet


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    return Command(monkeypatch, capsys, tmp_path)


def test_run_rounds_as_the_models_makers_do(command: Command) -> None:
    """The accuracy of ONNX Runtime on the same digits, and its rounding in the document; an option overrides it."""
    path = quantized_model(command.folder, "digits_cnn", per_channel=True, activation_type=QuantType.QUInt8)
    options = ("--data", "digits", "--input-std", "16", "--observe", "2", "--threads", "1")
    answer = command("run", path, *options, "--json", "a.json")
    assert answer.code == 0, answer.err
    document = json.loads((command.folder / "a.json").read_text())
    labels = open_dataset("digits").labels
    scores = ort_tensors(path, digits())["logits"]
    assert document["accuracy"]["correct"] == int((scores.argmax(axis=1) == labels).sum())
    assert document["accelerator"]["requantization"] == "ort-float32"
    assert document["quantization"]["scheme"] == "as stored in the model"
    assert document["accuracy"]["float32"]["agree"] >= 0.99 * len(labels)
    assert min(layer["sqnr_db"] for layer in document["layers"] if layer["macs"]) > 20
    answer = command("run", path, *options, "--images", "9", "--requantize", "tflite", "--json", "b.json")
    assert json.loads((command.folder / "b.json").read_text())["accelerator"]["requantization"] == "tflite"


def test_run_on_thresholds_and_a_narrow_accumulator(command: Command) -> None:
    net = QonnxNet((1, 1, 8, 8))
    x = net.quant("x", 1 / 8, 4, 0)
    w = net.quant(net.normal(10, 64, scale=1.0), 0.25, 3, 1, 1)
    y = net.op("MatMul", net.op("Flatten", x), net.op("Transpose", w, perm=[1, 0]))
    y = net.quant(net.op("Relu", net.batch_norm(y, 10)), 0.25, 3, 0)
    net.op("MatMul", y, net.quant(net.normal(10, 10), 0.25, 3))
    net.file(command.folder)
    options = ("--data", "digits", "--input-std", "16", "--observe", "2", "--images", "40", "--json", "a.json")
    assert command("run", "net.onnx", *options, "--acc", "8:saturate").code == 0
    document = json.loads((command.folder / "a.json").read_text())
    assert document["total"]["overflow_events"] > 0
    assert document["total"]["macs"] == 740


def test_inspect(command: Command) -> None:
    path = quantized_model(command.folder, "digits_mobilenet", per_channel=True, activation_type=QuantType.QUInt8)
    answer = command("inspect", path, "--json", "a.json")
    assert answer.code == 0 and "(onnx, integer)" in answer.out
    rows = json.loads((command.folder / "a.json").read_text())
    assert rows["quantized"]
    weights = {row["weights"] for row in rows["layers"] if row["weights"]}
    assert weights <= {"int8 symmetric per channel", "int8 symmetric"}


def test_a_refused_model_is_one_line(command: Command) -> None:
    net = QonnxNet((1, 1, 8, 8))
    net.op("MatMul", net.op("Flatten", net.quant("x", 0.125, 4)), net.constant(np.ones((64, 10))))
    net.file(command.folder)
    answer = command("inspect", "net.onnx")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert "1 of 2 nodes cannot be computed in integers: node matmul2: its weights are not quantized" in answer.err


def test_a_core_has_no_thresholds(command: Command) -> None:
    pytest.importorskip("amaranth")
    net = QonnxNet((1, 1, 8, 8))
    w = net.quant(net.normal(10, 64, scale=1.0), 0.25, 3, 1, 1)
    y = net.op("MatMul", net.op("Flatten", net.quant("x", 0.125, 4)), net.op("Transpose", w, perm=[1, 0]))
    net.quant(net.batch_norm(y, 10), 0.25, 3)
    net.file(command.folder)
    answer = command("rtl", "run", "net.onnx", "--data", "digits", "--input-std", "16", "--images", "1")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "no core for node matmul4: its output must be requantized by a multiplier" in answer.err
