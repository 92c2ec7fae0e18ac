"""What the hardware gave against what the kernels expect, transaction by transaction.

No simulator is needed here: a cocotb bench, a file of recorded results or a unit test can feed it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Mismatch:
    """One transaction that differs from what was expected.

    Attributes
    ----------
    kind
        ``value``: an element differs; ``size``: it has another number of elements; ``unexpected``: there should be none;
        ``missing``: it never came.
    port, index
        Name of the scoreboard, and how many transactions it compared before.
    where
        What `Scoreboard.expect` was told about the transaction, such as ``job 3, pixel 5``.
    place
        The first element that differs, such as ``channel 2``; empty for the other kinds.
    expected, got
        The two values there; with ``size`` the two numbers of elements; 0 for what does not exist.
    differing
        Elements of the transaction that differ.
    """

    kind: Literal["value", "size", "unexpected", "missing"]
    port: str
    index: int
    where: str = ""
    place: str = ""
    expected: int = 0
    got: int = 0
    differing: int = 1

    def __str__(self) -> str:
        subject = f"{self.port} {self.index}" + (f" ({self.where})" if self.where else "")
        if self.kind == "missing":
            return f"{subject}: never came"
        if self.kind == "unexpected":
            return f"{subject}: unexpected, its first element is {self.got}"
        if self.kind == "size":
            return f"{subject}: expected {self.expected} elements, got {self.got}"
        place = f", {self.place}" if self.place else ""
        others = f" ({self.differing} elements differ)" if self.differing > 1 else ""
        return f"{subject}{place}: expected {self.expected}, got {self.got}{others}"


class Scoreboard:
    """A queue of expected transactions that observed ones are compared with, in order.

    Parameters
    ----------
    port
        What the transactions are called in messages, such as ``results``.
    axes
        Names of a transaction's axes, such as ``("channel",)``; others are called ``element``.
    stop
        Whether the first mismatch raises `AssertionError` at once, which fails a cocotb test whichever task it is in;
        otherwise mismatches are collected until `finish`.

    Attributes
    ----------
    compared
        Transactions compared so far.
    mismatched
        How many differed.
    mismatches
        The first `LIMIT` of those.
    """

    LIMIT = 100

    def __init__(self, port: str = "results", *, axes: tuple[str, ...] = (), stop: bool = True) -> None:
        self.port, self.axes, self.stop = port, axes, stop
        self.compared = 0
        self.mismatched = 0
        self.mismatches: list[Mismatch] = []
        self._expected: deque[tuple[Int64, str]] = deque()

    @property
    def waiting(self) -> int:
        """Expected transactions that were not observed yet."""
        return len(self._expected)

    def expect(self, values: npt.ArrayLike, where: str = "") -> None:
        """Append one expected transaction: an integer, or an array of integers of any shape, in 64 bits."""
        self._expected.append((_integers(values), where))

    def observe(self, values: npt.ArrayLike) -> None:
        """Compare one transaction of the device with the next expected one.

        Raises
        ------
        AssertionError
            With `stop`, if it differs; the message is one line that says where.
        """
        got = _integers(values)
        if not self._expected:
            self._note(Mismatch("unexpected", self.port, self.compared, got=int(got.flat[0]) if got.size else 0))
            return
        expected, where = self._expected.popleft()
        index, self.compared = self.compared, self.compared + 1
        if got.shape != expected.shape:
            self._note(Mismatch("size", self.port, index, where, "", expected.size, got.size))
        elif (got != expected).any():
            differing = np.argwhere(got != expected)
            at = tuple(differing[0].tolist())
            value = int(expected[at]), int(got[at])
            self._note(Mismatch("value", self.port, index, where, self._place(at), *value, len(differing)))

    def finish(self) -> None:
        """Check that nothing is left: every expected transaction came, and none differed.

        Raises
        ------
        AssertionError
            With the first mismatch, or the first transaction that never came.
        """
        if self._expected:
            self.mismatched += len(self._expected)
            self.mismatches.append(Mismatch("missing", self.port, self.compared, self._expected[0][1]))
            self._expected.clear()
        if self.mismatches:
            raise AssertionError(f"mismatch: {self.mismatches[0]}")

    def drop(self) -> None:
        """Forget what is still expected, as a reset of the device does."""
        self._expected.clear()

    def _place(self, at: tuple[int, ...]) -> str:
        names = self.axes if len(self.axes) == len(at) else ("element",) * len(at)
        return ", ".join(f"{name} {position}" for name, position in zip(names, at, strict=True))

    def _note(self, mismatch: Mismatch) -> None:
        self.mismatched += 1
        if len(self.mismatches) < self.LIMIT:
            self.mismatches.append(mismatch)
        if self.stop:
            raise AssertionError(f"mismatch: {mismatch}")


def _integers(values: Any) -> Int64:
    array = np.asarray(values)
    if array.dtype.kind not in "biu":
        raise TypeError(f"a scoreboard compares integers, not {array.dtype}")
    return array.astype(np.int64)
