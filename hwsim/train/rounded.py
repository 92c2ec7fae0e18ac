"""Rounding that gradients pass: values of integers forward, straight through backward, with a learned step or a given one.

The gradient of ``s * q`` in its step s is, of every value x, ``q - x / s`` between the ends of the range and q beyond them (S.
Esser et al., "Learned Step Size Quantization", ICLR 2020, arXiv 1902.08153, equation 3); in x it is 1 between the ends, else 0.
"""

from __future__ import annotations

from typing import Any

import torch

from hwsim.train.extra import Value


class Rounded(torch.autograd.Function):  # type: ignore[misc]
    """See `rounded`."""

    @staticmethod
    def forward(ctx: Any, real: Value, step: Value, value: Value, ends: tuple[Any, Any], factor: float) -> Value:
        ctx.save_for_backward(real, step, value)
        ctx.ends, ctx.factor = ends, factor
        return value

    @staticmethod
    def backward(ctx: Any, *above: Value) -> Any:
        real, step, value = ctx.saved_tensors
        gradient = above[0]
        passed = _between(gradient, real, ctx.ends)
        if step is None:
            return passed, None, None, None, None
        if step.numel() == 1:
            # Sums of products, which need no tensor of their own.
            lost = torch.dot(gradient.reshape(-1), value.reshape(-1)) - torch.dot(passed.reshape(-1), real.reshape(-1))
        else:
            lost = (gradient * value - passed * real).sum_to_size(step.shape)
        return passed, ctx.factor * lost.reshape(step.shape) / step, None, None, None


def rounded(real: Value, value: Value, ends: tuple[Any, Any], step: Value = None, factor: float = 1.0) -> Value:
    """Return `value` with the gradients of rounding `real` to it.

    Parameters
    ----------
    real
        Before rounding.
    value
        What the integers stand for, of the same shape.
    ends
        The lowest and the highest real that the integers hold, as numbers or as tensors that fit `real`.
    step
        What is learned: of one element, or of a shape that `real` sums to; None for a step that is given.
    factor
        Of the step's gradient.
    """
    return Rounded.apply(real, step, value, ends, factor)


def _between(gradient: Value, real: Value, ends: tuple[Any, Any]) -> Value:
    """Return the gradient where a value lies between the ends, else 0."""
    low, high = ends
    if isinstance(low, float):
        # One pass over memory, where masks would be four.
        return torch.ops.aten.hardtanh_backward(gradient, real, low, high)
    return torch.where((real >= low) & (real <= high), gradient, 0.0)
