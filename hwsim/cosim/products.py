"""Which operands sum to a wanted number: how stimulus gets exactly onto a register's edge, and one beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Span = tuple[int, int]
Factors = list[tuple[int, int]]

CANDIDATES = 1 << 18
"""The most products that a search looks through; all of them where the operands have 17 bits together."""


@dataclass(frozen=True)
class Products:
    """Products of an activation and a weight.

    Parameters
    ----------
    activations, weights
        Smallest and largest operand, both included; the weights contain 1 and -1.
    """

    activations: Span
    weights: Span

    @property
    def largest(self) -> int:
        """The largest magnitude of a product."""
        return max(abs(a * w) for a in self.activations for w in self.weights)

    def sum_to(self, target: int, count: int) -> Factors | None:
        """Return at most `count` factor pairs whose products sum to `target`, or None where none were found.

        No product has another sign than `target`, so that no sum on the way leaves the range from 0 to `target`. The search
        is complete for one product, and for two where all products are candidates (`CANDIDATES`); of more than two, all but
        two are of about equal size.
        """
        candidates = self._above if target >= 0 else self._below
        values = candidates[0]
        if target == 0:
            return []
        least = -(-abs(target) // int(values[-1])) if values[-1] else count + 1
        # More products are smaller ones, and among those there are fewer gaps.
        numbers = {least, least + 1, least + 2} | {least + least * quarters // 4 for quarters in range(1, 9)}
        for number in sorted(number for number in numbers if number <= count):
            if number == 1:
                found = self._one(target)
                if found is not None:
                    return found
                continue
            chosen, rest = [], abs(target)
            for left in range(number, 2, -1):
                # The next larger than the mean of what is left, so that the others can always make up the rest.
                at = int(np.searchsorted(values, -(-rest // left)))
                at -= int(values[at] > rest)
                chosen.append(self._factors(candidates, at))
                rest -= int(values[at])
            found = self._two(rest, candidates)
            if found is not None:
                return chosen + found
        return None

    @cached_property
    def _above(self) -> tuple[Int64, Int64, Int64]:
        return self._candidates(1)

    @cached_property
    def _below(self) -> tuple[Int64, Int64, Int64]:
        return self._candidates(-1)

    def _candidates(self, sign: int) -> tuple[Int64, Int64, Int64]:
        """Return magnitudes of the products of that sign (and 0), ascending, each once, with its two factors."""
        weights = np.arange(self.weights[0], self.weights[1] + 1, dtype=np.int64)
        activations = np.arange(self.activations[0], self.activations[1] + 1, dtype=np.int64)
        keep = max(8, CANDIDATES // len(weights))
        if len(activations) > keep:
            # The ends reach far, and small ones fill the gaps between.
            by_size = activations[np.argsort(np.abs(activations), kind="stable")]
            activations = np.concatenate([by_size[: keep // 4], by_size[-(keep - keep // 4) :]])
        grid = sign * np.multiply.outer(activations, weights)
        a, w = np.nonzero(grid >= 0)
        magnitudes, first = np.unique(grid[a, w], return_index=True)
        return magnitudes, activations[a[first]], weights[w[first]]

    @staticmethod
    def _factors(candidates: tuple[Int64, Int64, Int64], at: int) -> tuple[int, int]:
        return int(candidates[1][at]), int(candidates[2][at])

    def _one(self, target: int) -> Factors | None:
        low, high = self.weights
        weights = np.array([w for w in range(low, high + 1) if w], np.int64)
        activations = target // weights
        fits = (activations * weights == target) & (activations >= self.activations[0])
        fits &= activations <= self.activations[1]
        found = np.flatnonzero(fits)
        return [(int(activations[found[-1]]), int(weights[found[-1]]))] if found.size else None

    def _two(self, total: int, candidates: tuple[Int64, Int64, Int64]) -> Factors | None:
        """Return two products of that total magnitude, of like size where there is a choice."""
        values = candidates[0]
        other = total - values
        at = np.minimum(np.searchsorted(values, other), len(values) - 1)
        found = np.flatnonzero((values[at] == other) & (other >= 0))
        if not found.size:
            return None
        first = int(found[np.argmin(np.abs(2 * values[found] - total))])
        return [self._factors(candidates, first), self._factors(candidates, int(at[first]))]
