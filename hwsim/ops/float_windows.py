"""Windows of float images as a view, for the float evaluation of convolution and pooling."""

from __future__ import annotations

import numpy as np

from hwsim.graph import Array
from hwsim.ops.geometry import Window


def windows(images: Array, window: Window, fill: float = 0.0) -> Array:
    """Return [B, OH, OW, KH, KW, C]: a strided view of images [B, H, W, C] padded with `fill`."""
    padding = window.padding
    padded = np.pad(
        images,
        ((0, 0), (padding.top, padding.bottom), (padding.left, padding.right), (0, 0)),
        constant_values=fill,
    )
    height, width = window.output(images.shape[1], images.shape[2])
    batch, rows, columns, channel = padded.strides
    return np.lib.stride_tricks.as_strided(
        padded,
        (images.shape[0], height, width, *window.kernel, images.shape[3]),
        (
            batch,
            rows * window.stride[0],
            columns * window.stride[1],
            rows * window.dilation[0],
            columns * window.dilation[1],
            channel,
        ),
        writeable=False,
    )
