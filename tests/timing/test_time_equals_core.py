"""The time of layers is that of the hardware: for every configuration that the RTL is tested in, and for whole networks."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hwsim.dataflow import Counters, plan_gemm, predict_plan
from hwsim.dataflow.array import array_of
from hwsim.graph import Graph
from hwsim.hardware.layer import hardware_layers
from hwsim.load import load_model
from hwsim.sim.program import Program
from hwsim.sim.time.document import traffic_floor
from hwsim.sim.time.network import time_layer, time_network
from hwsim.spec import PRESETS, Accelerator, Core, Dataflow, Datapath, InputError, Memory, StreamMemory, Workload
from rtl.gemm_core_configurations import CONFIGURATIONS
from sim.digits_runs import network
from timing.time_cases import convolution, dense

ROOM = Memory(sram_bytes=1 << 30)


def machine_of(core: Core) -> Accelerator:
    """Return the machine that has a core, with room for every layer in one tile."""
    datapath = {field.name: getattr(core, field.name) for field in fields(Datapath) if hasattr(core, field.name)}
    return Accelerator(
        core.name, core.rows, core.cols, arithmetic=core.arithmetic, dataflow=core.dataflow,
        datapath=Datapath(**datapath, raw=core.output is None), memory=ROOM,
    )  # fmt: skip


def widths(core: Core) -> tuple[int, int, int]:
    return core.weight_bits, core.activation.bits, 8 if core.output is None else core.output.bits


@pytest.mark.parametrize("core", CONFIGURATIONS, ids=lambda core: core.name)
def test_compute_cycles_and_beats_are_those_of_the_core(core: Core) -> None:
    """Layers of several tiles of K, of channels and of pixels; what the ports carry too."""
    machine = machine_of(core)
    for work in (convolution(bits=widths(core)), convolution((2, 3), 7, 11, 1, bits=widths(core))):
        found = time_layer(work, machine)
        expected = predict_plan(plan_gemm(core, work.m, work.k, work.n))
        requantize = -(-work.m * work.n // core.cols) if core.output is None else 0
        tiles = _tiles(work, found.tile_channels)
        # Cut along the channels there is a job for each cut; the sums of their counters are then due.
        jobs = [predict_plan(plan_gemm(core, work.m, work.k, n)) for n in tiles]
        total = sum(jobs, Counters())
        assert found.tiling is not None and found.tiling.height * found.tiling.width == work.m
        if len(tiles) == 1:
            assert total == expected
        passes = sum(-(-work.m * n // core.cols) for n in tiles) if requantize else 0
        assert found.compute_cycles == total.cycles + passes
        assert found.ports.weights == total.beats_weights * core.weight_packing.bus_bits // 8
        assert found.ports.activations == total.beats_activations * core.activation_packing.bus_bits // 8
        assert found.ports.results == total.beats_results * core.result_packing.bus_bits // 8


def _tiles(work: Workload, channels: int) -> list[int]:
    return [min(channels, work.n - start) for start in range(0, work.n, channels)]


@pytest.mark.parametrize("core", CONFIGURATIONS, ids=lambda core: core.name)
def test_the_model_has_the_core_that_the_rtl_has(core: Core) -> None:
    """Field by field, but for what time does not depend on: signs, the name of its parts, and counters of events."""
    found = array_of(machine_of(core), *widths(core))
    given = {field.name: getattr(found, field.name) for field in fields(Core)}
    assert given["activation"].bits == core.activation.bits
    same = {"activation": core.activation, "output": core.output, "count_events": core.count_events,
            "max_left_shift": core.max_left_shift}  # fmt: skip
    assert Core(**(given | same)) == core


@pytest.mark.parametrize("size", [64, 65, 128, 200])
def test_the_rules_do_not_change_with_the_size(size: int) -> None:
    """A large array is timed by the same walk; up to 64 it is a core that can be built."""
    machine = Accelerator(rows=size, cols=size)
    core = array_of(machine, 8, 8, 8)
    built = core.why_not_built() == ""
    assert built == (size <= 64)
    if not built:
        assert core.why_not_built() == f"rows must be an integer from 1 to 64, not {size}"
    # One K tile, pixels in one tile: records and rows of weights, then a pixel per cycle, then drain.
    expected = predict_plan(plan_gemm(core, 100, size, size))
    assert expected.slots == max(100, size + 3)
    beats = size * core.record_beats + size * core.weight_packing.beats
    assert expected.wait_weights == beats


def test_hardware_refuses_input_stationary() -> None:
    with pytest.raises(InputError) as error:
        Core(dataflow=Dataflow.INPUT_STATIONARY)
    assert (
        str(error.value) == "dataflow must be weight_stationary or output_stationary in hardware, not input_stationary"
    )


def check_network(graph: Graph, machine: Accelerator) -> None:
    """Every layer of products takes as long as its GEMMs on the core that `hwsim rtl run` makes for it."""
    units = Program(graph, machine.arithmetic).units
    base = Core(
        rows=machine.rows, cols=machine.cols, dataflow=machine.dataflow, arithmetic=machine.arithmetic,
        pixels=machine.datapath.pixels,
    )  # fmt: skip
    hardware = hardware_layers(graph, units, base, machine.arithmetic)
    assert hardware
    for found in time_network(graph, machine):
        if found.workload.name not in hardware:
            assert found.workload.macs == 0
            continue
        layer, time = hardware[found.workload.name], found.time
        rng = np.random.default_rng(0)
        node = next(node for node in graph.nodes if node.name == found.workload.name)
        shape = graph.inputs_of(node)[0].shape
        images = rng.integers(0, 2, shape).astype(graph.inputs_of(node)[0].quantization.format.storage)  # type: ignore[union-attr]
        cases = [case for _, _, case in layer.cases(images)]
        assert time.tiling is not None
        whole = time.tiling.height * time.tiling.width == found.workload.m
        assert whole
        cycles = 0
        for case in cases:
            m, k, n = case.shape
            for width in _parts(n, time.tile_channels // len(cases) if len(cases) > 1 else time.tile_channels):
                cycles += predict_plan(plan_gemm(layer.core, m, k, width)).cycles
        assert time.compute_cycles == cycles, found.workload.name


def _parts(n: int, width: int) -> list[int]:
    width = max(width, 1) if width < n else n
    return [min(width, n - start) for start in range(0, n, width)]


@pytest.mark.parametrize("dataflow", [Dataflow.WEIGHT_STATIONARY, Dataflow.OUTPUT_STATIONARY])
@pytest.mark.parametrize("name", ["digits_cnn"])
def test_the_digits_network_takes_the_time_of_its_hardware(name: str, dataflow: Dataflow) -> None:
    check_network(network(name).integer, replace(PRESETS[0], dataflow=dataflow, memory=ROOM))


@pytest.mark.parametrize("size", [(16, 16), (8, 12)], ids=str)
@pytest.mark.parametrize("dataflow", [Dataflow.WEIGHT_STATIONARY, Dataflow.OUTPUT_STATIONARY])
def test_resnet8_takes_the_time_of_its_hardware(data_root: Path, size: tuple[int, int], dataflow: Dataflow) -> None:
    graph = load_model(data_root / "mlperf_tiny" / "resnet8_int8.tflite").graph
    check_network(graph, replace(PRESETS[0], rows=size[0], cols=size[1], dataflow=dataflow, memory=ROOM))


def test_weights_in_parts_are_those_of_one_job() -> None:
    """300 products on 16 rows are 19 K tiles. Two weight buffers of 1024 B hold no 16 channels of 300 products (4.8 kB)."""
    memory = Memory(weight_sram_bytes=2048, activation_sram_bytes=1024, result_sram_bytes=1024)
    found = time_layer(dense(300, 50), replace(PRESETS[0], memory=memory))
    assert found.tiling is not None
    assert (found.tiling.order, found.tile_channels) == ("outputs", 16)
    jobs = [predict_plan(plan_gemm(Core(rows=16, cols=16), 1, 300, n)).cycles for n in (16, 16, 16, 2)]
    assert found.compute_cycles == sum(jobs)
    assert found.dram_bytes["weights"] >= 15_000


@pytest.mark.parametrize("dataflow", [Dataflow.WEIGHT_STATIONARY, Dataflow.OUTPUT_STATIONARY])
def test_without_waiting_a_layer_is_one_job_as_on_the_rtl(data_root: Path, dataflow: Dataflow) -> None:
    """Where the DRAM costs nothing no layer is cut, and `hwsim rtl run` counts the same cycles for it."""
    graph = load_model(data_root / "mlperf_tiny" / "resnet8_int8.tflite").graph
    fast = Memory(sram_bytes=1 << 30, dram_latency_cycles=0, burst_bytes=1)
    machine = replace(PRESETS[0], dataflow=dataflow, dram_bytes_per_cycle=1e6, memory=fast)
    base = Core(rows=16, cols=16, dataflow=dataflow)
    hardware = hardware_layers(graph, Program(graph, machine.arithmetic).units, base, machine.arithmetic)
    for found in time_network(graph, machine):
        if found.workload.name in hardware:
            work, core = found.workload, hardware[found.workload.name].core
            assert found.time.compute_cycles == predict_plan(plan_gemm(core, work.m, work.k, work.n)).cycles
            assert found.time.stall_cycles <= 2


DIRECT = Memory(direct=True, dram_latency_cycles=7)
BEHIND = StreamMemory(7, Fraction(5, 2))


@pytest.mark.parametrize("core", CONFIGURATIONS, ids=lambda core: core.name)
def test_without_buffers_a_layer_waits_as_the_rtl_does(core: Core) -> None:
    """Cycles, waits included, and beats are those of `predict` behind a memory, to which the RTL is held under the same.

    The core is done when the write buffer has its last beat; the layer, when all its bytes have crossed the bus.
    """
    machine = replace(machine_of(core), memory=DIRECT, dram_bytes_per_cycle=2.5)
    work = convolution((5, 6), 6, 11, bits=widths(core))
    found = time_layer(work, machine)
    plan = plan_gemm(core, work.m, work.k, work.n)
    expected = predict_plan(plan, memory=BEHIND)
    assert found.cycles == max(expected.cycles, math.ceil(found.total_bytes / 2.5))
    assert found.compute_cycles == predict_plan(plan).cycles
    packings = (core.weight_packing, core.activation_packing, core.result_packing)
    beats = (expected.beats_weights, expected.beats_activations, expected.beats_results)
    port = [number * packing.bus_bits // 8 for number, packing in zip(beats, packings, strict=True)]
    moved = found.dram_bytes
    outliers = expected.beats_outliers * core.outlier_bus_bits // 8
    assert moved["weights"] + moved["biases"] + moved["scales"] == port[0] + outliers
    assert (moved["activations_in"], moved["activations_out"]) == tuple(port[1:])


def test_without_buffers_every_layer_of_resnet8_waits_as_the_rtl_does(data_root: Path) -> None:
    graph = load_model(data_root / "mlperf_tiny" / "resnet8_int8.tflite").graph
    machine = replace(PRESETS[0], memory=DIRECT, dram_bytes_per_cycle=2.5)
    hardware = hardware_layers(
        graph, Program(graph, machine.arithmetic).units, Core(rows=16, cols=16), machine.arithmetic
    )
    for layer in time_network(graph, machine):
        assert not any(layer.kept)
        if layer.workload.name in hardware:
            work, core = layer.workload, hardware[layer.workload.name].core
            found = predict_plan(plan_gemm(core, work.m, work.k, work.n), memory=BEHIND)
            assert found.cycles <= layer.time.cycles == max(found.cycles, math.ceil(layer.time.total_bytes / 2.5))
        assert layer.time.total_bytes >= traffic_floor(layer, machine)[0]
