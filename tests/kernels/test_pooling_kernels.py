"""The kernels of pooling on every target that runs here, against the golden ones."""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
import pytest

from hwsim.kernels.jit import ENABLED
from hwsim.kernels.pool import average_pool, max_pool
from hwsim.kernels.pooling import BytePool
from hwsim.kernels.targets import Target, runnable

pytestmark = pytest.mark.skipif(not ENABLED, reason="the SIMD kernels need the JIT")

WINDOWS = {
    "all of it": (9, 7, 1, 1, 1, 1, 0, 0),
    "a corner of padding": (3, 3, 2, 2, 1, 1, 1, 2),
    "padding on the left alone": (1, 5, 1, 3, 1, 1, 0, 4),
    "spread": (2, 3, 1, 2, 3, 2, 2, 3),
}
"""`hwsim.kernels.gather.Geometry` for images of 9 x 7."""


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("kind", ["max", "mean"])
@pytest.mark.parametrize("target", runnable(), ids=lambda target: target.name)
def test_every_target_and_window(target: Target, kind: Literal["max", "mean"], name: str) -> None:
    rng = np.random.default_rng(5)
    geometry = np.array(WINDOWS[name], np.int64)
    down, across, up, left = (int(geometry[i]) for i in (2, 3, 6, 7))
    size = ((9 + up - (int(geometry[0]) - 1) * int(geometry[4]) - 1) // down + 1,
            (7 + left - (int(geometry[1]) - 1) * int(geometry[5]) - 1) // across + 1)  # fmt: skip
    for storage, channels, whole in itertools.product(("int8", "uint8"), (64, 101), (False, True)):
        info = np.iinfo(storage)
        lo, hi, zero_point = info.min + 9, info.max - 7, int(rng.integers(info.min, info.max + 1))
        images = rng.integers(info.min, info.max + 1, (3, 9, 7, channels)).astype(storage)
        images[1] = rng.choice([info.min, info.max], images[1].shape)
        expected = np.empty((3, size[0] * size[1], channels), storage)
        if kind == "max":
            max_pool(images, geometry, lo, hi, size[1], expected)
        else:
            average_pool(images, geometry, whole, zero_point, lo, hi, size[1], expected)
        pool = BytePool(
            kind, geometry, lo, hi, images.shape[1:], size, signed=storage == "int8",
            zero_point=zero_point if whole and kind == "mean" else None, target=target,
        )  # fmt: skip
        assert pool.legal
        assert np.array_equal(pool(images).reshape(expected.shape), expected)


@pytest.mark.parametrize("places", [1, 2, 3, 7, 255, 4096, (1 << 15) - 1])
def test_means_of_every_size_at_the_ends_and_around_the_ties(places: int) -> None:
    """A column of `places` pixels with sums just below, at and above a tie, up to the largest that any can be."""
    images = np.full((1, places, 1, 64), 255, np.uint8)
    for channel in range(64):
        images[0, : min(channel, places), 0, channel] = 254
        images[0, : min(places // 2 + channel % 3 - 1, places), 0, channel] -= channel % 2
    geometry = np.array([places, 1, 1, 1, 1, 1, 0, 0], np.int64)
    expected = np.empty((1, 1, 64), np.uint8)
    average_pool(images, geometry, False, 0, 0, 255, 1, expected)
    pool = BytePool("mean", geometry, 0, 255, images.shape[1:], (1, 1), signed=False)
    assert np.array_equal(pool(images).reshape(1, 1, 64), expected)
