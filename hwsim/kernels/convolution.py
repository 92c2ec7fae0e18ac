"""Whole convolutions on the SIMD kernels: write an image out with its padding, sum, requantize, for every image of a batch.

A fully connected layer is a 1x1 convolution of an image of one pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.kernels.epilogue import make_epilogue
from hwsim.kernels.gemm import EXACT, depthwise, gemm
from hwsim.kernels.jit import jit
from hwsim.kernels.microkernel import LANES
from hwsim.kernels.requantize import TFLITE, scale

_BLOCK = 1 << 14
"""Accumulators per block of output rows, about; they stay in the level-1 and level-2 caches until requantized."""

_SLACK = 2 * LANES
"""Elements past the image that a kernel may read: it multiplies them, like the next pixel's, by a zero weight."""

_to_8_bits, _to_16_bits = make_epilogue(8), make_epilogue(16)


def segment_offsets(
    kernel: tuple[int, int], dilation: tuple[int, int], row: int, channels: int, group_channels: int
) -> npt.NDArray[np.int64]:
    """Return where the runs of a window's products start, in elements of a padded image.

    Parameters
    ----------
    kernel, dilation
        (height, width).
    row
        Elements per padded image row.
    channels, group_channels
        Channels per pixel, and those that one group reads. A run is a window's whole row where that is contiguous.
    """
    whole_rows = dilation[1] == 1 and channels == group_channels
    columns = 1 if whole_rows else kernel[1]
    return np.array(
        [ky * dilation[0] * row + kx * dilation[1] * channels for ky in range(kernel[0]) for kx in range(columns)],
        np.int64,
    )


@jit
def _write_padded(image: Any, channels: Any, subtract: Any, top: Any, left: Any, width: Any, out: Any) -> None:
    """Write an image [H, W * C] minus `subtract` into a padded one of `width` pixels per row, whose border is there."""
    for y in range(image.shape[0]):
        at = ((y + top) * width + left) * channels
        # Slices, because an index that could be negative keeps LLVM from vectorizing.
        source, target = image[y], out[at : at + image.shape[1]]
        for i in range(source.shape[0]):
            target[i] = np.int16(np.int32(source[i]) - subtract)


@jit
def _add_bias(acc: Any, pixels: Any, width: Any, bias: Any, at: Any) -> None:
    """Add a bias, padded to vectors, to `pixels` rows of accumulators."""
    for p in range(pixels):
        for n in range(width):
            acc[p * width + n] = np.int32(acc[p * width + n] + bias[at + n])


@jit
def _requantize_vector(
    item: Any, acc: Any, at: Any, multiplier: Any, left: Any, right: Any, channel: Any, zero_point: Any, lo: Any, hi: Any,
    out: Any, place: Any,
) -> None:  # fmt: skip
    """Requantize one vector of accumulators into elements of `item` bytes."""
    if item == 1:
        _to_8_bits(acc, at, multiplier, left, right, channel, zero_point, lo, hi, out, place)
    else:
        _to_16_bits(acc, at, multiplier, left, right, channel, zero_point, lo, hi, out, place)


@jit
def _requantize_block(
    acc: Any, pixels: Any, width: Any, channels: Any, first: Any, padded: Any, multiplier: Any, left: Any, right: Any, real: Any,
    profile: Any, narrow: Any, zero_point: Any, lo: Any, hi: Any, out: Any, out_bytes: Any, item: Any, at: Any, stride: Any,
    scratch: Any,
) -> None:  # fmt: skip
    """Requantize `pixels` rows of `width` accumulators into flat `out` from `at` on, `channels` of them valid.

    first: the channel whose multiplier belongs to column 0, padded to vectors (`padded`) or not; out_bytes: the same memory as
    `out`; item: bytes per element; stride: elements per output pixel.
    """
    if profile == TFLITE and narrow:
        whole = channels - channels % LANES
        for p in range(pixels):
            for n in range(0, whole, LANES):
                _requantize_vector(
                    item, acc, p * width + n, multiplier, left, right, padded + n, zero_point, lo, hi, out_bytes,
                    at + p * stride + n,
                )  # fmt: skip
            if whole < channels:
                # A whole vector spills into the next pixel, which comes later and writes over it, unless that is
                # another group's or the end of the array.
                place = at + p * stride + whole
                spills = stride != channels or place + LANES > out.shape[0]
                target, position = (scratch, 0) if spills else (out_bytes, place)
                _requantize_vector(
                    item, acc, p * width + whole, multiplier, left, right, padded + whole, zero_point, lo, hi, target,
                    position,
                )  # fmt: skip
                if spills:
                    for i in range((channels - whole) * item):
                        out_bytes[place * item + i] = scratch[i]
    else:
        for p in range(pixels):
            for n in range(channels):
                shift = np.int64(left[padded + n]) - np.int64(right[padded + n])
                value = scale(
                    np.int64(acc[p * width + n]), np.int64(multiplier[padded + n]), shift, real[first + n], profile
                )
                out[at + p * stride + n] = min(max(value + zero_point, np.int64(lo)), np.int64(hi))


@jit
def convolve(
    operation: Any, is_depthwise: Any, images: Any, channels_in: Any, geometry: Any, offsets: Any, pairs: Any,
    groups: Any, channels: Any, subtract: Any, pad: Any, weights: Any, start: Any, late_bias: Any, lo: Any, hi: Any,
    spare: Any, multiplier: Any, left: Any, right: Any, real: Any, profile: Any, narrow: Any, zero_point: Any,
    clamp_lo: Any, clamp_hi: Any, out_height: Any, out_width: Any, out: Any, out_bytes: Any, item: Any, counts: Any,
    first_image: Any,
) -> None:  # fmt: skip
    """Convolve a batch.

    images [B, H, W * C]; geometry as in `hwsim.kernels.gather`, with padding at the bottom and right appended; offsets,
    pairs: segments of a window; channels: N of one group; weights, start, multiplier, left, right: packed, each group
    padded to whole vectors; late_bias: like start, added after the accumulator, or empty; real: of all channels; out
    [B * OH * OW * groups * N] flat and its bytes; counts int64 [2, groups * N]: events above and below, added to;
    first_image int64 [1]: lowered to the first image with an event.
    """
    vectors = (channels + LANES - 1) // LANES
    width = vectors * LANES
    padded_width = geometry[7] + images.shape[2] // channels_in + geometry[9]
    padded_height = geometry[6] + images.shape[1] + geometry[8]
    padded = np.empty(padded_height * padded_width * channels_in + _SLACK, np.int16)
    padded[:] = pad
    row_stride, pixel_stride = geometry[2] * padded_width * channels_in, geometry[3] * channels_in
    block = min(out_height, max(1, _BLOCK // (out_width * width)))
    acc = np.empty(block * out_width * width, np.int32)
    tally = np.zeros(2 * groups * width, np.int32)
    scratch = np.empty(2 * LANES, np.int8)
    per_pixel = groups * channels
    for image in range(images.shape[0]):
        _write_padded(images[image], channels_in, subtract, geometry[6], geometry[7], padded_width, padded)
        for group in range(groups):
            for y in range(0, out_height, block):
                rows = min(block, out_height - y)
                if is_depthwise:
                    depthwise(
                        padded, y * row_stride, rows, row_stride, out_width, pixel_stride, offsets, weights, vectors, start, acc
                    )  # fmt: skip
                else:
                    gemm(
                        operation, padded, y * row_stride + group * (channels_in // groups), rows, row_stride, out_width,
                        pixel_stride, offsets, pairs, weights, group * offsets.shape[0] * pairs * 2 * width, vectors, start,
                        group * width, acc, tally, group * width, groups * width, lo, hi, spare,
                    )  # fmt: skip
                if late_bias.shape[0] > 0:
                    _add_bias(acc, rows * out_width, width, late_bias, group * width)
                at = (image * out_height + y) * out_width * per_pixel + group * channels
                _requantize_block(
                    acc, rows * out_width, width, channels, group * channels, group * width, multiplier, left, right, real,
                    profile, narrow, zero_point, clamp_lo, clamp_hi, out, out_bytes, item, at, per_pixel, scratch,
                )  # fmt: skip
        if operation != EXACT:
            events = np.int64(0)
            for kind in range(2):
                for group in range(groups):
                    for n in range(channels):
                        count = np.int64(tally[(kind * groups + group) * width + n])
                        counts[kind, group * channels + n] += count
                        events += count
            if events > 0:
                first_image[0] = min(first_image[0], image)
                tally[:] = 0
