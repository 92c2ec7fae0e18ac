"""The sets that stay in memory: digits and `.npz` files."""

import contextlib
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hwsim.data import open_dataset
from hwsim.spec.errors import InputError


def save(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_digits_split_is_every_fifth_sample() -> None:
    bunch = importlib.import_module("sklearn.datasets").load_digits()
    test, train = open_dataset("digits"), open_dataset("digits", split="train")
    assert (len(test), len(train)) == (359, 1438)
    assert (test.kind, test.sample_shape, test.classes) == ("pixels", (8, 8, 1), tuple("0123456789"))
    pixels = test.batch(0, 359)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[..., 0], bunch.images[4::5])
    np.testing.assert_array_equal(test.labels, bunch.target[4::5])
    rest = [i for i in range(len(bunch.target)) if i % 5 != 4]
    np.testing.assert_array_equal(train.batch(0, 1438)[..., 0], bunch.images[rest])
    np.testing.assert_array_equal(train.labels, bunch.target[rest])


def test_digits_digest_and_calibration() -> None:
    test = open_dataset("digits")
    assert test.digest() == "1ebd68d6a2455404674c9d111012d7d1571fe4b537a5e467e08fd10e7b7b0b47"
    train = test.calibration_split()
    assert (train.split, len(train)) == ("train", 1438)
    assert train.calibration_split() is train
    assert train.digest() != test.digest()


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ModuleType:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"^data set digits must be installed with scikit-learn"):
        open_dataset("digits")


def test_labels_and_batches_cannot_change_the_set() -> None:
    data = open_dataset("digits")
    with pytest.raises(ValueError, match="read-only"):
        data.labels[0] = 9
    data.batch(0, 1)[:] = 99
    assert data.batch(0, 1).max() <= 16


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [
        (-1, 3, "batch start must be from 0 to 358, not -1"),
        (359, 400, "batch start must be from 0 to 358, not 359"),
        (3, 3, "batch stop must be greater than its start 3, not 3"),
    ],
)
def test_batch_range(start: int, stop: int, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        open_dataset("digits").batch(start, stop)


def test_last_batch_is_short() -> None:
    assert open_dataset("digits").batch(355, 371).shape == (4, 8, 8, 1)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", ">i4", "float32", "float64", ">f4", "float16"])
def test_npz_passes_values_on(tmp_path: Path, dtype: str) -> None:
    inputs = np.arange(5 * 7 * 3).reshape(5, 7, 3, 1).astype(dtype)
    data = open_dataset(
        save(tmp_path / "set.npz", inputs=inputs, labels=np.array([3, 1, 4, 1, 5], np.uint8), more="text")
    )
    assert (data.name, data.split, data.kind, data.classes) == ("set.npz", "test", "tensor", None)
    assert data.sample_shape == (7, 3, 1)
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == [3, 1, 4, 1, 5]
    batch = data.batch(1, 4)
    assert batch.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(batch, inputs[1:4])
    assert data.calibration_split() is data


INPUTS = np.zeros((3, 2, 5), np.float32)
LABELS = np.array([0, 1, 2])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": INPUTS}, "arrays must be inputs and labels, not 'inputs'"),
        ({"labels": LABELS}, "arrays must be inputs and labels, not 'labels'"),
        ({}, "arrays must be inputs and labels, not none"),
        (
            {"inputs": INPUTS, "labels": LABELS[:2]},
            r"labels must be of shape \[3\], one per input, not \[2\]",
        ),
        ({"inputs": INPUTS, "labels": LABELS[:, None]}, r"labels must be of shape \[3\], .*, not \[3, 1\]"),
        ({"inputs": INPUTS, "labels": LABELS - 1}, "labels must be from 0 to 2147483647, not -1"),
        (
            {"inputs": INPUTS, "labels": np.array([0, 1, 2**63], np.uint64)},
            "labels must be from 0 to 2147483647, not 9223372036854775808",
        ),
        ({"inputs": INPUTS, "labels": LABELS / 2}, "labels must be integers, not float64"),
        (
            {"inputs": INPUTS * np.nan, "labels": LABELS},
            "inputs must be finite, not NaN or infinite in 3 samples",
        ),
        ({"inputs": INPUTS + 1j, "labels": LABELS}, "inputs must be integers or floats, not complex64"),
        ({"inputs": np.array(["a", "b"]), "labels": LABELS}, "inputs must be integers or floats, not <U1"),
        ({"inputs": np.array(5), "labels": LABELS}, r"inputs must be of shape \[N, ...\] .*, not \[\]"),
        ({"inputs": INPUTS[:0], "labels": LABELS[:0]}, r"inputs must be of shape .*, not \[0, 2, 5\]"),
    ],
)
def test_npz_contents(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path}/set.npz: {message}"):
        open_dataset(save(tmp_path / "set.npz", **arrays))


def test_npz_never_unpickles(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", inputs=np.array([{}, []], object), labels=[0, 1])
    with pytest.raises(InputError, match=r"set.npz must be a whole .npz of plain arrays, not one with: Object arrays"):
        open_dataset(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"inputs,labels\n"])
def test_npz_that_is_something_else(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"set.npz must be a whole .npz of plain arrays, not one with: .") as caught:
        open_dataset(str(path))
    assert "\n" not in str(caught.value)


def test_npz_that_is_a_single_array(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    with path.open("wb") as stream:
        np.save(stream, INPUTS)
    with pytest.raises(InputError, match=r"must be a .npz archive, not a single array"):
        open_dataset(str(path))


def test_npz_damaged_anywhere(tmp_path: Path) -> None:
    """A cut or a flipped byte gives an `InputError` or a set, never another exception."""
    whole = tmp_path / "whole.npz"
    np.savez_compressed(whole, inputs=np.arange(30.0).reshape(3, 10), labels=LABELS)
    content, path = whole.read_bytes(), tmp_path / "damaged.npz"
    random = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        damaged[random.integers(len(content))] ^= int(random.integers(1, 256))
        path.write_bytes(damaged[: random.integers(len(content) // 2, 2 * len(content))])
        with contextlib.suppress(InputError):
            assert len(open_dataset(str(path))) == 3


def test_npz_has_no_train_split(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", inputs=INPUTS, labels=LABELS)
    with pytest.raises(InputError, match=r"set.npz: split must be test .a .npz file is one set., not train$"):
        open_dataset(path, split="train")


def test_npz_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", inputs=INPUTS, labels=LABELS)
    first = open_dataset(path).digest()
    assert len(first) == 64
    assert open_dataset(save(tmp_path / "set.npz", inputs=INPUTS + 1, labels=LABELS)).digest() != first
