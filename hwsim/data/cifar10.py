"""CIFAR-10 in its official binary layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.data.dataset import Dataset, digest_files
from hwsim.data.source import DatasetSource, ImageSize
from hwsim.spec.errors import InputError, require

FOLDER = "cifar-10-batches-bin"
FILES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORDS_PER_FILE = 10_000
RECORD_BYTES = 1 + 3 * 32 * 32
"""One label, then the red, the green and the blue plane, each row by row."""


class Cifar10(Dataset):
    """CIFAR-10: uint8 pixels ``[32, 32, 3]``, 10 classes, 10,000 test and 50,000 train images.

    The files are mapped and not read, so that memory is bounded by a batch. The digest covers the split's
    files in the order of their numbers.

    Parameters
    ----------
    split
        ``train`` or ``test``.
    """

    def __init__(self, split: str) -> None:
        self._files = [CIFAR10.locate(f"{FOLDER}/{name}") for name in FILES[split]]
        self._records = [_map_records(path) for path in self._files]
        labels = np.concatenate([records[:, 0] for records in self._records])
        for path, part in zip(self._files, np.split(labels, len(self._files)), strict=True):
            require(part.max() < len(CLASSES), f"{path}: label", f"below {len(CLASSES)}", part.max())
        super().__init__(
            name="cifar10",
            split=split,
            kind="pixels",
            sample_shape=(32, 32, 3),
            labels=labels.astype(np.int64),
            classes=CLASSES,
        )

    def _read(self, start: int, stop: int) -> NDArray[np.uint8]:
        parts = []
        for index, records in enumerate(self._records):
            offset = index * RECORDS_PER_FILE
            parts.append(records[max(start - offset, 0) : max(stop - offset, 0), 1:])
        planes = np.concatenate(parts).reshape(stop - start, 3, 32, 32)
        return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))

    def digest(self) -> str:
        """Return the SHA-256 of the split's files, in the order of their numbers."""
        return digest_files(self._files)

    def calibration_split(self) -> Dataset:
        """Return the train split, or the set itself where only the test file is there."""
        first = self._files[0].with_name(FILES["train"][0])
        return Cifar10("train") if self.split == "test" and first.exists() else self


def _map_records(path: Path) -> NDArray[np.uint8]:
    """Return the records of a file as uint8 ``[RECORDS_PER_FILE, RECORD_BYTES]``, mapped read-only."""
    expected = RECORDS_PER_FILE * RECORD_BYTES
    try:
        size = path.stat().st_size
        require(size == expected, f"{path}: size", f"{expected} bytes (is it truncated?)", size)
        return np.memmap(path, np.uint8, "r", shape=(RECORDS_PER_FILE, RECORD_BYTES))
    except OSError as error:
        raise InputError(f"{path} must be a readable file, not one with: {error.strerror}") from None


def _open(split: str, image_size: ImageSize | None) -> Cifar10:
    return Cifar10(split)


CIFAR10 = DatasetSource(
    name="cifar10",
    description="small colour photographs, 32x32, 10 classes, 10,000 test and 50,000 train images",
    layout=f"{FOLDER}/{{data_batch_1..5,test_batch}}.bin",
    origin="https://www.cs.toronto.edu/~kriz/cifar.html, the binary version",
    licence="free for research, with citation (Krizhevsky 2009)",
    needs=(f"{FOLDER}/test_batch.bin",),
    opener=_open,
)
