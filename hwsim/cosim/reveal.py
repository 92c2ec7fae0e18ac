"""Constants of a channel with which a requantized result shows the lowest bit of its accumulator."""

from __future__ import annotations

import itertools

import numpy as np

from hwsim.cosim.targets import ONE, largest_left_shift
from hwsim.kernels.requantize import PROFILES, scale
from hwsim.spec import BiasAt, Core, Format, Multiplier, Profile

TRIES = 8
"""Results that the accumulator is tried to be scaled to."""


def revealing(core: Core, accumulator: int, bias: int) -> tuple[int, int, int]:
    """Return bias, multiplier and shift with which `accumulator` and its neighbour towards zero have different results.

    A bias that is added at the end brings the accumulator near zero. Else the factor puts the border between two results
    between the two accumulators; where none does (a power of two cannot), what is returned is a factor all the same.
    """
    if core.arithmetic.reduction.bias_at is BiasAt.END:
        limits = Format(core.bias_bits)
        # Half of 1 rounds to 1, half of 0 to 0.
        return (1 - accumulator, ONE, 0) if limits.lo <= 1 - accumulator <= limits.hi else (bias, ONE, 0)
    if core.arithmetic.profile is Profile.POWER_OF_TWO or core.output is None or accumulator == 0:
        return bias, ONE, 0
    towards_zero = accumulator - (1 if accumulator > 0 else -1)
    most = (core.output.hi - core.output.lo) // 2 - 1
    results = np.linspace(max(most, 0), 0, TRIES).astype(int).tolist()
    # With one rounding the border lies between the two; with two, the first one moves what lies there.
    for result, offset in itertools.product(results, (0.5, 0.0)):
        factor = Multiplier.from_real((result + 0.5) / (abs(accumulator) - offset))
        if -31 <= factor.shift <= largest_left_shift(core):
            seen = {_scaled(core, value, factor) for value in (accumulator, towards_zero)}
            if len(seen) == 2:
                return bias, factor.multiplier, factor.shift
    return bias, ONE, 0


def _scaled(core: Core, accumulator: int, factor: Multiplier) -> int:
    code = PROFILES.index(core.arithmetic.profile)
    return int(scale(np.int64(accumulator), np.int64(factor.multiplier), np.int64(factor.shift), np.float32(0), code))
