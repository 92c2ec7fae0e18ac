"""Element-wise sum and product of two tensors, with NumPy's broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Tensor, Unit
from hwsim.kernels import elementwise
from hwsim.kernels.addition import HEADROOM, ByteAdder, all_sums, requantizers, scaled_adder
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.requantize import PROFILES, factor_for
from hwsim.kernels.weighted_sum import weighted_adder
from hwsim.ops.activation import Activation, Clamp
from hwsim.ops.checks import activation_quantization
from hwsim.ops.float_steps import to_integers, to_real
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.spec import Arithmetic, InputError, Profile, require


def _broadcast_shape(kind: str, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
    try:
        return [np.broadcast_shapes(inputs[0].shape, inputs[1].shape)]
    except ValueError:
        raise InputError(
            f"{kind}: inputs must have shapes that broadcast, not {inputs[0].shape} and {inputs[1].shape}"
        ) from None


def _flat(a: Array, b: Array) -> tuple[Array, Array, tuple[int, ...]]:
    a, b = np.broadcast_arrays(a, b)
    return np.ascontiguousarray(a).reshape(-1), np.ascontiguousarray(b).reshape(-1), a.shape


def _alike(inputs: Sequence[Tensor], least: int) -> bool:
    """Whether both inputs are activations of one shape, with no fewer elements."""
    first, second = inputs
    return not first.constant and not second.constant and first.shape == second.shape and first.elements >= least


@dataclass(frozen=True)
class Add(Operator):
    """``a + b``, then the activation. Integers as TFLite adds them.

    Both sides are shifted left by `headroom` bits, scaled to twice the larger input scale, added, and scaled to the output.
    With `Profile.ORT_FLOAT32` both become float32 reals, are added, and quantized.
    """

    activation: Clamp = Activation.NONE

    kind: ClassVar[str] = "add"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        return _broadcast_shape(self.kind, inputs)

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [self.activation.apply(inputs[0] + inputs[1])]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        first, second, result = (activation_quantization(tensor) for tensor in (*inputs, *outputs))
        lo, hi = self.activation.clamp(result)
        zero_a, zero_b, zero_out = (int(q.zero_point) for q in (first, second, result))
        scale_a, scale_b, scale_out = (float(q.scale) for q in (first, second, result))
        bytes_only = ENABLED and all(q.format.storage in ("int8", "uint8") for q in (first, second, result))
        signed = (first.format.storage == "int8", second.format.storage == "int8")
        near, storage = (scale_a / scale_out, scale_b / scale_out), result.format.storage
        if arithmetic.profile is Profile.ORT_FLOAT32:

            def in_reals(a: Array, b: Array) -> Array:
                return to_integers(result, to_real(first, a) + to_real(second, b), lo, hi)

            if not bytes_only:
                return SimpleUnit(in_reals)
            both = [np.arange(256).astype(np.uint8) + np.uint8(128 * sign) for sign in signed]
            a, b = (side.view(q.format.storage) for side, q in zip(both, (first, second), strict=True))
            table = in_reals(a[:, None], b[None]).astype(np.int64)
            return _adding(weighted_adder(table, near, signed, lo, hi, storage), in_reals, inputs)

        # TFLite's choice: the shifted 8-bit (16-bit) difference of value and zero point stays below 2**31 (2**33).
        headroom = HEADROOM if max(q.format.bits for q in (first, second, result)) <= 8 else 15
        largest = 2 * max(scale_a, scale_b)
        reals = [scale_a / largest, scale_b / largest, largest / ((1 << headroom) * scale_out)]
        require(reals[2] < 2.0**20, "add: input scale / output scale", "below 2**39", 2 * reals[2] * (1 << headroom))
        factors = [factor_for(real, arithmetic.profile) for real in reals]
        numbers = np.array([(factor.multiplier, factor.shift) for factor in factors], np.int64)
        profile = PROFILES.index(arithmetic.profile)

        def golden(a: Array, b: Array) -> Array:
            a, b, shape = _flat(a, b)
            out = np.empty(a.shape, storage)
            elementwise.add(
                a, b, zero_a, zero_b, headroom, numbers, np.array(reals, np.float32), profile, zero_out, lo, hi, out
            )
            return out.reshape(shape)

        if not bytes_only or headroom != HEADROOM:
            return SimpleUnit(golden)
        parts = requantizers(reals, arithmetic.profile, zero_out, lo, hi)
        table = all_sums(parts, (zero_a, zero_b), signed)
        adder = weighted_adder(table, near, signed, lo, hi, storage)
        if adder is None and arithmetic.profile is Profile.TFLITE:
            adder = scaled_adder(parts, (zero_a, zero_b), signed, storage)
        return _adding(adder, golden, inputs)


def _adding(adder: ByteAdder | None, golden: Callable[[Array, Array], Array], inputs: Sequence[Tensor]) -> Unit:
    """Return the unit of a kernel, where there is one."""
    if adder is None:
        return SimpleUnit(golden)

    def run(a: Array, b: Array) -> Array:
        a, b, shape = _flat(a, b)
        return adder(a, b).reshape(shape)

    return SimpleUnit(run, adder if _alike(inputs, adder.least) else None)


@dataclass(frozen=True)
class Mul(Operator):
    """``a * b``, then the activation. Integers: the exact product of the centred values, requantized once.

    With `Profile.ORT_FLOAT32` both become float32 reals, are multiplied, and quantized.
    """

    activation: Clamp = Activation.NONE

    kind: ClassVar[str] = "mul"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        return _broadcast_shape(self.kind, inputs)

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [self.activation.apply(inputs[0] * inputs[1])]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        first, second, result = (activation_quantization(tensor) for tensor in (*inputs, *outputs))
        lo, hi = self.activation.clamp(result)
        if arithmetic.profile is Profile.ORT_FLOAT32:
            return SimpleUnit(lambda a, b: to_integers(result, to_real(first, a) * to_real(second, b), lo, hi))
        zero_a, zero_b, zero_out = (int(q.zero_point) for q in (first, second, result))
        # TFLite multiplies the float32 scales as float32.
        real = float(np.float32(first.scale) * np.float32(second.scale) / np.float32(result.scale))
        require(real < 2.0**20, "mul: product of input scales / output scale", "below 2**20", real)
        factor = factor_for(real, arithmetic.profile)
        profile = PROFILES.index(arithmetic.profile)
        storage = result.format.storage

        def run(a: Array, b: Array) -> Array:
            a, b, shape = _flat(a, b)
            out = np.empty(a.shape, storage)
            elementwise.multiply(
                a, b, zero_a, zero_b, factor.multiplier, factor.shift, np.float32(real), profile, zero_out, lo, hi, out
            )
            return out.reshape(shape)

        return SimpleUnit(run)
