"""Which kernel may compute a sum of products, and the proof that it computes what the reduction defines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hwsim.kernels.bounds import Bounds
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.ordered_panels import MOST_TERMS, Order
from hwsim.kernels.targets import host
from hwsim.spec import BiasAt, Reduction

INT16, INT32 = 2**15, 2**31

Operation = Literal["bytes", "words", "ordered-16", "ordered-32"]
"""Exact sums of products of bytes or of 16-bit words, or every sum in its order in lanes of 16 or 32 bits."""


@dataclass(frozen=True)
class Plan:
    """A decision, and why it is exact."""

    kernel: Literal["exact", "ordered"]
    """`exact`: no register can overflow, so that any order gives the same sums. `ordered`: every sum in its order."""
    proof: str
    operation: Operation | None
    """What the generated kernels compute, or None for the golden kernel."""
    largest: int
    """Bound of what goes to the requantizer, as a magnitude."""
    reason: str = ""
    """Why this operation and no faster one."""
    reach: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = field(default=None, compare=False)
    """Lowest and highest of what goes to the requantizer, by channel; None: all within `largest`."""
    safe: npt.NDArray[np.bool_] | None = field(default=None, compare=False)
    """Of an ordered layer: which channels no input can overflow; panels of such channels run unordered."""


def plan_products(
    weights: npt.NDArray[Any], bias: npt.NDArray[np.int64], low: int, high: int, bounds: Bounds, reduction: Reduction,
    *, depthwise: bool = False, repeat: int = 1, stored_bits: int = 16, output_bits: int = 8,
) -> Plan:  # fmt: skip
    """Plan a layer.

    Parameters
    ----------
    weights
        All weights, zero points subtracted: [groups, K, N], or [K, N].
    bias
        int64, one per channel.
    low, high
        Range of the activations that the multiplier sees.
    bounds
        Of its registers.
    depthwise, repeat
        Whether every channel has its own activations, and how many outputs share them.
    stored_bits, output_bits
        Of an activation in memory, before the layer and behind it.
    """
    acc, needed = reduction.acc, bounds.safe_bits()
    largest = max(-int(bounds.out_low.min()), int(bounds.out_high.max()), int(np.abs(bias).max(initial=0)))
    heaviest = int(np.abs(weights).max(initial=0))
    obstacle = _obstacle(low, high, heaviest, repeat)
    if bounds.holds(reduction):
        proof = (
            f"no input can overflow: {needed} accumulator bits hold every subset of the products, and it has {acc.bits}"
        )
        reach = bounds.out_low, bounds.out_high
        if largest >= INT32 and not obstacle:
            obstacle = "sums need more than 32 bits"
        if obstacle:
            return Plan("exact", proof, None, largest, obstacle)
        bytes_obstacle = _bytes_obstacle(weights, depthwise, stored_bits, output_bits)
        operation: Operation = "words" if bytes_obstacle else "bytes"
        return Plan("exact", proof, operation, largest, bytes_obstacle or "activations and weights are bytes", reach)
    proof = f"overflow is possible: {needed} accumulator bits would rule it out and it has {acc.bits}"
    if bounds.acc_fits(reduction):
        proof = "overflow is possible in the partial sum or the tree, not in the accumulator"
    late = 0 if reduction.bias_at is BiasAt.START else int(np.abs(bias).max(initial=0))
    # What the accumulator takes may bound it more closely than its range, or alone where that is beyond 32 bits.
    start = int(np.abs(bias).max(initial=0)) - late
    limit = min(2 ** (acc.bits - 1), start + _taken(weights, reduction))
    found, reason = _ordered(weights, low, high, bounds, reduction, limit)
    if limit + late >= INT32 and not (acc.bits == 32 and late == 0):
        found, reason = None, "what leaves the accumulator needs more than 32 bits"
    safe = bounds.safe_channels(reduction)
    reason = obstacle or f"{reason}; {int(safe.sum())} of {safe.size} channels cannot overflow"
    return Plan("ordered", proof, None if obstacle else found, limit + late, reason, safe=safe)


def _obstacle(low: int, high: int, heaviest: int, repeat: int) -> str:
    """Say what keeps a layer from every generated kernel; empty: nothing."""
    if not ENABLED:
        return "the compiler is switched off"
    if low < -INT16 or high >= INT16:
        return "an activation less its zero point needs more than 16 bits"
    if heaviest >= INT16:
        return "a weight less its zero point needs more than 16 bits"
    return "several outputs share the activations of a depthwise channel" if repeat > 1 else ""


def _bytes_obstacle(weights: npt.NDArray[Any], depthwise: bool, stored_bits: int, output_bits: int) -> str:
    """Say what keeps an exact layer from products of bytes; empty: nothing."""
    if host().byte_products is None:
        return "this processor has no products of bytes"
    if stored_bits > 8:
        return "an activation has more than 8 bits"
    low, high = weights.min(axis=-2), weights.max(axis=-2)
    if depthwise:
        outside = bool(low.min() < -128 or high.max() > 127)
        return (
            "a weight less its zero point needs more than 8 bits"
            if outside
            else ("the output has more than 8 bits" if output_bits > 8 else "")
        )
    # A constant of the channel may be taken off its weights: the sum of the activations puts it back.
    return "the weights of a channel need more than 8 bits" if bool(np.any(high - low > 255)) else ""


def _taken(weights: npt.NDArray[Any], reduction: Reduction) -> int:
    """Bound what an accumulator takes from partial sums, whatever they are; those of products have no bound here."""
    if reduction.psum is None:
        return int(INT32)
    chains = -(-weights.shape[-2] // (reduction.lanes * (reduction.chain or 1)))
    return int(chains * 2 ** (reduction.psum.bits - 1))


def _ordered(
    weights: npt.NDArray[Any], low: int, high: int, bounds: Bounds, reduction: Reduction, reach: int
) -> tuple[Operation | None, str]:
    """Choose the lanes of an ordered kernel, or None, and say why."""
    if reduction.lanes > MOST_TERMS[reduction.tree is not None]:
        return None, f"a tree has more than {MOST_TERMS[reduction.tree is not None]} lanes"
    if reduction.acc.bits > 32 and reach >= INT32:
        return None, "the accumulator needs more than 32 bits"
    ends = [int(w) * a for w in (weights.min(initial=0), weights.max(initial=0)) for a in (low, high)]
    lowest, highest = min(*ends, 0), max(*ends, 0)
    inner = reduction.acc if reduction.psum is None else reduction.psum
    registers = [inner] if reduction.tree is None else [reduction.tree, inner]
    group = (int(bounds.tree_low.min()), int(bounds.tree_high.max())) if reduction.tree is None else (lowest, highest)
    narrow = min(lowest, group[0]) >= -INT16 and max(highest, group[1]) < INT16
    # A tile's counters have 16 bits, and count each write of each of its rows once.
    narrow = narrow and weights.shape[-2] * Order.MOST_ROWS < 2**16
    if narrow and all(register.bits <= 16 for register in registers):
        return "ordered-16", "products and registers fit 16 bits"
    if any(register.bits > 32 for register in registers if register is not reduction.acc):
        return None, "a register has more than 32 bits"
    addend = max(-group[0], group[1], -lowest, highest)
    for register in (reduction.tree, reduction.psum, reduction.acc):
        if register is None:
            continue
        held = 2 ** (register.bits - 1)
        if register.bits < 32 and max(held, addend) + addend >= INT32:
            return None, "a register and what is added to it need more than 32 bits"
        if addend >= INT32:
            return None, "a group of products needs more than 32 bits"
        addend = max(held, addend) if register is reduction.tree else held
    return "ordered-32", "products or registers need more than 16 bits"
