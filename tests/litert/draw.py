"""The random parts of a one-operator model: shapes, scales, weights, windows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from litert.builder import ModelBuilder

Array = npt.NDArray[Any]

FUSED = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
PRIMES = (1, 2, 3, 5, 7, 11, 13)


@dataclass
class Draw:
    """A model in the making, and the random source of its shapes and parameters.

    Parameters
    ----------
    rng
        Where everything random comes from.
    dtype
        Activation type, ``int8`` or ``uint8``.
    """

    rng: np.random.Generator
    dtype: str
    model: ModelBuilder = field(default_factory=ModelBuilder)
    source: int = 0
    input_shape: tuple[int, ...] = ()

    @property
    def lo(self) -> int:
        """Smallest integer of the type."""
        return int(np.iinfo(self.dtype).min)

    def one_of(self, *values: Any) -> Any:
        """Pick one."""
        return values[int(self.rng.integers(len(values)))]

    def prime(self, low: int = 1, high: int = 13) -> int:
        """Pick a small prime, or 1."""
        return int(self.one_of(*(p for p in PRIMES if low <= p <= high)))

    def scale(self, low: float = 0.004, high: float = 0.1) -> float:
        """Draw a scale, log-uniform, as float32 holds it."""
        return float(np.float32(np.exp(self.rng.uniform(np.log(low), np.log(high)))))

    def zero_point(self) -> int:
        """Draw a zero point; the ends of the format are likely."""
        return self.lo + int(self.one_of(0, 255, 128, int(self.rng.integers(256))))

    def data_input(self, *shape: int) -> tuple[float, int]:
        """Add the model's input; return its scale and zero point."""
        scale, zero_point = self.scale(), self.zero_point()
        self.source = self.model.tensor(shape, self.dtype, scale, zero_point, name="input")
        self.input_shape = shape
        return scale, zero_point

    def image_input(self, channels: int | None = None, low: int = 3) -> tuple[tuple[int, int, int], float, int]:
        """Add an image input; return (height, width, channels), scale and zero point."""
        shape = (self.prime(low), self.prime(low), self.prime() if channels is None else channels)
        return shape, *self.data_input(1, *shape)

    def output(
        self,
        shape: tuple[int, ...],
        scale: float | None = None,
        zero_point: int | None = None,
        dtype: str | None = None,
    ) -> int:
        """Add the output; scale and zero point are drawn where they are not given."""
        return self.model.tensor(
            shape,
            dtype or self.dtype,
            self.scale() if scale is None else scale,
            self.zero_point() if zero_point is None else zero_point,
            name="output",
        )

    def settings(self, values: Any, shape: tuple[int, ...] | None = None) -> int:
        """Add a constant of int32 settings."""
        array = np.asarray(values, np.int32)
        return self.model.tensor(array.shape if shape is None else shape, "int32", data=array)

    def weights(self, shape: tuple[int, ...], axis: int) -> tuple[int, Array]:
        """Add weights of a layer: int8 symmetric per channel or per tensor, or uint8 with a zero point."""
        if self.dtype == "uint8":
            scale = np.array([self.scale(0.001, 0.02)])
            zero_point, data = int(self.rng.integers(256)), self.rng.integers(0, 256, shape)
        else:
            channels = shape[axis] if self.rng.random() < 0.75 else 1
            scale = np.array([self.scale(0.001, 0.02) for _ in range(channels)])
            zero_point, data = 0, self.rng.integers(-127, 128, shape)
        return self.model.tensor(shape, self.dtype, scale, zero_point, axis=axis, data=data), scale

    def layer(
        self,
        code: str,
        options: str,
        weight_shape: tuple[int, ...],
        axis: int,
        out_shape: tuple[int, ...],
        in_scale: float,
        **fields: Any,
    ) -> int:
        """Add a layer of products with a bias (or none) and an output scale that uses its range; return the output."""
        weights, scale = self.weights(weight_shape, axis)
        depth, outputs = int(np.prod(weight_shape)) // weight_shape[axis], weight_shape[axis]
        spread = 127 * 60 * np.sqrt(depth) * in_scale * float(scale.max())
        bias_scale = (np.float32(in_scale) * scale.astype(np.float32)).astype(np.float32)
        inputs = [self.source, weights]
        if code == "CONV_2D" or self.rng.random() < 0.8:  # LiteRT's CONV_2D insists on a bias
            bias = self.rng.integers(-8000, 8000, outputs)
            inputs.append(self.model.tensor([outputs], "int32", bias_scale, 0, data=bias))
        elif code == "FULLY_CONNECTED":
            inputs.append(-1)  # the others want a shorter list instead
        out = self.output(out_shape, float(np.float32(spread / 127 * self.rng.uniform(0.3, 2))))
        self.model.operator(code, inputs, [out], options, **fields)
        return out

    def fused(self) -> int:
        """Pick the code of a fused activation."""
        return int(self.one_of(*FUSED.values()))


def window(
    draw: Draw, height: int, width: int, dilated: bool = True
) -> tuple[dict[str, int], tuple[int, int], tuple[int, int]]:
    """Draw stride, dilation and padding; return options, kernel and output size."""
    stride = (draw.one_of(1, 2, 3), draw.one_of(1, 2, 3))
    dilation = (draw.one_of(1, 1, 2, 3), draw.one_of(1, 1, 2)) if dilated else (1, 1)
    same = bool(draw.rng.random() < 0.5)
    limit = [(size if same else (size - 1) // d + 1) for size, d in zip((height, width), dilation, strict=True)]
    kernel = tuple(min(draw.one_of(1, 2, 3, 5), largest) for largest in limit)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    out = tuple(
        -(-size // s) if same else (size - r) // s + 1
        for size, s, r in zip((height, width), stride, reach, strict=True)
    )
    fields = {"padding": 0 if same else 1, "strideH": stride[0], "strideW": stride[1]}
    if dilated:
        fields |= {"dilationHFactor": dilation[0], "dilationWFactor": dilation[1]}
    return fields, (kernel[0], kernel[1]), (out[0], out[1])
