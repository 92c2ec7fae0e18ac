"""What convolution, depthwise convolution and fully connected layers share: preparing and running sums of products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from hwsim.graph import Array, Quantization, Tensor, Unit
from hwsim.graph.operator import tensor_operand
from hwsim.kernels.assemble import Assembled, Products
from hwsim.kernels.gather import gather_rows
from hwsim.kernels.monitor import Monitor
from hwsim.kernels.reduce import reduce_panel
from hwsim.kernels.requantize import Requantizer
from hwsim.kernels.thresholds import apply_thresholds
from hwsim.ops.activation import Clamp
from hwsim.ops.checks import activation_quantization
from hwsim.ops.geometry import Window
from hwsim.ops.outliers import Apart, assembled, bounds_of, plan_layer, sparse_weights
from hwsim.spec import (
    Arithmetic,
    BiasAt,
    InputError,
    Operand,
    Overflow,
    Profile,
    Register,
    Workload,
    ZeroPoints,
    require,
)
from hwsim.spec.number import OPERAND_BITS
from hwsim.spec.requantization import MULTIPLIER_BITS, SHIFT_BITS

Int64 = npt.NDArray[np.int64]

PANEL_ELEMENTS = 1 << 20
"""Elements of a block of windows for the golden kernel, about: memory does not grow with the image."""


class ProductsUnit(Unit):
    """A layer of sums of products, ready to run on integers.

    Parameters
    ----------
    inputs, outputs, arithmetic
        As for `Operator.prepare`; input 1 is the weights, input 2 an optional bias, input 3 an optional table of thresholds
        (see `hwsim.kernels.thresholds`) that takes the place of the requantization. An output of more bits than an
        activation may have is the accumulator as it is.
    activation
        Fused clamp.
    window
        Sliding window over the images.
    weights
        int64 [groups, K, N]: zero points subtracted, K in the declared order. Depthwise: [1, KH * KW, C]. Outliers of input 1
        are zero here (`hwsim.ops.outliers`).
    depthwise
        Every channel has its own activations.
    repeat
        Depthwise output channels per input channel.
    float32_product
        Round ``input_scale * weight_scale`` to float32 first, as TFLite does where it has one scale for all channels.
    """

    def __init__(
        self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic, activation: Clamp,
        window: Window, weights: Int64, *, depthwise: bool = False, repeat: int = 1,
        float32_product: bool = False,
    ) -> None:  # fmt: skip
        source = activation_quantization(inputs[0])
        self.result = result = _output_quantization(outputs[0])
        self.reduction, self.window, self.weights = arithmetic.reduction, window, weights
        self.depthwise, self.repeat, self.storage = depthwise, repeat, result.format.storage
        self.groups, self.depth, self.group_channels = weights.shape
        self.channels: int = self.groups * self.group_channels
        # Of the weights, because a matrix also takes an image, all of whose elements are then channels.
        kernel = window.kernel[0] * window.kernel[1]
        self.channels_in: int = self.group_channels // repeat if depthwise else self.depth // kernel * self.groups

        zero_point = int(source.zero_point)
        fold = self.reduction.zero_points is ZeroPoints.FOLD
        # What the multiplier sees, and what it sees outside the image: the real value 0.
        self.subtract, self.pad = (0, zero_point) if fold else (zero_point, 0)
        low, high = min(source.lo - self.subtract, self.pad), max(source.hi - self.subtract, self.pad)
        self.bias = _bias(inputs, self.channels)
        self.outliers = sparse_weights(inputs[1], weights, depthwise, self.reduction)
        self.whole = weights if self.outliers is None else self.outliers.whole
        if fold:
            self.bias = self.bias - zero_point * self.whole.sum(axis=1).reshape(-1)
        _require_bias_fits(self.bias, self.reduction.acc, self.reduction.bias_at)

        by_group = self.bias.reshape(self.groups, -1)
        self.bounds = bounds_of(weights, self.outliers, by_group, low, high, self.reduction)
        self.plan = plan_layer(
            weights, self.outliers, self.bias, low, high, self.bounds, self.reduction, depthwise=depthwise, repeat=repeat,
            stored_bits=8 * np.dtype(source.format.storage).itemsize, output_bits=8 * np.dtype(self.storage).itemsize,
        )  # fmt: skip
        self.thresholds = inputs[3].data if len(inputs) > 3 else None
        if self.thresholds is not None or is_sum(result):
            self.requantizer = self._identity()
        else:
            lo, hi = activation.clamp(result)
            self.requantizer = Requantizer(
                _factors(source, inputs[1], result, self.channels, float32_product, arithmetic.profile), arithmetic.profile,
                int(result.zero_point), lo, hi, self.plan.largest.bit_length() + 1,
            )  # fmt: skip
        self.assembled: Assembled | Apart | None = None
        if self.plan.operation is not None:
            products = Products(
                self.whole, self.bias, self.reduction, source.format.storage, self.subtract, self.pad, self._geometry(),
                self.channels_in, outputs[0].shape[2] if len(outputs[0].shape) == 4 else 1, depthwise, (low, high),
                outputs[0].shape[1] if len(outputs[0].shape) == 4 else 1,
            )  # fmt: skip
            raw = self.thresholds is not None or is_sum(result)
            self.assembled = assembled(products, self.outliers, self.plan, self.requantizer, self.storage, raw=raw)
            if isinstance(self.assembled, Assembled) and self.assembled.finished:
                self.step = self.assembled

    def _identity(self) -> Requantizer:
        """Return a requantizer that changes nothing, for accumulators that leave as they are or meet thresholds."""
        # What leaves a register of 32 bits fits, down to its lowest end; a bias added behind it may not.
        held = self.reduction.acc.bits <= 32 and self.reduction.bias_at is BiasAt.START
        fits = held or self.plan.largest < 2**31
        require(fits or self.thresholds is not None, "sums that leave the layer", "within 32 bits", self.plan.largest)
        self.storage = "int32" if fits else "int64"
        ends = np.iinfo(self.storage)
        # This profile multiplies by one with a shift of nothing.
        return Requantizer([1.0] * self.channels, Profile.POWER_OF_TWO, 0, int(ends.min), int(ends.max), 49)

    def _geometry(self) -> Int64:
        """Return the window as the kernels want it, with the padding at the bottom and right."""
        padding = self.window.padding
        return np.append(self.window.geometry(), (padding.bottom, padding.right))

    def run(self, inputs: Sequence[Array], monitor: Monitor | None = None) -> list[Array]:
        images = inputs[0]
        height, width = self.window.output(images.shape[1], images.shape[2])
        watched = monitor is not None and monitor.observe
        if self.assembled is None or self.plan.operation is None or watched:
            out = np.empty((images.shape[0], height * width, self.channels), self.storage)
            self._run_golden(images, width, out, monitor)
        else:
            out = self.assembled.run(images, height * width, monitor)
        if self.thresholds is not None:
            out = self._compare(self.thresholds, out)
        return [out.reshape(images.shape[0], height, width, self.channels)]

    def _compare(self, table: Int64, sums: Array) -> Array:
        result = self.result
        out = np.empty(sums.shape, result.format.storage)
        step = (result.hi - result.lo) // (table.shape[1] - 1)
        apply_thresholds(
            sums.reshape(-1, self.channels), table, 0, result.lo, step, out.reshape(-1, self.channels)
        )  # fmt: skip
        return out

    def _run_golden(self, images: Array, width: int, out: Array, monitor: Monitor | None) -> None:
        for image in range(images.shape[0]):
            for group in range(self.groups):
                part = slice(group * self.group_channels, (group + 1) * self.group_channels)
                seen = None if monitor is None else Monitor(self.group_channels, monitor.observe, monitor.base)
                for pixel, panel in self._panels(images[image], group, width, out.shape[1]):
                    acc = reduce_panel(
                        panel, self.weights[group], self.bias[part], self.reduction, seen, image=image, pixel=pixel,
                        sparse=None if self.outliers is None else self.outliers.groups[group],
                    )  # fmt: skip
                    out[image, pixel : pixel + len(acc), part] = self.requantizer(acc, part, self.storage)
                if monitor is not None and seen is not None:
                    monitor.merge(seen, part.start)

    def _panels(self, image: Array, group: int, width: int, pixels: int) -> Iterator[tuple[int, Int64]]:
        """Yield blocks of windows as (first pixel, int64 [pixels, K], or [pixels, K, N] depthwise)."""
        channels_in = image.shape[2] // self.groups
        columns = self.window.kernel[0] * self.window.kernel[1] * channels_in
        block = max(1, PANEL_ELEMENTS // columns)
        for pixel in range(0, pixels, block):
            panel = np.empty((min(block, pixels - pixel), columns), np.int64)
            gather_rows(
                image, pixel, len(panel), width, self.window.geometry(), group * channels_in, channels_in,
                self.subtract, self.pad, panel.reshape(-1), columns,
            )  # fmt: skip
            if self.depthwise:
                panel = np.repeat(panel.reshape(len(panel), self.depth, channels_in), self.repeat, axis=2)
            yield pixel, panel


def _bias(inputs: Sequence[Tensor], channels: int) -> Int64:
    if len(inputs) < 3:
        return np.zeros(channels, np.int64)
    assert inputs[2].data is not None
    return inputs[2].data.astype(np.int64)


def _require_bias_fits(bias: Int64, acc: Register, at: BiasAt) -> None:
    """A wrapping accumulator keeps the bias's low bits; a saturating one would start from a wrong number."""
    if acc.overflow is Overflow.WRAP or at is BiasAt.END:
        return
    for channel in np.flatnonzero((bias < acc.format.lo) | (bias > acc.format.hi)):
        raise InputError(
            f"acc must hold the bias, which is {bias[channel]} in channel {channel}, not {acc} "
            f"({acc.format.lo}..{acc.format.hi}); widen it, or add the bias after it with bias_at = end"
        )


def is_sum(result: Quantization | None) -> bool:
    """Whether a layer's output is its accumulators as they are, wider than any activation."""
    return result is not None and result.format.bits > OPERAND_BITS[-1]


def _output_quantization(tensor: Tensor) -> Quantization:
    """Return the quantization of a layer's output: per tensor, or of accumulators as they are, then also per channel."""
    quantization = tensor.quantization
    if quantization is not None and is_sum(quantization):
        return quantization
    return activation_quantization(tensor)


def _factors(
    source: Quantization, weights: Tensor, result: Quantization, channels: int, float32_product: bool, profile: Profile
) -> list[float]:
    """``input_scale * weight_scale / output_scale`` per channel, in float64 from left to right as TFLite does.

    In float32 with `Profile.ORT_FLOAT32`, as ONNX Runtime's QLinearConv.
    """
    assert weights.quantization is not None
    if profile is Profile.ORT_FLOAT32:
        with np.errstate(all="ignore"):  # what leaves float32 is refused below
            single = np.float32(source.scale) * np.broadcast_to(weights.quantization.scale, (channels,)).astype(
                np.float32
            )
            factors = [float(factor) for factor in single / np.float32(result.scale)]
    else:
        products = float(source.scale) * np.broadcast_to(weights.quantization.scale, (channels,))
        if float32_product:
            products = products.astype(np.float32).astype(np.float64)
        factors = [float(factor) for factor in products / float(result.scale)]
    require(max(factors) < 2.0**30, "input_scale * weight_scale / output_scale", "below 2**30", max(factors))
    return factors


def products_workload(
    name: str, kind: str, gemm: tuple[int, int, int, int], inputs: Sequence[Tensor], outputs: Sequence[Tensor],
    arithmetic: Arithmetic, window: Window | None = None,
) -> Workload:  # fmt: skip
    """Describe a layer with weights: besides the activations it moves weights, biases and requantization constants.

    A bias has the width of the register that it enters: the accumulator, or with `BiasAt.END` the requantizer's 32 bits or
    more. A float layer's operands have 32 bits each.
    """
    weights = inputs[1]
    channels = outputs[0].shape[-1]
    quantized = weights.quantization is not None
    weight_bits = weights.quantization.format.bits if weights.quantization is not None else 32
    acc_bits = arithmetic.reduction.acc.bits
    bias_bits = acc_bits if arithmetic.reduction.bias_at is BiasAt.START else max(32, acc_bits)
    operands = [Operand("weights", weights.elements, weight_bits)]
    if len(inputs) > 2:
        operands.append(Operand("biases", channels, bias_bits if quantized else 32))
    if len(inputs) > 3:
        operands.append(Operand("scales", channels * (inputs[3].shape[1] - 1), acc_bits))
    elif quantized and not is_sum(outputs[0].quantization):
        operands.append(Operand("scales", channels, MULTIPLIER_BITS + SHIFT_BITS))
    activations = [tensor_operand("activations_in", inputs[0]), tensor_operand("activations_out", outputs[0])]
    sliding = None if window is None else window.sliding(inputs[0].shape, outputs[0].shape)
    return Workload(name, kind, *gemm, (*operands, *activations), weight_bits, activations[0].element_bits, sliding)


def centered_weights(tensor: Tensor) -> Int64:
    """Return a weight tensor's integers with their zero points subtracted, int64."""
    quantization = tensor.quantization
    if quantization is None or tensor.data is None:
        raise InputError(f"weights {tensor.name!r} must be a quantized constant")
    zero_point = quantization.zero_point
    if quantization.axis is not None:
        zero_point = zero_point.reshape([-1 if axis == quantization.axis else 1 for axis in range(len(tensor.shape))])
    return tensor.data.astype(np.int64) - zero_point
