"""Nearest weights whose dot products no input can drive out of a register.

A register that starts at b and is written with prefixes of ``sum(w[k] * a[k])``, activations anything in ``-l..h`` (0 among
them), holds at most ``b + h * P + l * N`` and at least ``b - l * P - h * N``, where P and N are the sums of the positive weights
and of the magnitudes of the negative ones. Both are reached (`hwsim.sim.analyze.extremes`), so a row is safe if and only if

    h * P + l * N <= room above      and      l * P + h * N <= room below.

With ``h = l`` both bound the L1 norm, as A2Q does; with ``l = 0``, activations behind a ReLU, they bound the positive and the
negative weights apart, which is what A2Q+ gains for weights whose sums are equal. References: I. Colbert, A. Pappalardo,
J. Petri-Koenig, "A2Q: Accumulator-Aware Quantization with Guaranteed Overflow Avoidance", ICCV 2023 (arXiv 2308.13504);
I. Colbert et al., "A2Q+: Improving Accumulator-Aware Weight Quantization", ICML 2024 (arXiv 2401.10432); in Xilinx/brevitas,
``function/ops.py``, `get_upper_bound_on_l1_norm`, and ``core/scaling/pre_scaling.py``, `calc_max_l1_norm`.

The Euclidean projection shrinks magnitudes by a threshold, as J. Duchi, S. Shalev-Shwartz, Y. Singer, T. Chandra, "Efficient
Projections onto the L1-Ball for Learning in High Dimensions", ICML 2008, figure 1; here with a cost per unit of each weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Budget:
    """What one register leaves to a row of weights.

    Parameters
    ----------
    low, high
        Activations that the multiplier sees are in ``-low..high``; both 0 or more.
    above, below
        Room between what the register starts at and its ends, 0 or more.
    """

    low: int
    high: int
    above: int
    below: int

    def holds(self, weights: npt.NDArray[Any]) -> bool:
        """Whether no input drives the register out of its range, for one row of weights."""
        positive, negative = _sums(weights)
        return self._fits(positive, negative)

    def _fits(self, positive: float, negative: float, slack: float = 0.0) -> bool:
        over = self.high * positive + self.low * negative > self.above + slack
        under = self.low * positive + self.high * negative > self.below + slack
        return not over and not under

    def project(self, weights: Float64) -> Float64:
        """Return the nearest row, in the sum of squares, that fits.

        The conditions that bind at the nearest row are none, either, or both, and exactly one of these answers fits.
        """
        signs, sizes = np.sign(weights), np.abs(weights)
        plus = signs > 0
        if self.holds(weights):
            return weights
        up = np.where(plus, float(self.high), float(self.low))
        down = np.where(plus, float(self.low), float(self.high))
        for cost, room in ((up, self.above), (down, self.below)):
            found = shrink(sizes, cost, float(room))
            # A rounding of the threshold must not look like a second condition that binds.
            if self._fits(*_sums(signs * found), slack=1e-9 * (1 + room)):
                return signs * found
        positive, negative = self._both()
        return signs * np.where(plus, _alone(sizes, plus, positive), _alone(sizes, ~plus, negative))

    def _both(self) -> tuple[float, float]:
        """Return the sums of positive and negative weights where both conditions bind."""
        high, low, squares = self.high, self.low, self.high**2 - self.low**2
        return (high * self.above - low * self.below) / squares, (high * self.below - low * self.above) / squares

    def fill(self, integers: Int64, wanted: Float64, most: int) -> Int64:
        """Give the room that rounding toward zero left to the weights that gain most by one step away from zero.

        Parameters
        ----------
        integers
            A row that fits.
        wanted
            What it should be, in steps, with the same signs.
        most
            Largest magnitude of an integer.
        """
        q, sizes, plus = np.abs(integers), np.abs(wanted), wanted > 0
        positive, negative = _sums(integers)
        up, down = np.where(plus, self.high, self.low), np.where(plus, self.low, self.high)
        while True:
            left = sizes - q
            open_ = np.flatnonzero((left > 0.5) & (q < most))
            order = open_[np.argsort(-left[open_], kind="stable")]
            over = self.high * positive + self.low * negative + np.cumsum(up[order])
            under = self.low * positive + self.high * negative + np.cumsum(down[order])
            taken = order[(over <= self.above) & (under <= self.below)]
            if not len(taken):
                return np.where(plus, q, -q)
            q[taken] += 1
            positive += float(plus[taken].sum())
            negative += float((~plus[taken]).sum())


def shrink(sizes: Float64, cost: Float64, room: float) -> Float64:
    """Return the nearest that costs no more than `room`: ``max(sizes - t * cost, 0)`` with the smallest such t >= 0.

    Parameters
    ----------
    sizes
        Magnitudes, 0 or more.
    cost
        Of one unit of each, 0 or more; what costs nothing stays.
    room
        0 or more.
    """
    if float(cost @ sizes) <= room:
        return sizes
    paid = np.flatnonzero((cost > 0) & (sizes > 0))
    order = paid[np.argsort(-(sizes[paid] / cost[paid]), kind="stable")]
    threshold = (np.cumsum(cost[order] * sizes[order]) - room) / np.cumsum(cost[order] ** 2)
    # The last of the sorted ones that stays above its threshold, as in Duchi's figure 1.
    kept = np.flatnonzero(sizes[order] / cost[order] > threshold)
    if not len(kept):
        return np.where(cost > 0, 0.0, sizes)
    found: Float64 = np.maximum(sizes - threshold[kept[-1]] * cost, 0.0)
    return found


def _alone(sizes: Float64, chosen: npt.NDArray[np.bool_], room: float) -> Float64:
    return shrink(np.where(chosen, sizes, 0.0), np.ones_like(sizes), room)


def _sums(weights: npt.NDArray[Any]) -> tuple[float, float]:
    return float(weights[weights > 0].sum()), float(-weights[weights < 0].sum())
