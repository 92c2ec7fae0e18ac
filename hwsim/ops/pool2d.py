"""Max and average pooling over windows of NHWC images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Tensor, Unit
from hwsim.kernels.pool import average_pool, max_pool
from hwsim.ops.activation import Activation
from hwsim.ops.checks import require_rank, same_quantization
from hwsim.ops.float_windows import windows
from hwsim.ops.geometry import Window
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.spec import Arithmetic, require


def _infer(inputs: Sequence[Tensor], window: Window) -> list[tuple[int, ...]]:
    require_rank(inputs[0], 4)
    padding, (height, width) = window.padding, window.kernel
    require(
        max(padding.top, padding.bottom) < height and max(padding.left, padding.right) < width,
        "pooling padding",
        f"smaller than the kernel {window.kernel}",
        padding,
    )
    return [(1, *window.output(*inputs[0].shape[1:3]), inputs[0].shape[3])]


@dataclass(frozen=True)
class MaxPool2D(Operator):
    """The largest value of each window; padding never wins."""

    window: Window
    activation: Activation = Activation.NONE

    kind: ClassVar[str] = "max_pool2d"
    same_scale: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        return _infer(inputs, self.window)

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [self.activation.apply(windows(inputs[0], self.window, -np.inf).max(axis=(3, 4)))]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        lo, hi = self.activation.clamp(same_quantization(inputs[0], outputs[0]))

        def run(images: Array) -> Array:
            height, width = self.window.output(images.shape[1], images.shape[2])
            out = np.empty((images.shape[0], height * width, images.shape[3]), images.dtype)
            max_pool(images, self.window.geometry(), lo, hi, width, out)
            return out.reshape(images.shape[0], height, width, -1)

        return SimpleUnit(run)


@dataclass(frozen=True)
class AveragePool2D(Operator):
    """The mean of each window, without its padding unless `include_padding`; integers round ties away from zero."""

    window: Window
    activation: Activation = Activation.NONE
    include_padding: bool = False

    kind: ClassVar[str] = "average_pool2d"
    same_scale: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        return _infer(inputs, self.window)

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        total = windows(inputs[0], self.window).sum(axis=(3, 4), dtype=np.float32)
        inside = np.ones_like(inputs[0][:1, :, :, :1])
        count = windows(inside, self.window, float(self.include_padding)).sum(axis=(3, 4), dtype=np.float32)
        return [self.activation.apply(total / count)]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        quantization = same_quantization(inputs[0], outputs[0])
        lo, hi = self.activation.clamp(quantization)
        zero_point = int(quantization.zero_point)

        def run(images: Array) -> Array:
            height, width = self.window.output(images.shape[1], images.shape[2])
            out = np.empty((images.shape[0], height * width, images.shape[3]), images.dtype)
            average_pool(images, self.window.geometry(), self.include_padding, zero_point, lo, hi, width, out)
            return out.reshape(images.shape[0], height, width, -1)

        return SimpleUnit(run)
