"""Open a data set by name or path."""

from __future__ import annotations

from pathlib import Path

from hwsim.data.cifar10 import CIFAR10
from hwsim.data.dataset import SPLITS, Dataset
from hwsim.data.digits import DIGITS
from hwsim.data.folder import IMAGENET_SAMPLE, ImageFolder
from hwsim.data.mlperf_tiny import MLPERF_TINY_IMAGES
from hwsim.data.mnist import MNIST
from hwsim.data.npz import NpzDataset
from hwsim.data.source import DatasetSource, ImageSize
from hwsim.spec.errors import InputError, require

DATASETS: tuple[DatasetSource, ...] = (DIGITS, CIFAR10, MNIST, IMAGENET_SAMPLE, MLPERF_TINY_IMAGES)
"""The sets that have a name. `DatasetSource.is_present` tells which are there."""


def open_dataset(name_or_path: str, *, split: str = "test", image_size: ImageSize | None = None) -> Dataset:
    """Open a data set.

    Parameters
    ----------
    name_or_path
        A name in `DATASETS`, the path of a folder of images (see `ImageFolder`), or that of a ``.npz`` file
        (see `NpzDataset`). A name wins over a folder that is called the same: write ``./digits`` for that.
    split
        ``test`` or ``train``. Folders and ``.npz`` files are one set, which counts as ``test``.
    image_size
        Height and width that a folder's images are brought to: the model's. Needed for folders;
        sets whose images have a size of their own keep it.

    Raises
    ------
    InputError
        If there is no such set, it is not installed, or a file of it is broken.
    """
    require(split in SPLITS, "split", " or ".join(SPLITS), repr(split))
    for source in DATASETS:
        if source.name == name_or_path:
            return source.opener(split, image_size)
    path = Path(name_or_path)
    # An empty string would be the current folder, which nobody who leaves a name empty means.
    if name_or_path and path.is_dir():
        return ImageFolder(path, split=split, image_size=image_size)
    if path.suffix == ".npz" and path.is_file():
        return NpzDataset(path, split=split)
    names = ", ".join(source.name for source in DATASETS)
    reason = " (no such file)" if path.suffix == ".npz" else ""
    raise InputError(f"data must be {names}, a folder of images or a .npz file, not {name_or_path!r}{reason}")
