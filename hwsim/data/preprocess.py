"""From an image file to the pixels that a model takes."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hwsim.data.source import ImageSize
from hwsim.spec.errors import InputError, require

RESIZE_SHORT, CROP = 256, 224
"""The usual ImageNet evaluation: short side to 256, then the centre 224x224."""

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
"""Pillow modes of at most 8 bits per channel; converting a wider one to RGB clips instead of scaling."""

LARGEST_ASPECT = 64

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
"""Others are not looked for, whatever a file is called: some of Pillow's readers start other programs."""

DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow's decoders have been seen to raise on damaged files."""


def load_image(path: Path, size: ImageSize) -> NDArray[np.uint8]:
    """Return an image as RGB pixels uint8 ``[H, W, 3]``.

    The image is converted to RGB (transparency is dropped, EXIF rotation is not applied). If its short side
    is not 256 it is resized so that it is, the long side in proportion and rounded down. The centre 224x224
    is cut out and resized to `size`. Both resizes are Pillow's ``BILINEAR``.

    Parameters
    ----------
    path
        A JPEG, PNG, BMP or WebP file.
    size
        Height and width of the result.

    Raises
    ------
    InputError
        If the file cannot be read or decoded, has more than 8 bits per channel, or is more than 64 times as
        long as it is wide.
    """
    pixels = _decode(path)
    width, height = pixels.size
    short = min(width, height)
    # Resizing a line of pixels to a width of 256 would take gigabytes.
    require(
        max(width, height) <= LARGEST_ASPECT * short,
        f"{path}: sides",
        f"at most {LARGEST_ASPECT} to 1",
        f"{width}x{height}",
    )
    if short != RESIZE_SHORT:
        width, height = RESIZE_SHORT * width // short, RESIZE_SHORT * height // short
        pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - CROP) // 2, (height - CROP) // 2
    pixels = pixels.crop((left, top, left + CROP, top + CROP))
    if size != (CROP, CROP):
        pixels = pixels.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(pixels, dtype=np.uint8)


def _decode(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow warns of images too large to be sane (89 million pixels) and of damaged metadata.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                mode = f"mode {image.mode}"
                require(image.mode in MODES, f"{path}: pixels", "at most 8 bits per channel", mode)
                return image.convert("RGB")
    except DECODE_ERRORS as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"{path} must be a whole image file, not one with: {reason}") from None
