"""Random QDQ networks: formats, windows, groups, scales, zero points; every layer against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from hwsim.sim import Program
from onnx_quantized.ort_layers import layer_by_layer
from onnx_quantized.quantized_net import RANGES, QuantizedNet

KINDS = (
    TensorProto.UINT8,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.INT8,
    TensorProto.INT16,
    TensorProto.UINT16,
)
WEIGHTS = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4)
SMALLEST = 5
"""Images below this size get no more windows."""


@dataclass(frozen=True)
class Place:
    """A dequantized tensor of the network, and its scale."""

    tensor: str
    scale: float
    channels: int
    height: int
    width: int


class Drawer:
    """Draws a network, step by step."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        shape = ("N", int(rng.integers(2, 7)), int(rng.integers(7, 14)), int(rng.integers(7, 14)))
        self.net = QuantizedNet(
            shape, int(rng.choice([21, 23, 25])), seed, int(rng.choice(KINDS)), int(rng.choice(WEIGHTS))
        )
        self.lo, self.hi = RANGES[self.net.kind]

    def scale(self) -> float:
        """Return a scale of some hundredths for 8 bits, and the same range for more."""
        return float(self.rng.uniform(0.01, 0.06)) * 256 / (self.hi - self.lo + 1)

    def maybe(self, share: float) -> bool:
        """Decide."""
        return bool(self.rng.random() < share)

    def quantized(self, tensor: str, place: Place, zero_point: int | None = None) -> Place:
        """Put a quantizer behind a tensor."""
        scale = self.scale()
        if zero_point is None:
            zero_point = (
                int(self.rng.integers(self.lo, self.hi + 1)) if self.maybe(0.5) else (self.lo + self.hi + 1) // 2
            )
        return replace(place, tensor=self.net.qdq(tensor, scale, zero_point), scale=scale)

    def network(self) -> str:
        """Build one; return its output."""
        _, channels, height, width = self.net.shape
        place = self.quantized("x", Place("x", 1.0, int(channels), int(height), int(width)))
        for _ in range(int(self.rng.integers(2, 6))):
            large = min(place.height, place.width) >= SMALLEST
            steps: tuple[Callable[[Place], Place], ...] = (self.arithmetic, self.joined, self.rectified)
            steps += (self.convolved, self.convolved, self.depthwise, self.pooled) if large else ()
            place = steps[int(self.rng.integers(len(steps)))](place)
        if self.maybe(0.5):
            place = self.quantized(self.net.op("GlobalAveragePool", place.tensor), replace(place, height=1, width=1))
        weights = self.net.weights(5, place.channels * place.height * place.width)
        flat = self.net.op("Flatten", place.tensor)
        y = self.net.op("Gemm", flat, weights, self.net.bias(place.scale, weights), transB=1)
        return self.quantized(y, place).tensor if self.maybe(0.7) else y

    def convolved(self, place: Place) -> Place:
        """Convolve, in one or two groups, and perhaps clamp."""
        rng, net = self.rng, self.net
        group = 2 if place.channels % 2 == 0 and self.maybe(0.3) else 1
        outputs, kernel = int(rng.integers(1, 5)) * group, [int(k) for k in rng.integers(1, 4, 2)]
        pads, strides = [int(pad) for pad in rng.integers(0, 2, 4)], [int(step) for step in rng.integers(1, 3, 2)]
        axis = 0 if self.maybe(0.6) else None
        weights = net.weights(outputs, place.channels // group, *kernel, axis=axis, affine=self.maybe(0.4))
        bias = [net.bias(place.scale, weights)] if self.maybe(0.7) else []
        y = net.op("Conv", place.tensor, weights, *bias, group=group, pads=pads, strides=strides)
        if self.maybe(0.4):
            y = net.op("Relu", y)
        elif self.maybe(0.3):
            y = net.op("Clip", y, net.constant(np.float32(-0.3)), net.constant(np.float32(0.9)))
        height = (place.height + pads[0] + pads[2] - kernel[0]) // strides[0] + 1
        width = (place.width + pads[1] + pads[3] - kernel[1]) // strides[1] + 1
        return self.quantized(y, Place("", 0.0, outputs, height, width))

    def depthwise(self, place: Place) -> Place:
        """Convolve every channel with one or two filters, perhaps dilated."""
        outputs, spread = place.channels * int(self.rng.integers(1, 3)), int(self.rng.integers(1, 3))
        weights = self.net.weights(outputs, 1, 2, 2, affine=self.maybe(0.4))
        bias = self.net.bias(place.scale, weights)
        y = self.net.op("Conv", place.tensor, weights, bias, group=place.channels, dilations=[spread, 1])
        return self.quantized(y, Place("", 0.0, outputs, place.height - spread, place.width - 1))

    def pooled(self, place: Place) -> Place:
        """Take the largest of windows, or their mean."""
        if self.maybe(0.5):
            y = self.net.op("MaxPool", place.tensor, kernel_shape=[2, 3], strides=[1, 2])
            return replace(place, tensor=y, height=place.height - 1, width=(place.width - 3) // 2 + 1)
        counted = int(self.maybe(0.5))
        pads = [1, 0, 0, 1]
        y = self.net.op("AveragePool", place.tensor, kernel_shape=[2, 2], pads=pads, count_include_pad=counted)
        return self.quantized(y, place)

    def arithmetic(self, place: Place) -> Place:
        """Add or multiply."""
        other = self.quantized(self.net.op("Relu", place.tensor), place, self.lo)
        return self.quantized(self.net.op("Add" if self.maybe(0.5) else "Mul", place.tensor, other.tensor), place)

    def joined(self, place: Place) -> Place:
        """Join with itself on another scale."""
        other = self.quantized(self.net.op("Relu", place.tensor), place, self.lo)
        y = self.net.op("Concat", place.tensor, other.tensor, axis=1)
        return self.quantized(y, replace(place, channels=2 * place.channels))

    def rectified(self, place: Place) -> Place:
        """Clamp, apply a function, or only change the scale."""
        kind = int(self.rng.integers(3))
        if kind == 0:
            y = self.net.op("Relu", place.tensor)
        else:
            y = self.net.op("HardSigmoid", place.tensor, alpha=1 / 6, beta=0.5) if kind == 1 else place.tensor
        return self.quantized(y, place)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_every_difference_is_a_step_beside_a_tie(tmp_path: Path, first: int) -> None:
    elements = different = 0
    for seed in range(first, first + 20):
        drawer = Drawer(seed)
        path = drawer.net.save(tmp_path, drawer.network())
        found = layer_by_layer(path, drawer.net.images(4))
        Program(found.graph)
        elements += found.elements
        different += sum(found.different.values())
    assert elements > 100_000
    assert different <= elements / 10_000
