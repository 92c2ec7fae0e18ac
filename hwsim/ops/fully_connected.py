"""Fully connected layer: a matrix of weights [out, in] times the flattened input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Tensor
from hwsim.kernels.monitor import Monitor
from hwsim.ops.activation import Activation, Clamp
from hwsim.ops.checks import require_rank
from hwsim.ops.geometry import Window
from hwsim.ops.products import ProductsUnit, centered_weights, products_workload
from hwsim.spec import Arithmetic, Profile, Workload, require


class _MatrixUnit(ProductsUnit):
    """A 1x1 convolution of images of one pixel."""

    def run(self, inputs: Sequence[Array], monitor: Monitor | None = None) -> list[Array]:
        batch = inputs[0].shape[0]
        (result,) = super().run([inputs[0].reshape(batch, 1, 1, -1)], monitor)
        return [result.reshape(batch, -1)]


@dataclass(frozen=True)
class FullyConnected(Operator):
    """``y[b, o] = bias[o] + sum x[b, i] * w[o, i]``, then the activation.

    Inputs: x [batch, ...], flattened to [batch, in]; weights [out, in]; optional bias [out].
    """

    activation: Clamp = Activation.NONE

    kind: ClassVar[str] = "fully_connected"
    weighted: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        weights = inputs[1]
        require_rank(weights, 2)
        require(inputs[0].elements == weights.shape[1], "weights", f"[out, {inputs[0].elements}]", weights.shape)
        require(
            len(inputs) < 3 or inputs[2].shape == weights.shape[:1],
            "bias shape",
            str(weights.shape[:1]),
            inputs[2].shape if len(inputs) > 2 else (),
        )
        return [(1, weights.shape[0])]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        result = inputs[0].reshape(inputs[0].shape[0], -1) @ inputs[1].T
        return [self.activation.apply(result + inputs[2] if len(inputs) > 2 else result)]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> ProductsUnit:
        weights = np.ascontiguousarray(centered_weights(inputs[1]).T)[None]
        quantization = inputs[1].quantization
        if arithmetic.profile is Profile.TFLITE:
            # LiteRT's reference kernel of this layer rounds once; that of a convolution rounds twice.
            arithmetic = replace(arithmetic, profile=Profile.TFLITE_SINGLE)
        return _MatrixUnit(
            inputs, outputs, arithmetic, self.activation, Window((1, 1)), weights,
            float32_product=quantization is not None and quantization.axis is None,
        )  # fmt: skip

    def gemm(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> tuple[int, int, int, int]:
        return 1, inputs[1].shape[1], inputs[1].shape[0], 1

    def workload(
        self, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic
    ) -> Workload:
        return products_workload(name, self.kind, self.gemm(inputs, outputs), inputs, outputs, arithmetic)
