"""Networks: which tensors stay on chip, against all ways to choose; totals; what must hold on every machine."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.dataflow.passes import NOTHING, PASSES, PRODUCTS
from hwsim.load import load_model
from hwsim.memory.compression import SCHEMES
from hwsim.memory.placement import Placement, Stage, place
from hwsim.ops import OPS
from hwsim.sim.time.document import MOST_SEGMENTS, segments, with_formats
from hwsim.sim.time.network import time_network
from hwsim.sim.time.run import time_model
from hwsim.spec import PRESETS, Accelerator, Datapath, InputError, Memory
from sim.digits_runs import network
from timing.time_cases import machines

MODEL = load_model("digits_cnn")


@st.composite
def small_networks(draw: st.DrawFn) -> tuple[list[Stage], dict[str, int]]:
    """Draw layers that read up to two earlier tensors and write one."""
    sizes = {"input": draw(st.integers(1, 20))}
    stages = []
    for index in range(draw(st.integers(1, 6))):
        reads = draw(st.lists(st.sampled_from(sorted(sizes)), min_size=1, max_size=2, unique=True))
        stages.append(Stage(tuple(reads), (f"t{index}",)))
        sizes[f"t{index}"] = draw(st.integers(1, 20))
    return stages, sizes


@settings(max_examples=80, deadline=None, derandomize=True)
@given(small_networks(), st.integers(0, 60), st.integers(1, 12))
def test_the_placement_is_the_best_of_all(drawn: tuple[list[Stage], dict[str, int]], capacity: int, need: int) -> None:
    """Every set of tensors is tried. A layer needs room, and moves more where it has little of it."""
    stages, sizes = drawn
    fixed = {"input", stages[-1].writes[0]}

    def traffic(index: int, placement: Placement) -> int | None:
        stage, room = stages[index], capacity - placement.occupied_bytes
        if room < need and placement.occupied_bytes:
            return None
        moved = sum(sizes[name] for name in stage.reads if name not in placement.kept_reads)
        moved += sum(sizes[name] for name in stage.writes if name not in placement.kept_writes)
        return moved + max(0, 2 * need - room)

    def cost(kept: set[str]) -> int | None:
        total = 0
        for index, stage in enumerate(stages):
            alive = {
                name for name in kept
                if int(name[1:]) <= index and (
                    int(name[1:]) == index or any(name in later.reads for later in stages[index:])
                )
            }  # fmt: skip
            moved = traffic(index, Placement(
                frozenset(alive & set(stage.reads)), frozenset(alive & set(stage.writes)), sum(sizes[n] for n in alive)
            ))  # fmt: skip
            if moved is None:
                return None
            total += moved
        return total

    free = [name for name in sizes if name not in fixed]
    tries = [cost(set(kept)) for number in range(len(free) + 1) for kept in itertools.combinations(free, number)]
    best = min(found for found in tries if found is not None)
    found = place(stages, sizes, fixed, traffic)
    assert found is not None
    moved = [traffic(index, placement) for index, placement in enumerate(found)]
    assert None not in moved
    assert sum(moved) == best  # type: ignore[arg-type]


def test_a_network_without_room_for_a_layer_has_no_placement() -> None:
    assert place([Stage(("a",), ("b",))], {"a": 1, "b": 1}, {"a"}, lambda _index, _placement: None) is None
    with pytest.raises(InputError) as error:
        time_network(network().integer, replace(PRESETS[0], memory=Memory(sram_bytes=64)))
    assert str(error.value).startswith("buffers must hold a tile of ")
    assert str(error.value).endswith(", not 64")


def test_what_does_not_fit_is_spilled_and_said_so() -> None:
    """conv1 writes 8 x 8 x 16 = 1024 B, conv2 8 x 8 x 32 = 2048 B.

    3000 B hold either, not both, and conv2's saves more. 2000 B do not hold conv2's.
    """
    cases = {
        4000: ("on chip: 1024 of 4000 bytes hold tensors", "on chip: 3072 of 4000 bytes hold tensors"),
        3000: ("DRAM: its 1024 bytes leave too little of 3000 for tiles", "on chip: 2048 of 3000 bytes hold tensors"),
        2000: ("on chip: 1024 of 2000 bytes hold tensors", "DRAM: 2048 bytes do not fit into 2000"),
    }
    for size, (first, second) in cases.items():
        memory = Memory(weight_sram_bytes=1 << 14, activation_sram_bytes=size, result_sram_bytes=1 << 12)
        conv1, conv2, *_, last = time_network(network().integer, replace(PRESETS[0], memory=memory))
        assert (conv1.placement[: len(first)], conv2.placement) == (first, second)
        assert (conv1.time.dram_bytes["activations_out"] == 0) == first.startswith("on chip")
        assert last.placement == "DRAM: the network's output"


def test_on_chip_everything_but_input_weights_and_output_stays() -> None:
    found = time_network(network().integer, replace(PRESETS[0], memory=Memory(sram_bytes=1 << 20, burst_bytes=1)))
    for index, layer in enumerate(found):
        work, moved = layer.workload, layer.time.dram_bytes
        assert moved["activations_in"] == (work.role_bytes("activations_in") if index == 0 else 0)
        assert moved["activations_out"] == (work.role_bytes("activations_out") if index == len(found) - 1 else 0)
        assert moved["weights"] == work.role_bytes("weights")


@settings(max_examples=15, deadline=None, derandomize=True)
@given(machines, st.integers(1, 6), st.floats(1, 20))
def test_more_memory_never_costs_a_network_anything(machine: Accelerator, factor: int, speed: float) -> None:
    graph = network().integer
    names = ("sram_bytes", "weight_sram_bytes", "activation_sram_bytes", "result_sram_bytes")
    larger = {name: size * factor for name in names if (size := getattr(machine.memory, name)) is not None}
    before = time_network(graph, machine)
    after = time_network(graph, replace(machine, memory=replace(machine.memory, **larger)))
    assert sum(layer.time.total_bytes for layer in after) <= sum(layer.time.total_bytes for layer in before)
    faster = time_network(graph, replace(machine, dram_bytes_per_cycle=machine.dram_bytes_per_cycle * speed))
    for slow, fast in zip(before, faster, strict=True):
        assert fast.time.cycles <= slow.time.cycles
        assert fast.time.total_bytes == slow.time.total_bytes


def test_every_operator_has_a_cost() -> None:
    assert {op.kind for op in OPS} == {*PRODUCTS, *PASSES, *NOTHING}


def test_a_float_model_is_timed_as_the_network_that_hwsim_makes_of_it() -> None:
    """Formats are all that counts: no values, no ranges."""
    for bits in ((8, 8), (4, 6)):
        expected = time_network(network("digits_cnn", *bits).integer, PRESETS[0])
        found = time_network(with_formats(MODEL.graph, *bits), PRESETS[0])
        assert [layer.time.cycles for layer in found] == [layer.time.cycles for layer in expected]
        assert [layer.time.dram_bytes for layer in found] == [layer.time.dram_bytes for layer in expected]


def test_a_quantized_model_keeps_its_formats() -> None:
    graph = network().integer
    assert with_formats(graph, None, None) is graph


@pytest.mark.parametrize("machine", PRESETS, ids=lambda machine: machine.name)
def test_the_document_adds_up(machine: Accelerator) -> None:
    document = time_model(MODEL, machine, frames_per_second=50.0)
    total, layers = document.total, document.layers
    for field in ("macs", "bound_bytes", "compute_cycles", "stall_cycles", "cycles", "least_cycles"):
        assert getattr(total, field) == sum(getattr(layer, field) for layer in layers)
    for part in (*layers, total):
        for moved in (part.dram_bytes.model_dump(), part.port_bytes.model_dump()):
            assert moved.pop("total") == sum(moved.values())
        assert part.cycles == part.compute_cycles + part.stall_cycles >= part.least_cycles
        assert part.dram_bytes.total >= part.bound_bytes
        assert part.utilization == pytest.approx(part.macs / (part.cycles * machine.multipliers))
    assert total.bandwidth_bytes_per_second == 50 * total.dram_bytes.total
    for layer in layers:
        assert sum(segment.cycles for segment in layer.timeline) == layer.cycles
        assert sum(segment.compute_cycles for segment in layer.timeline) == layer.compute_cycles
        assert sum(segment.read_bytes + segment.write_bytes for segment in layer.timeline) == layer.dram_bytes.total
    assert bool(document.notes) == (machine.rows > 64)
    assert type(document).model_validate_json(document.to_json()) == document


def test_a_long_timeline_is_put_together(data_root: Path) -> None:
    graph = load_model(data_root / "mlperf_tiny" / "resnet8_int8.tflite").graph
    found = time_network(graph, replace(PRESETS[0], memory=Memory(sram_bytes=6 << 10)))
    assert max(layer.time.tiles for layer in found) > 2 * MOST_SEGMENTS
    for layer in found:
        if layer.time.steps is not None:
            short = segments(layer.time.steps)
            assert len(short) <= MOST_SEGMENTS
            assert sum(segment.cycles for segment in short) == layer.time.cycles
            assert all(segment.compute_cycles <= segment.cycles for segment in short)


def test_times_of_resnet8(data_root: Path) -> None:
    """16 x 16, weight stationary, 256 KiB: weights, the image and the scores cross once; 82 % of the multipliers work.

    12,501,632 MACs on 256 multipliers are 48,834.5 cycles. 77,360 weights, 5 + 4 bytes for each of 10 + 16 * 3 + 32 * 3 + 64 * 3
    channels, 3,072 B of image and 10 B of scores twice (the softmax reads them on chip) make at least 83,564 B.
    """
    document = time_model(load_model(data_root / "mlperf_tiny" / "resnet8_int8.tflite"), PRESETS[0])
    total = document.total
    assert total.macs == 12_501_632
    channels = 10 + 16 * 3 + 32 * 3 + 64 * 3
    assert total.dram_bytes.biases == 4 * channels
    assert total.dram_bytes.scales == 5 * channels
    least = 77_360 + 9 * channels + 3072 + 10
    assert least <= total.bound_bytes <= total.dram_bytes.total <= least * 1.01
    assert 48_835 < total.compute_cycles < total.cycles < 1.25 * 48_835


def test_an_add_may_be_done_where_results_leave(data_root: Path) -> None:
    """ResNet-8's three adds: their cycles go, their bytes on chip are the convolutions' before them."""
    graph = load_model(data_root / "mlperf_tiny" / "resnet8_int8.tflite").graph
    fused = replace(PRESETS[0], datapath=Datapath(fused=("add",)))
    apart, joined = time_network(graph, PRESETS[0]), time_network(graph, fused)
    for before, after in zip(apart, joined, strict=True):
        if before.workload.op == "add":
            assert (before.time.compute_cycles, after.time.cycles) == (before.workload.operands[0].elements // 16, 0)
            assert after.placement.startswith("part of ")
        else:
            assert after.time.compute_cycles == before.time.compute_cycles
    assert sum(layer.time.total_bytes for layer in joined) == sum(layer.time.total_bytes for layer in apart)
    # Where all tensors are spilled, each add saves the writing and the reading of what it takes on the way.
    small = Memory(weight_sram_bytes=1 << 17, activation_sram_bytes=5000, result_sram_bytes=1 << 17, burst_bytes=1)
    apart, joined = (time_network(graph, replace(machine, memory=small)) for machine in (PRESETS[0], fused))
    moved = [sum(layer.time.total_bytes for layer in layers) for layers in (apart, joined)]
    assert moved[1] < moved[0]
    document = time_model(load_model(data_root / "mlperf_tiny" / "resnet8_int8.tflite"), fused)
    assert document.accelerator.not_built == "fused must be left out in hardware, not add"
    assert document.total.dram_bytes.total >= document.total.bound_bytes


def test_energies_are_counts_times_tables() -> None:
    """Horowitz: 20.3125 pJ per DRAM bit; 8 x 8 bits and a sum of 32: 0.0029948 * 64 + 0.0010417 * 8 + 0.003125 * 32 pJ."""
    document = time_model(MODEL, PRESETS[0])
    energy = {energy.table: energy for energy in document.total.energy}
    horowitz = energy["horowitz-45nm"]
    assert horowitz.dram == pytest.approx(8 * document.total.dram_bytes.total * 20.3125)
    assert horowitz.macs == pytest.approx(document.total.macs * (0.19166667 + 0.00833333 + 0.1))
    assert horowitz.sram is not None and horowitz.sram > 0
    assert horowitz.total == pytest.approx(horowitz.dram + horowitz.macs + horowitz.sram)
    assert energy["cacti-32nm"].total is None
    assert sum(known.total is not None for known in energy.values()) >= 3


def test_compressed_weights_are_stored_in_the_bytes_of_their_code(data_root: Path) -> None:
    """Those of each layer's own tensor, where they are fewer; the array and its buffers see them as they are."""
    model = load_model(data_root / "mlperf_tiny" / "resnet8_int8.tflite")
    machine = replace(PRESETS[0], memory=Memory(sram_bytes=1 << 20, burst_bytes=1))
    code = next(scheme for scheme in SCHEMES if scheme.name == "huffman")
    plain, stored = time_network(model.graph, machine), time_network(model.graph, machine, code)
    smaller = 0
    for node, before, after in zip(model.graph.nodes, plain, stored, strict=True):
        if node.op.weighted:
            weights = model.graph.tensors[node.inputs[1]]
            assert weights.data is not None and weights.quantization is not None
            size = -(-code.size_bits(weights.data, weights.quantization.format) // 8)
            # Parts along K round up apart.
            expected = min(size, weights.elements)
            assert expected <= after.time.dram_bytes["weights"] <= expected + after.time.tiles
            assert after.time.dram_bytes["biases"] == before.time.dram_bytes["biases"]
            smaller += size < weights.elements
        assert after.time.ports == before.time.ports
    assert smaller >= 5
    document = time_model(model, machine, compression=code)
    assert document.total.dram_bytes.total >= document.total.bound_bytes
    assert document.notes[0].startswith("Weights are stored as huffman: ")
    with pytest.raises(InputError, match=r"^compression must be left out where formats are not the model's own"):
        time_model(model, machine, weight_bits=4, compression=code)
