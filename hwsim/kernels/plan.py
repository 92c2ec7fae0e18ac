"""Which kernel may compute a sum of products, and the proof that it computes what the reduction defines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hwsim.kernels.bounds import Bounds
from hwsim.kernels.gemm import EXACT, SATURATE, WRAP
from hwsim.kernels.jit import ENABLED
from hwsim.spec import BiasAt, Overflow, Reduction

INT16, INT32 = 2**15, 2**31


@dataclass(frozen=True)
class Plan:
    """A decision, and why it is exact."""

    kernel: Literal["exact", "ordered"]
    """`exact`: no register can overflow, so that any order gives the same sums. `ordered`: every sum in its order."""
    proof: str
    operation: int | None
    """Operation of the SIMD kernels (`hwsim.kernels.gemm`), or None for the golden kernel."""
    largest: int
    """Bound of what goes to the requantizer, as a magnitude."""


def plan_products(
    weights: npt.NDArray[Any], bias: npt.NDArray[np.int64], low: int, high: int, bounds: Bounds, reduction: Reduction,
    *, depthwise: bool = False, repeat: int = 1,
) -> Plan:  # fmt: skip
    """Plan a layer.

    Parameters
    ----------
    weights
        All weights, zero points subtracted.
    bias
        int64, one per channel.
    low, high
        Range of the activations that the multiplier sees.
    bounds
        Of its registers.
    depthwise, repeat
        Whether every channel has its own activations, and how many outputs share them.
    """
    acc, needed = reduction.acc, bounds.safe_bits()
    largest = max(-int(bounds.out_low.min()), int(bounds.out_high.max()), int(np.abs(bias).max(initial=0)))
    heaviest = int(np.abs(weights).max(initial=0))
    simd = ENABLED and low >= -INT16 and high < INT16 and heaviest < INT16
    if bounds.holds(reduction):
        proof = (
            f"no input can overflow: {needed} accumulator bits hold every subset of the products, and it has {acc.bits}"
        )
        return Plan("exact", proof, EXACT if simd and largest < INT32 and repeat == 1 else None, largest)
    proof = f"overflow is possible: {needed} accumulator bits would rule it out and it has {acc.bits}"
    if bounds.acc_fits(reduction):
        proof = "overflow is possible in the partial sum or the tree, not in the accumulator"
    # One register, one product at a time; register + product stays within an int32 lane.
    simple = reduction.lanes == 1 and reduction.chain is None
    in_lane = acc.bits <= 31 and 2 ** (acc.bits - 1) + max(-low, high) * heaviest < INT32
    operation = SATURATE if acc.overflow is Overflow.SATURATE else WRAP
    limit = 2 ** (acc.bits - 1) + (0 if reduction.bias_at is BiasAt.START else int(np.abs(bias).max(initial=0)))
    simple = simple and in_lane and limit < INT32
    return Plan("ordered", proof, operation if simd and not depthwise and simple else None, limit)
