"""Softmax along the last axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Tensor, Unit
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.softmax import ByteSoftmax, softmax_rows
from hwsim.ops.checks import activation_quantization
from hwsim.ops.float_steps import to_integers, to_real
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.spec import Arithmetic, Multiplier, Profile, require


@dataclass(frozen=True)
class Softmax(Operator):
    """``exp(beta * x) / sum(exp(beta * x))`` along `axis`, which must be the last.

    Integers in gemmlowp's fixed point (see `hwsim.kernels.softmax`); the output has scale ``2**-bits`` and its smallest
    integer as zero point. With `Profile.ORT_FLOAT32` it is computed in float32, for any output.
    """

    axis: int = -1
    beta: float = 1.0

    kind: ClassVar[str] = "softmax"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        rank = len(inputs[0].shape)
        require(self.axis in (-1, rank - 1), "softmax: axis", f"the last, {rank - 1}", self.axis)
        return [inputs[0].shape]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        powers = np.exp((inputs[0] - inputs[0].max(axis=-1, keepdims=True)) * np.float32(self.beta))
        return [powers / powers.sum(axis=-1, keepdims=True)]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        source, result = activation_quantization(inputs[0]), activation_quantization(outputs[0])
        form = result.format
        if arithmetic.profile is Profile.ORT_FLOAT32:
            return SimpleUnit(
                lambda q: to_integers(result, self.evaluate([to_real(source, q)])[0], result.lo, result.hi)
            )
        require(
            float(result.scale) == 2.0**-form.bits and int(result.zero_point) == form.lo,
            f"softmax: scale and zero point of {outputs[0].name!r}",
            f"2**-{form.bits} and {form.lo}",
            f"{float(result.scale)} and {int(result.zero_point)}",
        )
        # TFLite's PreprocessSoftmaxScaling: differences as Q5.26, at most 2**31 - 1.
        factor = Multiplier.from_real(min(self.beta * float(source.scale) * 2.0**26, 2.0**31 - 1) / 2**2)
        multiplier, shift = factor.multiplier, factor.shift + 2
        require(shift >= 0, f"softmax: scale of {inputs[0].name!r}", "at least 2**-26", float(source.scale))
        # CalculateInputRadius: below this difference the Q5.26 form would overflow, and exp is 0.
        diff_min = -math.floor(31 * 2.0**26 / 2.0**shift)

        def run(values: Array) -> Array:
            rows = np.ascontiguousarray(values).reshape(-1, values.shape[-1])
            out = np.empty(rows.shape, form.storage)
            softmax_rows(rows, multiplier, shift, diff_min, form.bits, form.lo, form.hi, out)
            return out.reshape(values.shape)

        step = None
        if ENABLED and form.bits == 8 and source.format.storage in ("int8", "uint8"):
            signed = source.format.storage == "int8"
            step = ByteSoftmax(multiplier, shift, diff_min, form.bits, form.lo, form.hi, signed=signed)
        return SimpleUnit(run, step)
