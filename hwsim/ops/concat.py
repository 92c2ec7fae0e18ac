"""Join tensors along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Tensor, Unit
from hwsim.ops.activation import Activation
from hwsim.ops.checks import activation_quantization
from hwsim.ops.quantize import rescaler
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.spec import Arithmetic, require


@dataclass(frozen=True)
class Concat(Operator):
    """Join along `axis` (not the batch). Integer inputs on another scale than the output's are requantized first."""

    axis: int
    activation: Activation = Activation.NONE

    kind: ClassVar[str] = "concat"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        shape = inputs[0].shape
        axis = self.axis % len(shape) if -len(shape) <= self.axis < len(shape) else 0
        require(axis != 0, "concat: axis", f"1..{len(shape) - 1}", self.axis)
        for tensor in inputs[1:]:
            require(
                len(tensor.shape) == len(shape)
                and all(a == b for i, (a, b) in enumerate(zip(tensor.shape, shape, strict=True)) if i != axis),
                f"concat: shape of {tensor.name!r}", f"{shape} except along axis {axis}", tensor.shape,
            )  # fmt: skip
        return [(*shape[:axis], sum(tensor.shape[axis] for tensor in inputs), *shape[axis + 1 :])]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [self.activation.apply(np.concatenate(inputs, axis=self.axis))]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        result = activation_quantization(outputs[0])
        lo, hi = self.activation.clamp(result)
        parts = [rescaler(activation_quantization(tensor), result, lo, hi, arithmetic) for tensor in inputs]

        def run(*arrays: Array) -> Array:
            return np.concatenate([part(array) for part, array in zip(parts, arrays, strict=True)], axis=self.axis)

        return SimpleUnit(run)
