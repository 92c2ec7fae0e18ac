"""What every data set looks like to the rest of hwsim, whatever it is stored as."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.spec.errors import InputError, require

Kind = Literal["pixels", "tensor"]

SPLITS = ("train", "test")
"""The splits that a set may have; every set has ``test``."""

HASH_CHUNK_BYTES = 1 << 20


class Dataset(ABC):
    """Labelled samples, read a batch at a time.

    Parameters
    ----------
    name
        Name for reports: the catalog's name, or that of the folder or file.
    split
        ``train`` or ``test``.
    kind
        ``pixels``: raw uint8 image values, which a model's input normalization applies to.
        ``tensor``: values that are already what the model takes.
    sample_shape
        Shape of one sample; ``(H, W, C)`` for images.
    labels
        int64 ``[N]``, class indices from 0, N >= 1.
    classes
        Class names by index, or None where the set does not name them.
    """

    def __init__(
        self,
        *,
        name: str,
        split: str,
        kind: Kind,
        sample_shape: tuple[int, ...],
        labels: NDArray[np.int64],
        classes: tuple[str, ...] | None = None,
    ) -> None:
        self.name = name
        self.split = split
        self.kind: Kind = kind
        self.sample_shape = sample_shape
        self.labels = labels
        self.classes = classes
        labels.flags.writeable = False

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def _read(self, start: int, stop: int) -> NDArray[Any]:
        """Return samples ``start..stop-1``; the range is checked and not empty."""

    @abstractmethod
    def digest(self) -> str:
        """Return the SHA-256 (hex) of what the samples and labels were read from.

        Each source documents the order. Equal contents give equal digests on every machine.
        """

    def batch(self, start: int, stop: int) -> NDArray[Any]:
        """Return the raw values of samples ``start..stop-1``.

        Parameters
        ----------
        start, stop
            Half-open range, ``0 <= start < stop``, `start` below ``len(self)``. A `stop` beyond the end
            is cut as a slice is, so that the last batch may be shorter.

        Returns
        -------
        ndarray
            ``[n, *sample_shape]``; images are NHWC. uint8 for ``pixels``, the stored dtype for ``tensor``.

        Raises
        ------
        InputError
            If the range is empty or outside the set, or a file can no longer be read.
        """
        require(0 <= start < len(self), "batch start", f"from 0 to {len(self) - 1}", start)
        require(stop > start, "batch stop", f"greater than its start {start}", stop)
        return self._read(start, min(stop, len(self)))

    def calibration_split(self) -> Dataset:
        """Return the samples to calibrate on: the train split where one exists, otherwise the set itself."""
        return self


class ArrayDataset(Dataset):
    """A set that is small enough to stay in memory.

    Parameters
    ----------
    inputs
        ``[N, *sample_shape]``.
    digest
        What `digest` returns.
    name, split, kind, labels, classes
        As for `Dataset`.
    """

    def __init__(
        self,
        inputs: NDArray[Any],
        labels: NDArray[np.int64],
        *,
        name: str,
        split: str,
        kind: Kind,
        digest: str,
        classes: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(
            name=name, split=split, kind=kind, sample_shape=inputs.shape[1:], labels=labels, classes=classes
        )
        self._inputs = inputs
        self._digest = digest

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        return self._inputs[start:stop].copy()

    def digest(self) -> str:
        """Return the SHA-256 that the source computed."""
        return self._digest


def digest_files(files: Iterable[Path]) -> str:
    """Return the SHA-256 (hex) of the contents of `files`, one after the other in the order given.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        update_digest(digest, path)
    return digest.hexdigest()


def update_digest(digest: hashlib._Hash, path: Path) -> None:
    """Feed the contents of `path` to `digest` in bounded memory; `InputError` if it cannot be read."""
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(HASH_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path} must be a readable file, not one with: {error.strerror}") from None
