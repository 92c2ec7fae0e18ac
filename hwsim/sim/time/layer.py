"""Time of one layer in a given room: the tiles of its memory and the cycles of its schedule, joined."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace

import numpy as np

from hwsim.dataflow import Counters
from hwsim.dataflow.array import ModelCore, about_cycles, array_of, gemm_counters
from hwsim.dataflow.outliers import gemms_counters
from hwsim.dataflow.passes import PRODUCTS, pass_cycles
from hwsim.memory.choice import least_rooms, least_traffic, shortlist
from hwsim.memory.extents import Ints, packed
from hwsim.memory.pipeline import Timeline, timeline
from hwsim.memory.steps import Steps, first_channels, steps_of
from hwsim.memory.tiling import Room, TileProblem, Tiling, TilingTable
from hwsim.memory.tiling_table import tiling_table
from hwsim.sim.time.ports import NO_BYTES, PortBytes, port_bytes, sparse_products, with_pass
from hwsim.spec import Accelerator, Dataflow, Operand, Role, Sliding, Workload


@dataclass(frozen=True, eq=False)
class LayerTime:
    """A layer for one image: ``compute_cycles + stall_cycles = cycles``.

    Attributes
    ----------
    dram_bytes
        On the bus, in whole bursts, by operand; biases and scales travel with the weights.
    compute_cycles
        In which the array works on the layer, fill and drain of every tile included.
    stall_cycles
        In which it waits for the DRAM, the first load and the last store included.
    utilization
        Multiply-accumulates per multiplier and cycle.
    ports
        What crosses the array's ports.
    steps
        The timeline; empty where nothing happens.
    tiling
        How the layer was cut, None where it has no tiles.
    tile_channels, tiles
        Output channels of a tile, and steps of the pipeline.
    prefetched_bytes
        Of the weights, those that came while the layer before it computed.
    """

    dram_bytes: dict[Role, int]
    compute_cycles: int
    stall_cycles: int
    utilization: float
    ports: PortBytes = NO_BYTES
    steps: Timeline | None = None
    tiling: Tiling | None = None
    tile_channels: int = 0
    tiles: int = 0
    prefetched_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """DRAM bytes of all operands."""
        return sum(self.dram_bytes.values())

    @property
    def cycles(self) -> int:
        """Cycles of the layer."""
        return self.compute_cycles + self.stall_cycles


@dataclass(frozen=True)
class TiledLayer:
    """A layer whose windows slide over an image: products, or pooling.

    Parameters
    ----------
    workload, accelerator
        What is to be done, and by what.
    given
        How it is cut, or None for the best way.
    """

    workload: Workload
    accelerator: Accelerator
    given: Tiling | None = None
    problem: TileProblem = field(init=False)
    core: ModelCore = field(init=False)
    known: dict[Room, tuple[Cut, ...]] = field(init=False, default_factory=dict, repr=False, compare=False)
    """`cuts` by room, as far as they were asked for."""

    def __post_init__(self) -> None:
        output = _operand(self.workload, "activations_out")
        work = self.workload
        core = array_of(
            self.accelerator, work.weight_bits or output.element_bits, work.activation_bits, output.element_bits
        )
        object.__setattr__(self, "core", core)
        object.__setattr__(self, "problem", _problem(self.workload, self.accelerator, core))

    def traffic(self, room: Room) -> int | None:
        """Return the DRAM bytes of the best tiling, or None where none finds room."""
        return least_traffic(self.table, room)

    def least_rooms(self, room: Room) -> tuple[int, ...]:
        """Return sizes of the buffers that would do."""
        return least_rooms(self.table, room)

    @property
    def table(self) -> TilingTable:
        """The tilings that it may have."""
        return tiling_table(self.problem, self.given)

    def time(self, room: Room, accelerator: Accelerator) -> LayerTime:
        """Return the time of the best tiling that finds room, on the machine at its speed; its own has none."""
        lines = [(cut, timeline_of(accelerator, cut.loads, cut.compute, cut.stores)) for cut in self._known(room)]
        best, line = min(lines, key=lambda pair: pair[1].total)
        time = layer_time(self.workload, accelerator, best.moved, best.compute_cycles, best.ports, line)
        return replace(time, tiling=best.tiling, tile_channels=best.tile_channels, tiles=len(best.compute))

    def _known(self, room: Room) -> tuple[Cut, ...]:
        if room not in self.known:
            self.known[room] = _cuts(replace(self.workload, name=""), self.accelerator, self.given, room)
        return self.known[room]

    def cuts(self, room: Room) -> tuple[Cut, ...]:
        """Return the tilings that are worth timing; which they are, and what the array does in each, no DRAM decides."""
        table = self.table
        about = self._about(table.height * table.width, np.minimum(table.units * self.problem.unit_channels,
                                                                  self.problem.channels))  # fmt: skip
        parts = -(-max(self.problem.products, 1) // np.maximum(table.products, 1))
        # What buffers there are decides which tilings they are, and nothing else of them.
        work, machine = replace(self.workload, name=""), unlimited(self.accelerator)
        kept = replace(room, shared=None, weights=0, inputs=0, outputs=0)
        found = shortlist(table, room, about * (table.tiles // parts))
        return tuple(_cut(work, machine, tiling, kept) for tiling in found)

    def _about(self, pixels: Ints, channels: Ints) -> Ints:
        problem = self.problem
        if not problem.products:
            return pass_cycles(pixels * channels, self.accelerator.cols) + 1
        if problem.groups == 1:
            return about_cycles(self.accelerator, self.core, pixels, problem.products, channels)
        width = problem.unit_channels
        one = about_cycles(self.accelerator, self.core, pixels, problem.products, np.full_like(pixels, width))
        return one * (channels // width)

    def cut(self, tiling: Tiling, room: Room) -> Cut:
        """Return a tiling with what happens in it; of the room only what is kept matters."""
        steps = steps_of(self.problem, tiling, room)
        compute, ports = self.compute(steps, first_channels(self.problem, tiling, len(steps.pixels)))
        loads = steps.weight_bytes + steps.input_bytes + steps.residual_bytes
        return Cut(
            tiling,
            int(steps.channels[0]),
            loads,
            compute,
            steps.output_bytes,
            int(compute.sum()),
            ports,
            self.moved(steps),
        )

    def moved(self, steps: Steps) -> dict[Role, int]:
        """Return the bytes of the steps by role."""
        first = (steps.weight_bytes > 0) & (steps.due == 0)
        constants = {
            "biases": int(packed(steps.channels[first], self.problem.bias_bits).sum()),
            "scales": int(packed(steps.channels[first], self.problem.scale_bits).sum()),
        }
        loaded = steps.weight_bytes > 0
        sparse = int(self.problem.sparse_bytes(steps.channels, steps.done - steps.due)[loaded].sum())
        return {
            "weights": int(steps.weight_bytes.sum()) - sum(constants.values()) - sparse,
            "outliers": sparse,
            "biases": constants["biases"],
            "scales": constants["scales"],
            "activations_in": int(steps.input_bytes.sum() + steps.residual_bytes.sum()),
            "activations_out": int(steps.output_bytes.sum()),
        }

    def compute(self, steps: Steps, first: Ints) -> tuple[Ints, PortBytes]:
        """Return the cycles of each step, whose tile begins with channel `first`, and what crosses the ports."""
        problem = self.problem
        if not problem.products:
            elements = np.maximum(steps.read_pixels, steps.pixels) * steps.channels
            inputs, outputs = (
                _operand(self.workload, role).expanded_bytes for role in ("activations_in", "activations_out")
            )
            return pass_cycles(elements, self.accelerator.cols), PortBytes(activations=inputs, results=outputs)
        # Without outliers tiles of one size are alike, whatever their channels.
        own_channels = first if self.workload.outliers else np.zeros_like(first)
        tiles = np.stack([steps.pixels, steps.channels, own_channels])
        shapes, which = np.unique(tiles, axis=1, return_inverse=True)
        begun = np.bincount(which[steps.due == 0], minlength=shapes.shape[1])
        counters = [self._counters(int(m), int(n), int(at)) for m, n, at in shapes.T]
        cycles = np.array([found.cycles for found in counters], np.int64)[which]
        k = problem.products
        # A part along K takes its share of the tile's cycles, so that the parts together take all of them.
        own = cycles * steps.done // k - cycles * steps.due // k
        if problem.wide_bits:
            last = steps.done == k
            own = own + np.where(last, pass_cycles(steps.pixels * steps.channels, self.accelerator.cols), 0)
        total = sum((times(found, int(number)) for found, number in zip(counters, begun, strict=True)), Counters())
        ports = self._ports(total)
        if self.workload.outliers and not self.core.outlier_lanes:
            sums = np.array([sparse_products(self.workload, *map(int, shape)) for shape in shapes.T], np.int64)
            own = own + np.where(steps.done == k, pass_cycles(sums[which], self.accelerator.cols), 0)
            entries = int(begun @ (sums // shapes[0]))
            ports = with_pass(ports, self.core, self.workload, int(sums @ begun), entries)
        return own, ports

    def _counters(self, pixels: int, channels: int, first: int) -> Counters:
        problem, work = self.problem, self.workload
        if work.outliers and self.core.outlier_lanes:
            width = channels if problem.groups == 1 else problem.unit_channels
            own = work.outliers[first : first + channels]
            return gemms_counters(self.core, pixels, problem.products, own, width)
        if problem.groups == 1:
            return gemm_counters(self.accelerator, self.core, pixels, problem.products, channels)
        width = problem.unit_channels
        return times(gemm_counters(self.accelerator, self.core, pixels, problem.products, width), channels // width)

    @property
    def _residuals(self) -> list[Operand]:
        """What meets the results on their way out of the array."""
        return [part for part in self.workload.operands if part.role == "activations_in"][1:]

    def _ports(self, total: Counters) -> PortBytes:
        ports = port_bytes(self.accelerator, self.core, total)
        residual = sum(part.expanded_bytes for part in self._residuals)
        return replace(ports, activations=ports.activations + residual)


@dataclass(frozen=True, eq=False)
class Cut:
    """A tiling of a layer: bytes and cycles of its steps, what crosses the array's ports, and what the DRAM's bytes are of."""

    tiling: Tiling
    tile_channels: int
    loads: Ints
    compute: Ints
    stores: Ints
    compute_cycles: int
    ports: PortBytes
    moved: dict[Role, int]


@functools.lru_cache(maxsize=1024)
def _cuts(workload: Workload, accelerator: Accelerator, given: Tiling | None, room: Room) -> tuple[Cut, ...]:
    """Return `TiledLayer.cuts`, once for layers of one shape and machines that differ in their DRAM's speed or the clock."""
    return TiledLayer(workload, accelerator, given).cuts(room)


@functools.lru_cache(maxsize=1024)
def _cut(workload: Workload, accelerator: Accelerator, tiling: Tiling, room: Room) -> Cut:
    """Return `TiledLayer.cut`, once for machines that differ in their buffers."""
    return TiledLayer(workload, accelerator).cut(tiling, room)


@functools.lru_cache(maxsize=64)
def unlimited(accelerator: Accelerator) -> Accelerator:
    """Return a machine whose buffers have no size that matters."""
    memory = replace(
        accelerator.memory, sram_bytes=1, weight_sram_bytes=None, activation_sram_bytes=None, result_sram_bytes=None
    )
    return replace(accelerator, memory=memory)


@functools.lru_cache(maxsize=64)
def unhurried(accelerator: Accelerator) -> Accelerator:
    """Return a machine without what is about speed only."""
    memory = replace(accelerator.memory, dram_latency_cycles=0)
    return replace(accelerator, name="", clock_hz=1.0, dram_bytes_per_cycle=1.0, memory=memory)


def product_shape(workload: Workload) -> tuple[int, int]:
    """Return the outputs of a GEMM and the number of GEMMs.

    Depthwise with a multiplier: the channels that one input channel makes are a GEMM, as in `hwsim.hardware.layer`.
    """
    channels = workload.n * workload.groups
    groups = workload.groups if workload.sliding is None else min(workload.groups, workload.sliding.channels)
    return channels // groups, groups


def is_tiled(workload: Workload) -> bool:
    """Whether a layer has windows or products, and so tiles."""
    return workload.op in PRODUCTS or workload.sliding is not None


def _operand(workload: Workload, role: Role) -> Operand:
    return next(operand for operand in workload.operands if operand.role == role)


def _bits(workload: Workload, role: Role) -> int:
    return next((operand.element_bits for operand in workload.operands if operand.role == role), 0)


def _stored(workload: Workload, role: Role, number: int) -> int:
    """Return the bits in the DRAM of one of the operands of a role, 0 where it is not compressed."""
    found = [part.stored_bits or 0 for part in workload.operands if part.role == role]
    return found[number] if number < len(found) else 0


def _residual_bits(workload: Workload) -> int:
    """Return the width of a second tensor of activations, 0 where there is none."""
    widths = [part.element_bits for part in workload.operands if part.role == "activations_in"]
    return widths[1] if len(widths) > 1 else 0


@functools.lru_cache(maxsize=4096)
def _problem(workload: Workload, accelerator: Accelerator, core: ModelCore) -> TileProblem:
    """Return a layer as something to cut; a GEMM is an image of one column, whose pixels have k channels."""
    sums = workload.op in PRODUCTS
    sliding = workload.sliding or Sliding((workload.m, 1), workload.k * workload.groups, (workload.m, 1))
    channels = groups = sliding.channels
    if sums:
        width, groups = product_shape(workload)
        channels = width * groups
    transposed = accelerator.dataflow is Dataflow.INPUT_STATIONARY
    # Tiles of groups are whole groups, on any array.
    apart = groups > 1
    return TileProblem(
        sliding=sliding,
        products=workload.k if sums else 0,
        channels=channels,
        groups=groups,
        weight_bits=workload.weight_bits,
        input_bits=_bits(workload, "activations_in"),
        output_bits=_bits(workload, "activations_out"),
        wide_bits=accelerator.arithmetic.reduction.acc.bits if sums and accelerator.datapath.raw else 0,
        residual_bits=_residual_bits(workload),
        stored_bits=_operand(workload, "weights").stored_bits or 0 if sums else 0,
        bias_bits=_bits(workload, "biases"),
        scale_bits=_bits(workload, "scales"),
        columns=1 if transposed or apart else core.cols,
        accumulators=0 if transposed or apart else core.tile_pixels,
        product_step=1 if apart else core.tile_products,
        double_buffered=accelerator.memory.double_buffered,
        burst_bytes=accelerator.memory.burst_bytes,
        sparse_bits=8 * workload.role_bytes("outliers"),
        input_stored=_stored(workload, "activations_in", 0),
        residual_stored=_stored(workload, "activations_in", 1),
        output_stored=_stored(workload, "activations_out", 0),
    )


def timeline_of(accelerator: Accelerator, loads: Ints, compute: Ints, stores: Ints) -> Timeline:
    """Return the timeline of steps on a machine, see `hwsim.memory.pipeline.timeline`."""
    memory = accelerator.memory
    return timeline(
        loads, compute, stores, bytes_per_cycle=accelerator.dram_bytes_per_cycle, latency=memory.dram_latency_cycles,
        double_buffered=memory.double_buffered,
    )  # fmt: skip


def layer_time(
    workload: Workload, accelerator: Accelerator, moved: dict[Role, int], compute: int, ports: PortBytes, line: Timeline
) -> LayerTime:
    """Return what a timeline makes of a layer."""
    slots = line.total * accelerator.multipliers
    usage = workload.macs / slots if slots else 0.0
    return LayerTime(moved, compute, line.total - compute, usage, ports, line)


def times(counters: Counters, number: int) -> Counters:
    """Return the counters of so many equal jobs."""
    return Counters(*(getattr(counters, name) * number for name in Counters.__dataclass_fields__))
