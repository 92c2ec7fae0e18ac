"""DRAM reads of SCALE-Sim 3: misses of its read buffers over the demands of the array, in the order of cycles and ports.

A read buffer holds 50 sets of ``floor(bytes / 100)`` words; when the last one is full, all of them are dropped. So a word hits if
it was read since then: a replay needs one number per word, that of the last drop before its last read, and is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.kernels.jit import jit
from hwsim.scalesim.folds import Folds
from hwsim.scalesim.layer import Layer

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Axis:
    """Words along one axis of an operand: a word's address is the sum of two, and it exists where both sums are in the image."""

    address: Ints
    row: Ints
    col: Ints

    @property
    def size(self) -> int:
        """How many."""
        return len(self.address)


@dataclass(frozen=True, slots=True)
class Operand:
    """What the array reads: words by (pixel, element of the window) or (filter, element of the window).

    Parameters
    ----------
    outer, window
        The two axes.
    height, width
        Of the image; words beyond belong to partial windows and are not read.
    words
        Addresses are below this.
    """

    outer: Axis
    window: Axis
    height: int
    width: int
    words: int


def ifmap_operand(layer: Layer) -> Operand:
    """Return the activations of a layer, NHWC as SCALE-Sim lays them out."""
    pixel, element = np.arange(layer.pixels), np.arange(layer.window)
    row, col = (part * layer.stride for part in np.divmod(pixel, layer.ofmap_width))
    tap, channel = np.divmod(element, layer.channels)
    tap_row, tap_col = np.divmod(tap, layer.filter_width)
    line = layer.ifmap_width * layer.channels
    return Operand(
        Axis(row * line + col * layer.channels, row, col),
        Axis(tap_row * line + tap_col * layer.channels + channel, tap_row, tap_col),
        layer.ifmap_height, layer.ifmap_width, layer.ifmap_height * line,
    )  # fmt: skip


def filter_operand(layer: Layer) -> Operand:
    """Return the weights of a layer, filter by filter."""
    filters, element = np.arange(layer.filters), np.arange(layer.window)
    outer = Axis(filters * layer.window, np.zeros_like(filters), np.zeros_like(filters))
    window = Axis(element, np.zeros_like(element), np.zeros_like(element))
    return Operand(outer, window, 1, 1, layer.filters * layer.window)


@dataclass(frozen=True, slots=True)
class Replay:
    """What a read buffer did.

    Parameters
    ----------
    reads
        Words from DRAM.
    drops
        How often it was full.
    first_drop, last_drop
        In which cycles; meaningless without drops.
    first_request, last_request
        Cycles of the first and the last word that the array asked for.
    stuck
        Whether a drop fell into the cycle of the one before, where SCALE-Sim divides by zero.
    """

    reads: int
    drops: int
    first_drop: int
    last_drop: int
    first_request: int
    last_request: int
    stuck: bool


def replay(operand: Operand, folds: Folds, buffer_words: int, *, stays: bool, by_columns: bool) -> Replay:
    """Return what a read buffer of `buffer_words` words does for one operand.

    Parameters
    ----------
    operand
        See there.
    folds
        The layer on the array.
    buffer_words
        Before the buffer is full: ``50 * floor(bytes / 100)``.
    stays
        Whether the operand is loaded into the array, a row of elements per cycle from the last one on; else it streams in,
        each port one cycle after the one before.
    by_columns
        Whether its ports are the array's columns.
    """
    order = np.array(folds.order(), np.int64)
    row_start, row_used = _starts(order[:, 0], folds.rows, folds.mapped_rows)
    col_start, col_used = _starts(order[:, 1], folds.cols, folds.mapped_cols)
    everything = np.zeros(len(order), np.int64), np.full(len(order), folds.time, np.int64)
    if stays:
        ports, times, lead = (col_start, col_used), (row_start, row_used), folds.rows - row_used
    else:
        ports, times = ((col_start, col_used) if by_columns else (row_start, row_used)), everything
        lead = np.full(len(order), 0 if folds.dataflow == "os" else folds.rows, np.int64)
    # The window is what the array's rows hold, or, output stationary, what streams in.
    port_axis, time_axis = operand.outer, operand.window
    if not stays and folds.dataflow != "os":
        port_axis, time_axis = time_axis, port_axis
    found = _replay(
        port_axis.address, port_axis.row, port_axis.col, time_axis.address, time_axis.row, time_axis.col,
        operand.height, operand.width, operand.words, *ports, *times, lead + np.arange(len(order)) * folds.fold_cycles,
        not stays, buffer_words,
    )  # fmt: skip
    reads, drops, first_drop, last_drop, first_request, last_request, stuck = found
    return Replay(reads, drops, first_drop, last_drop, first_request, last_request, stuck)


def _starts(fold: Ints, size: int, total: int) -> tuple[Ints, Ints]:
    return fold * size, np.minimum(size, total - fold * size)


@jit
def _replay(
    port_address: Ints, port_row: Ints, port_col: Ints, time_address: Ints, time_row: Ints, time_col: Ints,
    height: int, width: int, words: int, port_start: Ints, port_count: Ints, time_start: Ints, time_count: Ints,
    lead: Ints, skewed: bool, buffer_words: int,
) -> tuple[int, int, int, int, int, int, bool]:  # fmt: skip
    seen = np.full(words, -1, np.int32)
    reads = held = drops = 0
    first_drop = last_drop = first_request = last_request = -(1 << 62)
    stuck = False
    for fold in range(len(lead)):
        ports, times = port_count[fold], time_count[fold]
        for line in range(times + ports - 1 if skewed else times):
            cycle = lead[fold] + line
            low = max(0, line - times + 1) if skewed else 0
            high = min(ports, line + 1) if skewed else ports
            at = time_start[fold] + (line if skewed else times - 1 - line)
            for number in range(low, high):
                port = port_start[fold] + number
                time = at - number if skewed else at
                if port_row[port] + time_row[time] >= height or port_col[port] + time_col[time] >= width:
                    continue
                if first_request < 0:
                    first_request = cycle
                last_request = cycle
                word = port_address[port] + time_address[time]
                if seen[word] != drops:
                    seen[word] = drops
                    reads += 1
                    held += 1
                    if held == buffer_words:
                        stuck |= drops > 0 and cycle == last_drop
                        if drops == 0:
                            first_drop = cycle
                        last_drop = cycle
                        drops += 1
                        held = 0
    return reads, drops, first_drop, last_drop, first_request, last_request, stuck
