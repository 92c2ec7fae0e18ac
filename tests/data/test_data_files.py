"""CIFAR-10 and MNIST in their official layouts: small fakes, and the real sets where HWSIM_DATA has them."""

import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.data import cifar10, open_dataset
from hwsim.spec.errors import InputError

RECORDS = 7
REAL = os.environ.get("HWSIM_DATA")
needs_data = pytest.mark.skipif(not REAL, reason="HWSIM_DATA is unset: no CIFAR-10 or MNIST to read")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of data sets."""
    monkeypatch.setenv("HWSIM_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10 with `RECORDS` images per file: label and first pixel tell file and image."""
    monkeypatch.setattr(cifar10, "RECORDS_PER_FILE", RECORDS)
    folder = root / "cifar-10-batches-bin"
    folder.mkdir()
    for number, name in enumerate((*cifar10.FILES["train"], *cifar10.FILES["test"])):
        records = np.random.default_rng(number).integers(0, 256, (RECORDS, 3073), np.uint8)
        records[:, 0] = (np.arange(RECORDS) + number) % 10
        records[:, 1] = number * 16 + np.arange(RECORDS)
        records.tofile(folder / name)
    return folder


def test_cifar_is_nhwc(cifar: Path) -> None:
    data = open_dataset("cifar10")
    assert (len(data), data.sample_shape, data.kind) == (RECORDS, (32, 32, 3), "pixels")
    assert data.classes is not None
    assert data.classes[:2] == ("airplane", "automobile")
    record = np.fromfile(cifar / "test_batch.bin", np.uint8).reshape(RECORDS, 3073)[4]
    image = data.batch(4, 5)[0]
    assert type(image) is np.ndarray
    assert image.dtype == np.uint8
    for y, x, channel in ((0, 0, 0), (3, 17, 1), (31, 30, 2)):
        assert image[y, x, channel] == record[1 + channel * 1024 + y * 32 + x]
    assert data.labels[4] == record[0]
    assert data.digest() == hashlib.sha256((cifar / "test_batch.bin").read_bytes()).hexdigest()


def test_cifar_batches_run_across_files(cifar: Path) -> None:
    train = open_dataset("cifar10").calibration_split()
    assert (train.split, len(train)) == ("train", 5 * RECORDS)
    batch = train.batch(5, 2 * RECORDS + 2)
    expected = [number * 16 + index for number in range(3) for index in range(RECORDS)][5 : 2 * RECORDS + 2]
    assert batch[:, 0, 0, 0].tolist() == expected
    assert train.labels[RECORDS] == 1
    contents = b"".join((cifar / name).read_bytes() for name in cifar10.FILES["train"])
    assert train.digest() == hashlib.sha256(contents).hexdigest()
    assert train.calibration_split() is train


def test_cifar_with_the_test_file_only(cifar: Path) -> None:
    for name in cifar10.FILES["train"]:
        (cifar / name).unlink()
    data = open_dataset("cifar10")
    assert data.calibration_split() is data
    with pytest.raises(InputError, match=r"^data set cifar10 must be at .*data_batch_1.bin does not exist$"):
        open_dataset("cifar10", split="train")


def test_cifar_truncated(cifar: Path) -> None:
    path = cifar / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-1])
    message = f"^{path}: size must be 21511 bytes .is it truncated.., not 21510$"
    with pytest.raises(InputError, match=message):
        open_dataset("cifar10")
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=f"^{path}"):
        open_dataset("cifar10")


def test_cifar_label_out_of_range(cifar: Path) -> None:
    path = cifar / "data_batch_3.bin"
    content = bytearray(path.read_bytes())
    content[3073] = 10
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{path}: label must be below 10, not 10$"):
        open_dataset("cifar10", split="train")


def idx(array: NDArray[np.uint8]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
LABELS = np.array([7, 0, 9, 2, 2], np.uint8)


def write_mnist(root: Path, images: bytes, labels: bytes, prefix: str = "t10k", packed: bool = True) -> Path:
    folder, end = root / "mnist", ".gz" if packed else ""
    folder.mkdir(exist_ok=True)
    for name, content in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
        (folder / f"{prefix}-{name}{end}").write_bytes(gzip.compress(content) if packed else content)
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_mnist(root: Path, packed: bool) -> None:
    write_mnist(root, idx(IMAGES), idx(LABELS), packed=packed)
    data = open_dataset("mnist")
    assert (len(data), data.sample_shape, data.kind) == (5, (28, 28, 1), "pixels")
    np.testing.assert_array_equal(data.batch(1, 4)[..., 0], IMAGES[1:4])
    assert data.labels.tolist() == LABELS.tolist()
    assert data.digest() == hashlib.sha256(idx(IMAGES) + idx(LABELS)).hexdigest()
    assert data.calibration_split() is data
    with pytest.raises(InputError, match=r"^data set mnist must be at .*train-images-idx3-ubyte.gz does not exist$"):
        open_dataset("mnist", split="train")
    write_mnist(root, idx(IMAGES[:2]), idx(LABELS[:2]), "train")
    assert len(data.calibration_split()) == 2


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            idx(IMAGES)[:-1],
            idx(LABELS),
            "t10k-images-idx3-ubyte: size must be 3936 bytes, uncompressed, not 3935",
        ),
        (
            idx(IMAGES),
            idx(LABELS) + b"x",
            "t10k-labels-idx1-ubyte: size must be 13 bytes, uncompressed, not 14",
        ),
        (idx(IMAGES), idx(LABELS[:4]), "t10k-labels-idx1-ubyte: labels must be 5, one per image, not 4"),
        (idx(IMAGES), idx(LABELS + 1), "t10k-labels-idx1-ubyte: label must be below 10, not 10"),
        (idx(IMAGES[:, 1:]), idx(LABELS), "t10k-images-idx3-ubyte: image size must be 28x28, not 27x28"),
        (idx(IMAGES[:0]), idx(LABELS[:0]), "t10k-images-idx3-ubyte: sizes must be positive, not 0x28x28"),
        (
            idx(LABELS),
            idx(LABELS),
            "t10k-images-idx3-ubyte: header must be .* with 3 sizes .00000803., not 00000801",
        ),
        (b"", idx(LABELS), "t10k-images-idx3-ubyte: header must be .*, not empty"),
        (idx(IMAGES), b"\0\0\x08\x01\0", "t10k-labels-idx1-ubyte: header must be .*, not 00000801"),
    ],
)
def test_mnist_contents(root: Path, images: bytes, labels: bytes, message: str) -> None:
    folder = write_mnist(root, images, labels, packed=False)
    with pytest.raises(InputError, match=f"^{folder}/{message}$"):
        open_dataset("mnist")


@pytest.mark.parametrize("damage", ["cut", "not gzip", "flipped"])
def test_mnist_bad_gzip(root: Path, damage: str) -> None:
    path = write_mnist(root, idx(IMAGES), idx(LABELS)) / "t10k-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[:-100]
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    else:
        content[0] = 0
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{path} must be a whole gzip file, not one with: ."):
        open_dataset("mnist")


@needs_data
def test_real_cifar10() -> None:
    data = open_dataset("cifar10")
    assert np.bincount(data.labels).tolist() == [1000] * 10
    train = data.calibration_split()
    assert np.bincount(train.labels).tolist() == [5000] * 10
    assert train.batch(9990, 10010).shape == (20, 32, 32, 3)
    # The training set's channel means, as everyone normalizes with: 0.4914, 0.4822, 0.4465.
    means = np.mean([train.batch(i, i + 5000).mean((0, 1, 2)) for i in range(0, 50_000, 5000)], axis=0)
    np.testing.assert_allclose(means / 255, [0.4914, 0.4822, 0.4465], atol=1e-4)


@needs_data
def test_real_mnist() -> None:
    data = open_dataset("mnist")
    assert len(data) == 10_000
    assert data.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(data.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
