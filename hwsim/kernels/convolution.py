"""Whole convolutions on the SIMD kernels: gather a block of windows, sum, requantize, for every image of a batch.

A fully connected layer is a 1x1 convolution of one image whose pixels are the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.kernels.gather import gather_rows
from hwsim.kernels.gemm import gemm
from hwsim.kernels.jit import jit
from hwsim.kernels.microkernel import LANES
from hwsim.kernels.requantize import requantize_block

_PANEL_BYTES = 1 << 17
"""Size of a block of windows: half of a small level-2 cache."""


@jit
def convolve(
    operation: Any, images: Any, geometry: Any, groups: Any, depth: Any, channels: Any, subtract: Any, pad: Any, weights: Any,
    start: Any, lo: Any, hi: Any, spare: Any, multiplier: Any, shift: Any, real: Any, profile: Any, narrow: Any,
    zero_point: Any, clamp_lo: Any, clamp_hi: Any, out_width: Any, out: Any, counts: Any, first_image: Any,
) -> None:  # fmt: skip
    """Convolve a batch.

    images [B, H, W, C]; depth and channels: K and N of one group; weights: packed, one group after the other; start int32
    [groups, padded N] flat; multiplier, shift, real: of all channels; out [B, OH * OW, groups * N]; counts int64
    [2, groups * N]: events above and below, added to; first_image int64 [1]: lowered to the first image with an event.
    """
    batch, pixels = out.shape[0], out.shape[1]
    taps = geometry[0] * geometry[1]
    channels_in = depth // taps
    stride = depth + depth % 2
    pairs = stride // 2
    vectors = (channels + LANES - 1) // LANES
    width = vectors * LANES
    block = min(pixels, max(8, _PANEL_BYTES // (2 * stride)))
    panel = np.zeros(block * stride, np.int16)
    acc = np.empty(block * width, np.int32)
    tally = np.zeros(2 * groups * width, np.int32)
    for image in range(batch):
        for group in range(groups):
            for first in range(0, pixels, block):
                rows = min(block, pixels - first)
                gather_rows(
                    images[image], first, rows, out_width, geometry, group * channels_in, channels_in, subtract, pad, panel,
                    stride,
                )  # fmt: skip
                gemm(
                    operation, panel, rows, stride, weights, group * pairs * 2 * width, pairs, vectors, start, group * width,
                    acc, tally, group * width, groups * width, lo, hi, spare,
                )  # fmt: skip
                part = slice(group * channels, (group + 1) * channels)
                requantize_block(
                    acc, rows, width, multiplier[part], shift[part], real[part], profile, narrow, zero_point, clamp_lo,
                    clamp_hi, out[image, first : first + rows], group * channels,
                )  # fmt: skip
        if operation != 0:
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


@jit
def convolve_depthwise(
    images: Any, geometry: Any, repeat: Any, subtract: Any, pad: Any, weights: Any, start: Any, multiplier: Any, shift: Any,
    real: Any, profile: Any, narrow: Any, zero_point: Any, clamp_lo: Any, clamp_hi: Any, out_width: Any, out: Any,
) -> None:  # fmt: skip
    """Convolve every channel of a batch with its own taps, exactly (sums modulo 2**32).

    images [B, H, W, C]; repeat: output channels per input channel; weights int32 [KH * KW, C * repeat]; start int32
    [C * repeat]; out [B, OH * OW, C * repeat].
    """
    height, width, channels = images.shape[1], images.shape[2], out.shape[2]
    acc = np.empty(channels, np.int32)
    for image in range(images.shape[0]):
        for pixel in range(out.shape[1]):
            top = (pixel // out_width) * geometry[2] - geometry[6]
            left = (pixel % out_width) * geometry[3] - geometry[7]
            acc[:] = start
            tap = 0
            for ky in range(geometry[0]):
                y = top + ky * geometry[4]
                for kx in range(geometry[1]):
                    x = left + kx * geometry[5]
                    if 0 <= y < height and 0 <= x < width:
                        if repeat == 1:
                            for c in range(channels):
                                value = np.int32(np.int32(images[image, y, x, c]) - np.int32(subtract))
                                acc[c] = np.int32(acc[c] + np.int32(value * weights[tap, c]))
                        else:
                            for c in range(channels):
                                value = np.int32(np.int32(images[image, y, x, c // repeat]) - np.int32(subtract))
                                acc[c] = np.int32(acc[c] + np.int32(value * weights[tap, c]))
                    elif pad != 0:
                        for c in range(channels):
                            acc[c] = np.int32(acc[c] + np.int32(np.int32(pad) * weights[tap, c]))
                    tap += 1
            requantize_block(
                acc, 1, channels, multiplier, shift, real, profile, narrow, zero_point, clamp_lo, clamp_hi,
                out[image, pixel : pixel + 1], 0,
            )  # fmt: skip
