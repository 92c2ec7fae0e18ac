"""The images of MLPerf Tiny's accuracy run for image classification: 200 of CIFAR-10's test set."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from hwsim.data.cifar10 import CIFAR10, CLASSES, FOLDER, Cifar10
from hwsim.data.dataset import Dataset
from hwsim.data.source import DatasetSource, ImageSize
from hwsim.spec.errors import require

NUMBERS = (
    171, 8550, 1945, 9497, 8218, 7383, 6642, 606, 9705, 57, 5458, 9353, 3874, 8851, 5045, 1375, 1125, 184, 6680,
    2870, 7437, 7388, 800, 3619, 9164, 4219, 1602, 9040, 3458, 9104, 8606, 5631, 3129, 6143, 9862, 957, 5942,
    6359, 9004, 6826, 3229, 3676, 4647, 8331, 9344, 1675, 7181, 5341, 9075, 9008, 1931, 6262, 2288, 1849, 2575,
    5819, 5785, 364, 6700, 5795, 6427, 4300, 4845, 7859, 9491, 8159, 352, 2964, 2443, 6888, 5517, 9732, 1552,
    7299, 4095, 435, 6181, 3402, 2431, 3745, 3716, 3440, 3132, 6497, 3461, 422, 2703, 2626, 6869, 7731, 2903,
    1510, 9303, 8804, 9291, 595, 9282, 955, 3422, 458, 4408, 7043, 9373, 2471, 2199, 2876, 3098, 4793, 1356,
    639, 9213, 9278, 243, 9083, 9102, 4726, 7138, 4923, 2306, 6396, 7060, 8272, 1903, 5749, 7133, 3974, 6315,
    6054, 353, 8092, 6867, 4472, 5988, 1524, 4208, 225, 8256, 8230, 9911, 5335, 8303, 2729, 4344, 5019, 9679,
    5423, 4457, 3530, 4379, 1664, 4405, 5355, 2071, 6576, 4950, 7195, 8647, 7926, 162, 3736, 5857, 6221, 192,
    6014, 821, 479, 2139, 6567, 2091, 5974, 289, 1244, 4429, 1422, 1918, 4659, 8491, 8458, 7313, 9982, 672,
    1445, 244, 4700, 7463, 2038, 2383, 7184, 7873, 5465, 2128, 8254, 2786, 525, 2263, 1757, 220, 1886, 7141,
    2057,
)  # fmt: skip
"""Of each image in ``test_batch.bin``, in the order of the run: 20 of every class.

The benchmark names images by their files (``emu_s_002009``, in ``ic01_labels.csv``); these are their places in CIFAR-10's order.
"""


class MlperfTinyImages(Dataset):
    """uint8 pixels ``[32, 32, 3]``, 10 classes, 200 images; the digest is that of CIFAR-10's test file and of `NUMBERS`."""

    def __init__(self) -> None:
        self._cifar = Cifar10("test")
        super().__init__(
            name=MLPERF_TINY_IMAGES.name,
            split="test",
            kind="pixels",
            sample_shape=self._cifar.sample_shape,
            labels=self._cifar.labels[list(NUMBERS)],
            classes=CLASSES,
        )

    def _read(self, start: int, stop: int) -> NDArray[np.uint8]:
        return np.concatenate([self._cifar.batch(number, number + 1) for number in NUMBERS[start:stop]])

    def digest(self) -> str:
        """Return the SHA-256 of the test file's own digest and the numbers of the images."""
        return hashlib.sha256(f"{self._cifar.digest()} {NUMBERS}".encode()).hexdigest()

    def calibration_split(self) -> Dataset:
        """Return CIFAR-10's train split, or its test split where that is missing."""
        return self._cifar.calibration_split()


def _open(split: str, image_size: ImageSize | None) -> MlperfTinyImages:
    require(split == "test", "split", "test", repr(split))
    # Where the file is missing, in the name of this set.
    MLPERF_TINY_IMAGES.locate(MLPERF_TINY_IMAGES.layout)
    return MlperfTinyImages()


MLPERF_TINY_IMAGES = DatasetSource(
    name="mlperf_tiny_ic",
    description="the 200 test images of cifar10 that MLPerf Tiny measures image classification on",
    layout=f"{FOLDER}/test_batch.bin",
    origin=CIFAR10.origin,
    licence=CIFAR10.licence,
    needs=(f"{FOLDER}/test_batch.bin",),
    opener=_open,
)
