"""Beats of every port bit by bit in plain Python integers, from ``docs/rtl-core.md``; shares no code with the streams."""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.cosim.golden import GemmCase
from hwsim.dataflow import GemmJob, GemmPlan
from hwsim.spec import Core, Dataflow, Packing, ZeroPoints

Beats = list[int]


def vector_beats(values: list[int], packing: Packing) -> Beats:
    """Return a vector's beats as unsigned integers."""
    beats = []
    for first in range(0, len(values), packing.bus_bits // packing.element_bits):
        beat = 0
        for i, value in enumerate(values[first : first + packing.bus_bits // packing.element_bits]):
            beat += value % (1 << packing.element_bits) << i * packing.element_bits
        beats.append(beat)
    return beats


def field_beats(fields: list[tuple[int, int]], bus_bits: int) -> Beats:
    """Return (value, bits) side by side, cut into beats."""
    word = length = 0
    for value, bits in fields:
        word |= value % (1 << bits) << length
        length += bits
    return [word >> at & ((1 << bus_bits) - 1) for at in range(0, length, bus_bits)]


def value_beats(values: list[int], bus_bits: int) -> Beats:
    """Return bytes [beats][bytes] as integers."""
    return [sum(byte << 8 * i for i, byte in enumerate(beat)) for beat in values]


def visits(core: Core, case: GemmCase, channel_tile: int) -> Iterator[tuple[int, bool, list[tuple[int, int, int]]]]:
    """Yield for each pass over a K tile: its number, whether it has its dense weights, its outliers."""
    k_tiles = -(-case.shape[1] // core.tile_products)
    for tile in range(k_tiles):
        entries = []
        if case.outliers is not None:
            found = zip(case.outliers.k, case.outliers.column, case.outliers.value, strict=True)
            entries = [
                (int(value), int(k) - tile * core.tile_products, int(column) - channel_tile * core.cols)
                for k, column, value in found
                if k // core.tile_products == tile and column // core.cols == channel_tile
            ]
        size = core.outlier_lanes or 1
        for first in range(0, max(1, len(entries)), size):
            yield tile, first == 0, entries[first : first + size]


def weights(core: Core, case: GemmCase, job: GemmJob) -> Beats:
    _, k, n = case.shape
    beats: Beats = []
    bus = core.weight_packing.bus_bits
    rows = core.rows if core.dataflow is Dataflow.WEIGHT_STATIONARY else 1
    for channel_tile in job.channels:
        for _ in range(job.pixel_tiles):
            for c in range(core.cols if core.record_bits else 0):
                channel = channel_tile * core.cols + c
                names = ["bias"] * (core.bias_bits > 0) + ["multiplier", "shift"] * (core.output is not None)
                bits = {"bias": core.bias_bits, "multiplier": 32, "shift": 8}
                values = [int(getattr(case, name)[channel]) if channel < n else 0 for name in names]
                beats += field_beats([(value, bits[name]) for name, value in zip(names, values, strict=True)], bus)
            for tile, dense, _ in visits(core, case, channel_tile):
                for r in range(rows):
                    vector = []
                    for c in range(core.cols):
                        for t in range(core.lanes):
                            product = tile * core.tile_products + r * core.lanes + t
                            channel = channel_tile * core.cols + c
                            inside = dense and product < k and channel < n
                            vector.append(int(case.weights[product, channel]) if inside else 0)
                    beats += vector_beats(vector, core.weight_packing)
    return beats


def activations(core: Core, case: GemmCase, job: GemmJob) -> Beats:
    m, k, _ = case.shape
    subtract = core.arithmetic.reduction.zero_points is ZeroPoints.SUBTRACT
    nothing = case.activation_zero_point if subtract else 0

    def value(pixel: int, product: int) -> int:
        return int(case.activations[pixel, product]) if pixel < m and product < k else nothing

    beats: Beats = []
    for channel_tile in job.channels:
        for pixel_tile in range(job.pixel_tiles):
            first = job.first_pixel + pixel_tile * job.pixels
            for tile, _, _ in visits(core, case, channel_tile):
                start = tile * core.tile_products
                if core.dataflow is Dataflow.WEIGHT_STATIONARY:
                    for pixel in range(first, first + job.pixels):
                        vector = [value(pixel, start + i) for i in range(core.tile_products)]
                        beats += vector_beats(vector, core.activation_packing)
                else:
                    vector = [
                        value(first + core.rows - 1 - r, start + t) for r in range(core.rows) for t in range(core.lanes)
                    ]
                    beats += vector_beats(vector, core.activation_packing)
    return beats


def outliers(core: Core, case: GemmCase, job: GemmJob) -> tuple[Beats, list[int]]:
    """Return the beats, and how many each K tile has."""
    beats: Beats = []
    numbers = []
    widths = (core.outlier_bits, core.outlier_index_bits, core.outlier_column_bits, 1)
    for channel_tile in job.channels:
        for _ in range(job.pixel_tiles):
            for _, _, found in visits(core, case, channel_tile):
                entries = found or [(0, 0, 0)]
                numbers.append(len(entries))
                for i, entry in enumerate(entries):
                    values = (*entry, int(i == len(entries) - 1))
                    beats += field_beats(list(zip(values, widths, strict=True)), core.outlier_bus_bits)
    return beats, numbers


def result_vectors(core: Core, plan: GemmPlan, job: GemmJob, results: list[list[int]], filler: int) -> Beats:
    """Return the result beats of a job whose results [M][N] are known; what is padded comes as `filler`."""
    beats: Beats = []
    for channel_tile in job.channels:
        for pixel in range(job.first_pixel, job.first_pixel + job.pixel_tiles * job.pixels):
            channels = range(channel_tile * core.cols, (channel_tile + 1) * core.cols)
            vector = [results[pixel][n] if pixel < plan.m and n < plan.n else filler for n in channels]
            beats += vector_beats(vector, core.result_packing)
    return beats
