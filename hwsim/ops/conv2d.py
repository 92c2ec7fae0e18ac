"""Convolution of NHWC images with OHWI weights, in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Tensor
from hwsim.ops.activation import Activation, Clamp
from hwsim.ops.checks import require_rank
from hwsim.ops.float_windows import windows
from hwsim.ops.geometry import Window
from hwsim.ops.products import ProductsUnit, centered_weights, products_workload
from hwsim.spec import Arithmetic, Workload, require


@dataclass(frozen=True)
class Conv2D(Operator):
    """``y[b, oy, ox, o] = bias[o] + sum x[b, y, x, i] * w[o, ky, kx, i]``, then the activation.

    Inputs: x [batch, H, W, C]; weights [O, KH, KW, C / groups]; optional bias [O].
    """

    window: Window
    groups: int = 1
    activation: Clamp = Activation.NONE

    kind: ClassVar[str] = "conv2d"
    weighted: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        images, weights = inputs[0], inputs[1]
        require_rank(images, 4)
        require_rank(weights, 4)
        channels, outputs = images.shape[3], weights.shape[0]
        require(
            weights.shape[1:3] == self.window.kernel,
            "weights' height and width",
            str(self.window.kernel),
            weights.shape,
        )
        require(
            channels == weights.shape[3] * self.groups and outputs % self.groups == 0,
            "weights",
            f"[O, KH, KW, {channels} / {self.groups}] with O a multiple of {self.groups}",
            weights.shape,
        )
        require(
            len(inputs) < 3 or inputs[2].shape == (outputs,),
            "bias shape",
            f"({outputs},)",
            inputs[2].shape if len(inputs) > 2 else (),
        )
        return [(1, *self.window.output(*images.shape[1:3]), outputs)]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        images, weights = inputs[0], inputs[1]
        height, width = self.window.output(images.shape[1], images.shape[2])
        outputs, channels = weights.shape[0], weights.shape[3]
        result = np.empty((images.shape[0], height, width, outputs), np.float32)
        patches = windows(images, self.window)
        for group in range(self.groups):
            part = slice(group * outputs // self.groups, (group + 1) * outputs // self.groups)
            rows = patches[..., group * channels : (group + 1) * channels].reshape(-1, weights[0].size)
            result[..., part] = (rows @ weights[part].reshape(-1, weights[0].size).T).reshape(*result.shape[:3], -1)
        if len(inputs) > 2:
            result += inputs[2]
        return [self.activation.apply(result)]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> ProductsUnit:
        centered = centered_weights(inputs[1])
        grouped = centered.reshape(self.groups, centered.shape[0] // self.groups, -1)
        return ProductsUnit(
            inputs, outputs, arithmetic, self.activation, self.window, np.ascontiguousarray(grouped.transpose(0, 2, 1)),
            float32_product=is_uint8(inputs[0]),
        )  # fmt: skip

    def gemm(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> tuple[int, int, int, int]:
        _, height, width, channels = outputs[0].shape
        depth = inputs[1].elements // inputs[1].shape[0]
        return height * width, depth, channels // self.groups, self.groups

    def workload(
        self, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic
    ) -> Workload:
        return products_workload(name, self.kind, self.gemm(inputs, outputs), inputs, outputs, arithmetic, self.window)


def is_uint8(tensor: Tensor) -> bool:
    """Whether TFLite would run the layer with its older kernels, which know one scale for all channels."""
    quantization = tensor.quantization
    return quantization is not None and not quantization.format.signed and quantization.format.bits == 8
