"""The array of an accelerator as the schedule and the cycles of ``docs/rtl-core.md`` see it, whether or not it can be built."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from hwsim.dataflow.core_cycles import Counters, predict
from hwsim.dataflow.core_timing import CoreTiming
from hwsim.dataflow.gemm_plan import plan_gemm
from hwsim.spec import Accelerator, Core, Dataflow, Format, InputError, StreamMemory
from hwsim.spec.core import BUS_BITS, Packing


@dataclass(frozen=True)
class ModelCore(Core):
    """A core of any size and arithmetic, for the time model only: its rules hold, the limits of the RTL do not.

    `why_not_built` says what the RTL would refuse. What follows from the fields is kept, as thousands of jobs ask for it.
    """

    def __post_init__(self) -> None:
        """Check nothing: what must hold for any machine, `Accelerator` has checked."""

    def __hash__(self) -> int:
        """Return the hash of all fields."""
        return self._hash

    @functools.cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, field.name) for field in fields(self)))

    @functools.cached_property
    def weight_packing(self) -> Packing:
        """As of `Core`."""
        return super().weight_packing

    @functools.cached_property
    def activation_packing(self) -> Packing:
        """As of `Core`."""
        return super().activation_packing

    @functools.cached_property
    def result_packing(self) -> Packing:
        """As of `Core`."""
        return super().result_packing

    @functools.cached_property
    def timing(self) -> CoreTiming:
        """The latencies of its pipelines."""
        return CoreTiming.of(self)

    def why_not_built(self) -> str:
        """Return what `Core` refuses of this configuration, or an empty text."""
        try:
            Core(**{field.name: getattr(self, field.name) for field in fields(Core)})
        except InputError as error:
            return str(error)
        return ""


@functools.lru_cache(maxsize=1024)
def array_of(accelerator: Accelerator, weight_bits: int, activation_bits: int, output_bits: int) -> ModelCore:
    """Return the core that an accelerator has for a layer of these widths.

    An input-stationary array is a weight-stationary one whose two operands change places: activations are held, weights
    stream past. A port is as wide as a vector unless the accelerator says otherwise, but no wider than `BUS_BITS`.
    """
    transposed = accelerator.dataflow is Dataflow.INPUT_STATIONARY
    held, streamed = (activation_bits, weight_bits) if transposed else (weight_bits, activation_bits)
    datapath, lanes = accelerator.datapath, accelerator.arithmetic.reduction.lanes
    weight_bus, activation_bus = datapath.weight_bus_bits, datapath.activation_bus_bits
    result_bits = accelerator.arithmetic.reduction.acc.bits if datapath.raw else output_bits
    if transposed:
        weight_bus, activation_bus = activation_bus, weight_bus
    return ModelCore(
        name=accelerator.name,
        dataflow=Dataflow.WEIGHT_STATIONARY if transposed else accelerator.dataflow,
        rows=accelerator.rows,
        cols=accelerator.cols,
        activation=Format(streamed),
        weight_bits=held,
        arithmetic=accelerator.arithmetic,
        output=None if datapath.raw else Format(output_bits),
        pixels=datapath.pixels,
        weight_bus_bits=_bus(accelerator.cols * lanes, held, weight_bus),
        activation_bus_bits=_bus(accelerator.rows * lanes, streamed, activation_bus),
        result_bus_bits=_bus(accelerator.cols, result_bits, datapath.result_bus_bits),
        requantizers=datapath.requantizers,
        outlier_lanes=datapath.outlier_lanes,
        outlier_bits=datapath.outlier_bits,
    )


def _bus(elements: int, bits: int, given: int | None) -> int | None:
    """Return the width of a port: as given, or None for that of a vector, or the largest one where a vector is wider."""
    unit = math.lcm(8, bits)
    most = BUS_BITS[-1] // unit * unit
    return given if given is not None or elements * bits <= most else most


@functools.lru_cache(maxsize=1 << 16)
def _job(core: ModelCore, pixels: int, k_tiles: int, output_tiles: int, memory: StreamMemory | None) -> Counters:
    return predict(core, pixels, k_tiles, output_tiles, timing=core.timing, memory=memory)


def gemm_counters(
    accelerator: Accelerator, core: ModelCore, m: int, k: int, n: int, memory: StreamMemory | None = None
) -> Counters:
    """Return the counters of a GEMM ``[m, k] x [k, n]`` on an accelerator's array: `predict` of each job of `plan_gemm`.

    Input stationary, it is that of ``[n, k] x [k, m]`` on the weight-stationary walk, so that the counters of weights are
    those of activations and the other way round. With a memory its streams may have to wait.
    """
    return _gemm(core, *_as_walked(accelerator, m, k, n), memory)


@functools.lru_cache(maxsize=1 << 16)
def _gemm(core: ModelCore, m: int, k: int, n: int, memory: StreamMemory | None) -> Counters:
    jobs = plan_gemm(core, m, k, n).jobs
    return sum((_job(core, job.pixels, job.k_tiles, job.output_tiles, memory) for job in jobs), Counters())


def gemm_tiles(accelerator: Accelerator, core: ModelCore, m: int, k: int, n: int) -> int:
    """Return the output tiles of a GEMM's jobs, each of which takes a set of parameter records."""
    return sum(job.output_tiles for job in plan_gemm(core, *_as_walked(accelerator, m, k, n)).jobs)


def _as_walked(accelerator: Accelerator, m: int, k: int, n: int) -> tuple[int, int, int]:
    """Return the GEMM that the array works on."""
    return (n, k, m) if accelerator.dataflow is Dataflow.INPUT_STATIONARY else (m, k, n)


def about_cycles(
    accelerator: Accelerator, core: ModelCore, m: npt.NDArray[np.int64], k: int, n: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return about how many cycles GEMMs ``[m, k] x [k, n]`` take, for many m and n at once: to rank them, never to report.

    Their slots, and the time that a job needs to fill and to drain.
    """
    if accelerator.dataflow is Dataflow.INPUT_STATIONARY:
        m, n = n, m
    timing, k_tiles = core.timing, -(-k // core.tile_products)
    columns, tiles = -(-n // core.cols), -(-m // core.tile_pixels)
    if core.dataflow is Dataflow.WEIGHT_STATIONARY:
        slots = columns * k_tiles * np.maximum(m, tiles * timing.minimum_slots)
    else:
        slots = columns * tiles * max(k_tiles, timing.minimum_slots, core.rows * timing.row_pace)
    found: npt.NDArray[np.int64] = slots + core.rows + timing.engine_latency + timing.result_latency
    return found
