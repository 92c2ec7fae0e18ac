"""The kernels that add bytes, on every target that runs here, against the golden sum; all pairs of bytes."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.kernels import elementwise
from hwsim.kernels.addition import HEADROOM, ByteAdder, all_sums, requantizers, scaled_adder
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.requantize import PROFILES, factor_for
from hwsim.kernels.targets import Target, runnable
from hwsim.kernels.weighted_sum import Weights, weighted_adder
from hwsim.spec import Profile

pytestmark = pytest.mark.skipif(not ENABLED, reason="the SIMD kernels need the JIT")

SUMS = 15
"""That are drawn."""

Drawn = tuple[tuple[float, float, float], tuple[int, int, int], tuple[str, str, str], int, int]
"""Scales, zero points and dtypes of a, b and the output; its clamp."""


def draw(seed: int) -> Drawn:
    """Draw a sum; every third has a ReLU, every fourth one side that hardly counts, every fifth outputs that mostly saturate."""
    rng = np.random.default_rng(seed)
    a, b, out = (str(name) for name in rng.choice(["int8", "uint8"], 3))
    first, second = rng.uniform(0.01, 0.1, 2) * (2.0**-9 if seed % 4 == 0 else 1, 1)
    scale = (first + second) * rng.uniform(0.3, 1.2) / (40 if seed % 5 == 0 else 1)
    zeros = tuple(int(rng.integers(np.iinfo(name).min, np.iinfo(name).max + 1)) for name in (a, b, out))
    lo = zeros[2] if seed % 3 == 0 else int(np.iinfo(out).min)
    return (float(first), float(second), float(scale)), zeros, (a, b, out), lo, int(np.iinfo(out).max)


def reals(scales: tuple[float, float, float]) -> list[float]:
    """Return the factors that TFLite forms."""
    largest = 2 * max(scales[:2])
    return [scales[0] / largest, scales[1] / largest, largest / ((1 << HEADROOM) * scales[2])]


def golden(drawn: Drawn, profile: Profile) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all pairs of bytes, flat, and their sums by the golden kernel."""
    scales, zeros, dtypes, lo, hi = drawn
    sides = [np.arange(np.iinfo(name).min, np.iinfo(name).max + 1).astype(name) for name in dtypes[:2]]
    a, b = (np.ascontiguousarray(grid).reshape(-1) for grid in np.meshgrid(*sides, indexing="ij"))
    factors = [factor_for(real, profile) for real in reals(scales)]
    table = np.array([(factor.multiplier, factor.shift) for factor in factors], np.int64)
    out = np.empty(a.shape, dtypes[2])
    elementwise.add(
        a, b, *zeros[:2], HEADROOM, table, np.array(reals(scales), np.float32), PROFILES.index(profile), zeros[2], lo, hi, out
    )  # fmt: skip
    return a, b, out


def adders(drawn: Drawn, profile: Profile, target: Target) -> list[ByteAdder | None]:
    """Return both kernels, for one target."""
    scales, zeros, dtypes, lo, hi = drawn
    signed = (dtypes[0] == "int8", dtypes[1] == "int8")
    parts = requantizers(reals(scales), profile, zeros[2], lo, hi)
    near = (scales[0] / scales[2], scales[1] / scales[2])
    table = all_sums(parts, zeros[:2], signed)
    found = [weighted_adder(table, near, signed, lo, hi, dtypes[2], target)]
    return [*found, scaled_adder(parts, zeros[:2], signed, dtypes[2], target) if profile is Profile.TFLITE else None]


@pytest.mark.parametrize("target", runnable(), ids=lambda target: target.name)
@pytest.mark.parametrize("profile", [Profile.TFLITE, Profile.TFLITE_SINGLE])
def test_all_pairs_of_bytes(target: Target, profile: Profile) -> None:
    tried = 0
    for seed in range(SUMS):
        drawn = draw(seed)
        a, b, expected = golden(drawn, profile)
        for adder in adders(drawn, profile, target):
            if adder is not None:
                assert np.array_equal(adder(a, b), expected), seed
                tried += 1
        assert len(np.unique(expected)) > 1
    # Few sums have no weights, and TFLite's rounding is always there.
    assert tried >= (SUMS - 1) * (1 + (profile is Profile.TFLITE))


@pytest.mark.parametrize("target", runnable(), ids=lambda target: target.name)
def test_sizes_around_those_of_vectors(target: Target) -> None:
    drawn = draw(7)
    a, b, expected = golden(drawn, Profile.TFLITE)
    size = target.bytes
    for count in (1, size - 1, size, size + 1, 2 * size - 1, 3 * size + 5):
        part = np.random.default_rng(count).integers(0, a.size, count)
        for adder in adders(drawn, Profile.TFLITE, target):
            assert adder is not None
            assert np.array_equal(adder(a[part], b[part]), expected[part])


def test_halves_that_round_both_ways_have_no_weights() -> None:
    """One scale everywhere but twice in the output: x + 1/2 goes up above the zero point and down below it, as TFLite rounds."""
    parts = requantizers(reals((0.1, 0.1, 0.2)), Profile.TFLITE, 0, -128, 127)
    table = all_sums(parts, (0, 0), (True, True))
    assert (table[128 + 3, 128], table[128 - 3, 128]) == (2, -2)
    assert Weights.of(table, (0.5, 0.5), -128, 127) is None
    assert Weights.of(np.maximum(table, 0), (0.5, 0.5), 0, 127) is not None
