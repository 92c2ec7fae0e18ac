"""Whole trainings of the bundled digits network: files, figures and certificates that other commands agree with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import hwsim as package
from cli.command import Command
from cli.conftest import hwsim
from hwsim.api.machine import machine_of
from hwsim.certify.verify import verify
from hwsim.data import open_dataset
from hwsim.load import load_model
from hwsim.sim.analyze.certificate import prove_layers, write_certificate
from hwsim.sim.feed import Feed
from hwsim.sim.program import Program
from hwsim.train.document import TrainDocument
from hwsim.train.run import TrainResult

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'hwsim[train]'")

__all__ = ["hwsim"]

NARROW = ("--acc", "9:saturate", "--bias-at", "end")
QUICK = ("--train-images", "128", "--epochs", "2", "--calibration-images", "32", "--images", "60")


def test_a_trained_file_runs_to_the_same_bits(hwsim: Command) -> None:
    """Logits of the file, loaded and run as `hwsim run` does, equal those of training's own integers; so does its accuracy.

    The input has 8 bits, so that pixels enter the file as integers. The accumulator overflows, or nothing would be shown.
    """
    folder = hwsim.folder
    options = ("--weight-bits", "4", "--activation-bits", "4", "--edge-bits", "8", *NARROW, *QUICK)
    said = hwsim("train", "digits_cnn", "--output", "trained.onnx", *options)
    assert said.code == 0, said
    document = TrainDocument.model_validate_json((folder / "trained.json").read_text("utf-8"))
    assert document.after.overflow_events > 0 and not document.certified
    assert [epoch.frozen for epoch in document.curve] == [False, True]
    assert document.provenance.command.startswith("hwsim train digits_cnn --output trained.onnx")

    run = hwsim("run", "trained.onnx", "--data", "digits", "--images", "60", *NARROW, "--json", "run.json")
    assert run.code == 0, run
    found = json.loads((folder / "run.json").read_text("utf-8"))
    assert found["accuracy"]["correct"] == document.after.accuracy.correct
    assert found["total"]["overflow_events"] == document.after.overflow_events
    again = hwsim("train", "digits_cnn", "--output", "trained.onnx", *options)
    assert again.code == 0
    assert TrainDocument.model_validate_json((folder / "trained.json").read_text("utf-8")) == document


def test_logits_and_bytes(tmp_path: Path) -> None:
    """From Python: every logit of all test images; and the same bytes from the same seed, others from another one."""

    def made(name: str, seed: int) -> tuple[bytes, bytes]:
        results.append(
            package.train(
                "digits_cnn", output=tmp_path / name, weight_bits=4, activation_bits=4, edge_bits=8, epochs=1,
                train_images=128, calibration_images=32, evaluated=20, distill=0.5, seed=seed, acc="10:wrap", bias_at="end",
            )
        )  # fmt: skip
        return (tmp_path / name).read_bytes(), (tmp_path / name).with_suffix(".json").read_bytes()

    results: list[TrainResult] = []
    first = made("a.onnx", 0)
    assert made("a.onnx", 0) == first
    assert made("a.onnx", 1)[0] != first[0]
    made("a.onnx", 0)
    trained, loaded = results[0].graph, load_model(tmp_path / "a.onnx").graph
    arithmetic = machine_of("edge-16x16", acc="10:wrap", bias_at="end", requantize="ort-float32").arithmetic
    logits = []
    for graph in (trained, loaded):
        images = Feed(graph, open_dataset("digits")).integers(0, 359)
        logits.append(Program(graph, arithmetic).run(images)[graph.outputs[0]])
    assert logits[0].dtype == logits[1].dtype and np.array_equal(*logits)
    assert len(np.unique(logits[0])) > 20


@pytest.mark.parametrize("fit", ["penalty", "projection"])
def test_fitted_weights_are_certified(fit: str, tmp_path: Path) -> None:
    """The independent verifier accepts, of the file, that no input overflows 10 bits; and nothing did. 3 bits leave as QONNX."""
    path = tmp_path / "fitted.onnx"
    result = package.train(
        "digits_cnn", output=path, form="qonnx", weight_bits=3, activation_bits=3, epochs=1, train_images=128,
        calibration_images=32, evaluated=60, fit=fit, acc="9:wrap", bias_at="end",  # type: ignore[arg-type]
    )  # fmt: skip
    assert result.document.certified and result.document.after.overflow_events == 0
    loaded = load_model(path)
    arithmetic = machine_of("edge-16x16", acc="9:wrap", bias_at="end", requantize="ort-float32").arithmetic
    program = Program(loaded.graph, arithmetic)
    certificate = write_certificate(loaded.graph, loaded.sha256, prove_layers(program), arithmetic.reduction)
    verify(certificate, loaded.graph, loaded.sha256)
    assert certificate.no_overflow


def test_training_recovers_what_quantization_lost() -> None:
    """W3A3 of the bundled network: a few steps on 512 images bring it nearer to the float network than no training."""
    result = package.train(
        "digits_cnn", weight_bits=3, activation_bits=3, epochs=2, train_images=512, calibration_images=64
    )
    document = result.document
    assert document.after.accuracy.correct > document.before.accuracy.correct
    assert document.training.batch_norms == 3
