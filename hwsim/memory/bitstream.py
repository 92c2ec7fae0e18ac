"""Streams of fields of any width, for encoders whose sizes are proven by decoding what they wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.spec import Format, require

Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint8]
"""One element per bit, in the order of the stream; a field's lowest bit comes first."""


def checked(values: npt.NDArray[Any], form: Format, zero: int) -> Ints:
    """Return the elements of a tensor in their order, int64.

    Raises
    ------
    InputError
        For a value, or a `zero`, that the format does not have.
    """
    flat = np.asarray(values).reshape(-1)
    require(flat.dtype.kind in "iu", "values", "integers", f"of dtype {flat.dtype}")
    low, high = (int(flat.min()), int(flat.max())) if flat.size else (zero, zero)
    require(form.lo <= low and high <= form.hi, "values", f"in the range of {form}", f"{low}..{high}")
    require(form.lo <= zero <= form.hi, "zero", f"in the range of {form}", zero)
    return flat.astype(np.int64)


def pack(fields: Ints, widths: Ints) -> Bits:
    """Return fields one after the other; of each the lowest `widths` bits."""
    ends = np.cumsum(widths)
    stream = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    for bit in range(int(widths.max(initial=0))):
        wide = widths > bit
        stream[ends[wide] - widths[wide] + bit] = fields[wide] >> bit & 1
    return stream


def unpack(stream: Bits, starts: Ints, width: int) -> Ints:
    """Return the fields of `width` bits that begin at `starts`."""
    found = np.zeros(len(starts), np.int64)
    for bit in range(width):
        found |= stream[starts + bit].astype(np.int64) << bit
    return found


def signed(fields: Ints, form: Format) -> Ints:
    """Return what the low bits of fields mean in a format."""
    return np.where(fields > form.hi, fields - (1 << form.bits), fields)
