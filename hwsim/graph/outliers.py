"""Weights that a tensor's own few bits do not hold: where they are, and what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.spec import Format, require


@dataclass(frozen=True, eq=False)
class Outliers:
    """The sparse part of a weight tensor, on the scale of its dense part.

    The tensor's real value at such a place is ``scale * value``, and its own integer there is its zero point, the real value 0.
    One scale for both, because the products of both add up in one accumulator: so an outlier's integer is larger than the
    dense format, and needs more bits.

    Parameters
    ----------
    format
        Signed integers that hold every value, 2..16 bits.
    places
        int64 [entries]: positions in the flat tensor, ascending, each once.
    values
        int16 [entries]: the integers, none of them 0.
    """

    format: Format
    places: npt.NDArray[np.int64]
    values: npt.NDArray[np.int16]

    def __post_init__(self) -> None:
        require(self.format.signed and self.format.bits <= 16, "outliers' format", "signed, of 2..16 bits", self.format)
        require(self.places.shape == self.values.shape, "outliers' places", "one per value", self.places.shape)
        require(bool(np.all(np.diff(self.places) > 0)), "outliers' places", "ascending", self.places)
        inside = (self.values >= self.format.lo) & (self.values <= self.format.hi) & (self.values != 0)
        require(bool(np.all(inside)), "outliers", f"in {self.format.lo}..{self.format.hi}, and not 0", self.values)

    @property
    def entries(self) -> int:
        """How many there are."""
        return len(self.places)

    def sparse(self, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
        """Return a tensor of that shape, int64, that is zero elsewhere."""
        found = np.zeros(int(np.prod(shape)), np.int64)
        found[self.places] = self.values
        return found.reshape(shape)

    def matrix(self, shape: tuple[int, ...], axis: int) -> npt.NDArray[np.int64]:
        """Return the same as [output channels, products k], for weights whose output channels `axis` counts."""
        by_channel = np.moveaxis(self.sparse(shape), axis, 0)
        return np.ascontiguousarray(by_channel.reshape(shape[axis], -1))


def split(integers: npt.NDArray[Any], dense: Format, lo: int, wide: Format) -> tuple[npt.NDArray[Any], Outliers]:
    """Split integers into those of ``lo..dense.hi``, zero elsewhere, of that format's storage, and the others.

    Raises
    ------
    InputError
        For an integer that not even the wide format holds.
    """
    outside = (integers < lo) | (integers > dense.hi)
    places = np.flatnonzero(outside)
    values = integers.reshape(-1)[places]
    inside = (values >= wide.lo) & (values <= wide.hi)
    require(bool(np.all(inside)), "outliers", f"in {wide.lo}..{wide.hi} of {wide}", values)
    return np.where(outside, 0, integers).astype(dense.storage), Outliers(wide, places, values.astype(np.int16))
