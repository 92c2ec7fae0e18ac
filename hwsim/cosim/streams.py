"""What goes over the ports of a `GemmCore` for a GEMM, and how to read what comes back. See ``docs/rtl-core.md``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from hwsim.cosim.golden import GemmCase, Int64, Outliers, check_case
from hwsim.cosim.packing import Bytes, Integers, pack, pack_fields, unpack
from hwsim.dataflow import GemmJob, GemmPlan, plan_gemm
from hwsim.spec import Core, Dataflow, ZeroPoints, require
from hwsim.spec.requantization import MULTIPLIER_BITS, SHIFT_BITS


@dataclass(frozen=True)
class JobStreams:
    """One job: beats are uint8 [beats, bus bytes], the lowest bits in byte 0.

    Attributes
    ----------
    registers
        What to write before the start, by name.
    weights, activations, outliers
        Everything that the ports take; None for a core without outlier lanes.
    result_beats
        How many beats come back.
    outlier_entries
        Int64 [output tiles * K tiles]: entries of each K tile, in stream order; empty without outlier lanes.
    """

    registers: dict[str, int]
    weights: Bytes
    activations: Bytes
    outliers: Bytes | None
    result_beats: int
    outlier_entries: Int64


class Jobs(Sequence[JobStreams]):
    """The streams of all jobs, each built when it is asked for, so that a large GEMM needs no more memory than a job."""

    def __init__(self, plan: GemmPlan, case: GemmCase) -> None:
        self._plan, self._case = plan, case
        self._tiles = _channel_tiles(plan, case)

    def __len__(self) -> int:
        return len(self._plan.jobs)

    @overload
    def __getitem__(self, index: int) -> JobStreams: ...
    @overload
    def __getitem__(self, index: slice) -> list[JobStreams]: ...
    def __getitem__(self, index: int | slice) -> JobStreams | list[JobStreams]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        core, job = self._plan.core, self._plan.jobs[index]
        tiles = [self._tiles[c] for c in job.channels]
        sparse = core.outlier_lanes > 0
        entries = np.concatenate([np.tile(tile.entries, job.pixel_tiles) for tile in tiles])
        return JobStreams(
            _registers(core, self._case, job),
            _repeat((tile.weights for tile in tiles), job.pixel_tiles),
            pack(_activation_vectors(self._plan, self._case, job), core.activation_packing),
            _repeat((tile.outliers for tile in tiles), job.pixel_tiles) if sparse else None,
            job.output_tiles * job.pixels * core.result_packing.beats,
            entries if sparse else entries[:0],
        )


@dataclass(frozen=True)
class GemmStreams:
    """All streams of a GEMM: the plan, and a job's streams for each of its jobs, in order."""

    plan: GemmPlan
    jobs: Jobs


def to_streams(core: Core, case: GemmCase) -> GemmStreams:
    """Return what the ports of a core take for a GEMM.

    What is padded does no harm: weights of zero, activations that the multipliers see as zero, a bias of zero.

    Raises
    ------
    InputError
        Where the core cannot take an operand.
    """
    check_case(core, case)
    plan = plan_gemm(core, *case.shape, passes=outlier_passes(core, case))
    return GemmStreams(plan, Jobs(plan, case))


def from_results(core: Core, plan: GemmPlan, beats: Iterable[Bytes]) -> Int64:
    """Return results int64 [M, N] from the result beats of each job, uint8 [beats, bus bytes], in order.

    Raises
    ------
    InputError
        For another number of jobs or beats than the plan has.
    """
    number = core.arithmetic.reduction.acc.format if core.output is None else core.output
    packing = core.result_packing
    # Room for what is padded, cut off in the end.
    rows = max(job.first_pixel + job.pixel_tiles * job.pixels for job in plan.jobs)
    padded = np.zeros((rows, len(plan.passes), core.cols), np.int64)
    given = list(beats)
    require(len(given) == len(plan.jobs), "jobs with results", f"{len(plan.jobs)}", len(given))
    for job, data in zip(plan.jobs, given, strict=True):
        pixels = job.pixel_tiles * job.pixels
        shape = (len(job.channels) * pixels * packing.beats, packing.bus_bits // 8)
        require(data.shape == shape, "result beats of a job", f"of shape {shape}", data.shape)
        values = unpack(data, packing, number).reshape(len(job.channels), pixels, core.cols)
        padded[job.first_pixel : job.first_pixel + pixels, list(job.channels)] = values.swapaxes(0, 1)
    return np.ascontiguousarray(padded.reshape(rows, -1)[: plan.m, : plan.n])


def outlier_passes(core: Core, case: GemmCase) -> list[list[int]] | None:
    """Return how often each K tile has to be worked through, by channel tile and K tile; None where there are no outliers."""
    if case.outliers is None or not core.outlier_lanes:
        return None
    _, k, n = case.shape
    counts = np.zeros((-(-n // core.cols), -(-k // core.tile_products)), np.int64)
    np.add.at(counts, (case.outliers.column // core.cols, case.outliers.k // core.tile_products), 1)
    passes: list[list[int]] = np.maximum(1, -(-counts // core.outlier_lanes)).tolist()
    return passes


@dataclass(frozen=True)
class _ChannelTile:
    """What is the same for all output tiles of some channels: beats, and the number of outlier entries per K tile."""

    weights: Bytes
    outliers: Bytes
    entries: Int64


def _channel_tiles(plan: GemmPlan, case: GemmCase) -> list[_ChannelTile]:
    core = plan.core
    k_tiles, tile, cols = len(plan.passes[0]), core.tile_products, core.cols
    weights = np.zeros((k_tiles * tile, len(plan.passes) * cols), core.weight.storage)
    weights[: plan.k, : plan.n] = case.weights
    # By K tile, row (one if output stationary), lane, channel tile and column, to: channel tile, K tile, row, column, lane.
    vectors = weights.reshape(k_tiles, -1, core.lanes, len(plan.passes), cols).transpose(3, 0, 1, 4, 2)
    records = _records(core, case, len(plan.passes) * cols)
    tiles = []
    for c, passes in enumerate(plan.passes):
        dense = vectors[c].reshape(k_tiles, -1, cols * core.lanes)
        starts = np.cumsum([0, *passes[:-1]])
        repeated = np.zeros((sum(passes), *dense.shape[1:]), dense.dtype)
        repeated[starts] = dense
        beats = pack(repeated.reshape(-1, dense.shape[2]), core.weight_packing)
        own = records[c * cols * core.record_beats : (c + 1) * cols * core.record_beats]
        sparse = _outlier_beats(core, case.outliers, c, passes)
        tiles.append(_ChannelTile(np.concatenate([own, beats]), *sparse))
    return tiles


def _records(core: Core, case: GemmCase, channels: int) -> Bytes:
    """Return the parameter records of all channels, the padded ones included, as beats."""
    bus = core.weight_packing.bus_bits // 8
    if core.record_bits == 0:
        return np.empty((0, bus), np.uint8)
    values: list[tuple[Integers, int]] = [(case.bias, core.bias_bits)] if core.bias_bits else []
    if core.output is not None:
        values += [(case.multiplier, MULTIPLIER_BITS), (case.shift, SHIFT_BITS)]
    padded = [(np.pad(value, (0, channels - len(value))), bits) for value, bits in values]
    return pack_fields(padded, core.record_beats * bus).reshape(-1, bus)


def _outlier_beats(
    core: Core, outliers: Outliers | None, channel_tile: int, passes: tuple[int, ...]
) -> tuple[Bytes, Int64]:
    """Return the entries of a channel tile as beats, and how many there are in each K tile, repetitions counted."""
    bus, lanes = core.outlier_bus_bits // 8, core.outlier_lanes
    if lanes == 0:
        return np.empty((0, bus), np.uint8), np.empty(0, np.int64)
    k, column, value = _entries_of(core, outliers, channel_tile)
    starts = np.cumsum([0, *passes])
    # The i-th entry of a K tile belongs to its repetition i // lanes.
    tile = k // core.tile_products
    position = np.arange(len(k)) - np.searchsorted(tile, tile)
    visit = starts[tile] + position // lanes
    counts = np.bincount(visit, minlength=starts[-1])
    # A visit without entries gets one that does nothing.
    idle = np.flatnonzero(counts == 0)
    zeros = np.zeros_like(idle)
    order = np.argsort(np.concatenate([visit, idle]), kind="stable")
    fields = [np.concatenate([own, zeros])[order] for own in (value, k % core.tile_products, column)]
    counts = np.maximum(counts, 1)
    last = np.zeros(len(order), np.int64)
    last[np.cumsum(counts) - 1] = 1
    widths = (core.outlier_bits, core.outlier_index_bits, core.outlier_column_bits, 1)
    return pack_fields(list(zip([*fields, last], widths, strict=True)), bus), counts.astype(np.int64)


def _entries_of(core: Core, outliers: Outliers | None, channel_tile: int) -> tuple[Int64, Int64, Int64]:
    """Return product, column within the tile and value of a channel tile's outliers, by ascending K tile."""
    if outliers is None:
        none = np.empty(0, np.int64)
        return none, none, none
    found = np.flatnonzero(outliers.column // core.cols == channel_tile)
    found = found[np.argsort(outliers.k[found] // core.tile_products, kind="stable")]
    return outliers.k[found], outliers.column[found] % core.cols, outliers.value[found]


def _activation_vectors(plan: GemmPlan, case: GemmCase, job: GemmJob) -> npt.NDArray[Any]:
    """Return the activation vectors [slots with a pixel, rows * lanes] of a job."""
    core, tile = plan.core, plan.core.tile_products
    k_tiles, pixels = len(plan.passes[0]), job.pixel_tiles * job.pixels
    subtract = core.arithmetic.reduction.zero_points is ZeroPoints.SUBTRACT
    padded = np.full((pixels, k_tiles * tile), case.activation_zero_point if subtract else 0, core.activation.storage)
    own = case.activations[job.first_pixel : job.first_pixel + pixels]
    padded[: len(own), : plan.k] = own
    if core.dataflow is Dataflow.OUTPUT_STATIONARY:
        # The top row works on the last pixel.
        shaped = padded.reshape(job.pixel_tiles, job.pixels, k_tiles, tile)[:, ::-1].transpose(0, 2, 1, 3)
    else:
        shaped = padded.reshape(job.pixel_tiles, job.pixels, k_tiles, tile).transpose(0, 2, 1, 3)
    parts = []
    for c in job.channels:
        visits = np.repeat(np.arange(k_tiles), plan.passes[c])
        parts.append(shaped[:, visits].reshape(-1, core.rows * core.lanes))
    return np.concatenate(parts)


def _registers(core: Core, case: GemmCase, job: GemmJob) -> dict[str, int]:
    requantized = core.output is not None
    return {
        "PIXELS": job.pixels,
        "K_TILES": job.k_tiles,
        "OUTPUT_TILES": job.output_tiles,
        "ACTIVATION_ZERO_POINT": case.activation_zero_point,
        "OUTPUT_ZERO_POINT": case.output_zero_point if requantized else 0,
        "CLAMP_LO": case.lo if requantized else 0,
        "CLAMP_HI": case.hi if requantized else 0,
        "ROUNDING": int(requantized and case.single),
    }


def _repeat(parts: Iterable[Bytes], times: int) -> Bytes:
    """Return each channel tile's beats once per pixel tile."""
    return np.concatenate([np.tile(part, (times, 1)) for part in parts])
