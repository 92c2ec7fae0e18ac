"""The slow oracle: every operation in plain Python integers, written from the definitions and never optimised.

It shares no code with `hwsim.kernels`. Sources: `hwsim/spec/reduction.py` for the order of sums, gemmlowp's
``fixedpoint.h`` and TFLite's ``common.h`` for the roundings, in the form of their mathematical meaning (fractions); TFLite's
``reference_ops`` for what an operator computes. Tensors are nested lists: images [B][H][W][C], weights [O][KH][KW][I],
sums [B][OH * OW][O]. A pad is (top, bottom, left, right).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from hwsim.spec import BiasAt, Multiplier, Overflow, Profile, Reduction, Register, ZeroPoints

REGISTERS = ("tree", "psum", "acc")
KINDS = ("positive", "negative")


class Registers:
    """Registers that count what they cannot represent, and remember the exact running sum."""

    def __init__(self) -> None:
        self.counts = {(name, kind): 0 for name in REGISTERS for kind in KINDS}
        self.sums = 0

    def write(self, name: str, register: Register | None, total: int) -> int:
        """Return what `register` holds after `total` is written; None is an exact register that counts nothing."""
        if register is None:
            return total
        self.sums += 1
        lo, hi = -(1 << (register.bits - 1)), (1 << (register.bits - 1)) - 1
        if total > hi:
            self.counts[name, "positive"] += 1
        if total < lo:
            self.counts[name, "negative"] += 1
        if register.overflow is Overflow.SATURATE:
            return max(lo, min(hi, total))
        return wrap(total, register.bits)


def wrap(value: int, bits: int) -> int:
    """Keep the low bits as a two's-complement number."""
    low = value % (1 << bits)
    return low - (1 << bits) if low >= 1 << (bits - 1) else low


def tree_sum(values: list[int], register: Register | None, registers: Registers) -> int:
    """Add neighbours in pairs, level by level; an odd one out moves up unchanged."""
    while len(values) > 1:
        pairs = [values[i : i + 2] for i in range(0, len(values), 2)]
        values = [registers.write("tree", register, sum(pair)) if len(pair) == 2 else pair[0] for pair in pairs]
    return values[0]


def reduce(
    activations: list[int], weights: list[int], bias: int, reduction: Reduction
) -> tuple[int, Registers, list[int]]:
    """Return what leaves the accumulator, the counters, and the exact running sums of the accumulator."""
    registers = Registers()
    products = [a * w for a, w in zip(activations, weights, strict=True)]
    products += [0] * (-len(products) % reduction.lanes)
    groups = [products[i : i + reduction.lanes] for i in range(0, len(products), reduction.lanes)]
    at_start = reduction.bias_at is BiasAt.START
    acc = wrap(bias, reduction.acc.bits) if at_start else 0
    running = [bias if at_start else 0]
    chain = reduction.chain or 1
    for i in range(0, len(groups), chain):
        psum = 0
        for group in groups[i : i + chain]:
            total = tree_sum(list(group), reduction.tree, registers)
            psum = total if reduction.chain is None else registers.write("psum", reduction.psum, psum + total)
        acc = registers.write("acc", reduction.acc, acc + psum)
        running.append(running[-1] + sum(sum(group) for group in groups[i : i + chain]))
    return (acc if at_start else acc + bias), registers, running


def round_half_up(value: Fraction) -> int:
    """Nearest integer, ties toward +infinity."""
    return math.floor(value + Fraction(1, 2))


def round_half_away(value: Fraction) -> int:
    """Nearest integer, ties away from zero."""
    nearest = math.floor(abs(value) + Fraction(1, 2))
    return nearest if value >= 0 else -nearest


def scale(acc: int, factor: Multiplier, profile: Profile) -> int:
    """Return ``acc * factor`` rounded as an integer profile says."""
    m, shift = factor.multiplier, factor.shift
    if profile is Profile.TFLITE:
        high = round_half_up(Fraction(acc * 2 ** max(shift, 0) * m, 2**31))
        return round_half_away(Fraction(high, 2 ** max(-shift, 0)))
    if profile is Profile.TFLITE_SINGLE:
        return round_half_up(Fraction(acc * m) / Fraction(2) ** (31 - shift))
    assert profile is Profile.POWER_OF_TWO
    return round_half_up(Fraction(acc) * Fraction(2) ** (shift - 1))


def to_float32(value: Fraction) -> Fraction:
    """Round a real to the nearest float32 (24 bits of mantissa, ties to even, subnormals from 2**-149)."""
    if value == 0:
        return value
    # From below the right exponent, as a quotient of integers of n and d bits is at least 2**(n - d - 1).
    exponent = max(-149, value.numerator.bit_length() - value.denominator.bit_length() - 25)
    while abs(value) >= Fraction(2) ** (exponent + 24):
        exponent += 1
    # Python rounds a fraction half to even. A carry into bit 24 is a power of two, which float32 holds.
    return round(value / Fraction(2) ** exponent) * Fraction(2) ** exponent


def scale_float32(acc: int, real: float) -> int:
    """``rint(float32(acc) * float32(real))``, each step rounded as IEEE says, as ONNX Runtime computes it."""
    return round(to_float32(to_float32(Fraction(acc)) * to_float32(Fraction(real))))


def scale_real(acc: int, real: float, profile: Profile) -> int:
    """Return ``acc * real`` rounded as any profile says."""
    if profile is Profile.ORT_FLOAT32:
        return scale_float32(acc, real)
    return scale(acc, Multiplier.from_real(real), profile)


def requantize(acc: int, real: float, profile: Profile, zero_point: int, lo: int, hi: int) -> int:
    """Scale, add the zero point, clamp."""
    return max(lo, min(hi, scale_real(acc, real, profile) + zero_point))


@dataclass
class Sums:
    """What leaves the accumulators of a layer, and what its registers saw.

    `first` is the lowest (image, pixel, channel, register) with an event; `low` and `high` are the extremes of the exact
    running sum of each channel's accumulator.
    """

    channels: int
    out: list[list[list[int]]] = field(default_factory=list)
    counts: dict[tuple[str, str], list[int]] = field(init=False)
    low: list[int | None] = field(init=False)
    high: list[int | None] = field(init=False)
    first: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        self.counts = {(name, kind): [0] * self.channels for name in REGISTERS for kind in KINDS}
        self.low = [None] * self.channels
        self.high = [None] * self.channels

    def note(self, image: int, pixel: int, channel: int, registers: Registers, running: list[int]) -> None:
        """Take down one dot product."""
        for key, count in registers.counts.items():
            self.counts[key][channel] += count
            if count:
                event = (image, pixel, channel, REGISTERS.index(key[0]))
                self.first = event if self.first is None else min(self.first, event)
        low, high = self.low[channel], self.high[channel]
        self.low[channel] = min(running) if low is None else min(low, *running)
        self.high[channel] = max(running) if high is None else max(high, *running)


def reduce_rows(
    panel: Sequence[Sequence[Any]], weights: Sequence[Sequence[int]], bias: Sequence[int], reduction: Reduction,
    *, image: int = 0, pixel: int = 0,
) -> Sums:  # fmt: skip
    """Reduce the rows of a panel [M][K] (one activation for all channels) or [M][K][N] with weights [K][N]."""
    sums = Sums(len(bias), [[]])
    for m, row in enumerate(panel):
        sums.out[0].append([])
        for n in range(len(bias)):
            activations = [value[n] if isinstance(value, list) else value for value in row]
            total, registers, running = reduce(activations, [line[n] for line in weights], bias[n], reduction)
            sums.out[0][-1].append(total)
            sums.note(image, pixel + m, n, registers, running)
    return sums


Position = tuple[int, int]


def window_positions(
    size: Position, kernel: Position, stride: Position, dilation: Position, pad: Sequence[int]
) -> Iterator[list[Position | None]]:
    """Yield for each output pixel, row by row, where its taps read an image of `size`: (y, x), or None in the padding."""
    top, bottom, left, right = pad
    reach = [(kernel[axis] - 1) * dilation[axis] for axis in (0, 1)]
    for start_y in range(-top, size[0] + bottom - reach[0], stride[0]):
        for start_x in range(-left, size[1] + right - reach[1], stride[1]):
            places = [
                (start_y + ky * dilation[0], start_x + kx * dilation[1])
                for ky in range(kernel[0])
                for kx in range(kernel[1])
            ]
            yield [(y, x) if 0 <= y < size[0] and 0 <= x < size[1] else None for y, x in places]


def conv2d(
    images: Any, weights: Any, bias: Sequence[int], reduction: Reduction, *, zero_point: int = 0,
    weight_zero_points: Sequence[int] | None = None, stride: Position = (1, 1), dilation: Position = (1, 1), groups: int = 1,
    pad: Sequence[int] = (0, 0, 0, 0),
) -> Sums:  # fmt: skip
    """Sum a convolution: weights [O][KH][KW][I] of a group, k = (ky * KW + kx) * I + i; padding is the real value 0."""
    outputs, per_group = len(weights), len(weights[0][0][0])
    kernel = (len(weights[0]), len(weights[0][0]))
    fold = reduction.zero_points is ZeroPoints.FOLD
    sums = Sums(outputs)
    for b, image in enumerate(images):
        sums.out.append([])
        places = window_positions((len(image), len(image[0])), kernel, stride, dilation, pad)
        for pixel, taps in enumerate(places):
            sums.out[-1].append([])
            for o in range(outputs):
                zero_weight = 0 if weight_zero_points is None else weight_zero_points[o]
                line = [w - zero_weight for row in weights[o] for tap in row for w in tap]
                first = (o // (outputs // groups)) * per_group
                real = [image[p[0]][p[1]][first + i] if p else zero_point for p in taps for i in range(per_group)]
                seen = real if fold else [a - zero_point for a in real]
                start = bias[o] - zero_point * sum(line) if fold else bias[o]
                total, registers, running = reduce(seen, line, start, reduction)
                sums.out[-1][-1].append(total)
                sums.note(b, pixel, o, registers, running)
    return sums


def depthwise(images: Any, weights: Any, bias: Sequence[int], reduction: Reduction, **attributes: Any) -> Sums:
    """Sum a depthwise convolution, weights [1][KH][KW][C * multiplier]: a group per input channel."""
    outputs, channels = len(bias), len(images[0][0][0])
    each = [[[[tap[o]] for tap in row] for row in weights[0]] for o in range(outputs)]
    return conv2d(images, each, bias, reduction, groups=channels, **attributes)


def fully_connected(rows: Any, weights: Any, bias: Sequence[int], reduction: Reduction, **attributes: Any) -> Sums:
    """Sum a matrix product: rows [B][I], weights [O][I]."""
    return conv2d([[[row]] for row in rows], [[[line]] for line in weights], bias, reduction, **attributes)


def max_pool(image: Any, kernel: Position, stride: Position, pad: Sequence[int], lo: int, hi: int) -> list[list[int]]:
    """Return [OH * OW][C], the largest value of each window of an image [H][W][C], clamped."""
    channels = range(len(image[0][0]))
    return [
        [max(lo, min(hi, max(image[p[0]][p[1]][c] for p in taps if p))) for c in channels]
        for taps in window_positions((len(image), len(image[0])), kernel, stride, (1, 1), pad)
    ]


def average_pool(
    image: Any,
    kernel: Position,
    stride: Position,
    pad: Sequence[int],
    lo: int,
    hi: int,
    include_padding: bool,
    zero_point: int,
) -> list[list[int]]:
    """Return [OH * OW][C], the mean of each window, ties away from zero, without its padding or with `zero_point` there."""
    result: list[list[int]] = []
    for taps in window_positions((len(image), len(image[0])), kernel, stride, (1, 1), pad):
        result.append([])
        for c in range(len(image[0][0])):
            values = [image[p[0]][p[1]][c] if p else zero_point for p in taps if p or include_padding]
            result[-1].append(max(lo, min(hi, round_half_away(Fraction(sum(values), len(values))))))
    return result


def dequantize_float32(q: int, scale: float, zero_point: int) -> Fraction:
    """ONNX's DequantizeLinear of an integer of up to 16 bits, in float32."""
    return to_float32((q - zero_point) * to_float32(Fraction(scale)))


def quantize_float32(real: Fraction, scale: float, zero_point: int, lo: int, hi: int) -> int:
    """ONNX's QuantizeLinear of a float32: the quotient rounded to float32, then half to even."""
    return max(lo, min(hi, round(to_float32(real / to_float32(Fraction(scale)))) + zero_point))


def add(
    a: int,
    b: int,
    scales: Sequence[float],
    zero_points: Sequence[int],
    lo: int,
    hi: int,
    profile: Profile,
    headroom: int,
) -> int:
    """TFLite's quantized sum of two integers; scales and zero points of a, b and the result."""
    if profile is Profile.ORT_FLOAT32:
        terms = [dequantize_float32(q, scales[i], zero_points[i]) for i, q in enumerate((a, b))]
        return quantize_float32(to_float32(terms[0] + terms[1]), scales[2], zero_points[2], lo, hi)
    twice = 2 * max(scales[0], scales[1])
    total = sum(
        scale_real((q - zero_points[i]) * 2**headroom, scales[i] / twice, profile) for i, q in enumerate((a, b))
    )
    return requantize(total, twice / (2**headroom * scales[2]), profile, zero_points[2], lo, hi)


def mul(
    a: int, b: int, scales: Sequence[float], zero_points: Sequence[int], lo: int, hi: int, profile: Profile, real: float
) -> int:  # fmt: skip
    """The exact product of centred integers, scaled once by `real`; in float32 where the profile says so."""
    if profile is Profile.ORT_FLOAT32:
        one, other = (dequantize_float32(q, scales[i], zero_points[i]) for i, q in enumerate((a, b)))
        return quantize_float32(to_float32(one * other), scales[2], zero_points[2], lo, hi)
    return requantize((a - zero_points[0]) * (b - zero_points[1]), real, profile, zero_points[2], lo, hi)


def mean(
    values: Sequence[int], scales: Sequence[float], zero_points: Sequence[int], lo: int, hi: int, profile: Profile
) -> int:
    """TFLite's mean: the sum of centred integers times ``scale / output scale / count``, the multiplier divided by the count."""
    count = len(values)
    total = sum(values) - count * zero_points[0]
    if profile is Profile.ORT_FLOAT32:
        steps = to_float32(to_float32(Fraction(scales[1])) * count)
        factor32 = to_float32(to_float32(Fraction(scales[0])) / steps)
        return max(lo, min(hi, round(to_float32(to_float32(Fraction(total)) * factor32)) + zero_points[1]))
    real = scales[0] / scales[1]
    if profile is not Profile.TFLITE:
        return requantize(total, real / count, profile, zero_points[1], lo, hi)
    factor = Multiplier.from_real(real)
    up = min(int(math.log2(count)), 32, 31 + factor.shift)
    divided = Multiplier(factor.multiplier * 2**up // count, factor.shift - up)
    return max(lo, min(hi, scale(total, divided, profile) + zero_points[1]))


def rescale_float32(q: int, scales: Sequence[float], zero_points: Sequence[int], lo: int, hi: int) -> int:
    """TFLite's change of scale of a uint8 concatenation: ``round(q * scale + bias)`` in float32, ties away from zero."""
    inverse = to_float32(1 / to_float32(Fraction(scales[1])))
    scale = to_float32(to_float32(Fraction(scales[0])) * inverse)
    offset = to_float32(-zero_points[0] * scale)
    steps = round_half_away(to_float32(to_float32(q * scale) + offset))
    return max(lo, min(hi, steps + zero_points[1]))
