"""The 8x8 digits that come with scikit-learn: small, free, and there without a download."""

from __future__ import annotations

import hashlib
import importlib

import numpy as np

from hwsim.data.dataset import ArrayDataset
from hwsim.data.source import DatasetSource, ImageSize
from hwsim.spec.errors import InputError

TEST_EVERY = 5
"""One sample in five is for testing: those with ``index % 5 == 4``."""


class Digits(ArrayDataset):
    """scikit-learn's ``load_digits``: 1797 images, uint8 pixels 0..16, ``[8, 8, 1]``, 10 classes.

    The split is fixed and part of the contract: a sample whose index (in scikit-learn's order) leaves 4
    modulo 5 belongs to ``test`` (359 samples), every other one to ``train`` (1438).

    The digest covers the split's pixels (uint8, ``[N, 8, 8]``, C order), then its labels (one byte each).
    It is taken over values and not over scikit-learn's compressed file, whose bytes a release may change.
    """

    def __init__(self, split: str) -> None:
        try:
            # By name: scikit-learn has no type information, and costs a second that other sets need not pay.
            bunch = importlib.import_module("sklearn.datasets").load_digits()
        except ImportError:
            raise InputError(
                "data set digits must be installed with scikit-learn (pip install scikit-learn), not missing"
            ) from None
        images = np.asarray(bunch.images, dtype=np.uint8)
        is_test = np.arange(len(images)) % TEST_EVERY == TEST_EVERY - 1
        chosen = is_test if split == "test" else ~is_test
        pixels = np.ascontiguousarray(images[chosen])
        labels = np.asarray(bunch.target, dtype=np.int64)[chosen]
        super().__init__(
            pixels[..., np.newaxis],
            labels,
            name="digits",
            split=split,
            kind="pixels",
            digest=hashlib.sha256(pixels.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest(),
            classes=tuple("0123456789"),
        )

    def calibration_split(self) -> Digits:
        """Return the train split."""
        return self if self.split == "train" else Digits("train")


def _open(split: str, image_size: ImageSize | None) -> Digits:
    return Digits(split)


DIGITS = DatasetSource(
    name="digits",
    description="handwritten digits, 8x8 grey, 10 classes, 359 test and 1438 train samples",
    layout="none: comes with scikit-learn",
    origin="https://archive.ics.uci.edu/dataset/80 (through scikit-learn's load_digits)",
    licence="CC BY 4.0",
    needs=(),
    opener=_open,
)
