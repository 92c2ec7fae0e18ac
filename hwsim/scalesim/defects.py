"""What SCALE-Sim 3.0.0 gets wrong, as named functions: the compatible mode reproduces it, hwsim's own model does not have it.

Sources: SCALE-Sim 3.0.0 as released, run and read; its own RTL example, simulated with its undriven input tied low.
"""

from __future__ import annotations

from hwsim.scalesim.folds import Folds


def reported_cycles(folds: Folds) -> int:
    """Return the "Total Cycles" of the report: the number of the last cycle, counted from 0, so one short (its issue 125)."""
    return folds.cycles - 1


def stray_writes(folds: Folds) -> int:
    """Return the SRAM writes of outputs that are counted but never made: R + C per fold, output stationary only.

    A line of the code adds the height and the width of each fold's matrix to the count of its elements.
    """
    return folds.number * (folds.rows + folds.cols) if folds.dataflow == "os" else 0


def reported_ofmap_writes(folds: Folds) -> int:
    """Return the "SRAM OFMAP Writes" of the report."""
    return folds.ofmap_words + stray_writes(folds)


def unread_partial_sums(folds: Folds) -> int:
    """Return the words of partial sums that a later fold would have to read back, and that are not: ``ws`` and ``is``.

    All folds along the rows but the first need what the one before wrote. The words are written to DRAM, each as a new one.
    """
    if folds.dataflow == "os":
        return 0
    return folds.mapped_cols * folds.time * (folds.row_folds - 1)


def output_before_operand(folds: Folds) -> int:
    """Return by how many cycles the bottom row's first output leaves before its last operand has come, output stationary.

    The bottom row's outputs are written first, in cycle T - 1 of a fold; its last activation is read in cycle T + R - 2.
    In the golden trace that comes with SCALE-Sim (32 rows, K = 256) row 31 leaves at 255, and its last operand is read at 287
    (31 later, and one of latency).
    """
    return folds.used_rows(0) - 1 if folds.dataflow == "os" and folds.used_rows(0) == folds.rows else 0


def rtl_fold_cycles(folds: Folds) -> int:
    """Return the cycles per fold of SCALE-Sim's own RTL, from the first operand to the last output.

    Measured: ``2 R + C + T - 1`` output stationary, ``3 R + C + T - 1`` weight stationary (input stationary is that with its
    operands exchanged): R + 1 more than the simulator's.
    """
    return folds.fold_cycles + folds.rows + 1


def wasted_bytes(buffer_kb: int) -> int:
    """Return how much of a read buffer holds nothing that can be hit.

    Half of it is for prefetching, and the other half is 50 sets of a hundredth of the buffer each, rounded down. When they
    are full all 50 are dropped at once.
    """
    return 1024 * buffer_kb - 50 * (1024 * buffer_kb // 100)
