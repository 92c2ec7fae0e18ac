"""Image files in folders, ImageNet style."""

from __future__ import annotations

import hashlib
import itertools
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.data.dataset import Dataset, update_digest
from hwsim.data.preprocess import load_image
from hwsim.data.source import DatasetSource, ImageSize
from hwsim.spec.errors import InputError, require

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
LARGEST_SIDE = 4096


class ImageFolder(Dataset):
    """A folder of images: one sub-folder per class, or ``<class>.jpg`` with one image per class.

    A class's index is the rank of its name among the sorted names (by code point). Samples are in the order
    of class, then file name. Only files that end in `SUFFIXES` (in any case) count, and nothing hidden does.
    Images are decoded a batch at a time, by `load_image`.

    The digest covers, per file in the order of the relative names: the name (with ``/``), a zero byte, the
    length of the contents (8 bytes, big-endian), the contents.

    Parameters
    ----------
    path
        The folder.
    split
        Must be ``test``.
    image_size
        Height and width that the model takes, 1..4096 each. Required.
    name
        Name for reports, default: the folder's.

    Raises
    ------
    InputError
        If there is no image, a class folder without any, or a mix of both layouts.
    """

    def __init__(
        self, path: Path, *, split: str = "test", image_size: ImageSize | None, name: str | None = None
    ) -> None:
        require(split == "test", f"{path}: split", "test (a folder of images is one set)", split)
        if image_size is None:
            raise InputError(f"{path}: image_size must be given, as height and width, for a folder of images")
        fits = len(image_size) == 2 and all(side in range(1, LARGEST_SIDE + 1) for side in image_size)
        require(fits, "image_size", f"two integers from 1 to {LARGEST_SIDE}", image_size)
        self._path, self._size = path, image_size
        try:
            classes = _classes(path)
        except OSError as error:
            raise InputError(f"{path} must be a readable folder, not one with: {error.strerror}") from None
        self._files = [file for _, files in classes for file in files]
        labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(files) for _, files in classes])
        super().__init__(
            name=name or path.resolve().name,
            split=split,
            kind="pixels",
            sample_shape=(*image_size, 3),
            labels=labels,
            classes=tuple(label for label, _ in classes),
        )

    def _read(self, start: int, stop: int) -> NDArray[np.uint8]:
        return np.stack([load_image(file, self._size) for file in self._files[start:stop]])

    def digest(self) -> str:
        """Return the SHA-256 of the images' names and contents, in the order of the names."""
        digest = hashlib.sha256()
        for name, file in sorted((file.relative_to(self._path).as_posix(), file) for file in self._files):
            try:
                size = file.stat().st_size
            except OSError as error:
                raise InputError(f"{file} must be a readable file, not one with: {error.strerror}") from None
            digest.update(os.fsencode(name) + b"\0" + size.to_bytes(8, "big"))
            update_digest(digest, file)
        return digest.hexdigest()


def _images(folder: Path) -> list[Path]:
    """Return the images in a folder, sorted without their suffix: as class names, ``a`` is before ``a-b``."""
    found = [file for file in _visible(folder) if file.suffix.lower() in SUFFIXES and file.is_file()]
    return sorted(found, key=lambda file: (file.stem, file.suffix))


def _visible(folder: Path) -> list[Path]:
    """Return what is in a folder and not hidden: macOS leaves ``._cat.jpg`` beside ``cat.jpg``."""
    return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]


def _classes(path: Path) -> list[tuple[str, list[Path]]]:
    """Return the classes in order, each with its files in order."""
    folders = sorted((entry for entry in _visible(path) if entry.is_dir()), key=lambda folder: folder.name)
    loose = _images(path)
    layouts = "a folder with either a folder of images per class or one image per class"
    if folders and loose:
        raise InputError(f"{path} must be {layouts}, not both ({folders[0].name}/ and {loose[0].name})")
    require(bool(folders or loose), str(path), f"{layouts} ({', '.join(SUFFIXES)})", "one without any")
    if folders:
        classes = [(folder.name, _images(folder)) for folder in folders]
        for name, files in classes:
            images = f"a class folder with images ({', '.join(SUFFIXES)})"
            require(bool(files), str(path / name), images, "one without any")
        return classes
    for one, other in itertools.pairwise(loose):
        require(one.stem != other.stem, str(path), layouts, f"one with both {one.name} and {other.name}")
    return [(file.stem, [file]) for file in loose]


def _open_imagenet(split: str, image_size: ImageSize | None) -> ImageFolder:
    path = IMAGENET_SAMPLE.locate(IMAGENET_SAMPLE.name)
    return ImageFolder(path, split=split, image_size=image_size, name=IMAGENET_SAMPLE.name)


IMAGENET_SAMPLE = DatasetSource(
    name="imagenet_sample",
    description="ImageNet-1k photographs, one for each of 1000 classes, scaled to the model's input",
    layout="imagenet_sample/<wnid>.jpg",
    origin="https://github.com/EliSchwartz/imagenet-sample-images, renamed to <wnid>.jpg",
    licence="ImageNet terms, research use",
    needs=("imagenet_sample/*.jpg",),
    opener=_open_imagenet,
)
