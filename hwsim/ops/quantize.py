"""Between real values and integers, and from one integer scale to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Quantization, Tensor, Unit
from hwsim.kernels import elementwise
from hwsim.kernels.flip import HIGHEST, Flip
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.requantize import PROFILES, factor_for
from hwsim.ops.activation import Activation
from hwsim.ops.checks import activation_quantization
from hwsim.ops.float_steps import from_table, table, to_integers
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.spec import Arithmetic, InputError, Profile, require


def rescaler(
    source: Quantization, result: Quantization, lo: int, hi: int, arithmetic: Arithmetic
) -> Callable[[Array], Array]:
    """Return a function from integers of one quantization to another, clamped; a plain clamp where scales agree.

    With `Profile.ORT_FLOAT32` reals are float32 on the way.
    """
    zero_in, zero_out = int(source.zero_point), int(result.zero_point)
    storage = result.format.storage
    if float(source.scale) == float(result.scale):
        offset = zero_out - zero_in
        if offset == 0 and source.format == result.format and (lo, hi) == (result.format.lo, result.format.hi):
            return lambda values: values
        return lambda values: np.clip(values.astype(np.int64) + offset, lo, hi).astype(storage)
    if arithmetic.profile is Profile.ORT_FLOAT32:
        return from_table(table(source, lambda real: real, result, lo, hi), source)
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


def _flips(source: Quantization, result: Quantization) -> bool:
    """Whether bytes change their sign and nothing else: their highest bit."""
    signs = {(q.format.bits, q.format.signed): int(q.zero_point) for q in (source, result) if q.limits is None}
    alike = float(source.scale) == float(result.scale) and signs.keys() == {(8, False), (8, True)}
    return alike and signs[8, False] - signs[8, True] == HIGHEST


def round_half_away(values: Array) -> Array:
    """Nearest integer, ties away from zero, in the dtype of `values`."""
    # Adding 0.5 first would itself round: 0.49999997 to 1, and large odd numbers to even ones.
    fraction, whole = np.modf(values)
    found: Array = whole + np.trunc(2 * fraction)
    return found


def rounded(result: Quantization, real: Array, rounding: Callable[[Array], Array]) -> Array:
    """Quantize as QONNX's Quant: ``rounding(clip(real / scale + zero_point))`` in float32."""
    with np.errstate(over="ignore"):  # a quotient beyond float32 is clamped like any other
        steps = real.astype(np.float32) / np.float32(result.scale) + np.float32(result.zero_point)
    integers: Array = rounding(np.clip(steps, result.lo, result.hi)).astype(result.format.storage)
    return integers


ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.copysign(np.ceil(np.abs(x)), x),
    "DOWN": np.trunc,
    "HALF_UP": lambda x: np.copysign(np.floor(np.abs(x) + x.dtype.type(0.5)), x),
    "HALF_DOWN": lambda x: np.copysign(np.ceil(np.abs(x) - x.dtype.type(0.5)), x),
    "BIPOLAR": lambda x: np.where(x >= 0, np.float32(1), np.float32(-1)),
}
"""QONNX's roundings by name, in float32 as its executor has them, and the sign of BipolarQuant."""


@dataclass(frozen=True)
class Quantize(Operator):
    """Real values, or integers on another scale, to the output's integers.

    From float as TFLite: ``round(x / scale)`` in float32 with ties away from zero, plus the zero point, clamped. With
    `Profile.ORT_FLOAT32` ties go to even.

    Parameters
    ----------
    rounding
        Another rounding that a model asks for, one of `ROUNDINGS`; None leaves it to the profile.
    """

    rounding: str | None = None

    kind: ClassVar[str] = "quantize"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        return [inputs[0].shape]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0]]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        result = activation_quantization(outputs[0])
        lo, hi = Activation.NONE.clamp(result)
        if inputs[0].quantization is not None:
            if self.rounding is not None:
                raise InputError(f"rounding of an integer must be left to the profile, not {self.rounding!r}")
            source = activation_quantization(inputs[0])
            if _flips(source, result):
                storage = result.format.storage
                flip = lambda values: (values.view(np.uint8) ^ HIGHEST).view(storage)  # noqa: E731
                return SimpleUnit(flip, Flip() if ENABLED else None)
            return SimpleUnit(rescaler(source, result, lo, hi, arithmetic))
        if self.rounding is not None:
            rounding = ROUNDINGS[self.rounding]
            return SimpleUnit(lambda real: rounded(result, real, rounding))
        if arithmetic.profile is Profile.ORT_FLOAT32:
            return SimpleUnit(lambda real: to_integers(result, real, lo, hi))
        scale, zero_point = np.float32(result.scale), int(result.zero_point)

        def run(real: Array) -> Array:
            steps = round_half_away(real.astype(np.float32) / scale)
            return np.clip(steps.astype(np.float64) + zero_point, lo, hi).astype(result.format.storage)

        return SimpleUnit(run)


@dataclass(frozen=True)
class Dequantize(Operator):
    """Integers to real values, ``scale * (q - zero_point)``, the product rounded once to float32."""

    kind: ClassVar[str] = "dequantize"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        return [inputs[0].shape]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [inputs[0]]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        quantization = inputs[0].quantization
        if quantization is None or quantization.axis is None:
            quantization = activation_quantization(inputs[0])
        return SimpleUnit(quantization.dequantize)
