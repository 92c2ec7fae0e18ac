"""Windows that slide over NHWC images: kernel, stride, dilation, padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.spec import Sliding, require


@dataclass(frozen=True, slots=True)
class Padding:
    """Rows and columns added around an image; sizes are 0 or more."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __post_init__(self) -> None:
        require(min(self.top, self.bottom, self.left, self.right) >= 0, "padding", "0 or more on every side", self)

    @classmethod
    def same(
        cls,
        image: Sequence[int],
        kernel: Sequence[int],
        stride: Sequence[int],
        dilation: Sequence[int] = (1, 1),
        *,
        extra_first: bool = False,
    ) -> Padding:
        """Return TensorFlow's SAME padding for an image and a kernel of (height, width).

        Output sizes are ``ceil(image / stride)``; an odd total puts its extra line last, or first with `extra_first`
        (ONNX's SAME_LOWER).
        """
        sides: list[int] = []
        for size, taps, step, spread in zip(image, kernel, stride, dilation, strict=True):
            total = max((-(-size // step) - 1) * step + (taps - 1) * spread + 1 - size, 0)
            small, large = total // 2, total - total // 2
            sides += [large, small] if extra_first else [small, large]
        return cls(*sides)


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window.

    Parameters
    ----------
    kernel
        (height, width) in taps.
    stride, dilation
        (vertical, horizontal), 1 or more.
    padding
        Explicit; SAME and VALID are resolved by the importer.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: Padding = Padding()

    def __post_init__(self) -> None:
        for field in ("kernel", "stride", "dilation"):
            require(min(getattr(self, field)) >= 1, field, "1 or more in both directions", getattr(self, field))

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Return the output's (height, width); raise `InputError` where no window fits."""
        extents = (
            (height + self.padding.top + self.padding.bottom, 0),
            (width + self.padding.left + self.padding.right, 1),
        )
        sizes = []
        for extent, axis in extents:
            reach = (self.kernel[axis] - 1) * self.dilation[axis] + 1
            require(reach <= extent, "kernel", f"at most the padded image of {extent}", reach)
            sizes.append((extent - reach) // self.stride[axis] + 1)
        return sizes[0], sizes[1]

    def sliding(self, images: Sequence[int], outputs: Sequence[int]) -> Sliding:
        """Return what the time engine needs of the window, for shapes [batch, height, width, channels]."""
        return Sliding(
            (images[1], images[2]), images[3], (outputs[1], outputs[2]), self.kernel, self.stride, self.dilation,
            (self.padding.top, self.padding.left),
        )  # fmt: skip

    def geometry(self) -> npt.NDArray[np.int64]:
        """Return what the jitted kernels need of the window, see `hwsim.kernels.gather.Geometry`."""
        sides = (self.padding.top, self.padding.left)
        return np.array([*self.kernel, *self.stride, *self.dilation, *sides], np.int64)
