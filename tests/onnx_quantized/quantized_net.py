"""Quantized ONNX networks for tests, in the forms that exporters write."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from load_onnx.onnx_builder import Net

UINT8, INT8 = TensorProto.UINT8, TensorProto.INT8
RANGES = {
    TensorProto.UINT8: (0, 255), TensorProto.INT8: (-128, 127), TensorProto.UINT16: (0, 65535),
    TensorProto.INT16: (-32768, 32767), TensorProto.INT4: (-8, 7), TensorProto.UINT4: (0, 15),
}  # fmt: skip


class QuantizedNet(Net):
    """A `Net` with quantizers; `kind` is the element type of activations, `weight` that of weights."""

    def __init__(
        self, shape: Any, opset: int = 17, seed: int = 1, kind: int = UINT8, weight: int = INT8, powers: bool = False
    ) -> None:  # fmt: skip
        super().__init__(shape, opset, seed)
        self.kind, self.weight_kind, self.powers = kind, weight, powers

    def typed(self, values: Any, kind: int) -> str:
        """Add an initializer of an element type that NumPy may not have."""
        array = np.asarray(values)
        name = f"constant{len(self.initializers)}"
        self.initializers.append(helper.make_tensor(name, kind, array.shape, array.reshape(-1).tolist()))
        return name

    def scale_of(self, real: Any) -> Any:
        """Return a scale, a power of two where the net has only those."""
        return np.exp2(np.ceil(np.log2(real))) if self.powers else real

    def steps(self, scale: float, zero_point: int, kind: int | None = None) -> tuple[str, str]:
        """Add scale and zero point of an activation."""
        return self.constant(np.float32(self.scale_of(scale))), self.typed(zero_point, kind or self.kind)

    def qdq(self, source: str, scale: float, zero_point: int, kind: int | None = None) -> str:
        """Quantize and dequantize."""
        names = self.steps(scale, zero_point, kind)
        return self.op("DequantizeLinear", self.op("QuantizeLinear", source, *names), *names)

    def weights(self, *shape: int, axis: int | None = 0, affine: bool = False) -> str:
        """Add random weights behind a DequantizeLinear, per channel of `axis` or per tensor."""
        lo, hi = RANGES[self.weight_kind]
        size = () if axis is None else (shape[axis],)
        scale = self.scale_of(self.random.uniform(0.5, 1.5, size) / (hi * np.prod(shape[1:]) ** 0.5))
        middle = (lo + hi + 1) // 2
        zero = np.full(size, middle) + (self.random.integers(-2, 3, size) if affine else 0)
        names = [
            self.typed(self.random.integers(lo, hi + 1, shape), self.weight_kind),
            self.constant(np.asarray(scale, np.float32)),
            self.typed(zero, self.weight_kind),
        ]
        return self.op("DequantizeLinear", *names, **({} if axis is None else {"axis": axis}))

    def bias(self, source_scale: float, weights: str, spread: int = 2000) -> str:
        """Add an int32 bias in steps of the sums behind a DequantizeLinear, as quantize_static writes it."""
        node = next(node for node in self.nodes if weights in node.output)
        stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.initializers}
        values, scale = stored[node.input[0]], stored[node.input[1]]
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        steps = np.float32(self.scale_of(source_scale)) * scale
        integers = self.random.integers(-spread, spread, values.shape[axis]).astype(np.int32)
        per_channel = {"axis": 0} if scale.ndim else {}
        return self.op("DequantizeLinear", self.constant(integers), self.constant(steps), **per_channel)

    def images(self, count: int = 3) -> Any:
        """Return random inputs."""
        return self.random.normal(0, 1, (count, *self.shape[1:])).astype(np.float32)
