"""Models by path or by name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hwsim.load import load_model
from hwsim.spec import InputError


def test_unknown_suffix_and_name(tmp_path: Path) -> None:
    other = tmp_path / "model.pb"
    other.write_bytes(b"x")
    with pytest.raises(
        InputError,
        match=r"model must be a file ending in \.tflite or \.onnx, or the name of a bundled "
        r"model, not '.*model\.pb'$",
    ):
        load_model(other)
    with pytest.raises(InputError, match=r"or a bundled model: bundled model must be one of .*'nothing-like-it'$"):
        load_model("nothing-like-it")


@pytest.mark.parametrize("name", ["missing.tflite", "missing.onnx", "nul\0.tflite"])
def test_missing_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="model must be a readable file, not ") as caught:
        load_model(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_folder(tmp_path: Path) -> None:
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(InputError, match=r"model must be a readable file, not '.*folder\.onnx': a folder or a device$"):
        load_model(tmp_path / "folder.onnx")


def test_bundled_model_by_name() -> None:
    model = load_model("digits_cnn")
    assert (model.source_format, model.path.suffix) == ("onnx", ".onnx")
    assert model.sha256 == hashlib.sha256(model.path.read_bytes()).hexdigest()
    assert model.graph.input.shape[0] == 1


def test_bundled_model_beside_a_folder_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without a suffix cannot be a model file: what lies in the working folder does not hide the bundled model."""
    (tmp_path / "digits_cnn").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_model("digits_cnn").source_format == "onnx"
