"""Depthwise convolution: every channel of an NHWC image with its own filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Tensor
from hwsim.ops.activation import Activation, Clamp
from hwsim.ops.checks import require_rank
from hwsim.ops.conv2d import is_uint8
from hwsim.ops.float_windows import windows
from hwsim.ops.geometry import Window
from hwsim.ops.products import ProductsUnit, centered_weights, products_workload
from hwsim.spec import Arithmetic, Workload, require


@dataclass(frozen=True)
class DepthwiseConv2D(Operator):
    """Output channel ``c * multiplier + j`` convolves input channel c with filter ``c * multiplier + j``.

    Inputs: x [batch, H, W, C]; weights [1, KH, KW, C * multiplier]; optional bias [C * multiplier].
    """

    window: Window
    multiplier: int = 1
    activation: Clamp = Activation.NONE

    kind: ClassVar[str] = "depthwise_conv2d"
    weighted: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        images, weights = inputs[0], inputs[1]
        require_rank(images, 4)
        expected = (1, *self.window.kernel, images.shape[3] * self.multiplier)
        require(weights.shape == expected, "depthwise weights' shape", str(expected), weights.shape)
        require(
            len(inputs) < 3 or inputs[2].shape == expected[3:],
            "bias shape",
            str(expected[3:]),
            inputs[2].shape if len(inputs) > 2 else (),
        )
        return [(1, *self.window.output(*images.shape[1:3]), expected[3])]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        images, weights = inputs[0], inputs[1][0]
        patches = windows(np.repeat(images, self.multiplier, axis=3), self.window)
        result = np.zeros((*patches.shape[:3], patches.shape[5]), np.float32)
        for ky in range(self.window.kernel[0]):
            for kx in range(self.window.kernel[1]):
                result += patches[:, :, :, ky, kx] * weights[ky, kx]
        if len(inputs) > 2:
            result += inputs[2]
        return [self.activation.apply(result)]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> ProductsUnit:
        centered = centered_weights(inputs[1])
        return ProductsUnit(
            inputs, outputs, arithmetic, self.activation, self.window, centered.reshape(1, -1, centered.shape[3]),
            depthwise=True, repeat=self.multiplier, float32_product=is_uint8(inputs[0]),
        )  # fmt: skip

    def gemm(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> tuple[int, int, int, int]:
        _, height, width, channels = outputs[0].shape
        return height * width, self.window.kernel[0] * self.window.kernel[1], 1, channels

    def workload(
        self, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic
    ) -> Workload:
        return products_workload(name, self.kind, self.gemm(inputs, outputs), inputs, outputs, arithmetic, self.window)
