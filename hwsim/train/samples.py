"""Batches of training samples in an order of their own every epoch, augmented, as a network takes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwsim.data import Dataset
from hwsim.data.dataset import ArrayDataset
from hwsim.graph import Array
from hwsim.spec import require
from hwsim.train.settings import Augmentation

READ_SAMPLES = 1000
"""Samples that are read at a time, where the whole set is wanted."""


class TrainingSet:
    """The first samples of a data set, in memory.

    Parameters
    ----------
    dataset
        Where they come from.
    count
        How many; None for all.
    augmentation
        Of images; other samples must have none.
    """

    def __init__(self, dataset: Dataset, count: int | None, augmentation: Augmentation) -> None:
        size = min(len(dataset), count or len(dataset))
        parts = [dataset.batch(at, min(at + READ_SAMPLES, size)) for at in range(0, size, READ_SAMPLES)]
        self.inputs, self.labels = np.concatenate(parts), dataset.labels[:size]
        self.dataset, self.augmentation = dataset, augmentation
        image = self.inputs.ndim == 4
        require(
            image or augmentation == Augmentation(), "augmentation", "left out for samples that are no images", "given"
        )
        if image:
            side = min(self.inputs.shape[1:3])
            require(augmentation.shift < side, "shift", f"below the {side} pixels of an image", augmentation.shift)

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, size: int, random: np.random.Generator) -> Iterator[Dataset]:
        """Yield every sample once, in batches of an order drawn anew.

        What is left behind whole batches is left out, unless it is all there is: statistics want batches of one size.
        """
        order = random.permutation(len(self))
        size = min(size, len(self))
        data = self.dataset
        for at in range(0, len(self) - size + 1, size):
            chosen = order[at : at + size]
            yield ArrayDataset(
                augmented(self.inputs[chosen], self.augmentation, random), self.labels[chosen], name=data.name,
                split=data.split, kind=data.kind, digest="", classes=data.classes,
            )  # fmt: skip


def augmented(images: Array, change: Augmentation, random: np.random.Generator) -> Array:
    """Return images [n, H, W, C], each moved and mirrored at random; all chance is drawn before any image is looked at."""
    n = len(images)
    if change.shift:
        margin = change.shift
        height, width = images.shape[1:3]
        around = ((0, 0), (margin, margin), (margin, margin), (0, 0))
        wide = np.pad(images, around, mode="reflect")
        places = random.integers(0, 2 * margin + 1, (n, 2)).tolist()
        images = np.stack([image[y : y + height, x : x + width] for image, (y, x) in zip(wide, places, strict=True)])
    if change.mirror:
        turned = random.random(n) < 0.5
        images = np.where(turned[:, None, None, None], images[:, :, ::-1], images)
    return images
