"""SCALE-Sim 3's demands, word by word, and its buffers as sets: slow, and written from what it does, not from `hwsim.scalesim`.

Every operand is a list of events (cycle, port, word); a word is named by where it is in its tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Event = tuple[int, int, object]


@dataclass(frozen=True)
class Shape:
    """A convolution on an array; fields as in a topology and a configuration."""

    height: int
    width: int
    kernel_height: int
    kernel_width: int
    channels: int
    filters: int
    stride: int
    rows: int
    cols: int
    dataflow: str

    def output(self) -> tuple[int, int]:
        return (
            math.ceil((self.height - self.kernel_height + self.stride) / self.stride),
            math.ceil((self.width - self.kernel_width + self.stride) / self.stride),
        )

    def pixels(self) -> list[tuple[int, int]]:
        high, wide = self.output()
        return [(y, x) for y in range(high) for x in range(wide)]

    def window(self) -> list[tuple[int, int, int]]:
        return [
            (y, x, c) for y in range(self.kernel_height) for x in range(self.kernel_width) for c in range(self.channels)
        ]

    def activation(self, pixel: tuple[int, int], element: tuple[int, int, int]) -> object:
        """Return where in the image a product's activation is, or None beyond its edge."""
        y, x = pixel[0] * self.stride + element[0], pixel[1] * self.stride + element[1]
        return (y, x, element[2]) if y < self.height and x < self.width else None


def demands(shape: Shape) -> tuple[list[Event], list[Event], list[tuple[int, int]], int]:
    """Return the reads of activations and of weights, the writes as (cycle, port), and the number of cycles."""
    pixels, window, filters = shape.pixels(), shape.window(), list(range(shape.filters))
    along_rows, along_cols, steps = {
        "os": (pixels, filters, window), "ws": (window, filters, pixels), "is": (window, pixels, filters),
    }[shape.dataflow]  # fmt: skip
    length = (1 if shape.dataflow == "os" else 2) * shape.rows + shape.cols + len(steps) - 2
    activations: list[Event] = []
    weights: list[Event] = []
    writes: list[tuple[int, int]] = []
    start = 0
    for col in range(0, len(along_cols), shape.cols):
        for row in range(0, len(along_rows), shape.rows):
            held_rows, held_cols = along_rows[row : row + shape.rows], along_cols[col : col + shape.cols]
            _fold(shape, start, held_rows, held_cols, steps, activations, weights, writes)
            start += length
    return sorted(activations, key=_order), sorted(weights, key=_order), sorted(writes), start


def _fold(shape: Shape, start: int, held_rows: list, held_cols: list, steps: list, activations: list[Event],
          weights: list[Event], writes: list[tuple[int, int]]) -> None:  # fmt: skip
    if shape.dataflow == "os":
        for time, element in enumerate(steps):
            activations += [
                (start + time + r, r, shape.activation(pixel, element)) for r, pixel in enumerate(held_rows)
            ]
            weights += [(start + time + c, c, (filt, element)) for c, filt in enumerate(held_cols)]
        for r in range(len(held_rows)):
            # From the bottom of the array.
            writes += [(start + len(steps) - 1 + shape.rows - 1 - r + c, c) for c in range(len(held_cols))]
        return
    for r, element in enumerate(held_rows):
        load = start + shape.rows - 1 - r
        for c, held in enumerate(held_cols):
            if shape.dataflow == "ws":
                weights.append((load, c, (held, element)))
            else:
                activations.append((load, c, shape.activation(held, element)))
        for time, step in enumerate(steps):
            if shape.dataflow == "ws":
                activations.append((start + shape.rows + time + r, r, shape.activation(step, element)))
            else:
                weights.append((start + shape.rows + time + r, r, (step, element)))
    for time in range(len(steps)):
        writes += [(start + 2 * shape.rows - 1 + time + c, c) for c in range(len(held_cols))]


def _order(event: Event) -> tuple[int, int]:
    return event[:2]


def read_buffer(events: list[Event], kib: int) -> tuple[int, list[int]]:
    """Return the words that come from DRAM, and the cycles in which the 50 sets were full and dropped."""
    size = 1024 * kib // 100
    sets: list[set[object]] = [set()]
    fetched, full = 0, []
    for cycle, _, word in events:
        if word is None or any(word in one for one in sets):
            continue
        fetched += 1
        sets[-1].add(word)
        if len(sets[-1]) == size:
            sets.append(set())
            if len(sets) > 50:
                sets = [set()]
                full.append(cycle)
    return fetched, full


def requests(events: list[Event]) -> tuple[int, int]:
    """Return the first and the last cycle with a word."""
    cycles = [cycle for cycle, _, word in events if word is not None]
    return cycles[0], cycles[-1]


def write_buffer(writes: list[tuple[int, int]], kib: int, columns: int, cycles: int) -> tuple[int, int, int]:
    """Return the first and the last cycle of DRAM writes, and how many words they are said to be."""
    half = 512 * kib
    lines: list[int] = []
    open_line = counted = 0
    free, end = 2 * half, 0
    starts: list[int] = []
    stops: list[int] = []

    def part(cycle: int) -> int:
        nonlocal lines, counted
        taken, lines = lines[: math.ceil(half / columns)], lines[math.ceil(half / columns) :]
        words = columns * (len(taken) - 1) + taken[-1]
        counted += words
        starts.append(cycle)
        stops.append(cycle + len(taken) - 1)
        return words

    for cycle, _ in writes:
        open_line += 1
        free -= 1
        if open_line == columns:
            lines.append(open_line)
            open_line = 0
        if cycle >= end and free < half:
            lines += [open_line] if open_line else []
            open_line = 0
            free += part(cycle)
            end = stops[-1]
    lines += [open_line] if open_line else []
    now = cycles - 1
    while lines:
        part(now)
        now = stops[-1] + 1
    return starts[0], max(stops), counted
