"""How SCALE-Sim 3 cuts a layer into folds of the array, and its closed forms of cycles, reads, writes and utilization.

With M pixels, K products per output and N filters, on R x C elements:

====  =================  ==================  =================
 ..   rows, columns, T   cycles per fold     SRAM reads, writes
====  =================  ==================  =================
os    M, N, K            R + C + T - 2       ifmap M K F_c, filter K N F_r, ofmap M N + F_r F_c (R + C)
ws    K, N, M            2 R + C + T - 2     ifmap M K F_c, filter K N, ofmap M N F_r
is    K, M, N            2 R + C + T - 2     ifmap M K, filter K N F_c, ofmap M N F_r
====  =================  ==================  =================

F_r and F_c are the folds along rows and columns; columns are the outer loop, and nothing of two folds overlaps.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.scalesim.config import Config, Dataflow
from hwsim.scalesim.layer import Layer


@dataclass(frozen=True, slots=True)
class Folds:
    """A layer on an array.

    Parameters
    ----------
    dataflow
        ``os``, ``ws`` or ``is``.
    rows, cols
        Of the array.
    mapped_rows, mapped_cols
        What is spread over them, in all.
    time
        Steps of the third loop: T.
    """

    dataflow: Dataflow
    rows: int
    cols: int
    mapped_rows: int
    mapped_cols: int
    time: int

    @classmethod
    def of(cls, layer: Layer, config: Config) -> Folds:
        """Return the folds of a layer on a machine."""
        pixels, window, filters = layer.pixels, layer.window, layer.filters
        mapped = {"os": (pixels, filters, window), "ws": (window, filters, pixels), "is": (window, pixels, filters)}
        return cls(config.dataflow, config.rows, config.cols, *mapped[config.dataflow])

    @property
    def row_folds(self) -> int:
        """F_r."""
        return -(-self.mapped_rows // self.rows)

    @property
    def col_folds(self) -> int:
        """F_c."""
        return -(-self.mapped_cols // self.cols)

    @property
    def number(self) -> int:
        """Folds in all."""
        return self.row_folds * self.col_folds

    @property
    def fold_cycles(self) -> int:
        """Cycles of a fold, the idle ones of fill and drain included."""
        return (1 if self.dataflow == "os" else 2) * self.rows + self.cols + self.time - 2

    @property
    def cycles(self) -> int:
        """Cycles of all folds. What is reported is one less, see `hwsim.scalesim.defects`."""
        return self.number * self.fold_cycles

    def used_rows(self, fold: int) -> int:
        """Rows of the array that a fold along the rows occupies."""
        return min(self.rows, self.mapped_rows - fold * self.rows)

    def used_cols(self, fold: int) -> int:
        """Columns of the array that a fold along the columns occupies."""
        return min(self.cols, self.mapped_cols - fold * self.cols)

    def order(self) -> list[tuple[int, int]]:
        """Return the folds as (along rows, along columns) in the order in which they run."""
        return [(row, col) for col in range(self.col_folds) for row in range(self.row_folds)]

    @property
    def mapping_efficiency(self) -> float:
        """Mean share of the array's elements that a fold occupies, 0..1, in the order of SCALE-Sim's sum."""
        used = [self._mapped(*fold) / (self.rows * self.cols) for fold in self.order()]
        return sum(used) / len(used)

    @property
    def compute_utilization(self) -> float:
        """Mean over the folds of products per element and cycle, 0..1; ``ws`` and ``is`` take a fold as C - 1 cycles longer."""
        length = self.fold_cycles if self.dataflow == "os" else self.fold_cycles + self.cols - 1
        slots = self.rows * self.cols * length
        used = [self._mapped(*fold) * self.time / slots for fold in self.order()]
        return sum(used) / len(used)

    def _mapped(self, row_fold: int, col_fold: int) -> int:
        return self.used_rows(row_fold) * self.used_cols(col_fold)

    @property
    def ifmap_reads(self) -> int:
        """SRAM reads of activations."""
        every = {
            "os": self.mapped_rows * self.time * self.col_folds,
            "ws": self.mapped_rows * self.time * self.col_folds,
        }
        return every.get(self.dataflow, self.mapped_rows * self.mapped_cols)

    @property
    def filter_reads(self) -> int:
        """SRAM reads of weights."""
        if self.dataflow == "ws":
            return self.mapped_rows * self.mapped_cols
        if self.dataflow == "os":
            return self.time * self.mapped_cols * self.row_folds
        return self.mapped_rows * self.time * self.col_folds

    @property
    def ofmap_words(self) -> int:
        """Words that the array writes: with ``ws`` and ``is`` every fold along the rows writes all of its partial sums."""
        return self.mapped_cols * (self.mapped_rows if self.dataflow == "os" else self.time * self.row_folds)
