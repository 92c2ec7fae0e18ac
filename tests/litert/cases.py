"""Random one-operator models: each function draws a model and the numbers that make it a good test."""

from __future__ import annotations

from collections.abc import Callable
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

    def output(self, shape: tuple[int, ...], scale: float | None = None, zero_point: int | None = None,
               dtype: str | None = None) -> int:
        """Add the output; scale and zero point are drawn where they are not given."""
        return self.model.tensor(
            shape, dtype or self.dtype, self.scale() if scale is None else scale,
            self.zero_point() if zero_point is None else zero_point, name="output",
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

    def layer(self, code: str, options: str, weight_shape: tuple[int, ...], axis: int, out_shape: tuple[int, ...],
              in_scale: float, **fields: Any) -> int:
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


def window(draw: Draw, height: int, width: int, dilated: bool = True) -> tuple[dict[str, int], tuple[int, int], tuple[int, int]]:
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


def conv_2d(draw: Draw) -> int:
    """Groups only in int8: LiteRT's uint8 kernel has none."""
    groups = draw.one_of(1, 1, 2, 3) if draw.dtype == "int8" else 1
    per_group, outputs = draw.prime(1, 7), draw.prime() * groups
    (height, width, _), scale, _ = draw.image_input(per_group * groups)
    fields, kernel, out = window(draw, height, width)
    return draw.layer("CONV_2D", "Conv2DOptions", (outputs, *kernel, per_group), 0, (1, *out, outputs), scale,
                      fusedActivationFunction=draw.fused(), **fields)


def depthwise_conv_2d(draw: Draw) -> int:
    (height, width, channels), scale, _ = draw.image_input()
    multiplier = draw.one_of(1, 1, 2, 3)
    fields, kernel, out = window(draw, height, width)
    outputs = channels * multiplier
    return draw.layer("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", (1, *kernel, outputs), 3, (1, *out, outputs), scale,
                      depthMultiplier=multiplier, fusedActivationFunction=draw.fused(), **fields)


def fully_connected(draw: Draw) -> int:
    shape = draw.one_of((1, 37), (1, 3, 5, 7), (1, 128), (1, 1))
    scale, _ = draw.data_input(*shape)
    outputs, depth = draw.prime(), int(np.prod(shape))
    return draw.layer("FULLY_CONNECTED", "FullyConnectedOptions", (outputs, depth), 0, (1, outputs), scale,
                      fusedActivationFunction=draw.fused())


def _pool(code: str) -> Callable[[Draw], int]:
    def build(draw: Draw) -> int:
        (height, width, channels), scale, zero_point = draw.image_input()
        fields, kernel, out = window(draw, height, width, dilated=False)
        result = draw.output((1, *out, channels), scale, zero_point)
        draw.model.operator(code, [draw.source], [result], "Pool2DOptions", filterHeight=kernel[0],
                            filterWidth=kernel[1], fusedActivationFunction=draw.fused(), **fields)
        return result

    return build


def mean(draw: Draw) -> int:
    (height, width, channels), scale, zero_point = draw.image_input()
    axes = draw.one_of([1, 2], [1, 2], [2, 1], [1], [2], [3], [-1], [1, 2, 3])
    keep = bool(draw.rng.random() < 0.5)
    sizes = (1, height, width, channels)
    reduced = {axis % 4 for axis in axes}
    shape = tuple(1 if axis in reduced else size for axis, size in enumerate(sizes) if keep or axis not in reduced)
    same = draw.rng.random() < 0.3
    result = draw.output(shape, *((scale, zero_point) if same else ()))
    draw.model.operator("MEAN", [draw.source, draw.settings(axes)], [result], "ReducerOptions", keepDims=keep)
    return result


def _binary(code: str, options: str) -> Callable[[Draw], int]:
    """Two operands: the input with itself on another scale (through QUANTIZE), or with a constant that broadcasts."""

    def build(draw: Draw) -> int:
        (height, width, channels), scale, _ = draw.image_input()
        shape = (1, height, width, channels)
        other_scale, other_zero = draw.scale(), draw.zero_point()
        kind = draw.one_of("same", "activation", "constant", "channel", "scalar")
        if kind == "same":
            other = draw.source
        elif kind == "activation":
            other = draw.model.tensor(shape, draw.dtype, other_scale, other_zero)
            draw.model.operator("QUANTIZE", [draw.source], [other])
        else:
            sizes = {"constant": shape, "channel": (channels,), "scalar": (1,)}[kind]
            data = draw.rng.integers(draw.lo, draw.lo + 256, sizes)
            other = draw.model.tensor(sizes, draw.dtype, other_scale, other_zero, data=data)
        real = scale + other_scale if code == "ADD" else 128 * scale * other_scale
        result = draw.output(shape, float(np.float32(real * draw.rng.uniform(0.5, 1.5))))
        operands = [draw.source, other] if draw.rng.random() < 0.5 else [other, draw.source]
        draw.model.operator(code, operands, [result], options, fusedActivationFunction=draw.fused())
        return result

    return build


def concatenation(draw: Draw) -> int:
    (height, width, channels), scale, zero_point = draw.image_input()
    shape = (1, height, width, channels)
    axis = draw.one_of(1, 2, 3, -1, -2)
    # LiteRT's int8 kernel copies, so its Prepare asks for equal scales; the uint8 one requantizes.
    own = (scale, zero_point) if draw.dtype == "int8" else (draw.scale(), draw.zero_point())
    other = draw.model.tensor(shape, draw.dtype, *own)
    draw.model.operator("RELU" if draw.dtype == "int8" else "QUANTIZE", [draw.source], [other])
    sizes = list(shape)
    sizes[axis] *= 2
    result = draw.output(tuple(sizes), *((scale, zero_point) if draw.dtype == "int8" else ()))
    draw.model.operator("CONCATENATION", [draw.source, other], [result], "ConcatenationOptions", axis=axis)
    return result


def _pad(code: str) -> Callable[[Draw], int]:
    def build(draw: Draw) -> int:
        (height, width, channels), scale, zero_point = draw.image_input()
        pads = [[0, 0], *draw.rng.integers(0, 4, (3, 2)).tolist()]
        shape = tuple(size + sum(pair) for size, pair in zip((1, height, width, channels), pads, strict=True))
        result = draw.output(shape, scale, zero_point)
        inputs = [draw.source, draw.settings(pads)]
        if code == "PADV2":
            inputs.append(draw.model.tensor([1], draw.dtype, scale, zero_point, data=[zero_point]))
        draw.model.operator(code, inputs, [result], "PadV2Options" if code == "PADV2" else "PadOptions")
        return result

    return build


def reshape(draw: Draw) -> int:
    (height, width, channels), scale, zero_point = draw.image_input()
    result = draw.output((1, height * width, channels), scale, zero_point)
    target = draw.one_of([1, -1, channels], [-1, height * width, channels], [1, height * width, channels])
    draw.model.operator("RESHAPE", [draw.source, draw.settings(target)], [result], "ReshapeOptions")
    return result


def squeeze(draw: Draw) -> int:
    scale, zero_point = draw.data_input(1, 1, draw.prime(2), 1)
    axes = draw.one_of([1], [3], [1, 3], [-1])
    shape = tuple(size for axis, size in enumerate(draw.input_shape) if axis not in {a % 4 for a in axes})
    result = draw.output(shape, scale, zero_point)
    draw.model.operator("SQUEEZE", [draw.source], [result], "SqueezeOptions", squeezeDims=axes)
    return result


def expand_dims(draw: Draw) -> int:
    size = draw.prime(2)
    scale, zero_point = draw.data_input(1, size)
    result = draw.output((1, 1, size), scale, zero_point)
    draw.model.operator("EXPAND_DIMS", [draw.source, draw.settings([1])], [result], "ExpandDimsOptions")
    return result


def transpose(draw: Draw) -> int:
    _, scale, zero_point = draw.image_input()
    permutation = [0, *(int(axis) for axis in draw.rng.permutation([1, 2, 3]))]
    result = draw.output(tuple(draw.input_shape[axis] for axis in permutation), scale, zero_point)
    draw.model.operator("TRANSPOSE", [draw.source, draw.settings(permutation)], [result], "TransposeOptions")
    return result


def resize_nearest(draw: Draw) -> int:
    (_, _, channels), scale, zero_point = draw.image_input()
    size = [draw.prime(1), draw.prime(2)]
    result = draw.output((1, *size, channels), scale, zero_point)
    align, half = draw.one_of((False, False), (True, False), (False, True))
    draw.model.operator("RESIZE_NEAREST_NEIGHBOR", [draw.source, draw.settings(size)], [result],
                        "ResizeNearestNeighborOptions", alignCorners=align, halfPixelCenters=half)
    return result


def _unary(code: str, options: str | None = None, fixed: tuple[float, int] | None = None) -> Callable[[Draw], int]:
    """A function of one tensor; `fixed` is the output's scale and its zero point above the format's lowest integer."""

    def build(draw: Draw) -> int:
        shape = draw.one_of((1, 5, 7, 3), (1, 64), (1, 2, 3))
        draw.data_input(*shape)
        result = draw.output(shape, fixed[0], draw.lo + fixed[1]) if fixed else draw.output(shape)
        draw.model.operator(code, [draw.source], [result], options)
        return result

    return build


def softmax(draw: Draw) -> int:
    # LiteRT aborts the process where the sum of exponentials reaches 512, so fewer classes than that.
    shape = draw.one_of((1, 10), (1, 2), (1, 1), (1, 509), (1, 3, 5, 7))
    draw.data_input(*shape)
    result = draw.output(shape, 1 / 256, draw.lo)
    draw.model.operator("SOFTMAX", [draw.source], [result], "SoftmaxOptions", beta=1.0)
    return result


def requantize_type(draw: Draw) -> int:
    """To the other 8-bit type, as converters do at the borders of a model."""
    other = "int8" if draw.dtype == "uint8" else "uint8"
    scale, zero_point = draw.data_input(1, 5, 7, 3)
    low = int(np.iinfo(other).min)
    same = (scale, zero_point - draw.lo + low)
    result = draw.output((1, 5, 7, 3), *draw.one_of(same, (draw.scale(), low + int(draw.rng.integers(256)))), dtype=other)
    draw.model.operator("QUANTIZE", [draw.source], [result])
    return result


def float_and_back(draw: Draw) -> int:
    """DEQUANTIZE, then QUANTIZE on another scale."""
    draw.data_input(1, 5, 7, 3)
    middle = draw.model.tensor((1, 5, 7, 3), "float32", name="real")
    draw.model.operator("DEQUANTIZE", [draw.source], [middle])
    result = draw.output((1, 5, 7, 3))
    draw.model.operator("QUANTIZE", [middle], [result])
    return result


CASES: dict[str, Callable[[Draw], int]] = {
    "conv_2d": conv_2d,
    "depthwise_conv_2d": depthwise_conv_2d,
    "fully_connected": fully_connected,
    "max_pool_2d": _pool("MAX_POOL_2D"),
    "average_pool_2d": _pool("AVERAGE_POOL_2D"),
    "mean": mean,
    "add": _binary("ADD", "AddOptions"),
    "mul": _binary("MUL", "MulOptions"),
    "concatenation": concatenation,
    "pad": _pad("PAD"),
    "pad_v2": _pad("PADV2"),
    "reshape": reshape,
    "squeeze": squeeze,
    "expand_dims": expand_dims,
    "transpose": transpose,
    "resize_nearest": resize_nearest,
    "relu": _unary("RELU"),
    "relu6": _unary("RELU6"),
    "relu_n1_to_1": _unary("RELU_N1_TO_1"),
    "hard_swish": _unary("HARD_SWISH", "HardSwishOptions"),
    "logistic": _unary("LOGISTIC", fixed=(1 / 256, 0)),
    "tanh": _unary("TANH", fixed=(1 / 128, 128)),
    "softmax": softmax,
    "quantize": _unary("QUANTIZE"),
    "quantize_to_other_type": requantize_type,
    "dequantize_and_quantize": float_and_back,
}
"""By name: adds the operator and returns the output's index."""
