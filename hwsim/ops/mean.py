"""Mean over axes, global average pooling among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Tensor, Unit
from hwsim.kernels import elementwise
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.mean import MOST_PIXELS, ByteMean
from hwsim.kernels.requantize import PROFILES, factor_for
from hwsim.kernels.rounding import Rounding
from hwsim.ops.checks import activation_quantization
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.spec import Arithmetic, Multiplier, Profile, require

_BYTES = ("int8", "uint8")


@dataclass(frozen=True)
class Mean(Operator):
    """Mean over `axes` (not the batch).

    Integers as TFLite's ``QuantizedMeanOrSum``: the exact sum of the centred values is requantized once by
    ``input_scale / output_scale / count``, where the integer multiplier is divided by the count, rounding down. With
    `Profile.ORT_FLOAT32` that factor is formed in float32, as QLinearGlobalAveragePool does.
    """

    axes: tuple[int, ...]
    keep_dims: bool

    kind: ClassVar[str] = "mean"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        rank = len(inputs[0].shape)
        axes = self._positive(rank)
        require(len(axes) > 0 and min(axes) > 0 and max(axes) < rank, "mean: axes", f"in 1..{rank - 1}", self.axes)
        kept = [1 if axis in axes else size for axis, size in enumerate(inputs[0].shape)]
        return [tuple(kept) if self.keep_dims else tuple(size for axis, size in enumerate(kept) if axis not in axes)]

    def _positive(self, rank: int) -> tuple[int, ...]:
        return tuple(sorted({axis + rank if axis < 0 else axis for axis in self.axes}))

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        axes = self._positive(inputs[0].ndim)
        return [inputs[0].mean(axis=axes, keepdims=self.keep_dims, dtype=np.float32)]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        source, result = activation_quantization(inputs[0]), activation_quantization(outputs[0])
        axes = self._positive(len(inputs[0].shape))
        count = int(np.prod([inputs[0].shape[axis] for axis in axes]))
        real = float(source.scale) / float(result.scale)
        require(real < 2.0**10, "mean: input scale / output scale", "below 2**10", real)
        profile = arithmetic.profile
        twice = profile is Profile.TFLITE
        factor = _divided(factor_for(real, profile), count) if twice else factor_for(real / count, profile)
        zero_in, zero_out, form = int(source.zero_point), int(result.zero_point), result.format
        single = np.float32(real / count)
        if profile is Profile.ORT_FLOAT32:
            single = np.float32(source.scale) / (np.float32(result.scale) * np.float32(count))

        def run(values: Array) -> Array:
            total = values.sum(axis=axes, keepdims=self.keep_dims, dtype=np.int64) - count * zero_in
            out = np.empty(total.size, form.storage)
            elementwise.rescale(
                total.reshape(-1), 0, factor.multiplier, factor.shift, single, PROFILES.index(profile),
                zero_out, result.lo, result.hi, out,
            )  # fmt: skip
            return out.reshape(total.shape)

        rounding = Rounding(
            profile, result.lo, result.hi, np.array([factor.multiplier], np.int64), np.array([factor.shift], np.int64),
            np.array([single]), np.array([zero_out], np.int64), np.array([count * 255], np.int64),
        )  # fmt: skip
        bytes_only = source.format.storage in _BYTES and form.storage in _BYTES
        if ENABLED and axes == (1, 2) and len(inputs[0].shape) == 4 and bytes_only and count < MOST_PIXELS:
            mean = ByteMean(
                rounding, count, inputs[0].shape[3], -count * zero_in, signed=source.format.storage == "int8",
                storage=form.storage,
            )  # fmt: skip
            if mean.legal:
                size, shape = inputs[0].shape[1:], outputs[0].shape[1:]
                return SimpleUnit(
                    lambda images: mean(images).reshape(-1, *shape) if images.shape[1:] == size else run(images), mean
                )
        return SimpleUnit(run)


def _divided(factor: Multiplier, count: int) -> Multiplier:
    """Divide a factor by a count as TFLite does: shift the multiplier left as far as the count allows, then divide."""
    shift = min(count.bit_length() - 1, 32, 31 + factor.shift)
    return Multiplier((factor.multiplier << shift) // count, factor.shift - shift)
