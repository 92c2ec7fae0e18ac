"""Random one-operator models: each function draws a model and the numbers that make it a good test."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from litert.draw import Draw, window


def conv_2d(draw: Draw) -> int:
    """Groups only in int8: LiteRT's uint8 kernel has none."""
    groups = draw.one_of(1, 1, 2, 3) if draw.dtype == "int8" else 1
    per_group, outputs = draw.prime(1, 7), draw.prime() * groups
    (height, width, _), scale, _ = draw.image_input(per_group * groups)
    fields, kernel, out = window(draw, height, width)
    return draw.layer(
        "CONV_2D",
        "Conv2DOptions",
        (outputs, *kernel, per_group),
        0,
        (1, *out, outputs),
        scale,
        fusedActivationFunction=draw.fused(),
        **fields,
    )


def depthwise_conv_2d(draw: Draw) -> int:
    (height, width, channels), scale, _ = draw.image_input()
    multiplier = draw.one_of(1, 1, 2, 3)
    fields, kernel, out = window(draw, height, width)
    outputs = channels * multiplier
    return draw.layer(
        "DEPTHWISE_CONV_2D",
        "DepthwiseConv2DOptions",
        (1, *kernel, outputs),
        3,
        (1, *out, outputs),
        scale,
        depthMultiplier=multiplier,
        fusedActivationFunction=draw.fused(),
        **fields,
    )


def fully_connected(draw: Draw) -> int:
    shape = draw.one_of((1, 37), (1, 3, 5, 7), (1, 128), (1, 1))
    scale, _ = draw.data_input(*shape)
    outputs, depth = draw.prime(), int(np.prod(shape))
    return draw.layer(
        "FULLY_CONNECTED",
        "FullyConnectedOptions",
        (outputs, depth),
        0,
        (1, outputs),
        scale,
        fusedActivationFunction=draw.fused(),
    )


def _pool(code: str) -> Callable[[Draw], int]:
    def build(draw: Draw) -> int:
        (height, width, channels), scale, zero_point = draw.image_input()
        fields, kernel, out = window(draw, height, width, dilated=False)
        result = draw.output((1, *out, channels), scale, zero_point)
        draw.model.operator(
            code,
            [draw.source],
            [result],
            "Pool2DOptions",
            filterHeight=kernel[0],
            filterWidth=kernel[1],
            fusedActivationFunction=draw.fused(),
            **fields,
        )
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
    result = draw.output(shape, scale, zero_point) if same else draw.output(shape)
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
    result = draw.output(tuple(sizes), *own) if draw.dtype == "int8" else draw.output(tuple(sizes))
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
    draw.model.operator(
        "RESIZE_NEAREST_NEIGHBOR",
        [draw.source, draw.settings(size)],
        [result],
        "ResizeNearestNeighborOptions",
        alignCorners=align,
        halfPixelCenters=half,
    )
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
    new_scale, new_zero = draw.one_of(same, (draw.scale(), low + int(draw.rng.integers(256))))
    result = draw.output((1, 5, 7, 3), new_scale, new_zero, dtype=other)
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
