"""Between real values and integers, and from one integer scale to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Quantization, Tensor, Unit
from hwsim.kernels import elementwise
from hwsim.kernels.requantize import PROFILES, factor_for
from hwsim.ops.activation import Activation
from hwsim.ops.checks import activation_quantization
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.spec import Arithmetic, require


def rescaler(
    source: Quantization, result: Quantization, lo: int, hi: int, arithmetic: Arithmetic
) -> Callable[[Array], Array]:
    """Return a function from integers of one quantization to another, clamped; a plain clamp where scales agree."""
    zero_in, zero_out = int(source.zero_point), int(result.zero_point)
    storage = result.format.storage
    if float(source.scale) == float(result.scale):
        offset = zero_out - zero_in
        if offset == 0 and source.format == result.format and (lo, hi) == (result.format.lo, result.format.hi):
            return lambda values: values
        return lambda values: np.clip(values.astype(np.int64) + offset, lo, hi).astype(storage)
    real = float(source.scale) / float(result.scale)
    require(real < 2.0**20, "quantize: input scale / output scale", "below 2**20", real)
    factor = factor_for(real, arithmetic.profile)
    profile = PROFILES.index(arithmetic.profile)

    def run(values: Array) -> Array:
        out = np.empty(values.size, storage)
        flat = np.ascontiguousarray(values).reshape(-1)
        elementwise.rescale(
            flat, zero_in, factor.multiplier, factor.shift, np.float32(real), profile, zero_out, lo, hi, out
        )
        return out.reshape(values.shape)

    return run


def round_half_away(values: Array) -> Array:
    """Nearest integer, ties away from zero, in the dtype of `values`."""
    # Adding 0.5 first would itself round: 0.49999997 to 1, and large odd numbers to even ones.
    fraction, whole = np.modf(values)
    found: Array = whole + np.trunc(2 * fraction)
    return found


@dataclass(frozen=True)
class Quantize(Operator):
    """Real values, or integers on another scale, to the output's integers.

    From float as TFLite: ``round(x / scale)`` in float32 with ties away from zero, plus the zero point, clamped.
    """

    kind: ClassVar[str] = "quantize"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        return [inputs[0].shape]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0]]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        result = activation_quantization(outputs[0])
        lo, hi = Activation.NONE.clamp(result)
        if inputs[0].quantization is not None:
            return SimpleUnit(rescaler(activation_quantization(inputs[0]), result, lo, hi, arithmetic))
        scale, zero_point = np.float32(result.scale), int(result.zero_point)

        def run(real: Array) -> Array:
            steps = round_half_away(real.astype(np.float32) / scale)
            return np.clip(steps.astype(np.float64) + zero_point, lo, hi).astype(result.format.storage)

        return SimpleUnit(run)


@dataclass(frozen=True)
class Dequantize(Operator):
    """Integers to real values, ``scale * (q - zero_point)`` in float32."""

    kind: ClassVar[str] = "dequantize"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        return [inputs[0].shape]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0]]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        return SimpleUnit(activation_quantization(inputs[0]).dequantize)
