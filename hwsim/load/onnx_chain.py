"""What stands between a quantizer and the operator whose result it quantizes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwsim.graph import Array, Node, Operator, Quantization, Tensor
from hwsim.ops import Add, DepthwiseConv2D, Lookup, Mul, Rectify
from hwsim.ops.float_steps import to_integers
from hwsim.spec import InputError

Tensors = dict[str, Tensor]
"""By name; what changes a network replaces entries and adds to them."""

RISING = frozenset({"sigmoid", "tanh", "hard-sigmoid"})
"""Functions of `Lookup` that never fall."""


class NotIntegerError(InputError):
    """Why a quantizer or a layer cannot be computed in integers."""


@dataclass(frozen=True)
class Affine:
    """``real * factor + term`` per output channel, float64 [1] or [channels]."""

    factor: Array
    term: Array

    @property
    def scales(self) -> bool:
        """Whether there is a factor."""
        return bool((self.factor != 1).any())

    @property
    def positive(self) -> bool:
        """Whether no factor turns or flattens the order of values."""
        return bool((self.factor > 0).all())


@dataclass(frozen=True)
class Chain:
    """Element-wise steps, in order, from the operator `core` (or from integers, None) to a quantizer."""

    steps: tuple[Node, ...]
    core: Node | None
    source: str
    """The tensor that the first step reads."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes that an integer operator for the chain replaces, the one that it is named after first."""
        return self.steps if self.core is None else (self.core, *self.steps)

    @property
    def monotone(self) -> bool:
        """Whether every step rises, or falls, all the way."""
        return all(not isinstance(step.op, Lookup) or step.op.function in RISING for step in self.steps)

    def apply(self, tensors: Tensors, real: Array) -> Array:
        """Compute the steps on float32 [..., channels] as the float operators do."""
        for step in self.steps:
            inputs = [tensors[name].real() if tensors[name].constant else real for name in step.inputs]
            real = step.op.evaluate(inputs)[0].astype(np.float32)
        return real

    def affine(self, tensors: Tensors) -> Affine | None:
        """Return factor and term of the steps before the clamps; None where another step is among or after them."""
        factor, term = np.ones(1), np.zeros(1)
        clamped = False
        for step in self.steps:
            constant = _constant(tensors, step)
            if isinstance(step.op, Rectify):
                clamped = True
            elif clamped or constant is None:
                return None
            elif isinstance(step.op, Mul):
                factor, term = factor * constant, term * constant
            else:
                term = term + constant
        return Affine(factor, term)

    def limits(self, quantization: Quantization) -> tuple[int, int] | None:
        """Return the integers that are left after the clamps at the end, None where another step is among those.

        Rounding never falls, so clamping reals before it is clamping integers after it.
        """
        first = next((i for i, step in enumerate(self.steps) if isinstance(step.op, Rectify)), len(self.steps))
        if self.core is None or not self.core.op.weighted:
            first = 0
        lo, hi = quantization.lo, quantization.hi
        for step in self.steps[first:]:
            if not isinstance(step.op, Rectify):
                return None
            low, high = step.op.activation.bounds
            ends = np.array([low if math.isfinite(low) else -3e38, high if math.isfinite(high) else 3e38], np.float32)
            low_integer, high_integer = to_integers(quantization, ends, quantization.lo, quantization.hi).tolist()
            lo, hi = max(lo, low_integer), min(hi, high_integer)
        return (lo, hi) if lo <= hi else None


@dataclass(frozen=True)
class Links:
    """Who writes a tensor, and how many read it."""

    writers: dict[str, Node]
    readers: Counter[str]

    @classmethod
    def of(cls, nodes: Sequence[Node], outputs: Sequence[str]) -> Links:
        """Return the links of a graph; leaving it is reading, too."""
        readers = Counter(outputs) + Counter(name for node in nodes for name in node.inputs)
        return cls({name: node for node in nodes for name in node.outputs}, readers)


def follow(tensors: Tensors, links: Links, quantizer: Node) -> Chain | None:
    """Return what a quantizer of a float tensor can take along, None where something else reads what is between."""
    steps: list[Node] = []
    tensor = quantizer.inputs[0]
    while True:
        writer = links.writers.get(tensor)
        if writer is None or links.readers[tensor] != 1 or tensors[tensor].quantization is not None:
            return None
        moving = [name for name in writer.inputs if not tensors[name].constant]
        if _is_step(tensors, writer, moving):
            steps.append(writer)
            (tensor,) = moving
            if tensors[tensor].quantization is not None:
                return Chain(tuple(reversed(steps)), None, tensor)
            continue
        if moving and all(tensors[name].quantization is not None for name in moving):
            return Chain(tuple(reversed(steps)), writer, tensor)
        return None


def annotate(tensors: Tensors, node: Node, quantization: Quantization, limits: tuple[int, int]) -> None:
    """Give a node's output a quantization with the limits that clamps leave."""
    whole = (quantization.format.lo, quantization.format.hi)
    kept = replace(quantization, limits=None if limits == whole else limits)
    tensors[node.outputs[0]] = replace(tensors[node.outputs[0]], quantization=kept)


def channel_axis(op: Operator) -> int:
    """Return the axis of a layer's weights that counts output channels."""
    return 3 if isinstance(op, DepthwiseConv2D) else 0


def _is_step(tensors: Tensors, node: Node, moving: Sequence[str]) -> bool:
    if isinstance(node.op, Rectify | Lookup):
        return True
    return isinstance(node.op, Mul | Add) and len(moving) == 1 and _constant(tensors, node) is not None


def _constant(tensors: Tensors, node: Node) -> Array | None:
    """Return the float constant per channel of a sum or product, float64 [1] or [channels]; None where there is none."""
    constants = [tensors[name] for name in node.inputs if tensors[name].constant]
    shape = tensors[node.outputs[0]].shape
    moving = [tensors[name].shape for name in node.inputs if not tensors[name].constant]
    if len(constants) != 1 or constants[0].quantization is not None or moving != [shape]:
        return None
    if constants[0].elements not in (1, shape[-1]) or (
        constants[0].elements > 1 and constants[0].shape[-1] != shape[-1]
    ):
        return None
    assert constants[0].data is not None
    values: Array = constants[0].data.reshape(-1).astype(np.float64)
    return values
