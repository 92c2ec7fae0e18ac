"""Weights as indices into a few shared values: the best such values for a tensor, and what that costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.memory.bitstream import Ints, checked
from hwsim.memory.huffman import Huffman
from hwsim.spec import Format, require
from hwsim.spec.errors import within

MOST_VALUES = 4096
"""Different values of a tensor: the search takes time and memory in proportion to their square."""


@dataclass(frozen=True, slots=True)
class Codebook:
    """A tensor in shared values.

    Parameters
    ----------
    centroids
        The values, integers of the format, ascending.
    indices
        Of each element, in the tensor's order.
    form
        Of the centroids.
    squared_error
        Sum over the elements of the squared difference to their centroid.
    """

    centroids: Ints
    indices: Ints
    form: Format
    squared_error: int

    @property
    def index_bits(self) -> int:
        """Of an index."""
        return math.ceil(math.log2(len(self.centroids)))

    @property
    def size_bits(self) -> int:
        """Indices of equal width, and the codebook."""
        return len(self.indices) * self.index_bits + len(self.centroids) * self.form.bits

    @property
    def huffman_bits(self) -> int:
        """Indices in a Huffman code with its table, and the codebook: Deep Compression's last step."""
        if self.index_bits == 0:
            return len(self.centroids) * self.form.bits
        indices = Huffman().size_bits(self.indices, Format(self.index_bits, signed=False))
        return indices + len(self.centroids) * self.form.bits

    def decode(self) -> Ints:
        """Return the elements, int64."""
        return self.centroids[self.indices]


def best_codebook(values: npt.NDArray[Any], form: Format, number: int) -> Codebook:
    """Return the codebook of at most `number` values with the least squared error, before rounding them to integers.

    One-dimensional k-means, solved exactly by dynamic programming over the sorted values (Wang and Song, The R Journal 2011).
    Deep Compression (Han et al., ICLR 2016) approaches the same by iteration.

    Parameters
    ----------
    values
        A tensor of integers, with at most 4096 different ones.
    form
        Their format.
    number
        Of shared values, 1..4096.

    Raises
    ------
    InputError
        For values outside of the format, none, or too many different ones.
    """
    require(within(number, range(1, MOST_VALUES + 1)), "number", f"an integer from 1 to {MOST_VALUES}", number)
    flat = checked(values, form, max(0, form.lo))
    symbols, places, counts = np.unique(flat, return_inverse=True, return_counts=True)
    require(0 < len(symbols) <= MOST_VALUES, "different values", f"1 to {MOST_VALUES}", len(symbols))
    cuts = _best_cuts(symbols, counts, min(number, len(symbols)))
    totals = np.add.reduceat(symbols * counts, cuts)
    centroids = np.rint(totals / np.add.reduceat(counts, cuts)).astype(np.int64)
    cluster = np.searchsorted(cuts, np.arange(len(symbols)), side="right") - 1
    error = int(np.sum((symbols - centroids[cluster]) ** 2 * counts))
    return Codebook(centroids, cluster[places], form, error)


def _best_cuts(symbols: Ints, counts: Ints, clusters: int) -> Ints:
    """Return where each of the best clusters of sorted values begins."""
    weight, total, square = (
        np.concatenate([[0.0], np.cumsum(counts * (symbols - symbols[0]).astype(np.float64) ** power)])
        for power in range(3)
    )
    size = len(symbols)
    least = np.concatenate([[0.0], square[1:] - total[1:] ** 2 / weight[1:]])
    chosen = np.zeros((clusters, size + 1), np.int64)
    for cluster in range(1, clusters):
        before, least = least, least.copy()
        # The cluster holds values first..end - 1, and each one before it at least one.
        for end in range(cluster + 1, size + 1):
            first = np.arange(cluster, end)
            mass, sum_ = weight[end] - weight[first], total[end] - total[first]
            cost = before[first] + (square[end] - square[first] - sum_**2 / mass)
            best = int(np.argmin(cost))
            chosen[cluster, end] = first[best]
            least[end] = cost[best]
    cuts = [size]
    for cluster in range(clusters - 1, 0, -1):
        cuts.append(int(chosen[cluster, cuts[-1]]))
    return np.array([0, *cuts[:0:-1]])
