"""Bytes and cycles of layers with outliers: encoded operands, tiles, lanes and their imbalance, passes without lanes."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from hwsim.dataflow.array import array_of, gemm_counters
from hwsim.dataflow.outliers import Load, gemms_counters, load_of, tile_rows, visit_entries
from hwsim.load import load_model
from hwsim.memory.steps import first_channels, steps_of
from hwsim.memory.tiling import Room
from hwsim.memory.tiling_table import tiling_table
from hwsim.models.catalog import BUNDLED
from hwsim.quant.outliers import OutlierRule
from hwsim.sim.document import LayerTimes
from hwsim.sim.network import outlier_scheme, prepare_network
from hwsim.sim.time.bandwidth import crossing_bytes
from hwsim.sim.time.document import layer_times
from hwsim.sim.time.energy import energy_infos
from hwsim.sim.time.layer import TiledLayer
from hwsim.sim.time.network import TimedLayer, time_layer, time_network
from hwsim.sim.time.ports import sparse_products
from hwsim.sim.time.run import graph_of, time_model
from hwsim.spec import Accelerator, Arithmetic, Datapath, InputError, Memory, Operand, Profile, Sliding, Workload
from outliers.test_outliers_on_rtl import network
from sim.digits_runs import array_set

PLAIN = Workload(
    "layer", "conv2d", 64, 144, 32, 1,
    (Operand("weights", 144 * 32, 4), Operand("activations_in", 1600, 8), Operand("activations_out", 2048, 8)), 4, 8,
    Sliding((10, 10), 16, (8, 8), (3, 3)),
)  # fmt: skip
AMPLE = Memory(sram_bytes=1 << 20, burst_bytes=1, dram_latency_cycles=0)


def machine(lanes: int, **given: object) -> Accelerator:
    """Return an array of 8 x 8 with outlier lanes."""
    return Accelerator(rows=8, cols=8, memory=AMPLE, datapath=Datapath(outlier_lanes=lanes), **given)  # type: ignore[arg-type]


def sparse_work(density: float, seed: int = 0) -> Workload:
    """Return the layer with outliers at random places: CSC with 8-bit indices and 16-bit pointers, say."""
    places = np.random.default_rng(seed).random((32, 144)) < density
    entries = int(places.sum())
    operands = (
        PLAIN.operands[0], Operand("outliers", entries, 16), Operand("outliers", entries, 8), Operand("outliers", 33, 16),
        *PLAIN.operands[1:],
    )  # fmt: skip
    return dataclasses.replace(
        PLAIN, operands=operands, outliers=tuple(tuple(np.flatnonzero(row).tolist()) for row in places)
    )


def test_entries_by_hand() -> None:
    """Channels 0..3 of tiles of 2 channels, K tiles of 4 products: places by tile."""
    rows = tile_rows([(0, 1, 5), (3,), (), (4, 5, 6, 7)], 8, 2, 4)
    assert rows == ((3, 1), (0, 4))
    assert load_of(rows, 2) == Load(tiles=4, visits=2 + 1 + 1 + 2, most=4)
    # Two lanes: three entries are two visits; nothing is one entry that does nothing.
    assert [visit_entries(row, 2) for row in rows] == [(2, 1, 1), (1, 2, 2)]
    assert [visit_entries(row, 8) for row in rows] == [(3, 1), (1, 4)]


def test_no_outliers_cost_what_lanes_cost_anyway() -> None:
    accelerator = machine(2)
    core = array_of(accelerator, 4, 8, 8)
    assert gemms_counters(core, 64, 144, [()] * 32, 32) == gemm_counters(accelerator, core, 64, 144, 32)


def test_the_fullest_tile_costs_and_not_the_mean() -> None:
    core = array_of(machine(1), 4, 8, 8)
    spread = [(8 * (c % 8),) for c in range(8)]
    crowded = [(0,)] * 8
    even, uneven = (gemms_counters(core, 64, 64, places, 8) for places in (spread, crowded))
    # Eight outliers in eight K tiles of one channel tile, or in one, which is then worked through eight times.
    assert even.slots == 8 * 64 and uneven.slots == (7 + 8) * 64
    assert uneven.cycles > even.cycles


@pytest.mark.parametrize("density", [0.01, 0.05])
def test_more_lanes_never_cost_visits_and_traffic_does_not_depend_on_them(density: float) -> None:
    work = sparse_work(density)
    visits = []
    for lanes in (1, 2, 4, 8):
        core = array_of(machine(lanes), 4, 8, 8)
        rows = tile_rows(work.outliers, 144, core.cols, core.tile_products)
        visits.append(load_of(rows, lanes).visits)
        time = time_layer(work, machine(lanes))
        assert time.dram_bytes["outliers"] == sum(
            part.packed_bytes for part in work.operands if part.role == "outliers"
        )
        assert time.dram_bytes["weights"] == 144 * 32 // 2
        assert time.compute_cycles >= gemms_counters(core, 64, 144, work.outliers, 32).slots
    assert visits == sorted(visits, reverse=True)
    assert visits[-1] == 18 * 4


def test_one_tile_takes_the_cycles_of_the_core() -> None:
    accelerator, work = machine(2), sparse_work(0.03)
    layer = TiledLayer(work, accelerator)
    table = tiling_table(layer.problem)
    whole = int(np.argmin(table.tiles))
    assert table.tiles[whole] == 1
    steps = steps_of(layer.problem, table.tiling(whole), Room(1 << 20))
    cycles, ports = layer.compute(steps, first_channels(layer.problem, table.tiling(whole), 1))
    found = gemms_counters(layer.core, 64, 144, work.outliers, 32)
    assert cycles.tolist() == [found.cycles]
    assert ports.outliers == found.beats_outliers * layer.core.outlier_bus_bits // 8


def test_the_tiles_of_every_tiling_have_all_outliers_once() -> None:
    accelerator, work = machine(0), sparse_work(0.03)
    layer = TiledLayer(work, accelerator)
    table = tiling_table(layer.problem)
    entries = sum(map(len, work.outliers))
    for index in range(0, len(table.tiles), 7):
        tiling = table.tiling(index)
        steps = steps_of(layer.problem, tiling, Room(1 << 20))
        first = first_channels(layer.problem, tiling, len(steps.pixels))
        assert np.all(first + steps.channels <= 32) and np.all(first % 8 == 0)
        last = steps.done == 144
        tiles = zip(steps.pixels[last].tolist(), steps.channels[last].tolist(), first[last].tolist(), strict=True)
        assert sum(sparse_products(work, *tile) for tile in tiles) == 64 * entries


def test_without_lanes_the_products_are_a_pass() -> None:
    """64 pixels x the outliers at 8 per cycle, after the dense sum; an activation is read for each, and each outlier once."""
    work = sparse_work(0.03)
    entries = sum(map(len, work.outliers))
    found = []
    for part in (PLAIN, work):
        layer = TiledLayer(part, machine(0))
        table = tiling_table(layer.problem)
        tiling = table.tiling(int(np.argmin(table.tiles)))
        steps = steps_of(layer.problem, tiling, Room(1 << 20))
        found.append(layer.compute(steps, first_channels(layer.problem, tiling, 1)))
    (dense, plain_ports), (both, ports) = found
    assert both.tolist() == [int(dense[0]) + 64 * entries // 8]
    assert ports.activations == plain_ports.activations + 64 * entries
    # Value 16, index 3, column 3 and last 1 bits in whole bytes.
    assert (plain_ports.outliers, ports.outliers) == (0, 3 * entries)


def test_a_layer_of_depthwise_groups() -> None:
    accelerator = machine(1)
    places = ((0, 1, 2), (), (), (8,))
    work = Workload(
        "dw", "depthwise_conv2d", 16, 9, 1, 4,
        (Operand("weights", 36, 4), Operand("outliers", 4, 16), Operand("activations_in", 144, 8),
         Operand("activations_out", 64, 8)), 4, 8, Sliding((6, 6), 4, (4, 4), (3, 3)), places,
    )  # fmt: skip
    core = array_of(accelerator, 4, 8, 8)
    alone = [gemms_counters(core, 16, 9, [own], 1) for own in places]
    assert alone[0].slots == 4 * alone[1].slots // 2
    together = gemms_counters(core, 16, 9, places, 1)
    assert together.cycles == sum(part.cycles for part in alone)
    assert time_layer(work, accelerator).compute_cycles >= together.slots


@functools.cache
def timed(lanes: int) -> tuple[TimedLayer, ...]:
    """Return the digits network with outliers on a machine."""
    return time_network(network().integer, machine(lanes))


def test_the_document_has_the_exact_bytes_of_the_smallest_encoding() -> None:
    graph = network().integer
    for index, (layer, node) in enumerate(zip(timed(2), graph.nodes, strict=True)):
        found = layer_times(graph, layer, machine(2), index)
        info = found["outliers"]
        if not node.op.weighted:
            assert info is None
            continue
        tensor = graph.tensors[node.inputs[1]]
        assert tensor.outliers is not None
        assert info.entries == tensor.outliers.entries == int(0.03 * tensor.elements)
        assert info.share == info.entries / tensor.elements
        assert info.bytes == min(info.encoding_bytes.values()) == info.encoding_bytes[info.encoding]
        assert info.bytes == info.value_bytes + info.index_bytes + info.pointer_bytes
        assert found["dram_bytes"].outliers >= info.bytes
        assert found["bound_bytes"] <= found["dram_bytes"].total
        assert info.most_per_tile >= info.mean_per_tile
        assert info.visits >= info.tiles


def test_bytes_that_cross_once_have_the_outliers_of_the_document() -> None:
    graph = network().integer
    infos = [layer_times(graph, layer, machine(2), index)["outliers"] for index, layer in enumerate(timed(2))]
    assert crossing_bytes(graph, Arithmetic())["outliers"] == sum(info.bytes for info in infos if info is not None) > 0


def test_times_without_a_run_are_those_of_the_run() -> None:
    """Places follow from the weights alone; `network()` was quantized with the ranges of its activations."""
    rule = OutlierRule.parse("3%")
    for lanes in (0, 2):
        document = time_model(load_model("digits_cnn"), machine(lanes), weight_bits=4, outliers=rule)
        graph = network().integer
        expected = [LayerTimes(**layer_times(graph, layer, machine(lanes), i)) for i, layer in enumerate(timed(lanes))]
        assert list(document.layers) == expected
        assert document.quantization.outliers == "the largest 3 % of each layer, in 16 bits"
        assert document.total.dram_bytes.outliers > 0
        assert any("outlier lanes" in note for note in document.notes) == (lanes == 0)


@pytest.mark.parametrize("name", [model.name for model in BUNDLED])
@pytest.mark.parametrize("rule", ["1%", "2/channel", "least-error"])
def test_places_are_those_of_the_quantized_network(name: str, rule: str) -> None:
    """Of every bundled network, quantized with the ranges of random pixels."""
    model, chosen = load_model(name), OutlierRule.parse(rule)
    pixels = np.random.default_rng(0).integers(0, 256, (4, *model.graph.input.shape[1:])).astype(np.uint8)
    graph = prepare_network(
        model, array_set(pixels, [0] * 4, "pixels"), weight_bits=4, activation_bits=8, calibration_images=4, scaling=None,
        profile=Profile.TFLITE, scheme=outlier_scheme(chosen, 4),
    ).integer  # fmt: skip
    places = graph_of(model.graph, machine(2), 4, 8, chosen)
    for node in graph.nodes:
        if node.op.weighted:
            one, other = graph.tensors[node.inputs[1]].outliers, places.tensors[node.inputs[1]].outliers
            assert one is not None and other is not None
            assert np.array_equal(one.places, other.places)


def test_a_machine_with_narrow_lanes_is_refused_before_it_is_timed() -> None:
    narrow = Accelerator(rows=8, cols=8, memory=AMPLE, datapath=Datapath(outlier_lanes=2, outlier_bits=8))
    with pytest.raises(InputError, match=r"^outlier_bits must be at most the machine's 8"):
        time_model(load_model("digits_cnn"), narrow, weight_bits=4, outliers=OutlierRule.parse("1%"))


def test_energy_counts_the_products_of_outliers() -> None:
    with_them = energy_infos(timed(2), machine(2), 1.0)
    none = tuple(
        dataclasses.replace(layer, workload=dataclasses.replace(layer.workload, outliers=())) for layer in timed(2)
    )
    for more, less in zip(with_them, energy_infos(none, machine(2), 1.0), strict=True):
        if more.macs is not None and less.macs is not None:
            assert more.macs > less.macs
