"""Functions of one value: clamps, and tables for curved functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Quantization, Tensor, Unit
from hwsim.ops.activation import Clamp
from hwsim.ops.checks import activation_quantization
from hwsim.ops.float_steps import from_table, table
from hwsim.ops.hard_swish import hard_swish_table
from hwsim.ops.quantize import rescaler, round_half_away
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.spec import Arithmetic, Profile, require


@dataclass(frozen=True)
class Rectify(Operator):
    """A clamp of its own (ReLU, ReLU6, ...), where it is not fused into the layer before."""

    activation: Clamp

    kind: ClassVar[str] = "rectify"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        return [inputs[0].shape]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [self.activation.apply(inputs[0])]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        result = activation_quantization(outputs[0])
        lo, hi = self.activation.clamp(result)
        return SimpleUnit(rescaler(activation_quantization(inputs[0]), result, lo, hi, arithmetic))


def _sigmoid(x: Array) -> Array:
    # exp of a large positive number would overflow: use the symmetric form.
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _hard_sigmoid(x: Array) -> Array:
    # In float32 as ONNX Runtime: a sixth is a number of its own, and product and sum are rounded.
    sixth = x * np.float32(1 / 6) if x.dtype == np.float32 else x / 6
    found: Array = np.clip(sixth + x.dtype.type(0.5), x.dtype.type(0), x.dtype.type(1))
    return found


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "hard-sigmoid": _hard_sigmoid,
    "hard-swish": lambda x: x * _hard_sigmoid(x),
}
"""Curved functions by name."""


@dataclass(frozen=True)
class Lookup(Operator):
    """A function by table: one entry per input integer, the exact value rounded to nearest with ties away from zero.

    With `Profile.ORT_FLOAT32` entries are computed in float32 and ties go to even. In the profile TFLITE, an 8-bit hard-swish
    is the reference kernel's fixed-point one (see `hwsim.ops.hard_swish`); its sigmoid and tanh are the exact ones.
    """

    function: str

    kind: ClassVar[str] = "lookup"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        require(self.function in FUNCTIONS, "lookup: function", f"one of {', '.join(FUNCTIONS)}", self.function)
        return [inputs[0].shape]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [FUNCTIONS[self.function](inputs[0]).astype(np.float32)]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        source, result = activation_quantization(inputs[0]), activation_quantization(outputs[0])
        if arithmetic.profile is Profile.ORT_FLOAT32:
            entries = table(source, FUNCTIONS[self.function], result, result.lo, result.hi)
            return SimpleUnit(from_table(entries, source))
        narrow = source.format.bits == result.format.bits == 8
        if self.function == "hard-swish" and narrow and arithmetic.profile is Profile.TFLITE:
            return _table(hard_swish_table(source, result), source, result)
        integers = np.arange(source.format.lo, source.format.hi + 1)
        real = FUNCTIONS[self.function]((integers - source.zero_point) * source.scale)
        steps = round_half_away(real / result.scale) + result.zero_point
        return _table(np.clip(steps, result.lo, result.hi), source, result)


def _table(entries: Array, source: Quantization, result: Quantization) -> Unit:
    stored = entries.astype(result.format.storage)
    return SimpleUnit(lambda values: stored[values.astype(np.int64) - source.format.lo])
