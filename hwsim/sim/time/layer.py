"""A layer with tiles, in a given room: the tiles of its memory and the cycles of its schedule, joined."""

from __future__ import annotations

import functools
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import numpy as np

from hwsim.dataflow import Counters
from hwsim.dataflow.array import ModelCore, about_cycles, array_of, gemm_counters
from hwsim.dataflow.outliers import gemms_counters
from hwsim.dataflow.passes import pass_cycles
from hwsim.memory.choice import least_in, least_rooms, least_traffic, same_choice, shortlist
from hwsim.memory.extents import Ints, packed
from hwsim.memory.pipeline import Timeline, timeline
from hwsim.memory.steps import Steps, first_channels, steps_of
from hwsim.memory.tiling import Kept, Room, TileProblem, Tiling
from hwsim.memory.tiling_table import tiling_table
from hwsim.memory.tilings import TilingTable
from hwsim.sim.time.layer_time import LayerTime, layer_time
from hwsim.sim.time.ports import PortBytes, port_bytes, sparse_products, with_pass
from hwsim.sim.time.tile_problem import operand_of, tile_problem
from hwsim.spec import Accelerator, Role, Workload


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


@dataclass(frozen=True, eq=False)
class TiledLayer:
    """A layer whose windows slide over an image: products, or pooling.

    Its tilings, and what happens in each, are kept as they are found: rooms that differ, and speeds of the DRAM, share them.

    Parameters
    ----------
    workload, accelerator
        What is to be done, and by what; neither the sizes of the buffers nor any speed matters.
    given
        How it is cut, or None for the best way.
    """

    workload: Workload
    accelerator: Accelerator
    given: Tiling | None = None
    problem: TileProblem = field(init=False)
    core: ModelCore = field(init=False)
    known_cuts: dict[tuple[Tiling, Kept], Cut] = field(init=False, default_factory=dict, repr=False)
    known_choices: dict[Hashable, tuple[Cut, ...]] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        work, output = self.workload, operand_of(self.workload, "activations_out").element_bits
        core = array_of(self.accelerator, work.weight_bits or output, work.activation_bits, output)
        object.__setattr__(self, "core", core)
        object.__setattr__(self, "problem", tile_problem(work, self.accelerator, core))

    def traffic(self, room: Room) -> int | None:
        """Return the DRAM bytes of the best tiling, or None where none finds room."""
        return least_traffic(self.table, room)

    def traffic_in(self, kept: Kept, shared: int) -> int | None:
        """Return the same in what is left of one buffer for everything."""
        return least_in(self.table, kept, shared)

    def least_rooms(self, room: Room) -> tuple[int, ...]:
        """Return sizes of the buffers that would do."""
        return least_rooms(self.table, room)

    @functools.cached_property
    def table(self) -> TilingTable:
        """The tilings that it may have."""
        return tiling_table(self.problem, self.given)

    def time(self, room: Room, accelerator: Accelerator) -> LayerTime:
        """Return the time of the best tiling that finds room, on the machine at its speed; its own has none."""
        speed = accelerator.dram_bytes_per_cycle, accelerator.memory.dram_latency_cycles
        lines = [(cut, _timeline(cut, *speed, self.accelerator.memory.double_buffered)) for cut in self.cuts(room)]
        best, line = min(lines, key=lambda pair: pair[1].total)
        return layer_time(
            self.workload, accelerator, best.moved, best.compute_cycles, best.ports, line, best.tiling, best.tile_channels,
            len(best.compute),
        )  # fmt: skip

    def cuts(self, room: Room) -> tuple[Cut, ...]:
        """Return the tilings that are worth timing; which they are, and what the array does in each, no DRAM decides."""
        choice = same_choice(self.table, room)
        if choice not in self.known_choices:
            found = shortlist(self.table, room, self._about)
            self.known_choices[choice] = tuple(self.cut(tiling, room) for tiling in found)
        return self.known_choices[choice]

    def _about(self, some: Ints) -> Ints:
        """Return about how many cycles some tilings of the table take."""
        problem, table = self.problem, self.table
        channels = np.minimum(table.units[some] * problem.unit_channels, problem.channels)
        parts = -(-max(problem.products, 1) // np.maximum(table.products[some], 1))
        pixels: Ints = table.height[some] * table.width[some]
        tiles: Ints = table.tiles[some] // parts
        return self._about_tile(pixels, channels) * tiles

    def _about_tile(self, pixels: Ints, channels: Ints) -> Ints:
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
        if (tiling, room.kept) not in self.known_cuts:
            self.known_cuts[tiling, room.kept] = self._cut(tiling, room)
        return self.known_cuts[tiling, room.kept]

    def _cut(self, tiling: Tiling, room: Room) -> Cut:
        steps = steps_of(self.problem, tiling, room)
        # Without outliers it does not matter which channels a tile has.
        outliers = self.workload.outliers
        first = first_channels(self.problem, tiling, len(steps.pixels)) if outliers else np.zeros_like(steps.pixels)
        compute, ports = self.compute(steps, first)
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
        problem, loaded = self.problem, steps.weight_bytes > 0
        whole = steps.channels[loaded & (steps.due == 0)]
        biases, scales = (
            int(packed(whole, bits).sum()) if bits else 0 for bits in (problem.bias_bits, problem.scale_bits)
        )
        sparse = 0
        if problem.sparse_bits:
            sparse = int(problem.sparse_bytes(steps.channels, steps.done - steps.due)[loaded].sum())
        return {
            "weights": int(steps.weight_bytes.sum()) - biases - scales - sparse,
            "outliers": sparse,
            "biases": biases,
            "scales": scales,
            "activations_in": int(steps.input_bytes.sum() + steps.residual_bytes.sum()),
            "activations_out": int(steps.output_bytes.sum()),
        }

    def compute(self, steps: Steps, first: Ints) -> tuple[Ints, PortBytes]:
        """Return the cycles of each step, whose tile begins with channel `first`, and what crosses the ports."""
        problem, work, cols = self.problem, self.workload, self.accelerator.cols
        if not problem.products:
            elements = np.maximum(steps.read_pixels, steps.pixels) * steps.channels
            inputs, outputs = (operand_of(work, role).expanded_bytes for role in ("activations_in", "activations_out"))
            return pass_cycles(elements, cols), PortBytes(activations=inputs, results=outputs)
        # Tiles of one size are alike, and have the same key; with outliers those of the same channels.
        keys = steps.pixels * (problem.channels + 1) + steps.channels
        if work.outliers:
            keys = keys * problem.channels + first
        _, found, which = np.unique(keys, return_index=True, return_inverse=True)
        begins = which if not steps.due.any() else which[steps.due == 0]
        begun = np.bincount(begins, minlength=len(found)).tolist()
        shapes = list(zip(*(values[found].tolist() for values in (steps.pixels, steps.channels, first)), strict=True))
        counters = [self._counters(*shape) for shape in shapes]
        own = np.array([each.cycles for each in counters], np.int64)[which]
        if len(begins) < len(which):
            # A part along K takes its share of the tile's cycles, so that the parts together take all of them.
            own = own * steps.done // problem.products - own * steps.due // problem.products
        if problem.wide_bits:
            own = own + np.where(steps.done == problem.products, pass_cycles(steps.pixels * steps.channels, cols), 0)
        ports = self._ports(sum((each.times(number) for each, number in zip(counters, begun, strict=True)), Counters()))
        if work.outliers and not self.core.outlier_lanes:
            sums = [sparse_products(work, *shape) for shape in shapes]
            own = own + np.where(steps.done == problem.products, pass_cycles(np.array(sums, np.int64)[which], cols), 0)
            entries = sum(
                number * (total // shape[0]) for number, total, shape in zip(begun, sums, shapes, strict=True)
            )
            products = sum(number * total for number, total in zip(begun, sums, strict=True))
            ports = with_pass(ports, self.core, work, products, entries)
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
        return gemm_counters(self.accelerator, self.core, pixels, problem.products, width).times(channels // width)

    def _ports(self, total: Counters) -> PortBytes:
        ports = port_bytes(self.accelerator, self.core, total)
        # What meets the results on their way out of the array.
        met = [part for part in self.workload.operands if part.role == "activations_in"][1:]
        return replace(ports, activations=ports.activations + sum(part.expanded_bytes for part in met))


@functools.lru_cache(maxsize=4096)
def _timeline(cut: Cut, bytes_per_cycle: float, latency: int, double_buffered: bool) -> Timeline:
    """Return the steps of a tiling at a speed, once for all sizes of the buffers."""
    return timeline(
        cut.loads,
        cut.compute,
        cut.stores,
        bytes_per_cycle=bytes_per_cycle,
        latency=latency,
        double_buffered=double_buffered,
    )
