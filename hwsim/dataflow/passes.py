"""Which operators the array computes, and what the others cost: no operator is free unless it moves nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwsim.spec import InputError, Workload

PRODUCTS = ("conv2d", "depthwise_conv2d", "fully_connected")
"""Sums of products in the array; bias, requantization and the clamp of an activation function are in its result port."""

PASSES = (
    "max_pool2d", "average_pool2d", "mean", "add", "mul", "concat", "pad", "transpose", "resize_nearest", "rectify", "lookup",
    "table", "softmax", "quantize", "dequantize",
)  # fmt: skip
"""A pass of its own: every tensor goes through at `cols` elements per cycle, side by side."""

NOTHING = ("reshape",)
"""The same bytes under another shape."""


def check_known(workload: Workload) -> None:
    """Raise `InputError` for an operator that the time model has no cost for."""
    if workload.op not in (*PRODUCTS, *PASSES, *NOTHING):
        raise InputError(f"{workload.name}: op must be one that the time model knows, not {workload.op}")


def pass_cycles(elements: npt.NDArray[np.int64], cols: int) -> npt.NDArray[np.int64]:
    """Return the cycles of passes, or of pieces of one, by the elements of the largest tensor in each."""
    cycles: npt.NDArray[np.int64] = -(-elements // cols)
    return cycles
