"""Tiles by simulation: loops as a user would write them, buffers that remember what they hold, bytes by address.

Shares nothing with `hwsim.memory` but the names of its fields.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from hwsim.memory.tiling import TileProblem


@dataclass
class Moved:
    """What a tiling moves and needs, in bytes; steps counts its tiles."""

    weights: int = 0
    inputs: int = 0
    outputs: int = 0
    residual: int = 0
    steps: int = 0
    weight_need: int = 0
    input_need: int = 0
    output_need: int = 0
    residual_need: int = 0


def up(value: int, unit: int) -> int:
    """Round up to a multiple."""
    return math.ceil(value / unit) * unit


def bus_width(bits: int, stored: int, elements: int) -> Fraction:
    """Return the bits of an element on the bus: its share of a compressed tensor."""
    return Fraction(stored, elements) if stored else Fraction(bits)


def run_bytes(elements: list[int], bits: Fraction, burst: int) -> int:
    """Return the bus bytes of elements at these places: runs of neighbours, each in bytes and then in bursts."""
    total, length, before = 0, 0, None
    for place in [*elements, None]:
        if before is not None and place == before + 1:
            length += 1
        else:
            total += up(math.ceil(length * bits / 8), burst)
            length = 1
        before = place
    return total


def lines(output: range, axis: int, problem: TileProblem) -> list[int]:
    """Return the image lines from the first to the last that output lines read, without padding."""
    sliding = problem.sliding
    read = [
        line * sliding.stride[axis] - sliding.before[axis] + tap * sliding.dilation[axis]
        for line in output
        for tap in range(sliding.kernel[axis])
    ]
    return [line for line in range(min(read), max(read) + 1) if 0 <= line < sliding.image[axis]]


def pieces(size: int, tile: int) -> list[range]:
    """Cut a length into pieces."""
    return [range(start, min(start + tile, size)) for start in range(0, size, tile)]


def region(rows: list[int], columns: list[int], channels: range, width: int, depth: int) -> list[int]:
    """Return the places of a region of an NHWC tensor, ascending."""
    return [(row * width + column) * depth + channel for row in rows for column in columns for channel in channels]


def simulate(problem: TileProblem, order: str, height: int, width: int, channels: int, part: int) -> Moved:
    """Go through a layer tile by tile; an operand's buffer is filled only when it does not hold the tile already."""
    sliding, burst = problem.sliding, problem.burst_bytes
    image_size, results = math.prod(sliding.image) * sliding.channels, math.prod(sliding.output) * problem.channels
    widths = {
        "inputs": bus_width(problem.input_bits, problem.input_stored, image_size),
        "residual": bus_width(problem.residual_bits, problem.residual_stored, results),
        "outputs": bus_width(problem.output_bits, problem.output_stored, results),
    }
    per_group_in, per_group_out = sliding.channels // problem.groups, problem.channels // problem.groups
    image = [
        (rows, columns) for rows in pieces(sliding.output[0], height) for columns in pieces(sliding.output[1], width)
    ]
    depth = pieces(problem.channels, channels)
    parts = pieces(problem.products, part) if problem.products else [range(0)]
    if order == "weights":
        steps = [(tile, filters, products) for filters in depth for tile in image for products in parts]
    else:
        steps = [(tile, filters, products) for tile in image for filters in depth for products in parts]
    moved = Moved()
    held: dict[str, object] = {}
    largest = {"weights": 0, "inputs": 0, "outputs": 0, "residual": 0}
    loads = {"weights": set(), "inputs": set()}  # type: dict[str, set[object]]
    for tile, filters, products in steps:
        moved.steps += 1
        reads = range(sliding.channels)
        if problem.groups > 1:
            reads = range(
                filters.start // per_group_out * per_group_in, -(-filters.stop // per_group_out) * per_group_in
            )
        weights = math.ceil(len(filters) * len(products) * problem.weight_bits / 8)
        held_bytes = weights
        if problem.stored_bits:
            share = Fraction(len(filters) * len(products), problem.channels * problem.products)
            weights = math.ceil(share * problem.stored_bits / 8)
        if products.start == 0:
            constants = math.ceil(len(filters) * problem.bias_bits / 8) + math.ceil(
                len(filters) * problem.scale_bits / 8
            )
            weights, held_bytes = weights + constants, held_bytes + constants
        if held.get("weights") != (filters, products):
            held["weights"] = filters, products
            moved.weights += up(weights, burst)
            loads["weights"].add((filters, products))
        largest["weights"] = max(largest["weights"], held_bytes)
        rows, columns = lines(tile[0], 0, problem), lines(tile[1], 1, problem)
        if held.get("inputs") != (tile, reads):
            held["inputs"] = tile, reads
            places = region(rows, columns, reads, sliding.image[1], sliding.channels)
            moved.inputs += run_bytes(places, widths["inputs"], burst)
            loads["inputs"].add((tile, reads))
        most = max(
            len(lines(row, 0, problem)) for row, _ in image
        ) * max(len(lines(column, 1, problem)) for _, column in image)  # fmt: skip
        largest["inputs"] = max(largest["inputs"], math.ceil(most * len(reads) * problem.input_bits / 8))
        if products.stop == problem.products:
            places = region(list(tile[0]), list(tile[1]), filters, sliding.output[1], problem.channels)
            moved.outputs += run_bytes(places, widths["outputs"], burst)
            if problem.residual_bits:
                moved.residual += run_bytes(places, widths["residual"], burst)
                size = len(tile[0]) * len(tile[1]) * len(filters)
                largest["residual"] = max(largest["residual"], math.ceil(size * problem.residual_bits / 8))
            bits = problem.wide_bits or problem.output_bits
            size = len(tile[0]) * len(tile[1]) * len(filters)
            largest["outputs"] = max(largest["outputs"], math.ceil(size * bits / 8))

    def buffers(number: int) -> int:
        return 2 if problem.double_buffered and number > 1 else 1

    moved.weight_need = largest["weights"] * buffers(len(loads["weights"]))
    moved.input_need = largest["inputs"] * buffers(len(loads["inputs"]))
    moved.output_need = largest["outputs"] * buffers(len(image) * len(depth))
    moved.residual_need = largest["residual"] * buffers(len(image) * len(depth))
    return moved


def equal_cuts(size: int) -> list[int]:
    """Return the sizes of equal pieces, in every number of them."""
    return sorted({math.ceil(size / number) for number in range(1, size + 1)})


def tilings(problem: TileProblem, *, every_size: bool) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield order, height, width, channels and products of tiles: of equal cuts, or of every size that there is."""
    sliding = problem.sliding

    def sizes(size: int) -> list[int]:
        return list(range(1, size + 1)) if every_size else equal_cuts(size)

    unit = problem.columns if problem.groups == 1 else problem.channels // problem.groups
    number = math.ceil(problem.channels / unit)
    for height in sizes(sliding.output[0]):
        for width in sizes(sliding.output[1]):
            for units in sizes(number):
                channels = min(units * unit, problem.channels)
                yield "weights", height, width, channels, max(problem.products, 1)
                if problem.groups == 1:
                    yield "activations", height, width, channels, max(problem.products, 1)
            if problem.groups == 1 and height * width <= problem.accumulators:
                for step in sizes(math.ceil(problem.products / problem.product_step)):
                    part = min(step * problem.product_step, problem.products)
                    yield "outputs", height, width, min(unit, problem.channels), part
