"""Weights that come while the layer before computes: by hand, and what must hold for every network and machine."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.load import load_model
from hwsim.sim.time.document import total_times
from hwsim.sim.time.layer import TiledLayer
from hwsim.sim.time.network import time_network
from hwsim.sim.time.run import time_model
from hwsim.spec import PRESETS, Accelerator, Fusion, InputError, Memory
from sim.digits_runs import network
from timing.test_depth_first import chain
from timing.tile_oracle import simulate
from timing.time_cases import machines


def early(machine: Accelerator, **memory: object) -> Accelerator:
    """The machine, which prefetches weights."""
    return replace(machine, memory=replace(machine.memory, prefetch_weights=True, double_buffered=True, **memory))  # type: ignore[arg-type]


def test_two_layers_by_hand() -> None:
    """conv0 makes 12 x 10 pixels of 4 channels, conv1 as many; weights 4 * 36 + 4 * (4 + 5) = 180 B each; all tensors on chip.

    4 bytes per cycle, latency 10, bursts of 4. Both layers are one tile, or parts along K (36 products in three parts of 16,
    16, 4). conv0's array is busy for longer than a transfer of 180 B takes (10 + 45 = 55 cycles), so conv1 begins at once and
    its first load, of the 55 cycles, or fewer for a part, is all that is saved.
    """
    memory = Memory(sram_bytes=1 << 16, dram_latency_cycles=10, burst_bytes=4)
    machine = replace(PRESETS[0], memory=memory, dram_bytes_per_cycle=4.0)
    graph = chain((4, 3, 1), (4, 3, 1))
    before, after = time_network(graph, machine), time_network(graph, early(machine))
    assert before[1].time.steps is not None and after[0].time.steps is not None and after[1].time.steps is not None
    first_load = int(before[1].time.steps.read_bytes[0])
    assert after[1].time.prefetched_bytes == first_load
    assert before[1].time.cycles - after[1].time.cycles == 10 + first_load // 4
    assert after[0].time.cycles == before[0].time.cycles
    assert int(after[0].time.steps.read_bytes.sum()) == before[0].time.total_bytes + first_load
    assert int(after[1].time.steps.read_bytes[0]) == 0


def test_without_room_or_time_nothing_comes_early() -> None:
    """All of conv1's first tile comes, as the array is busy for long, or nothing: where it finds no room beside conv0's tiles.

    What these take is simulated; its output, where that stays on chip, takes 480 B more.
    """
    graph = chain((4, 3, 1), (4, 3, 1))
    machine = replace(PRESETS[0], memory=Memory(sram_bytes=1 << 16, dram_latency_cycles=10, burst_bytes=4))
    found = []
    for size in range(700, 1600, 15):
        first, second = time_network(graph, early(machine, sram_bytes=size))
        cut, own = second.time.tiling, first.time.tiling
        assert cut is not None and own is not None
        tiles = simulate(
            TiledLayer(first.workload, machine).problem,
            own.order,
            own.height,
            own.width,
            first.time.tile_channels,
            own.products,
        )
        kept = first.on_chip("activations_out")
        spare = size - tiles.weight_need - tiles.input_need - (480 if kept else tiles.output_need)
        due = second.time.tile_channels * (cut.products + 9)
        found.append(second.time.prefetched_bytes)
        assert found[-1] == (4 * math.ceil(due / 4) if due <= spare else 0)
    assert {0} < set(found)
    # A latency that is longer than any step of conv0 leaves no time.
    slow = early(machine, dram_latency_cycles=1000)
    assert [layer.time.prefetched_bytes for layer in time_network(graph, slow)] == [0, 0]


def test_what_does_not_find_time_comes_as_ever() -> None:
    """A pooling of 128 cycles before conv3's weights: (128 - 32) cycles of 8 B are 768 B, in bursts of 32, of its 9.5 kB."""
    layers = {layer.workload.name: layer.time for layer in time_network(network().integer, early(PRESETS[0]))}
    assert layers["pool1"].compute_cycles == 128 and layers["pool1"].steps is not None
    assert layers["conv3_conv"].prefetched_bytes == 768
    assert layers["pool1"].steps.transfer.max() == 32 + 768 // 8


@settings(max_examples=25, deadline=None, derandomize=True)
@given(machines, st.booleans(), st.booleans(), st.integers(2000, 40_000))
def test_early_weights_cost_nothing(machine: Accelerator, digits: bool, fusion: bool, size: int) -> None:
    graph = network().integer if digits else chain((8, 1, 1), (12, 3, 2), (8, 3, 1), image=(24, 20, 4), pool=True)
    memory = replace(
        machine.memory, double_buffered=True, fusion=Fusion.DEPTH_FIRST if fusion else Fusion.NONE,
        **({} if machine.memory.sram_bytes is None else {"sram_bytes": size}),
    )  # fmt: skip
    machine = replace(machine, memory=memory)
    try:
        before = time_network(graph, machine)
    except InputError:
        return
    after = time_network(graph, early(machine))
    moved = [0, 0]
    for one, other in zip(before, after, strict=True):
        assert other.time.cycles <= one.time.cycles
        assert (other.time.dram_bytes, other.time.tiling, other.kept) == (
            one.time.dram_bytes,
            one.time.tiling,
            one.kept,
        )
        assert other.time.compute_cycles == one.time.compute_cycles
        assert 0 <= other.time.prefetched_bytes <= other.time.total_bytes
        for at, line in enumerate((one.time.steps, other.time.steps)):
            if line is not None:
                moved[at] += int((line.read_bytes + line.write_bytes).sum())
                assert (line.transfer <= line.cycles).all() and (line.compute <= line.cycles).all()
                assert (line.read_bytes >= 0).all()
        if other.time.steps is not None and one.time.steps is not None:
            # Bytes of a step have their time: a latency and theirs, for each transfer.
            more = other.time.steps.read_bytes - one.time.steps.read_bytes
            spent = other.time.steps.transfer - one.time.steps.transfer
            taken = more[more > 0]
            speed, latency = machine.dram_bytes_per_cycle, memory.dram_latency_cycles
            assert (spent[more > 0] == np.ceil(taken / speed) + latency).all()
    assert moved[0] == moved[1]
    total = total_times(after, early(machine), 30.0)
    assert total["least_cycles"] <= total["cycles"]


def test_the_document_says_what_it_saves(data_root: Path) -> None:
    model = load_model(data_root / "mlperf_tiny" / "resnet8_int8.tflite")
    plain, found = time_model(model, PRESETS[0]), time_model(model, early(PRESETS[0]))
    assert found.total.dram_bytes == plain.total.dram_bytes
    assert found.total.cycles < 0.92 * plain.total.cycles
    assert found.notes[0].startswith("Weights that come while the layer before theirs computes: ")
    assert found.notes[0].endswith(f"; {found.total.cycles} cycles instead of {plain.total.cycles}.")
    assert found.accelerator.memory.endswith("; weights prefetched")


def test_a_single_buffer_prefetches_nothing() -> None:
    with pytest.raises(InputError) as error:
        Memory(double_buffered=False, prefetch_weights=True)
    assert str(error.value) == "prefetch_weights must be false without double_buffered, not True"
