"""Max and average pooling over windows of NHWC images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from hwsim.graph import Array, Operator, Quantization, Tensor, Unit
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.pool import average_pool, max_pool
from hwsim.kernels.pooling import BytePool
from hwsim.ops.activation import Activation, Clamp
from hwsim.ops.checks import activation_quantization, require_rank, same_quantization
from hwsim.ops.float_steps import to_integers, to_real
from hwsim.ops.float_windows import windows
from hwsim.ops.geometry import Window
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.spec import Arithmetic, Profile, Sliding, require


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


def _pooled(
    golden: Callable[[Array], Array], kind: Literal["max", "mean"], window: Window, source: Tensor, clamp: tuple[int, int],
    zero_point: int | None = None,
) -> Unit:  # fmt: skip
    """Return pooling by the kernel of bytes, where there is one for these images, otherwise by the golden one."""
    storage, shape = activation_quantization(source).format.storage, source.shape[1:]
    if ENABLED and storage in ("int8", "uint8"):
        size = window.output(*shape[:2])
        pool = BytePool(kind, window.geometry(), *clamp, shape, size, signed=storage == "int8", zero_point=zero_point)
        if pool.legal:
            return SimpleUnit(lambda images: pool(images) if images.shape[1:] == shape else golden(images), pool)
    return SimpleUnit(golden)


@dataclass(frozen=True)
class MaxPool2D(Operator):
    """The largest value of each window; padding never wins."""

    window: Window
    activation: Clamp = Activation.NONE

    kind: ClassVar[str] = "max_pool2d"
    same_scale: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        return _infer(inputs, self.window)

    def sliding(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Sliding:
        return self.window.sliding(inputs[0].shape, outputs[0].shape)

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [self.activation.apply(windows(inputs[0], self.window, -np.inf).max(axis=(3, 4)))]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        lo, hi = self.activation.clamp(same_quantization(inputs[0], outputs[0]))

        def run(images: Array) -> Array:
            height, width = self.window.output(images.shape[1], images.shape[2])
            out = np.empty((images.shape[0], height * width, images.shape[3]), images.dtype)
            max_pool(images, self.window.geometry(), lo, hi, width, out)
            return out.reshape(images.shape[0], height, width, -1)

        return _pooled(run, "max", self.window, inputs[0], (lo, hi))


@dataclass(frozen=True)
class AveragePool2D(Operator):
    """The mean of each window, without its padding unless `include_padding`; integers round ties away from zero.

    With `Profile.ORT_FLOAT32` the mean is that of float32 reals, and may go to another scale.

    Parameters
    ----------
    window, activation, include_padding
        As above.
    by_columns
        With that profile: sum down the columns of the window first, as ONNX Runtime does before operator set 19, not row by
        row. With equal scales many means are ties, which the last bit decides.
    """

    window: Window
    activation: Clamp = Activation.NONE
    include_padding: bool = False
    by_columns: bool = False

    kind: ClassVar[str] = "average_pool2d"
    same_scale: ClassVar[bool] = True

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        return _infer(inputs, self.window)

    def sliding(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Sliding:
        return self.window.sliding(inputs[0].shape, outputs[0].shape)

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        total = windows(inputs[0], self.window).sum(axis=(3, 4), dtype=np.float32)
        inside = np.ones_like(inputs[0][:1, :, :, :1])
        count = windows(inside, self.window, float(self.include_padding)).sum(axis=(3, 4), dtype=np.float32)
        return [self.activation.apply(total / count)]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        if arithmetic.profile is Profile.ORT_FLOAT32:
            return self._prepare_float(*(activation_quantization(tensor) for tensor in (inputs[0], outputs[0])))
        quantization = same_quantization(inputs[0], outputs[0])
        lo, hi = self.activation.clamp(quantization)
        zero_point = int(quantization.zero_point)

        def run(images: Array) -> Array:
            height, width = self.window.output(images.shape[1], images.shape[2])
            out = np.empty((images.shape[0], height * width, images.shape[3]), images.dtype)
            average_pool(images, self.window.geometry(), self.include_padding, zero_point, lo, hi, width, out)
            return out.reshape(images.shape[0], height, width, -1)

        return _pooled(run, "mean", self.window, inputs[0], (lo, hi), zero_point if self.include_padding else None)

    def _prepare_float(self, source: Quantization, result: Quantization) -> Unit:
        lo, hi = self.activation.clamp(result)

        def run(images: Array) -> Array:
            patches = windows(to_real(source, images), self.window)
            inside = windows(np.ones((1, *images.shape[1:3], 1), np.float32), self.window, float(self.include_padding))
            if self.by_columns:
                patches = _sum(patches, 3)[:, :, :, None]
            rows = patches.reshape(*patches.shape[:3], -1, patches.shape[5])
            return to_integers(result, _sum(rows, 3) / inside.sum(axis=(3, 4)), lo, hi)

        return SimpleUnit(run)


def _sum(values: Array, axis: int) -> Array:
    """Sum float32 along an axis, one after the other (NumPy's own order depends on sizes)."""
    parts = np.moveaxis(values, axis, 0)
    total: Array = np.zeros(parts.shape[1:], np.float32)
    for part in parts:
        total += part
    return total
