"""Compute cycles of an ideal array: every multiplier busy in every cycle. The first, simplest time model.

A schedule of tiles with fill, drain and weight swaps replaces it behind the same function.
"""

from __future__ import annotations

from hwsim.spec import Accelerator, Workload


def compute_cycles(workload: Workload, accelerator: Accelerator) -> int:
    """Return the cycles of a layer for one image, a lower bound of any schedule.

    The array computes ``rows * cols`` products per cycle, and `cols` results per cycle pass the requantizers, element-wise
    layers included.
    """
    results = sum(operand.elements for operand in workload.operands if operand.role == "activations_out")
    return max(-(-workload.macs // (accelerator.rows * accelerator.cols)), -(-results // accelerator.cols))
