"""Layers executed together, some lines at a time, so that the tensors between them never leave the chip: depth first.

A *stack* of layers works in steps. In each, the last one makes the next `rows` lines of its output, and every one before it those
lines that the one behind it needs for that and that are not there yet. Lines are as wide as the image and have all channels. A
*line buffer* between two layers holds what the next step needs again, so no line is computed, and none of the stack's input is
read, twice. What a layer makes that no window reads, it makes all the same, in its last step, and it is dropped.

Weights of all layers come once and stay. Within a step layers work one after the other, which is why one line buffer for the
input, one band of lines for the output, and for results that wait for requantization one for all layers are enough: what the
next step brings overwrites what this one has done with (a stack has two layers at least).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.memory.extents import Ints, Width, burst_bytes_of, ceil_divisors, packed
from hwsim.memory.tiling import Room, TileProblem, Truths
from hwsim.spec import Sliding


@dataclass(frozen=True, eq=False)
class Lines:
    """What a layer of a stack does in each step, in lines.

    Attributes
    ----------
    made
        Of its output, new ones.
    read
        Of its input, first to last of the windows of those: some of them have been read before.
    come
        Of its input, new ones that windows read.
    ends
        Of its input, how many have been made or loaded in all.
    held
        Of its input, the most that are in the line buffer at a time; a single number.
    """

    made: Ints
    read: Ints
    come: Ints
    ends: Ints
    held: int


def lines_of(slidings: tuple[Sliding, ...], rows: int) -> list[Lines]:
    """Return the lines of each layer of a stack that makes `rows` lines of its output in a step.

    Parameters
    ----------
    slidings
        Of the layers, first to last.
    rows
        1 or more.
    """
    return [_lines_from(slidings[index:], rows, index > 0) for index in range(len(slidings))]


@functools.lru_cache(maxsize=1 << 14)
def _lines_from(slidings: tuple[Sliding, ...], rows: int, inner: bool) -> Lines:
    """Return the lines of the first of some layers up to the stack's last; `inner`: its input is another's output."""
    if len(slidings) > 1:
        ends = _lines_from(slidings[1:], rows, inner=True).ends
    else:
        height = slidings[0].output[0]
        ends = np.minimum(np.arange(rows, height + rows, rows, dtype=np.int64), height)
    return _lines(slidings[0], ends, inner=inner)


def _lines(sliding: Sliding, ends: Ints, *, inner: bool) -> Lines:
    """Return the lines of a layer of whose output so many are there after each step."""
    size, stride, before = sliding.image[0], sliding.stride[0], sliding.before[0]
    reach = (sliding.kernel[0] - 1) * sliding.dilation[0] + 1
    made = np.diff(ends, prepend=0)
    first = np.clip((ends - made) * stride - before, 0, size)
    last = np.where(ends > 0, np.clip((ends - 1) * stride - before + reach, 0, size), 0)
    last = np.maximum.accumulate(last)
    if inner:
        # All of it is made, also what no window reads.
        last[-1] = size
    earlier = np.concatenate([[0], last[:-1]])
    needed = np.minimum(first, last)
    # A line that is made and never read is in the buffer for a moment; one that is not read is not loaded.
    held = last - (np.minimum(needed, earlier) if inner else needed)
    read = np.where(made > 0, np.clip((ends - 1) * stride - before + reach, 0, size) - first, 0)
    return Lines(made, np.maximum(read, 0), last - np.maximum(needed, earlier), last, int(held.max()))


@dataclass(frozen=True, eq=False)
class StackTable:
    """A stack in steps of all numbers of lines: one entry for each; bytes are of the bus (`*_bytes`) or of a buffer (`*_need`).

    Attributes
    ----------
    rows
        Lines of the output in a step.
    input_bytes, output_bytes, weight_bytes
        Traffic of the stack; the first two where nothing is kept.
    residual_bytes, residual_need
        By layer, of what meets its results.
    weight_need, input_need, middle_need, output_need, wide_need
        Of all weights, of lines of the input, of lines between layers, of lines of the output, and of results that wait for
        requantization.
    """

    rows: Ints
    input_bytes: Ints
    output_bytes: Ints
    weight_bytes: int
    residual_bytes: list[Ints]
    residual_need: list[Ints]
    weight_need: int
    input_need: Ints
    middle_need: Ints
    output_need: Ints
    wide_need: Ints

    def traffic(self, room: Room, residuals_kept: Sequence[bool]) -> Ints:
        """Return the DRAM bytes of each number of lines."""
        total = self.weight_bytes + np.zeros_like(self.rows)
        for kept, moved in ((room.input_kept, self.input_bytes), (room.output_kept, self.output_bytes)):
            total = total if kept else total + moved
        met = zip(residuals_kept, self.residual_bytes, strict=True)
        return total + sum(np.zeros_like(total) if kept else moved for kept, moved in met)

    def fits(self, room: Room, residuals_kept: Sequence[bool]) -> Truths:
        """Return which of them find room."""
        inputs, outputs = self._needs(room, residuals_kept)
        if room.shared is not None:
            fits: Truths = self.needs(room, residuals_kept) <= room.shared
            return fits
        return (self.weight_need <= room.weights) & (inputs <= room.inputs) & (outputs <= room.outputs)

    def needs(self, room: Room, residuals_kept: Sequence[bool]) -> Ints:
        """Return the bytes of buffer that each of them takes in all."""
        inputs, outputs = self._needs(room, residuals_kept)
        return self.weight_need + inputs + outputs

    def _needs(self, room: Room, residuals_kept: Sequence[bool]) -> tuple[Ints, Ints]:
        """Return the bytes beside the weights: of what is read, and of what leaves."""
        met = zip(residuals_kept, self.residual_need, strict=True)
        inputs = self.middle_need + sum(np.zeros_like(self.rows) if kept else need for kept, need in met)
        inputs = inputs if room.input_kept else inputs + self.input_need
        return inputs, self.wide_need if room.output_kept else self.wide_need + self.output_need


@functools.lru_cache(maxsize=4096)
def stack_table(problems: tuple[TileProblem, ...], only: int | None = None) -> StackTable:
    """Return the table of a stack: lines in equal numbers, the last step apart, or in the one that is asked for."""
    sizes = ceil_divisors(problems[-1].sliding.output[0]) if only is None else [only]
    steps = [lines_of(tuple(problem.sliding for problem in problems), rows) for rows in sizes]
    first, last = problems[0], problems[-1]

    def each(index: int, width: Width, bits: int) -> tuple[Ints, Ints]:
        """Return bus bytes, and bytes of the largest step in a buffer, of the lines that a layer makes."""
        made = [lines[index].made for lines in steps]
        moved = [int(line_bytes(problems[index], part, width).sum()) for part in made]
        need = [int(packed(part.max() * out_elements(problems[index]), bits)) for part in made]
        return np.array(moved, np.int64), np.array(need, np.int64)

    outputs = each(len(problems) - 1, last.output_width, last.output_bits)
    met = [each(index, problem.residual_width, problem.residual_bits) for index, problem in enumerate(problems)]
    wide = [each(index, 0, problem.wide_bits)[1] for index, problem in enumerate(problems)]
    held = np.array(
        [[in_bytes(problem, lines[index].held) for index, problem in enumerate(problems)] for lines in steps], np.int64
    )
    return StackTable(
        rows=np.array(sizes, np.int64),
        input_bytes=np.array([int(loaded_bytes(first, lines[0].come).sum()) for lines in steps], np.int64),
        output_bytes=outputs[0],
        weight_bytes=sum(int(problem.weight_bytes(problem.channels, problem.products)) for problem in problems),
        residual_bytes=[moved for moved, _ in met],
        residual_need=[need for _, need in met],
        weight_need=sum(int(problem.weight_payload(problem.channels, problem.products)) for problem in problems),
        input_need=held[:, 0],
        middle_need=held[:, 1:].sum(axis=1),
        output_need=outputs[1],
        wide_need=np.max(wide, axis=0),
    )


def out_elements(problem: TileProblem) -> int:
    """Return the elements of a line of a layer's output."""
    return problem.sliding.output[1] * problem.channels


def line_bytes(problem: TileProblem, lines: Ints, bits: Width) -> Ints:
    """Return the bus bytes of so many lines of a layer's output: one run."""
    return burst_bytes_of(packed(lines * out_elements(problem), bits), problem.burst_bytes)


def loaded_bytes(problem: TileProblem, lines: Ints) -> Ints:
    """Return the bus bytes of so many lines of a layer's input: one run."""
    elements = problem.sliding.image[1] * problem.sliding.channels
    return burst_bytes_of(packed(lines * elements, problem.input_width), problem.burst_bytes)


def in_bytes(problem: TileProblem, lines: int) -> int:
    """Return the bytes of so many lines of a layer's input in a buffer."""
    return int(packed(lines * problem.sliding.image[1] * problem.sliding.channels, problem.input_bits))


def follows(after: TileProblem, before: TileProblem) -> bool:
    """Whether the image that a layer reads has the shape of another's output."""
    return (after.sliding.image, after.sliding.channels) == (before.sliding.output, before.channels)
