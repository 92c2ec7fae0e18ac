"""Layers executed together: bytes and buffers against a simulation, the choice against all that there are, and what must hold."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.dataflow import ideal_cycles, plan_gemm, predict_plan
from hwsim.graph import Graph
from hwsim.load import load_model
from hwsim.memory.depth_first import lines_of, stack_table
from hwsim.memory.extents import ceil_divisors
from hwsim.memory.placement import Placement, Stage, place
from hwsim.memory.tiling import Room, TileProblem
from hwsim.ops import Conv2D, MaxPool2D, Padding, Window
from hwsim.sim.document import TimeDocument
from hwsim.sim.time.document import total_times, traffic_floor, with_formats
from hwsim.sim.time.given import load_tiles, tiles_text
from hwsim.sim.time.layer import TiledLayer
from hwsim.sim.time.network import TimedLayer, time_network
from hwsim.sim.time.run import time_model
from hwsim.sim.time.stack import StackedLayers
from hwsim.spec import PRESETS, Accelerator, Core, Fusion, InputError, Memory, Sliding
from quant.float_nets import FloatNet
from timing.stack_oracle import simulate_stack
from timing.tile_oracle import simulate, tilings
from timing.time_cases import machines, problem

PLENTY = Room(1 << 50)


def fused(machine: Accelerator, **memory: object) -> Accelerator:
    """The machine, which may execute layers together."""
    return replace(machine, memory=replace(machine.memory, fusion=Fusion.DEPTH_FIRST, **memory))  # type: ignore[arg-type]


@st.composite
def stacks(draw: st.DrawFn) -> tuple[TileProblem, ...]:
    """Draw two to four layers, each of which reads what the one before it makes."""
    image = (draw(st.integers(1, 12)), draw(st.integers(1, 4)))
    channels, bits = draw(st.integers(1, 3)), draw(st.integers(2, 9))
    rest = {
        "burst_bytes": draw(st.sampled_from([1, 8, 32])), "double_buffered": draw(st.booleans()),
        "wide_bits": draw(st.sampled_from([0, 0, 24])),
    }  # fmt: skip
    found = []
    for _ in range(draw(st.integers(2, 4))):
        kernel, stride, dilation = (draw(st.integers(1, most)) for most in (3, 3, 2))
        reach = (kernel - 1) * dilation + 1
        # Enough padding that there is an output, at both ends.
        before = draw(st.integers(max(0, -(-(reach - min(image)) // 2)), reach - 1))
        output = tuple((size + 2 * before - reach) // stride + 1 for size in image)
        outputs, out_bits = draw(st.integers(1, 4)), draw(st.integers(2, 9))
        sliding = Sliding(image, channels, output, (kernel, kernel), (stride, stride), (dilation,) * 2, (before,) * 2)  # type: ignore[arg-type]
        found.append(problem(
            sliding=sliding, products=kernel * kernel * channels, channels=outputs, input_bits=bits, output_bits=out_bits,
            residual_bits=draw(st.sampled_from([0, 0, 0, 6])), weight_bits=draw(st.integers(2, 9)),
            input_stored=draw(st.sampled_from([0, 0, 77])), output_stored=draw(st.sampled_from([0, 0, 77])), **rest,
        ))  # fmt: skip
        image, channels, bits = output, outputs, out_bits  # type: ignore[assignment]
    return tuple(found)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(stacks(), st.integers(1, 5))
def test_a_stack_is_what_its_lines_move_and_need(drawn: tuple[TileProblem, ...], rows: int) -> None:
    rows = min(rows, drawn[-1].sliding.output[0])
    table, found = stack_table(drawn, rows), simulate_stack(drawn, rows)
    assert [lines.made.tolist() for lines in lines_of(tuple(part.sliding for part in drawn), rows)] == found.made
    assert (int(table.input_bytes[0]), int(table.output_bytes[0]), table.weight_bytes) == (
        found.inputs, found.outputs, found.weights,
    )  # fmt: skip
    assert [int(part[0]) for part in table.residual_bytes] == found.residuals
    assert (int(table.input_need[0]), int(table.middle_need[0]), int(table.output_need[0]), int(table.wide_need[0])) == (
        found.input_need, found.middle_need, found.output_need, found.wide_need,
    )  # fmt: skip
    assert [int(part[0]) for part in table.residual_need] == found.residual_need
    assert table.weight_need == found.weight_need
    nothing = (False,) * len(drawn)
    assert int(table.traffic(PLENTY, nothing)[0]) == found.total
    assert table.fits(Room(found.need), nothing).all() and not table.fits(Room(found.need - 1), nothing).any()
    # Every line is made once, however many a step has.
    assert [sum(part) for part in found.made] == [part.sliding.output[0] for part in drawn]


def test_two_layers_by_hand() -> None:
    """3 x 3 windows with padding, twice, on 8 lines of 8 pixels of 4 channels in bytes; 4 channels each; 2 lines in a step.

    Output lines 0, 1 need lines 0..2 between, these need input lines 0..3. Then 2, 3 need up to 4 between (two new ones) and 5
    of the input; 4, 5 up to 6 and 7; 6, 7 the last one between, and nothing new. Four lines between are in use at once (1..4),
    four of the input too (2..5). A line has 32 B. Weights: 4 * 36 + 4 * (4 + 5) = 180 B each.
    """
    layer = problem(sliding=Sliding((8, 8), 4, (8, 8), (3, 3), before=(1, 1)), channels=4)
    first, second = lines_of((layer.sliding, layer.sliding), 2)
    assert (first.made.tolist(), first.come.tolist(), second.made.tolist()) == (
        [3, 2, 2, 1],
        [4, 2, 2, 0],
        [2, 2, 2, 2],
    )
    table = stack_table((layer, layer), 2)
    assert int(table.traffic(PLENTY, (False, False))[0]) == 256 + 256 + 2 * 180
    need = 2 * 180 + 4 * 32 + 4 * 32 + 2 * 32
    assert table.fits(Room(need), (False, False)).all() and not table.fits(Room(need - 1), (False, False)).any()


def chain(*layers: tuple[int, int, int], image: tuple[int, int, int] = (12, 10, 4), pool: bool = False) -> Graph:
    """A network of convolutions with padding: (output channels, kernel, stride); with a pooling of 2 x 2 behind them."""
    net, name, channels = FloatNet(*image), "x", image[2]
    for index, (outputs, kernel, stride) in enumerate(layers):
        around = kernel // 2
        window = Window((kernel, kernel), (stride, stride), padding=Padding(around, around, around, around))
        weights = net.normal(f"w{index}", outputs, kernel, kernel, channels)
        name = net.node(f"conv{index}", Conv2D(window), name, weights, net.normal(f"b{index}", outputs))
        channels = outputs
    if pool:
        net.node("pool", MaxPool2D(Window((2, 2), (2, 2))), name)
    return with_formats(net.graph(), None, None)


def figures(layers: Sequence[TimedLayer]) -> tuple[int, int]:
    """Bytes and cycles."""
    return sum(layer.time.total_bytes for layer in layers), sum(layer.time.cycles for layer in layers)


def test_the_cycles_of_two_layers_by_hand() -> None:
    """conv0 and conv1 of 12 x 10 pixels and 4 channels, 3 x 3 windows, on 16 x 16; 4 bytes per cycle, latency 10; bursts of 1.

    Three steps of 4 lines. conv1 makes 4, 4, 4 lines; conv0 5, 4, 3 of them; of the input 6, 4, 2 lines of 40 B come. A job of
    4 channels is that of `predict_plan` of lines * 10 pixels and 36 products. Weights: 4 * 36 + 4 * (4 + 5) = 180 B. A transfer
    of n bytes takes 10 + n / 4 cycles. Steps of the pipeline: load conv0's weights and 6 lines; conv0 (5) beside conv1's
    weights; conv1 (4) beside 4 lines; conv0 (4) beside the store of 4 lines; conv1 beside 2 lines; conv0 (3) beside a store;
    conv1 beside nothing; and the last store.
    """
    work = 10 * np.array([0, 5, 4, 4, 4, 3, 4, 0])
    moved = [[180 + 240], [180], [160], [160], [80], [160], [], [160]]
    jobs = [predict_plan(plan_gemm(Core(rows=16, cols=16), int(m), 36, 4)).cycles if m else 0 for m in work]
    transfers = [sum(10 + math.ceil(size / 4) for size in sizes) for sizes in moved]
    expected = sum(max(pair) for pair in zip(jobs, transfers, strict=True))
    machine = replace(
        PRESETS[0], memory=Memory(sram_bytes=1 << 20, dram_latency_cycles=10, burst_bytes=1), dram_bytes_per_cycle=4.0
    )
    layers = time_network(chain((4, 3, 1), (4, 3, 1)), machine)
    stack = StackedLayers(tuple(TiledLayer(layer.workload, machine) for layer in layers), 4)
    first, second = stack.time(Room(1 << 20), (False, False), machine)
    assert first.cycles + second.cycles == expected
    assert first.compute_cycles + second.compute_cycles == sum(jobs)
    assert first.dram_bytes["activations_in"] == 12 * 40 and second.dram_bytes["activations_out"] == 12 * 40
    assert (first.dram_bytes["activations_out"], second.dram_bytes["activations_in"]) == (0, 0)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(1, 20), min_size=2, max_size=6), st.integers(0, 60), st.integers(1, 12),
    st.sets(st.tuples(st.integers(0, 4), st.integers(2, 4))), st.integers(0, 9),
)  # fmt: skip
def test_the_choice_of_stacks_is_the_best_of_all(
    made: list[int], capacity: int, need: int, drawn: set[tuple[int, int]], lines: int
) -> None:
    """A chain: every set of tensors on chip and every partition into layers and stacks is tried."""
    number = len(made)
    stages = [Stage((f"t{index}",), (f"t{index + 1}",)) for index in range(number)]
    sizes = {f"t{index + 1}": size for index, size in enumerate(made)} | {"t0": 7}
    fixed = {"t0", f"t{number}"}
    ends: dict[int, list[int]] = {}
    for start, length in sorted(drawn):
        if start + length <= number:
            ends.setdefault(start, []).append(start + length)

    def traffic(index: int, placement: Placement) -> int | None:
        room = capacity - placement.occupied_bytes
        own = placement.stack or range(index, index + 1)
        if room < (need + lines * (len(own) - 1)) and (placement.occupied_bytes or len(own) > 1):
            return None
        reads, writes = f"t{own.start}", f"t{own.stop}"
        moved = 0 if reads in placement.kept_reads else sizes[reads]
        moved += 0 if writes in placement.kept_writes else sizes[writes]
        return moved + (max(0, 2 * need - room) if len(own) == 1 else 0)

    def partitions(start: int) -> list[list[range]]:
        if start == number:
            return [[]]
        found = []
        for end in (start + 1, *ends.get(start, ())):
            found += [[range(start, end), *rest] for rest in partitions(end)]
        return found

    best = None
    for parts in partitions(0):
        seams = [f"t{part.stop}" for part in parts[:-1]]
        for kept in itertools.chain.from_iterable(itertools.combinations(seams, n) for n in range(len(seams) + 1)):
            total: int | None = 0
            for part in parts:
                held = {f"t{part.start}", f"t{part.stop}"} & set(kept)
                stack = part if len(part) > 1 else None
                placed = Placement(
                    frozenset(held & {f"t{part.start}"}), frozenset(held & {f"t{part.stop}"}),
                    sum(sizes[name] for name in held), stack,
                )  # fmt: skip
                moved = traffic(part.start, placed)
                total = None if total is None or moved is None else total + moved
            if total is not None and (best is None or total < best):
                best = total
    found = place(stages, sizes, fixed, traffic, ends)
    if best is None:
        assert found is None
        return
    assert found is not None and len(found) == number
    starts = [index for index, placed in enumerate(found) if placed.stack is None or placed.stack.start == index]
    moves = [traffic(index, found[index]) for index in starts]
    assert None not in moves
    assert sum(moves) == best  # type: ignore[arg-type]


SMALL = replace(PRESETS[0], cols=4, rows=4, memory=Memory(burst_bytes=8, fusion=Fusion.DEPTH_FIRST))
THREE = chain((4, 3, 1), (3, 1, 2), (5, 3, 1), image=(12, 3, 2))

Choices = list[tuple[int, int]]
"""Bytes of the buffer and of the DRAM, for every way to do something."""


@functools.cache
def choices(first: int, end: int, reads: bool, writes: bool, every_size: bool) -> Choices:
    """Simulate all ways to execute some of the three layers, where what they read, or write, is on chip as a whole."""
    layers = time_network(THREE, replace(SMALL, memory=Memory(sram_bytes=1 << 20, burst_bytes=8)))
    problems = [TiledLayer(layer.workload, SMALL).problem for layer in layers[first:end]]
    if len(problems) == 1:
        tiles = [simulate(problems[0], *tiling) for tiling in tilings(problems[0], every_size=every_size)]
        return [
            (
                tile.weight_need + (0 if reads else tile.input_need) + (0 if writes else tile.output_need),
                tile.weights + (0 if reads else tile.inputs) + (0 if writes else tile.outputs),
            )
            for tile in tiles
        ]
    high = problems[-1].sliding.output[0]
    stacked = [simulate_stack(problems, rows) for rows in (range(1, high + 1) if every_size else ceil_divisors(high))]
    return [
        (
            stack.need - (stack.input_need if reads else 0) - (stack.output_need if writes else 0),
            stack.total - (stack.inputs if reads else 0) - (stack.outputs if writes else 0),
        )
        for stack in stacked
    ]


def least_bytes(size: int, every_size: bool) -> float:
    """Every partition of three layers, every set of whole tensors on chip, and every way to execute each part."""
    tensors = {1: 12 * 3 * 4, 2: 6 * 2 * 3}
    best = math.inf
    for number in range(3):
        for seams in itertools.combinations(tensors, number):
            for kept in itertools.chain.from_iterable(itertools.combinations(seams, n) for n in range(len(seams) + 1)):
                total = 0.0
                for first, end in itertools.pairwise([0, *seams, 3]):
                    room = size - sum(tensors[at] for at in {first, end} & set(kept))
                    ways = choices(first, end, first in kept, end in kept, every_size)
                    total += min((moved for need, moved in ways if need <= room), default=math.inf)
                best = min(best, total)
    return best


def test_a_network_moves_what_the_best_of_all_stacks_and_tiles_does() -> None:
    """By simulation: equal cuts exactly; lines and tiles of every other size are at most 5 % better."""
    together = set()
    for size in range(264, 404, 20):
        found = time_network(THREE, replace(SMALL, memory=replace(SMALL.memory, sram_bytes=size)))
        moved = figures(found)[0]
        assert moved == least_bytes(size, every_size=False)
        assert moved <= 1.05 * least_bytes(size, every_size=True)
        together |= {layer.stack for layer in found}
    assert {(), ("conv0", "conv1")} <= together


@settings(max_examples=25, deadline=None, derandomize=True)
@given(machines, st.integers(1200, 12_000), st.booleans())
def test_together_is_never_worse_and_never_below_a_bound(machine: Accelerator, size: int, pool: bool) -> None:
    graph = chain((8, 1, 1), (12, 3, 2), (8, 3, 1), (16, 1, 1), image=(24, 20, 4), pool=pool)
    memory = replace(
        machine.memory, sram_bytes=size, weight_sram_bytes=None, activation_sram_bytes=None, result_sram_bytes=None
    )
    apart = replace(machine, memory=memory)
    together = fused(apart)
    try:
        before = time_network(graph, apart)
    except InputError:
        return
    after = time_network(graph, together)
    moved, cycles = figures(after)
    assert moved <= figures(before)[0]
    if not any(layer.stack for layer in after):
        assert (moved, cycles) == figures(before)
    for stack in {layer.stack for layer in after if layer.stack}:
        own = [layer for layer in after if layer.stack == stack]
        # What enters, what leaves, all weights: once.
        assert sum(layer.time.total_bytes for layer in own) >= sum(traffic_floor(layer, together)[0] for layer in own)
        lines = [layer.time.steps for layer in own]
        assert sum(int((part.read_bytes + part.write_bytes).sum()) for part in lines if part) == sum(
            layer.time.total_bytes for layer in own
        )
    for layer in after:
        assert layer.time.compute_cycles >= ideal_cycles(layer.workload, together)
        assert layer.time.stall_cycles >= 0
    assert cycles * together.dram_bytes_per_cycle * 1.000_001 >= moved
    total = total_times(after, together, 30.0)
    assert total["bound_bytes"] <= moved and total["least_cycles"] <= cycles
    faster = time_network(graph, replace(together, dram_bytes_per_cycle=3 * together.dram_bytes_per_cycle))
    assert figures(faster)[0] == moved and figures(faster)[1] <= cycles
    larger = time_network(graph, fused(apart, sram_bytes=2 * size))
    assert figures(larger)[0] <= moved


def document(model: str | Path, machine: Accelerator, tiles: Path | None = None) -> TimeDocument:
    """The document of a model."""
    return time_model(load_model(model), machine, tiles=None if tiles is None else load_tiles(tiles))


def test_visual_wake_words_in_16_kilobytes(data_root: Path, tmp_path: Path) -> None:
    """MobileNet at a quarter of its width: 556 kB one layer at a time, little more than its weights and its image together.

    The weights are 214,368 B; with biases and scales (9 B for each of its channels), the image of 27,648 B and 2 scores.
    """
    path = data_root / "mlperf_tiny" / "vww_mobilenet_v1_0.25_int8.tflite"
    machine = replace(PRESETS[0], memory=Memory(sram_bytes=16_000))
    plain, found = document(path, machine), document(path, fused(machine))
    assert found.total.dram_bytes.total < 0.6 * plain.total.dram_bytes.total
    assert found.total.bound_bytes <= found.total.dram_bytes.total
    assert found.total.least_cycles <= found.total.cycles
    stacks = {layer.tiling.stack for layer in found.layers if layer.tiling is not None and layer.tiling.stack}
    assert stacks and all(len(names) > 1 for names in stacks)
    inner = [layer for layer in found.layers if layer.placement.startswith("on chip: lines of its ")]
    assert len(inner) == sum(map(len, stacks)) - len(stacks)
    (note,) = found.notes
    assert note == (
        f"Layers executed depth first: {sum(map(len, stacks))}, in {len(stacks)} stacks; the network moves "
        f"{found.total.dram_bytes.total} DRAM bytes in {found.total.cycles} cycles, and {plain.total.dram_bytes.total} DRAM "
        f"bytes in {plain.total.cycles} cycles one by one."
    )
    assert '"stack"' not in plain.to_json()
    assert TimeDocument.model_validate_json(found.to_json()) == found
    tiles = tmp_path / "tiles.toml"
    tiles.write_text(tiles_text(found.layers))
    assert document(path, fused(machine), tiles).to_json() == found.to_json()
