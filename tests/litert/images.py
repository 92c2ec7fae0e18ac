"""Inputs of the live comparison: real data where the pack has it, and images that reach the ends of the formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def synthetic(count: int, shape: tuple[int, ...], seed: int) -> Array:
    """Return uint8 images ``[count, *shape]``: noise, low contrast, saturated, gradients, checkers, constants."""
    rng = np.random.default_rng(seed)
    rows = np.arange(shape[0])[:, None, None]
    columns = np.arange(shape[1])[None, :, None]
    kinds = (
        lambda: rng.integers(0, 256, shape),
        lambda: rng.integers(0, 236) + rng.integers(0, 20, shape),
        lambda: np.where(rng.random(shape) < 0.5, 0, 255),
        lambda: (rows * rng.integers(1, 9) + columns * rng.integers(1, 9) + np.zeros(shape, np.int64)) % 256,
        lambda: ((rows // 4 + columns // 4) % 2 + np.zeros(shape, np.int64)) * rng.integers(1, 256),
        lambda: np.full(shape, rng.choice([0, 1, 127, 128, 254, 255])),
        lambda: np.clip(rng.normal(128, 40, (shape[0], 1, 1)) + rng.normal(0, 12, shape), 0, 255),
    )
    return np.stack([np.asarray(kinds[i % len(kinds)]()).astype(np.uint8) for i in range(count)])


def cifar10(root: Path, count: int) -> Array:
    """Return uint8 test images ``[count, 32, 32, 3]``, evenly spread over the set."""
    records = np.fromfile(root / "cifar-10-batches-bin" / "test_batch.bin", np.uint8).reshape(-1, 3073)
    chosen = records[:: len(records) // count][:count, 1:]
    return np.ascontiguousarray(chosen.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def keywords(root: Path, count: int) -> Array:
    """Return int8 features ``[count, 49, 10, 1]``."""
    with np.load(root / "mlperf_tiny" / "kws01.npz") as archive:
        inputs = archive["inputs"]
    return np.ascontiguousarray(inputs[:: len(inputs) // count][:count])


def imagenet(root: Path, count: int, size: int) -> Array:
    """Return uint8 centre crops ``[count, size, size, 3]``."""
    from PIL import Image

    files = sorted((root / "imagenet_sample").glob("*.jpg"))
    images = []
    for file in files[:: len(files) // count][:count]:
        with Image.open(file) as image:
            crop = image.convert("RGB").crop((16, 16, 240, 240)).resize((size, size), Image.Resampling.BILINEAR)
            images.append(np.asarray(crop))
    return np.stack(images)
