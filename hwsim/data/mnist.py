"""MNIST in its IDX files, compressed or not."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.data.dataset import ArrayDataset, Dataset
from hwsim.data.source import DatasetSource, ImageSize
from hwsim.spec.errors import InputError, require

FOLDER = "mnist"
PREFIX = {"train": "train", "test": "t10k"}
UINT8_CODE = 8
"""IDX's code for unsigned bytes. The header is two zero bytes, the code, the rank, each size in 4 bytes."""


class Mnist(ArrayDataset):
    """MNIST: uint8 pixels ``[28, 28, 1]``, 10 classes, 10,000 test and 60,000 train images.

    Either form of each file will do: as published (``.gz``) or uncompressed, which wins where both are there.
    The digest covers the uncompressed contents of the split's images file, then of its labels file.

    Parameters
    ----------
    split
        ``train`` or ``test``. The train files may be absent.
    """

    def __init__(self, split: str) -> None:
        images_path = _find(f"{PREFIX[split]}-images-idx3-ubyte")
        labels_path = _find(f"{PREFIX[split]}-labels-idx1-ubyte")
        image_bytes, label_bytes = _contents(images_path), _contents(labels_path)
        images, labels = _parse_idx(images_path, image_bytes, 3), _parse_idx(labels_path, label_bytes, 1)
        require(images.shape[1:] == (28, 28), f"{images_path}: image size", "28x28", _sizes(images.shape[1:]))
        one_each = f"{len(images)}, one per image"
        require(len(labels) == len(images), f"{labels_path}: labels", one_each, len(labels))
        require(labels.max() < 10, f"{labels_path}: label", "below 10", labels.max())
        super().__init__(
            images[..., np.newaxis],
            labels.astype(np.int64),
            name="mnist",
            split=split,
            kind="pixels",
            digest=hashlib.sha256(image_bytes + label_bytes).hexdigest(),
            classes=tuple("0123456789"),
        )

    def calibration_split(self) -> Dataset:
        """Return the train split, or the set itself where the train files are absent."""
        if self.split == "train" or _existing(f"{PREFIX['train']}-images-idx3-ubyte") is None:
            return self
        return Mnist("train")


def _existing(name: str) -> Path | None:
    folder = MNIST.locate(FOLDER)
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), None)


def _find(name: str) -> Path:
    # `locate` of the compressed form, which is the published one, says what is missing.
    return _existing(name) or MNIST.locate(f"{FOLDER}/{name}.gz")


def _contents(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} must be a whole gzip file, not one with: {error}") from None
    except OSError as error:
        raise InputError(f"{path} must be a readable file, not one with: {error.strerror}") from None


def _parse_idx(path: Path, content: bytes, rank: int) -> NDArray[np.uint8]:
    """Return the array in an IDX file of unsigned bytes, `rank` sizes, at least one element."""
    magic, start = bytes((0, 0, UINT8_CODE, rank)), 4 + 4 * rank
    require(
        content[:4] == magic and len(content) >= start,
        f"{path}: header",
        f"that of an IDX file of bytes with {rank} sizes ({magic.hex()})",
        content[:4].hex() or "empty",
    )
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", rank, 4))
    expected = start + math.prod(shape)
    require(math.prod(shape) > 0, f"{path}: sizes", "positive", _sizes(shape))
    require(len(content) == expected, f"{path}: size", f"{expected} bytes, uncompressed", len(content))
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _open(split: str, image_size: ImageSize | None) -> Mnist:
    return Mnist(split)


MNIST = DatasetSource(
    name="mnist",
    description="handwritten digits, 28x28 grey, 10 classes, 10,000 test and 60,000 train images",
    layout=f"{FOLDER}/{{t10k,train}}-{{images-idx3,labels-idx1}}-ubyte[.gz]",
    origin="https://ossci-datasets.s3.amazonaws.com/mnist/",
    licence="CC BY-SA 3.0 (LeCun, Cortes, Burges)",
    needs=(f"{FOLDER}/t10k-images-idx3-ubyte*", f"{FOLDER}/t10k-labels-idx1-ubyte*"),
    opener=_open,
)
