# amaranth: UnusedElaboratable=no
"""Networks with outliers on compiled RTL: every tensor and event is that of the kernels, every cycle that of the model."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest

from cli.command import Command
from hwsim.cosim.golden import GemmCase, Outliers, golden
from hwsim.cosim.streams import to_streams
from hwsim.dataflow.array import ModelCore
from hwsim.dataflow.core_cycles import Counters
from hwsim.dataflow.outliers import gemms_counters, tile_rows, visit_entries
from hwsim.hardware import build_cache
from hwsim.hardware.network import HardwareNetwork, NetworkRun
from hwsim.load import load_model
from hwsim.quant import Scheme
from hwsim.quant.outliers import OutlierRule
from hwsim.sim.execute import execute
from hwsim.sim.feed import Feed
from hwsim.sim.network import Network, prepare_network
from hwsim.sim.program import Program
from hwsim.sim.time.direct_layer import stream_memory
from hwsim.sim.time.network import time_network
from hwsim.sim.time.outlier_layers import check_outliers
from hwsim.spec import Accelerator, Arithmetic, Core, Datapath, InputError, Memory, Profile, StreamMemory
from sim.digits_runs import arithmetic, digits


def has_compiler() -> bool:
    """Whether RTL can be compiled here."""
    try:
        build_cache.compiler()
    except InputError:
        return False
    return True


needs_compiler = pytest.mark.skipif(not has_compiler(), reason="there is no C++ compiler: apt install g++")
own_core = pytest.mark.slow  # a core more to compile: a minute where it is not in the cache
CORE = Core(rows=3, cols=4, pixels=100, outlier_lanes=2)
MACHINE = Accelerator(
    rows=3, cols=4, datapath=Datapath(pixels=100, outlier_lanes=2), memory=Memory(direct=True, dram_latency_cycles=5)
)
NARROW = arithmetic("14:saturate", bias="end")


@functools.cache
def network(rule: str = "3%", name: str = "digits_cnn") -> Network:
    """Return a bundled network in 4 bits with outliers of 16."""
    return prepare_network(
        load_model(name), digits(), weight_bits=4, activation_bits=8, calibration_images=64, scaling=None,
        profile=Profile.TFLITE, scheme=Scheme(outliers=OutlierRule.parse(rule)),
    )  # fmt: skip


def run(
    made: Network, machine: Arithmetic, images: int, core: Core = CORE, memory: StreamMemory | None = None
) -> tuple[HardwareNetwork, NetworkRun]:
    """Run on hardware; hold it to the kernels' own execution."""
    hardware = HardwareNetwork(made.integer, core, machine, memory)
    feed = Feed(made.integer, digits())
    found = hardware.run(feed, images, threads=2)
    program = Program(made.integer, machine, outlier_tile=core.tile_products)
    expected = execute(program, feed, images, threads=1)
    assert found.equal
    assert np.array_equal(found.predictions, expected.predictions)
    for node in found.layers:
        assert sum(node.events.values()) == expected.monitors[node.name].events
        assert node.timed == node.predicted
    return hardware, found


def modelled(hardware: HardwareNetwork) -> dict[str, Counters]:
    """Return the counters of each layer for one image, from the places of its outliers alone."""
    graph, found = hardware.graph, {}
    for name, layer in hardware.layers.items():
        node, unit = layer.node, layer.unit
        m, k, n, groups = node.op.gemm(graph.inputs_of(node), graph.outputs_of(node))
        core = ModelCore(**{field.name: getattr(layer.core, field.name) for field in dataclasses.fields(Core)})
        assert unit.outliers is not None
        by_channel = [np.flatnonzero(column).tolist() for group in unit.outliers.sparse for column in group.T]
        found[name] = gemms_counters(core, m, k, by_channel, n * groups // layer.groups)
    return found


@needs_compiler
def test_digits_with_outliers_are_equal_in_every_tensor_event_and_cycle() -> None:
    hardware, found = run(network(), NARROW, 1)
    assert {node.name: node.timed for node in found.layers} == modelled(hardware)
    beats = {node.name: node.counters["BEATS_OUTLIERS"] for node in found.layers}
    # More beats than one per K tile: 3 % of the weights are outliers, and some K tiles are worked through again.
    plain = HardwareNetwork(network().integer, CORE, NARROW)
    assert sum(beats.values()) > sum(unit.outliers.entries for unit in (layer.unit for layer in plain.layers.values()))
    assert sum(sum(node.events.values()) for node in found.layers) > 0


@own_core
@needs_compiler
def test_a_depthwise_network_with_outliers_is_equal_too() -> None:
    hardware, found = run(network("2/channel", "digits_mobilenet"), Arithmetic(), 1)
    assert {node.name: node.timed for node in found.layers} == modelled(hardware)


@own_core
@needs_compiler
def test_the_time_of_a_machine_without_buffers_is_that_of_the_rtl() -> None:
    made = network()
    timed = [layer for layer in time_network(made.integer, MACHINE) if layer.workload.macs]
    _, found = run(made, Arithmetic(), 1)
    assert [layer.time.compute_cycles for layer in timed] == [node.cycles for node in found.layers]
    memory = stream_memory(MACHINE)
    _, stalled = run(made, Arithmetic(), 1, memory=memory)
    for layer, node in zip(timed, stalled.layers, strict=True):
        assert layer.time.cycles >= node.cycles >= layer.time.compute_cycles
        assert layer.time.ports.outliers == node.counters["BEATS_OUTLIERS"] * CORE.outlier_bus_bits // 8
        assert layer.time.dram_bytes["outliers"] == layer.time.ports.outliers


def test_the_streams_have_as_many_entries_as_the_model_counts() -> None:
    rng = np.random.default_rng(0)
    core = dataclasses.replace(CORE, output=None)
    for density in (0.0, 0.05, 0.5, 1.0):
        sparse = np.where(rng.random((20, 11)) < density, 1000, 0)
        k, column = np.nonzero(sparse)
        case = GemmCase(
            rng.integers(-128, 128, (5, 20)), np.zeros((20, 11), np.int64), np.zeros(11, np.int64), np.zeros(11, np.int64),
            np.zeros(11, np.int64), 0, 0, outliers=Outliers(k, column, sparse[k, column]),
        )  # fmt: skip
        rows = tile_rows([np.flatnonzero(line).tolist() for line in sparse.T], 20, core.cols, core.tile_products)
        expected = [entry for row in rows for entry in visit_entries(row, core.outlier_lanes)]
        # Channel tiles of as many visits share a job, so the order of tiles may differ.
        found = [int(entry) for job in to_streams(core, case).jobs for entry in job.outlier_entries]
        assert sorted(found) == sorted(expected)
        results, _ = golden(core, case)
        assert np.array_equal(results, case.activations @ sparse)


def test_a_core_without_lanes_says_what_to_set() -> None:
    with pytest.raises(InputError, match=r"no core for node conv1_conv: outlier_lanes must be 1 to 8 for weights with"):
        HardwareNetwork(network().integer, dataclasses.replace(CORE, outlier_lanes=0), Arithmetic())
    narrow = dataclasses.replace(MACHINE, datapath=Datapath(outlier_lanes=1, outlier_bits=8))
    with pytest.raises(InputError, match=r"^outlier_bits must be at most the machine's 8 "):
        check_outliers(network().integer, narrow)
    without = dataclasses.replace(MACHINE, datapath=Datapath())
    assert "no outlier lanes" in check_outliers(network().integer, without)[0]
    with pytest.raises(
        InputError, match=r"^outlier_lanes must be 1 to 8 for weights with outliers on a machine without"
    ):
        time_network(network().integer, without)


@pytest.mark.slow  # the same network again, through the command
@needs_compiler
def test_the_command_runs_outliers_on_the_rtl(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hwsim = Command(monkeypatch, capsys, tmp_path)
    (tmp_path / "small.toml").write_text("rows = 3\ncols = 4\n[core]\npixels = 100\noutlier_lanes = 2\n")
    options = (
        "--accelerator",
        "small.toml",
        "--weight-bits",
        "4",
        "--outliers",
        "3%",
        "--images",
        "1",
        "--acc",
        "14:saturate",
    )
    answer = hwsim("rtl", "run", "digits_cnn", *options, "--bias-at", "end")
    assert answer.code == 0, answer
    assert "elements equal the kernels'" in answer.out
    answer = hwsim("rtl", "run", "digits_cnn", "--weight-bits", "4", "--outlier-bits", "8")
    assert (answer.code, "--outlier-bits must be left out without --outliers, not 8" in answer.err) == (2, True)
