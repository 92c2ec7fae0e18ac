"""Layers as one compiled call: a table of functions, each with the address of the fields that it reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.kernels.compiled import call_kernel
from hwsim.kernels.convolution import convolve
from hwsim.kernels.jit import jit
from hwsim.kernels.monitor import Monitor
from hwsim.kernels.pointers import words

CONVOLVE = 0
"""In place of a kernel's address: `hwsim.kernels.convolution.convolve`."""


@dataclass(frozen=True)
class Entry:
    """A layer in a table, for one batch and one thread.

    Parameters
    ----------
    kernel
        Address of a generated kernel, or `CONVOLVE`.
    fields
        int64: what it reads.
    inputs, output
        The fields that take the addresses of activations.
    kept
        What has memory that fields point to.
    settle
        Hands what was counted to a monitor, if there is one, and begins anew; None: nothing is counted.
    """

    kernel: int
    fields: npt.NDArray[np.int64]
    inputs: tuple[int, ...]
    output: int
    kept: Sequence[Any] = ()
    settle: Callable[[Monitor | None], None] | None = None


class Step(ABC):
    """A layer that may stand in a table."""

    @abstractmethod
    def entry(self, shapes: Sequence[tuple[int, ...]]) -> Entry:
        """Return a new entry for inputs of these shapes, for the calling thread."""


class View(Step):
    """A layer that gives its input another shape: no memory of its own, and no entry."""

    def entry(self, shapes: Sequence[tuple[int, ...]]) -> Entry:
        raise AssertionError(f"a view of {shapes} has no entry")


def table_of(entries: Sequence[Entry]) -> npt.NDArray[np.int64]:
    """Return a table, which holds as long as its entries are kept."""
    return np.array([(entry.kernel, entry.fields.ctypes.data) for entry in entries], np.int64).reshape(-1)


@jit
def run_table(table: Any) -> None:
    """Call every function of a table with its fields."""
    for at in range(0, table.shape[0], 2):
        if table[at] == CONVOLVE:
            convolve(table[at + 1])
        else:
            call_kernel(table[at], words(table[at + 1], 1), 0)
