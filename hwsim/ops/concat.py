"""Join tensors along an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Quantization, Tensor, Unit
from hwsim.ops.activation import Activation, Clamp
from hwsim.ops.checks import activation_quantization
from hwsim.ops.conv2d import is_uint8
from hwsim.ops.quantize import rescaler, round_half_away
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.spec import Arithmetic, Profile, require


@dataclass(frozen=True)
class Concat(Operator):
    """Join along `axis` (not the batch). Integer inputs on another scale than the output's are requantized first."""

    axis: int
    activation: Clamp = Activation.NONE

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
        sources = [activation_quantization(tensor) for tensor in inputs]
        if arithmetic.profile is Profile.TFLITE and is_uint8(outputs[0]):
            parts = [_float_rescaler(source, result, lo, hi) for source in sources]
        else:
            parts = [rescaler(source, result, lo, hi, arithmetic) for source in sources]

        def run(*arrays: Array) -> Array:
            return np.concatenate([part(array) for part, array in zip(parts, arrays, strict=True)], axis=self.axis)

        return SimpleUnit(run)


def _float_rescaler(source: Quantization, result: Quantization, lo: int, hi: int) -> Callable[[Array], Array]:
    """Return how TFLite's reference kernel joins uint8 tensors of different scales: in float32, ties away from zero."""
    if float(source.scale) == float(result.scale) and int(source.zero_point) == int(result.zero_point):
        return lambda values: np.clip(values, lo, hi)
    scale = np.float32(source.scale) * (np.float32(1) / np.float32(result.scale))
    offset = np.float32(-int(source.zero_point)) * scale

    def run(values: Array) -> Array:
        steps = round_half_away(values.astype(np.float32) * scale + offset)
        return np.clip(steps.astype(np.int64) + int(result.zero_point), lo, hi).astype(result.format.storage)

    return run
