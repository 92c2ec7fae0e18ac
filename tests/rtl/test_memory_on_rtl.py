# amaranth: UnusedElaboratable=no
"""The core as machine code behind memories: its own counters against the time model, every cycle, wait and beat.

`hwsim rtl verify` does the same with its Verilog in Icarus (`tests/rtl/test_gemm_core_cocotb.py`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from compiled import needs_compiler
from gemm_core_configurations import CONFIGURATIONS, named
from rtl_mutation import put_mutant

from cli.command import Command
from hwsim.cosim.golden import GemmCase, golden
from hwsim.cosim.stimulus import flood_case, random_case, stimulus
from hwsim.cosim.streams import from_results, to_streams
from hwsim.data import open_dataset
from hwsim.dataflow import Counters, predict
from hwsim.hardware.compiled import CompiledCore
from hwsim.hardware.network import HardwareNetwork, NetworkRun
from hwsim.hardware.verify import verify
from hwsim.load import load_model
from hwsim.rtl import requantize_rows
from hwsim.sim.feed import Feed
from hwsim.spec import Core, Dataflow, InputError, StreamMemory
from hwsim.spec.register_map import COUNTERS
from sim.digits_runs import arithmetic, feed, network

pytestmark = needs_compiler

AMPLE, FEW = Fraction(100_000), Fraction(3, 2)
MEMORIES = (
    StreamMemory(0, AMPLE, None, 1, 1, 1, 1),
    StreamMemory(1, Fraction(40), None, 2, 2, 2, 2),
    StreamMemory(7, AMPLE, None, 4, 3, 5, 2),
    StreamMemory(7, FEW, None, 4, 3, 5, 2),
    StreamMemory(7, FEW, Fraction(1, 3), 8, 8, 8, 1),
    StreamMemory(100, Fraction(8)),
    StreamMemory(100, Fraction(5, 3), Fraction(1, 2), 1, 2, 3, 1),
    StreamMemory(0, Fraction(1, 7), None, 2, 2, 2, 2),
    StreamMemory(0, AMPLE, Fraction(1, 5), 9, 9, 9, 2),
    StreamMemory(20, AMPLE, None, 64, 1, 64, 8),
    StreamMemory(7, AMPLE, None, 16, 8, 1, 8),
)
"""Latencies 0, 1, 7 and 100, from starving to ample, FIFOs of one place and more; in the last two, one port waits."""

QUICK = [named(name) for name in ("ws_outliers_w2", "os_chain_fold_end")]


def cases(core: Core, number: int) -> Iterator[GemmCase]:
    """Yield constructed cases of the bench, the smallest and the largest among them, random ones, and one with many results."""
    constructed = [named for named in stimulus(core, 1, 0).cases if named.held is None]
    yield from (named.case for named in (constructed[0], *constructed[-3:]))
    yield from (random_case(core, np.random.default_rng([4, i])) for i in range(number))
    yield flood_case(core, np.random.default_rng([4, number]))


def check(core: Core, number: int) -> Counter[str]:
    """Hold a core to the model behind each memory; return the cycles that slots waited, by reason."""
    device = CompiledCore(core)
    waits: Counter[str] = Counter()
    for case in cases(core, number):
        streams, right = to_streams(core, case), golden(core, case)[0]
        for memory in MEMORIES:
            results = []
            for job in streams.jobs:
                done = device.run(job, memory=memory)
                results.append(done.results)
                sizes = [job.registers[name] for name in ("PIXELS", "K_TILES", "OUTPUT_TILES")]
                entries = job.outlier_entries if core.outlier_lanes else None
                counted = Counters(*(done.counters[name] for name in COUNTERS[:10]))
                assert counted == predict(core, *sizes, entries, memory=memory), (core.name, sizes, memory)
                waits.update({name: value for name, value in vars(counted).items() if name.startswith("wait_")})
            assert np.array_equal(from_results(core, streams.plan, results), right)
    return waits


@pytest.mark.parametrize("core", QUICK, ids=lambda core: core.name)
def test_counters_are_those_predicted(core: Core) -> None:
    waits = check(core, 2)
    reasons = {"weights", "activations"} | ({"outliers", "results"} if core.outlier_lanes else set())
    assert all(waits[f"wait_{reason}"] > 50 for reason in reasons), waits


@pytest.mark.slow
@pytest.mark.parametrize("core", CONFIGURATIONS, ids=lambda core: core.name)
def test_counters_of_all_configurations_are_those_predicted(core: Core) -> None:
    """Each is compiled, which takes seconds to half a minute."""
    check(core, 6)


def test_every_number_of_a_memory_matters() -> None:
    core = QUICK[0]
    device = CompiledCore(core)
    jobs = [job for case in cases(core, 2) for job in to_streams(core, case).jobs]
    starving, scarce = StreamMemory(7, FEW, Fraction(1, 3), 2, 2, 2, 1), MEMORIES[-2]
    for memory, field, value in (
        (starving, "latency_cycles", 8),
        (starving, "bytes_per_cycle", Fraction(2)),
        (starving, "write_bytes_per_cycle", None),
        (starving, "weight_beats", 3),
        (starving, "activation_beats", 3),
        (starving, "result_beats", 2),
        (scarce, "outlier_beats", 2),
    ):
        memories = (memory, replace(memory, **{field: value}))
        one, other = ([device.run(job, memory=each).counters for job in jobs] for each in memories)
        assert one != other, field


@pytest.mark.rtl
def test_places_that_only_a_slow_memory_fills_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Twice the rows between FIFO and port: values are right, and cycles too while results are taken at once."""
    places = "power_of_two(self.requantizer_latency + 4)"
    put_mutant(monkeypatch, requantize_rows, places, f"2 * {places}")
    found = verify(named("ws_acc16_saturate"), tmp_path, jobs=0)
    assert [test.name for test in found.tests if not test.passed] == ["waits_behind_a_memory"]
    assert "WAIT_RESULTS of job" in found.first_problem


def test_only_registers_pause_beside_a_memory() -> None:
    core = QUICK[0]
    device, case = CompiledCore(core), random_case(core, np.random.default_rng(5))
    job = to_streams(core, case).jobs[0]
    runs = [device.run(job, memory=MEMORIES[3], gaps=gaps) for gaps in (None, {"registers": (0.5, 1)})]
    assert runs[0].counters == runs[1].counters
    assert runs[0].cycles < runs[1].cycles
    with pytest.raises(InputError, match=r"^gaps must be by registers behind a memory, not weights$"):
        device.run(job, memory=MEMORIES[3], gaps={"weights": (0.5, 1)})


def test_a_memory_slower_than_patience_is_no_hang() -> None:
    core = QUICK[0]
    device, case = CompiledCore(core), random_case(core, np.random.default_rng(5))
    job = to_streams(core, case).jobs[0]
    done = device.run(job, memory=StreamMemory(5000, AMPLE, None, 2, 2, 2, 2), patience=100)
    assert done.counters["CYCLES"] > 5000


def check_network(found: NetworkRun) -> None:
    """Every layer waited, all its counters are those predicted, and its values those of the kernels."""
    assert found.equal
    for node in found.layers:
        assert node.timed == node.predicted
        assert node.predicted.wait_weights + node.predicted.wait_activations > 0
        assert node.cycles > node.predicted.slots


@pytest.mark.parametrize("dataflow", [Dataflow.WEIGHT_STATIONARY, Dataflow.OUTPUT_STATIONARY])
def test_every_layer_of_digits_cnn_waits_as_predicted(dataflow: Dataflow) -> None:
    stationary = dataflow is Dataflow.WEIGHT_STATIONARY
    # The cores of tests/rtl/test_network_on_rtl.py.
    lanes = {"lanes": 4, "tree": "16:wrap", "chain": 3, "psum": "16:saturate", "zero_points": "fold"}
    base = Core(rows=3, cols=4, pixels=100) if stationary else Core(dataflow=dataflow, rows=2, cols=3)
    machine = arithmetic("16:saturate", bias="end") if stationary else arithmetic("16:wrap", **lanes)
    memory = StreamMemory(20, Fraction(7, 2), None, 8, 8, 8, 8)
    hardware = HardwareNetwork(network("digits_cnn").integer, base, machine, memory)
    check_network(hardware.run(feed("digits_cnn"), 1, threads=1))


def test_the_command_shows_what_layers_wait_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hwsim = Command(monkeypatch, capsys, tmp_path)
    (tmp_path / "small.toml").write_text("name = 'small'\nrows = 3\ncols = 4\n[core]\npixels = 100\n")
    run = ("rtl", "run", "digits_cnn", "--accelerator", "small.toml", "--acc", "16:saturate", "--bias-at", "end")
    memory = ("--memory-bytes-per-cycle", "3/2", "--memory-latency", "20", "--memory-beats", "8")
    answer = hwsim(*run, "--images", "1", *memory, "--json", "run.json")
    assert answer.code == 0, answer
    assert "waiting for a memory of 3/2 bytes/cycle, 20 cycles of latency" in answer.out
    document = json.loads((tmp_path / "run.json").read_text())
    assert document["memory"]["bytes_per_cycle"] == "3/2"
    assert document["memory"]["weight_beats"] == document["memory"]["result_beats"] == 8
    for node in document["nodes"]:
        if node["runs_on"] == "rtl":
            assert {name: node["counters"][name] for name in node["predicted"]} == node["predicted"]
    for wrong, message in {
        ("--memory-latency", "3"): "--memory-latency must be given with --memory-bytes-per-cycle, not alone",
        ("--memory-bytes-per-cycle", "x"): "--memory-bytes-per-cycle must be a ratio such as 8 or 3/2, not x",
        (
            "--memory-bytes-per-cycle",
            "1",
            "--memory-beats",
            "0",
        ): "--memory-beats must be an integer from 1 to 65536, not 0",
        (
            "--memory-bytes-per-cycle",
            "0",
        ): "--memory-bytes-per-cycle must be a positive ratio of integers up to 1000000, not 0",
    }.items():
        assert hwsim.refused(*run, *wrong) == message


@pytest.mark.slow
@pytest.mark.parametrize("memory", [StreamMemory(40, Fraction(6)), StreamMemory(100, Fraction(12), Fraction(1, 4))])
def test_every_layer_of_resnet8_waits_as_predicted(data_root: Path, memory: StreamMemory) -> None:
    """An 8 x 8 core is compiled; one image, nine convolutions and the classifier."""
    model = load_model(data_root / "mlperf_tiny" / "resnet8_int8.tflite")
    source = Feed(model.graph, open_dataset("mlperf_tiny_ic"))
    hardware = HardwareNetwork(model.graph, Core(rows=8, cols=8), arithmetic("32:wrap"), memory)
    found = hardware.run(source, 1, threads=1)
    check_network(found)
    assert sum(node.macs for node in found.layers) == 12_501_632
