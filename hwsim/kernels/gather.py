"""im2col: windows of an NHWC image as the rows of a panel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.kernels.jit import jit

Geometry = npt.NDArray[np.int64]
"""int64 [8]: kernel height and width, stride y and x, dilation y and x, padding top and left."""


@jit
def gather_rows(
    image: Any, first: Any, rows: Any, out_width: Any, geometry: Any, channel: Any, channels: Any, subtract: Any,
    pad: Any, panel: Any, stride: Any,
) -> None:  # fmt: skip
    """Write output pixels ``first..first + rows`` of an image [H, W, C] as rows of a flat panel.

    Row m holds ``image[y, x, channel + c] - subtract`` at ``(ky * KW + kx) * channels + c``, or `pad` outside the image;
    what is left of `stride` elements is not touched.
    """
    height, width = image.shape[0], image.shape[1]
    taps_y, taps_x = geometry[0], geometry[1]
    for m in range(rows):
        pixel = first + m
        top = (pixel // out_width) * geometry[2] - geometry[6]
        left = (pixel % out_width) * geometry[3] - geometry[7]
        at = m * stride
        for ky in range(taps_y):
            y = top + ky * geometry[4]
            for kx in range(taps_x):
                x = left + kx * geometry[5]
                if 0 <= y < height and 0 <= x < width:
                    for c in range(channels):
                        panel[at + c] = np.int32(image[y, x, channel + c]) - subtract
                else:
                    for c in range(channels):
                        panel[at + c] = pad
                at += channels
