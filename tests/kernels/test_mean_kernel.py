"""The kernel of means on every target that runs here, against NumPy's sums and the golden requantization."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hwsim.kernels.jit import ENABLED
from hwsim.kernels.mean import ByteMean
from hwsim.kernels.requantize import Requantizer
from hwsim.kernels.rounding import Rounding
from hwsim.kernels.targets import Target, runnable
from hwsim.spec import Profile

pytestmark = pytest.mark.skipif(not ENABLED, reason="the SIMD kernels need the JIT")


@pytest.mark.parametrize("target", runnable(), ids=lambda target: target.name)
@pytest.mark.parametrize("profile", list(Profile))
def test_every_target_and_profile(target: Target, profile: Profile) -> None:
    rng = np.random.default_rng(3)
    for storage, out, channels in itertools.product(("int8", "uint8"), ("int8", "uint8"), (64, 65, 150)):
        pixels, info, ends = int(rng.integers(1, 60)), np.iinfo(storage), np.iinfo(out)
        zero_in, zero_out = (int(rng.integers(i.min, i.max + 1)) for i in (info, ends))
        real = 2.0**-5 if profile is Profile.POWER_OF_TWO else 0.7 / pixels
        requantizer = Requantizer([real], profile, zero_out, int(ends.min), int(ends.max), 32)
        most = np.full(1, 255 * pixels)
        mean = ByteMean(
            Rounding.of(requantizer, -most, most), pixels, channels, -pixels * zero_in, signed=storage == "int8",
            storage=out, target=target,
        )  # fmt: skip
        assert mean.legal
        images = rng.integers(info.min, info.max + 1, (3, 1, pixels, channels)).astype(storage)
        images[1], images[2] = info.min, info.max
        sums = images.sum(axis=(1, 2), dtype=np.int64) - pixels * zero_in
        assert np.array_equal(mean(images), requantizer(sums.reshape(-1, 1), slice(0, 1), out).reshape(3, channels))
