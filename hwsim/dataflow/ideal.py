"""Cycles of an ideal array: every multiplier busy in every cycle. No schedule takes fewer."""

from __future__ import annotations

from hwsim.spec import Accelerator, Workload


def ideal_cycles(workload: Workload, accelerator: Accelerator) -> int:
    """Return the least cycles of the array for a layer and one image.

    The array computes as many products per cycle as it has multipliers, and `cols` results per cycle leave it.
    """
    results = sum(operand.elements for operand in workload.operands if operand.role == "activations_out")
    return max(-(-workload.macs // accelerator.multipliers), -(-results // accelerator.cols))
