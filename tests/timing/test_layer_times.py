"""Layers by hand, and what must hold for every layer on every machine."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.dataflow import ideal_cycles, plan_gemm, predict_plan
from hwsim.graph import Quantization, Tensor
from hwsim.memory.pipeline import timeline
from hwsim.ops import Add
from hwsim.sim.time.document import traffic_floor
from hwsim.sim.time.network import TimedLayer, time_layer
from hwsim.spec import (
    PRESETS,
    ROLES,
    Accelerator,
    Arithmetic,
    Core,
    Dataflow,
    Datapath,
    Format,
    InputError,
    Memory,
    Operand,
    Sliding,
    Workload,
)
from timing.time_cases import convolution, dense, layers, machines

EDGE = replace(PRESETS[0], memory=Memory(sram_bytes=1 << 20, dram_latency_cycles=10, burst_bytes=1))
"""Room for everything, and bytes as they are."""


def timed(work: Workload, machine: Accelerator) -> TimedLayer:
    """The layer alone, with nothing on chip."""
    return TimedLayer(work, time_layer(work, machine), (False,) * len(work.operands), "")


def test_a_pipeline_of_three_tiles_by_hand() -> None:
    """Loads of 8, 16, 4 bytes, stores of 8, 8, 4, at 4 bytes per cycle with a latency of 3; tiles compute 10, 4, 20 cycles.

    A transfer of n bytes takes 3 + n / 4: loads 5, 7, 4, stores 5, 5, 4. Steps: load 0 in 5; compute 0 in 10 beside load 1
    (7): 10; compute 1 in 4 beside load 2 and store 0 (4 + 5): 9; compute 2 in 20 beside store 1 (5): 20; store 2 in 4.
    5 + 10 + 9 + 20 + 4 = 48 cycles, of which 34 compute.
    """
    loads, compute, stores = np.array([8, 16, 4]), np.array([10, 4, 20]), np.array([8, 8, 4])
    line = timeline(loads, compute, stores, bytes_per_cycle=4.0, latency=3, double_buffered=True)
    assert line.cycles.tolist() == [5, 10, 9, 20, 4]
    assert (line.total, int(line.compute.sum())) == (48, 34)
    assert (line.read_bytes.tolist(), line.write_bytes.tolist()) == ([8, 16, 4, 0, 0], [0, 0, 8, 8, 4])


def test_a_single_buffer_does_one_thing_at_a_time() -> None:
    """The same tiles: (5 + 10 + 5) + (7 + 4 + 5) + (4 + 20 + 4) = 64 cycles."""
    loads, compute, stores = np.array([8, 16, 4]), np.array([10, 4, 20]), np.array([8, 8, 4])
    line = timeline(loads, compute, stores, bytes_per_cycle=4.0, latency=3, double_buffered=False)
    assert line.cycles.tolist() == [20, 16, 28]
    assert timeline(loads * 0, compute, stores * 0, bytes_per_cycle=4.0, latency=3, double_buffered=True).total == 34


def test_bytes_of_a_convolution_that_fits_by_hand() -> None:
    """315 weights of 3 bits are 945 bits = 118.125 B, so 119; 7 scales of 40 bits 35 B; 715 of 5 bits 3575 bits, so 447 B."""
    found = time_layer(convolution(bits=(3, 5, 5)), EDGE)
    assert found.dram_bytes == {
        "weights": 119, "outliers": 0, "biases": 28, "scales": 35, "activations_in": 447, "activations_out": 626,
    }  # fmt: skip
    assert list(found.dram_bytes) == list(ROLES)


def test_halos_and_bursts_by_hand() -> None:
    """3 x 3 windows on 8 x 8 pixels of 4 channels, padded; 4 outputs; 8 bits; buffers of 2 * 48 B of activations.

    The largest tile whose activations fit is found by trying: rows x columns written 2 x 1 read up to 4 x 3 pixels, 48 B (so
    do 1 x 2). Tiles of 2 x 1: rows read are 3, 4, 4, 3 (14), columns 2 at both ends, else 3 (22): 14 * 22 = 308 pixels. Tiles
    of 1 x 2: rows 2, 3 x 6, 2 (22), columns 3, 4, 4, 3 (14): 308 pixels too. 1232 B in all. In bursts of 16: a run is one
    row of a tile; 2 x 1: 2 or 3 pixels, 8 or 12 B, so 16 B: 14 rows * 8 runs = 112 bursts, 1792 B; 1 x 2: 3 or 4 pixels, 12
    or 16 B, one burst too: 22 * 4 = 88 bursts, 1408 B, which is less. Results: 2 pixels of a row, 8 B, so 32 bursts, 512 B.
    """
    work = convolution((8, 8), 4, 4)
    memory = Memory(
        weight_sram_bytes=4096, activation_sram_bytes=96, result_sram_bytes=4096, dram_latency_cycles=0, burst_bytes=1
    )
    plain = time_layer(work, replace(EDGE, memory=memory))
    assert plain.dram_bytes["activations_in"] == 1232
    found = time_layer(work, replace(EDGE, memory=replace(memory, burst_bytes=16)))
    assert (found.dram_bytes["activations_in"], found.dram_bytes["activations_out"]) == (1408, 512)
    assert found.tiling is not None
    assert (found.tiling.height, found.tiling.width) == (1, 2)


def test_weights_come_again_where_activations_stay_by_hand() -> None:
    """1 x 1 on 8 x 8 pixels of 16 channels, 64 outputs, 8 bits. Buffers: 2 * 352 B of weights, 2 * 256 B of activations.

    16 channels' weights are 16 * 16 + 16 * (4 + 5) = 400 B: too many; they come in parts along K, 16 pixels at a time, or
    not at all. With an array of 4 columns 8 channels are 128 + 72 = 200 B. Activations: 1024 B in 4 tiles of 16 pixels.
    Weights stay: all 64 * 25 = 1600 B of weights once, activations for each tile of 8 channels (8 times): 8192 B, or with 12
    channels, 300 B, 6 times: 6144 B. Activations stay: 1024 B once, weights 4 times: 6400 B, in all 7424 B, which is less
    than 7744. Results: 4096 B.
    """
    memory = Memory(
        weight_sram_bytes=704, activation_sram_bytes=512, result_sram_bytes=4096, dram_latency_cycles=0, burst_bytes=1
    )
    found = time_layer(convolution((8, 8), 16, 64, 1), replace(EDGE, cols=4, memory=memory))
    weights = found.dram_bytes["weights"] + found.dram_bytes["biases"] + found.dram_bytes["scales"]
    assert (weights, found.dram_bytes["activations_in"], found.dram_bytes["activations_out"]) == (6400, 1024, 4096)


def test_a_layer_in_one_tile_has_the_cycles_of_the_core() -> None:
    """11 x 13 pixels, 45 products, 7 channels: one job of 143 pixels and 3 K tiles, whose cycles `predict` gives.

    The weights come in three parts, one K tile each, so that the array need not wait for all of them.
    """
    found = time_layer(convolution(), EDGE)
    assert found.tiling is not None
    assert (found.tiling.order, found.tiles) == ("outputs", 3)
    job = predict_plan(plan_gemm(Core(rows=16, cols=16), 143, 45, 7))
    assert found.compute_cycles == job.cycles
    # Ports of 16 bytes: records and weights, activations, results of 16 columns.
    beats = (job.beats_weights, job.beats_activations, job.beats_results)
    assert (found.ports.weights, found.ports.activations, found.ports.results) == tuple(16 * number for number in beats)


def test_depthwise_layers_fill_one_column() -> None:
    """A GEMM of 9 products and one output for each of 20 channels: 20 jobs, one column of 16 in use."""
    work = convolution((11, 13), 20, 20, groups=20)
    found = time_layer(work, EDGE)
    job = predict_plan(plan_gemm(Core(rows=16, cols=16), 143, 9, 1))
    assert found.compute_cycles == 20 * job.cycles
    assert found.utilization < 9 / 256


def test_filters_of_one_channel_are_one_product() -> None:
    """Depthwise with a multiplier of 3: 20 channels make 60, in 20 GEMMs of 9 products and 3 outputs."""
    work = convolution((11, 13), 20, 60, groups=20)
    apart = replace(work, n=1, groups=60)
    assert apart.macs == work.macs
    found = time_layer(apart, EDGE)
    assert found.compute_cycles == 20 * predict_plan(plan_gemm(Core(rows=16, cols=16), 143, 9, 3)).cycles
    assert found.dram_bytes == time_layer(work, EDGE).dram_bytes


def test_input_stationary_is_the_transposed_product() -> None:
    """Activations in the array, weights past it: [7, 45] x [45, 143], and the ports change places."""
    machine = replace(EDGE, dataflow=Dataflow.INPUT_STATIONARY)
    found = time_layer(convolution(), machine)
    job = predict_plan(plan_gemm(Core(rows=16, cols=16), 7, 45, 143))
    assert found.compute_cycles == job.cycles
    assert (found.ports.weights, found.ports.activations) == (16 * job.beats_activations, 16 * job.beats_weights)


def test_raw_results_take_a_pass_to_be_requantized() -> None:
    """143 * 7 results, 16 per cycle: 63 cycles after the array's."""
    machine = replace(EDGE, datapath=Datapath(raw=True))
    core = Core(rows=16, cols=16, output=None)
    expected = predict_plan(plan_gemm(core, 143, 45, 7)).cycles + math.ceil(143 * 7 / 16)
    assert time_layer(convolution(), machine).compute_cycles == expected


def test_an_element_wise_layer_takes_the_time_of_its_largest_tensor() -> None:
    """1001 elements on 4 columns: 251 cycles. Pooling of 2 x 2: its 64 * 16 inputs on 16 columns take 64."""
    both = (Operand("activations_in", 1001, 8), Operand("activations_in", 1001, 8), Operand("activations_out", 1001, 8))
    assert time_layer(Workload("sum", "add", 0, 0, 0, 0, both, 0, 8), PRESETS[1]).compute_cycles == 251
    window = Sliding((8, 8), 16, (4, 4), (2, 2), (2, 2))
    pooled = (Operand("activations_in", 1024, 8), Operand("activations_out", 256, 8))
    found = time_layer(Workload("pool", "max_pool2d", 0, 0, 0, 0, pooled, 0, 8, window), EDGE)
    assert (found.compute_cycles, found.total_bytes, found.utilization) == (64, 1280, 0)


def test_a_layer_that_moves_nothing_takes_no_time() -> None:
    found = time_layer(Workload("none", "reshape", 0, 0, 0, 0, (), 0, 0), EDGE)
    assert (found.cycles, found.utilization, found.total_bytes) == (0, 0, 0)


def test_an_unknown_operator_is_an_error_and_never_free() -> None:
    with pytest.raises(InputError) as error:
        time_layer(Workload("fft1", "fft", 0, 0, 0, 0, (), 0, 0), EDGE)
    assert str(error.value) == "fft1: op must be one that the time model knows, not fft"


def test_buffers_that_hold_no_tile_are_an_error_with_the_least_size() -> None:
    machine = replace(EDGE, memory=Memory(sram_bytes=100))
    with pytest.raises(InputError) as error:
        time_layer(dense(300, 100), machine)
    least = int(str(error.value).split()[10].rstrip(","))
    assert str(error.value) == f"buffers must hold a tile of dense: sram_bytes at least {least}, not 100"
    time_layer(dense(300, 100), replace(EDGE, memory=Memory(sram_bytes=least)))
    with pytest.raises(InputError):
        time_layer(dense(300, 100), replace(EDGE, memory=Memory(sram_bytes=least - 1)))
    apart = Memory(weight_sram_bytes=10_000, activation_sram_bytes=299, result_sram_bytes=10_000)
    with pytest.raises(InputError) as error:
        time_layer(dense(300, 100), replace(EDGE, memory=apart))
    assert str(error.value) == "buffers must hold a tile of dense: activation_sram_bytes at least 300, not 299"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(layers, machines)
def test_no_layer_is_below_a_bound(work: Workload, machine: Accelerator) -> None:
    found = time_layer(work, machine)
    assert all(found.dram_bytes[role] >= work.role_bytes(role) for role in ("weights", "biases", "scales"))
    assert found.dram_bytes["activations_out"] >= work.role_bytes("activations_out")
    assert found.total_bytes >= traffic_floor(timed(work, machine), machine)[0]
    assert found.compute_cycles >= ideal_cycles(work, machine)
    # Exact: a cycle moves no more than the machine says. The float division may lose less than a millionth of it.
    assert found.cycles * Fraction(machine.dram_bytes_per_cycle) * Fraction(1_000_001, 1_000_000) >= found.total_bytes
    assert found.cycles == found.compute_cycles + found.stall_cycles
    assert found.stall_cycles >= 0
    assert 0 < found.utilization <= 1
    assert found.steps is not None
    assert int(found.steps.cycles.sum()) == found.cycles
    assert int((found.steps.read_bytes + found.steps.write_bytes).sum()) == found.total_bytes


@settings(max_examples=40, deadline=None, derandomize=True)
@given(layers, machines, st.integers(0, 50), st.fractions(Fraction(1, 4), 20, max_denominator=8))
def test_without_buffers_no_layer_is_below_a_bound(
    work: Workload, machine: Accelerator, latency: int, speed: Fraction
) -> None:
    memory = Memory(direct=True, dram_latency_cycles=latency)
    datapath = replace(machine.datapath, raw=False)
    machine = replace(machine, memory=memory, datapath=datapath, dram_bytes_per_cycle=float(speed))
    found = time_layer(work, machine)
    assert found.total_bytes == found.ports.total >= traffic_floor(timed(work, machine), machine)[0]
    assert found.cycles >= max(ideal_cycles(work, machine), found.compute_cycles)
    assert found.cycles * machine.dram_bytes_per_cycle * 1.000_001 >= found.total_bytes
    buffered = replace(machine, memory=Memory(sram_bytes=1 << 30, burst_bytes=1))
    assert time_layer(work, buffered).total_bytes <= found.total_bytes


@settings(max_examples=40, deadline=None, derandomize=True)
@given(layers, machines, st.floats(1, 100), st.integers(0, 100))
def test_a_faster_memory_never_costs_cycles(work: Workload, machine: Accelerator, factor: float, less: int) -> None:
    memory = replace(machine.memory, dram_latency_cycles=max(0, machine.memory.dram_latency_cycles - less))
    faster = replace(machine, dram_bytes_per_cycle=machine.dram_bytes_per_cycle * factor, memory=memory)
    slow, fast = time_layer(work, machine), time_layer(work, faster)
    assert fast.cycles <= slow.cycles
    assert fast.total_bytes == slow.total_bytes


@settings(max_examples=40, deadline=None, derandomize=True)
@given(layers, machines, st.integers(1, 8))
def test_a_larger_buffer_never_costs_traffic(work: Workload, machine: Accelerator, factor: int) -> None:
    names = ("sram_bytes", "weight_sram_bytes", "activation_sram_bytes", "result_sram_bytes")
    given_sizes = {name: getattr(machine.memory, name) for name in names}
    larger = {name: size * factor for name, size in given_sizes.items() if size is not None}
    grown = replace(machine, memory=replace(machine.memory, **larger))
    assert time_layer(work, grown).total_bytes <= time_layer(work, machine).total_bytes


@pytest.mark.parametrize("bits", range(2, 17))
def test_operands_are_packed_without_gaps_at_every_width(bits: int) -> None:
    """N elements are the smallest whole number of bytes that holds N * bits bits."""
    for elements in (0, 1, 2, 7, 8, 9, 1000, 1001):
        found = Operand("weights", elements, bits).packed_bytes
        assert 8 * (found - 1) < elements * bits <= 8 * found


def test_a_constant_operand_of_an_element_wise_layer_is_traffic_too() -> None:
    """X [3, 5, 7] of 4 bits, a constant [7] of 6 bits, the sum of 8 bits: 105 * 4 / 8, 7 * 6 / 8, 105 bytes, rounded up."""

    def tensor(name: str, shape: tuple[int, ...], bits: int, data: np.ndarray | None = None) -> Tensor:
        return Tensor(name, shape, Quantization(Format(bits), np.array(0.5), np.array(0)), data)

    inputs = [tensor("x", (1, 3, 5, 7), 4), tensor("c", (7,), 6, np.arange(7, dtype=np.int8))]
    workload = Add().workload("sum", inputs, [tensor("y", (1, 3, 5, 7), 8)], Arithmetic())
    found = time_layer(workload, EDGE).dram_bytes
    assert (found["activations_in"], found["weights"], found["activations_out"]) == (53, 6, 105)


RESNET18 = [
    (size, channels, outputs, kernel, stride)
    for size, channels, outputs, stride in ((56, 64, 64, 1), (56, 64, 128, 2), (28, 128, 256, 2), (14, 256, 512, 2))
    for size, channels, kernel, stride in (
        (size, channels, 3, stride), *((size // stride, outputs, 3, 1) for _ in range(3)),
        *([(size, channels, 1, 2)] if stride == 2 else []),
    )
]  # fmt: skip
"""Image, channels, outputs, kernel and stride of the convolutions of its four stages."""


@pytest.mark.parametrize(("kilobytes", "above"), [(512, 0.0), (256, 0.001)])
def test_resnet18_moves_what_an_exhaustive_search_elsewhere_found(kilobytes: int, above: float) -> None:
    """15,569,856 B for its 20 convolutions of 8 bits without constants, one by one: that of a program of another design.

    It cut rows, columns, filters and channels with 32-bit sums in the one buffer, which here are in the array; both reach the
    bytes that the windows touch (a 1 x 1 window of stride 2 a quarter of its input).
    """
    machine = replace(PRESETS[0], memory=Memory(sram_bytes=kilobytes << 10, double_buffered=False, burst_bytes=1))
    total = 0
    for size, channels, outputs, kernel, stride in [(224, 3, 64, 7, 2), *RESNET18]:
        work = convolution((size, size), channels, outputs, kernel, stride)
        plain = tuple(part for part in work.operands if part.role not in ("biases", "scales"))
        total += time_layer(replace(work, operands=plain), machine).total_bytes
    assert 15_569_856 <= total <= 15_569_856 * (1 + above)
