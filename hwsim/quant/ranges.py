"""From what a tensor's values did to the range that its integers cover. `RANGES` lists the methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from hwsim.graph import Array


class RangeObserver(ABC):
    """Sees every value of a tensor, batch by batch, and names a range."""

    name: ClassVar[str]
    """What the command line calls the method."""

    @abstractmethod
    def see(self, values: Array) -> None:
        """Take note of float values of any shape."""

    @abstractmethod
    def range(self) -> tuple[float, float]:
        """Return (lowest, highest) of the values to represent; (0, 0) where none were seen."""


class MinMax(RangeObserver):
    """The smallest and the largest value seen."""

    name = "min-max"

    def __init__(self) -> None:
        self._lo, self._hi = np.inf, -np.inf

    def see(self, values: Array) -> None:
        # NumPy's minimum and maximum, which pass a NaN on.
        self._lo = float(np.minimum(self._lo, values.min()))
        self._hi = float(np.maximum(self._hi, values.max()))

    def range(self) -> tuple[float, float]:
        return (0.0, 0.0) if self._lo > self._hi else (self._lo, self._hi)


RANGES: tuple[type[RangeObserver], ...] = (MinMax,)
"""Range-setting methods; the first is the default."""
