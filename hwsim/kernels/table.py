"""Layers as one compiled call: a table of functions, each with the address of the fields that it reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from hwsim.kernels.codegen import BYTES, I64, State, Value, Writer
from hwsim.kernels.compiled import address_of, foreign
from hwsim.kernels.driver import call
from hwsim.kernels.monitor import Monitor
from hwsim.kernels.targets import Target


@dataclass(frozen=True)
class Entry:
    """A layer in a table, for one batch and one thread.

    Parameters
    ----------
    kernel
        Address of a generated kernel, or of a layer's driver.
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


class _Numbers(IntEnum):
    """Fields of `_Calls`; entries follow, two numbers each."""

    COUNT = 0
    ENTRIES = 1


@dataclass(frozen=True)
class _Calls:
    """Calls every function of a table with its fields."""

    def write(self, target: Target, name: str) -> ir.Module:
        w = Writer(target, name)
        first = w.at(w.b.bitcast(w.function.args[0], BYTES), 8 * _Numbers.ENTRIES)

        def entry(n: Value, _state: State) -> State:
            at = w.at(first, w.b.mul(n, I64(16)))
            call(w, w.load(at, I64), w.b.inttoptr(w.load(at, I64, 8), BYTES))
            return []

        w.loop(w.field(_Numbers.COUNT), [], entry)
        return w.done()


class Table:
    """Entries, one behind the other."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        pairs = [number for entry in entries for number in (entry.kernel, entry.fields.ctypes.data)]
        self._numbers = np.array([len(entries), *pairs], np.int64)
        self._address, self._run = self._numbers.ctypes.data, foreign(address_of("table", _Calls().write))

    def run(self) -> None:
        """Run the layers on what their fields point to."""
        self._run(self._address)
