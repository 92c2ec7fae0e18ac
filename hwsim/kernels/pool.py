"""Pooling over windows of NHWC images, on integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.kernels.jit import jit


@jit
def divide_rounded(total: Any, count: Any) -> Any:
    """Nearest integer of a quotient with count > 0, ties away from zero."""
    if total > 0:
        return (total + count // 2) // count
    return -((-total + count // 2) // count)


@jit
def max_pool(images: Any, geometry: Any, lo: Any, hi: Any, out_width: Any, out: Any) -> None:
    """Largest value of each window, clamped; padding never wins. images [B, H, W, C], out [B, OH * OW, C]."""
    height, width, channels = images.shape[1], images.shape[2], images.shape[3]
    for image in range(images.shape[0]):
        for pixel in range(out.shape[1]):
            top = (pixel // out_width) * geometry[2] - geometry[6]
            left = (pixel % out_width) * geometry[3] - geometry[7]
            for c in range(channels):
                out[image, pixel, c] = lo
            for ky in range(geometry[0]):
                y = top + ky * geometry[4]
                for kx in range(geometry[1]):
                    x = left + kx * geometry[5]
                    if 0 <= y < height and 0 <= x < width:
                        for c in range(channels):
                            out[image, pixel, c] = max(out[image, pixel, c], images[image, y, x, c])
            for c in range(channels):
                out[image, pixel, c] = min(out[image, pixel, c], hi)


@jit
def average_pool(
    images: Any, geometry: Any, include_padding: Any, zero_point: Any, lo: Any, hi: Any, out_width: Any, out: Any
) -> None:
    """Mean of each window, rounded to nearest with ties away from zero, clamped.

    Padding is left out of the mean, or counts as `zero_point` with `include_padding`. images [B, H, W, C],
    out [B, OH * OW, C].
    """
    height, width, channels = images.shape[1], images.shape[2], images.shape[3]
    total = np.empty(channels, np.int64)
    taps = geometry[0] * geometry[1]
    for image in range(images.shape[0]):
        for pixel in range(out.shape[1]):
            top = (pixel // out_width) * geometry[2] - geometry[6]
            left = (pixel % out_width) * geometry[3] - geometry[7]
            total[:] = 0
            inside = 0
            for ky in range(geometry[0]):
                y = top + ky * geometry[4]
                for kx in range(geometry[1]):
                    x = left + kx * geometry[5]
                    if 0 <= y < height and 0 <= x < width:
                        inside += 1
                        for c in range(channels):
                            total[c] += np.int64(images[image, y, x, c])
            count = inside
            if include_padding:
                count = taps
                total += (taps - inside) * zero_point
            for c in range(channels):
                out[image, pixel, c] = min(max(divide_rounded(total[c], count), lo), hi)
