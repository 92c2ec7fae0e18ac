"""Bytes that change their sign and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hwsim.kernels.copying import Copy, Rows
from hwsim.kernels.table import Entry, Step

HIGHEST = 0x80
"""The bit in which a byte with a sign differs from the same one counted from 0."""


class Flip(Step):
    """Turns signed bytes into unsigned ones, or back."""

    def entry(self, shapes: Sequence[tuple[int, ...]]) -> Entry:
        fields = np.zeros(len(Rows), np.int64)
        fields[Rows.ROWS], fields[Rows.COUNT], fields[Rows.OPERAND] = 1, math.prod(shapes[0]), HIGHEST
        return Entry(Copy("uint8", "bytes").address(), fields, (Rows.SOURCE,), Rows.TARGET)
