# amaranth: UnusedElaboratable=no
"""``hwsim rtl run`` behind the memory of an accelerator file: the RTL counts what is predicted, and what ``hwsim time`` says."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from compiled import needs_compiler

from cli.command import Answer, Command
from hwsim.dataflow import Counters
from hwsim.hardware import network as hardware_network
from hwsim.hardware.port_memory import load_port_memory
from hwsim.spec import InputError, StreamMemory

SMALL = """
name = "small"
rows = 3
cols = 4
dram_bytes_per_cycle = 2.5
[reduction]
acc = "16:saturate"
bias_at = "end"
[core]
pixels = 100
"""
"""A core of tests/rtl/test_network_on_rtl.py, which is compiled once for all of them."""

DIRECT = "[memory]\ndirect = true\ndram_latency_cycles = 20\n"

EIGHT = """
name = "8x8"
rows = 8
cols = 8
dram_bytes_per_cycle = {bandwidth}
[memory]
direct = true
dram_latency_cycles = {latency}
"""


@pytest.fixture
def hwsim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The command, in a folder with a file of a machine without buffers."""
    (tmp_path / "direct.toml").write_text(SMALL + DIRECT)
    return Command(monkeypatch, capsys, tmp_path)


def check(hwsim: Command, model: str, machine: str, bandwidth: Fraction, *options: str) -> dict[str, Any]:
    """Run one image of a network on the RTL, and hold each layer to the time model's document; return the RTL's.

    A layer is over when its last byte has crossed the bus, the core when the buffer before the bus has it: see docs/time.md.
    """
    answer = hwsim("rtl", "run", model, "--accelerator", machine, "--images", "1", *options, "--json", "run.json")
    assert answer.code == 0, answer
    check_text(answer)
    timed = hwsim("time", model, "--accelerator", machine, "--json", "time.json")
    assert timed.code == 0, timed
    document, expected = (json.loads((hwsim.folder / name).read_text()) for name in ("run.json", "time.json"))
    layers = {layer["name"]: layer for layer in expected["layers"]}
    ran = [node for node in document["nodes"] if node["runs_on"] == "rtl"]
    assert {node["name"] for node in ran} == {name for name, layer in layers.items() if layer["macs"]}
    for node in ran:
        counters, layer = node["counters"], layers[node["name"]]
        assert {name: counters[name] for name in node["predicted"]} == node["predicted"]
        assert layer["cycles"] == max(counters["cycles"], math.ceil(layer["dram_bytes"]["total"] / bandwidth))
        assert counters["wait_weights"] + counters["wait_activations"] > 0
    return document


def check_text(answer: Answer) -> None:
    """Every counter stands beside its prediction, and is it."""
    *_, table = answer.out.partition("all layers")
    rows = [line.split() for line in table.splitlines() if line.endswith((" equal ", " differs "))]
    names = [" ".join(row[:-3]) for row in rows]
    assert names == [name.replace("_", " ") for name in vars(Counters())]
    assert all(measured == predicted and equal == "equal" for *_, measured, predicted, equal in rows), rows
    assert "waiting for a memory of " in answer.out and "beats by port" in answer.out


@needs_compiler
def test_layers_wait_for_the_memory_of_the_file(hwsim: Command) -> None:
    """digits_cnn with its own counters of every wait and beat, and with the cycles of `hwsim time` for the same file."""
    document = check(hwsim, "digits_cnn", "direct.toml", Fraction(5, 2))
    beats = dict.fromkeys(("weight_beats", "outlier_beats", "activation_beats", "result_beats"), 64)
    assert document["memory"] == {
        "latency_cycles": 20, "bytes_per_cycle": "5/2", "write_bytes_per_cycle": None, **beats,
    }  # fmt: skip
    free = hwsim("rtl", "run", "digits_cnn", "--accelerator", "direct.toml", "--images", "1", "--no-memory")
    assert free.code == 0, free
    assert "memory        none: streams never pause" in free.out
    assert "waiting for" not in free.out


@needs_compiler
def test_depthwise_layers_wait_for_the_memory_of_the_file(hwsim: Command) -> None:
    """digits_mobilenet: a channel of a depthwise layer is a job of its own, with one column of the array in use."""
    document = check(hwsim, "digits_mobilenet", "direct.toml", Fraction(5, 2))
    jobs = {node["name"]: node["jobs"] for node in document["nodes"] if node["kind"] == "depthwise_conv2d"}
    assert len(jobs) == 3 and min(jobs.values()) > 1


@needs_compiler
def test_a_wait_that_is_not_the_predicted_one_ends_with_1(hwsim: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    predict = hardware_network.predict

    def late(*job: int, entries: None, memory: StreamMemory) -> Counters:
        found = predict(*job, entries=entries, memory=memory)  # type: ignore[arg-type]
        return replace(found, wait_activations=found.wait_activations + 1)

    monkeypatch.setattr(hardware_network, "_predicted", late)
    answer = hwsim("rtl", "run", "digits_cnn", "--accelerator", "direct.toml", "--images", "1")
    assert answer.code == 1
    (row,) = [line for line in answer.out.splitlines() if line.startswith(" wait activations")]
    assert row.split()[-1] == "differs"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[memory]", "memory.direct must be true (a core has ports and no buffers; --no-memory: they never wait), not false"),
        ("[memory]\ndirect = true\nsram_bytes = 4096", "memory.sram_bytes must be left out at a core's ports, not 4096"),
        (
            "[memory]\ndirect = true\ndouble_buffered = false",
            "memory.double_buffered must be left out at a core's ports, not false",
        ),
        (
            "[memory]\ndirect = true\nburst_bytes = 64",
            "memory.burst_bytes must be left out, or 1, at a core's ports, whose beats cross one by one, not 64",
        ),
        ("[memory]\ndirect = true\nfusion = 'depth_first'", "memory.fusion must be none at a core's ports, not depth_first"),
        ("[memory]\ndirect = true\nprefetch_weights = true", "memory.prefetch_weights must be false at a core's ports, not true"),
        (
            "dram_bytes_per_cycle = 1e-5\n[memory]\ndirect = true",
            "dram_bytes_per_cycle must be near a ratio of integers up to 1000000 and 1000 at the core's ports, not 1e-05",
        ),
        (
            "dram_bytes_per_cycle = 98765.4321\n[memory]\ndirect = true",
            "dram_bytes_per_cycle must be near a ratio of integers up to 1000000 and 1000 at the core's ports, not 98765.4321",
        ),
        (
            "[memory]\ndirect = true\ndram_latency_cycles = -1",
            "dram_latency_cycles must be an integer from 0 to 1000000, not -1",
        ),
    ],
)  # fmt: skip
def test_what_ports_do_not_have_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_port_memory(str(path))
    assert str(error.value) == f"{path}: {message}"


def test_the_command_refuses_before_anything_is_built(hwsim: Command) -> None:
    (hwsim.folder / "buffers.toml").write_text(SMALL + "[memory]\nsram_bytes = 4096\n")
    run = ("rtl", "run", "digits_cnn", "--accelerator", "buffers.toml")
    assert hwsim.refused(*run).startswith("buffers.toml: memory.direct must be true ")
    wrong = ("--no-memory", "--memory-bytes-per-cycle", "8")
    assert hwsim.refused(*run, *wrong) == "--no-memory must be left out with --memory-bytes-per-cycle, not given"
    # The file has no depth of FIFOs: a memory of the options' is theirs as a whole.
    wrong = ("--memory-beats", "8")
    assert hwsim.refused(*run, *wrong) == "--memory-beats must be given with --memory-bytes-per-cycle, not alone"


def test_without_a_table_there_is_no_memory(tmp_path: Path) -> None:
    assert load_port_memory("micro-4x4") is None
    path = tmp_path / "none.toml"
    path.write_text("dram_bytes_per_cycle = 3.0\n")
    assert load_port_memory(str(path)) is None
    # Places enough for a beat in every cycle: the latency and one more.
    path.write_text("dram_bytes_per_cycle = 0.3\n[memory]\ndirect = true\ndram_latency_cycles = 100\nburst_bytes = 1")
    assert load_port_memory(str(path)) == StreamMemory(100, Fraction(3, 10), None, 101, 101, 101, 101)


@pytest.mark.slow  # a core of its own is compiled
@needs_compiler
def test_the_manual_shows_what_the_command_prints(hwsim: Command) -> None:
    text = (Path(__file__).parents[2] / "docs" / "rtl-networks.md").read_text("utf-8")
    (machine,) = re.findall(r'```toml title="ports.toml"\n(.*?)```', text, re.DOTALL)
    (hwsim.folder / "ports.toml").write_text(machine)
    (command, shown) = re.findall(r"\$ hwsim (rtl run digits_cnn --accelerator ports.*?)\n(.*?)```", text, re.DOTALL)[0]
    answer = hwsim(*command.split())
    assert answer.code == 0, answer
    _, *rows = [line.split() for line in shown.partition("all layers")[2].splitlines() if line]
    printed = [line.split() for line in answer.out.partition("all layers")[2].splitlines()]
    assert len(rows) == len(vars(Counters()))
    assert all(row in printed for row in rows)


@pytest.mark.slow  # an 8 x 8 core is compiled, and 12.5 M MACs run cycle by cycle
@needs_compiler
@pytest.mark.parametrize(("bandwidth", "latency"), [("6.0", "40"), ("1.25", "7")])
def test_every_layer_of_resnet8_waits_for_the_memory_of_the_file(
    hwsim: Command, data_root: Path, bandwidth: str, latency: str
) -> None:
    (hwsim.folder / "8x8.toml").write_text(EIGHT.format(bandwidth=bandwidth, latency=latency))
    model = str(data_root / "mlperf_tiny" / "resnet8_int8.tflite")
    document = check(hwsim, model, "8x8.toml", Fraction(bandwidth), "--data", "mlperf_tiny_ic")
    ran = [node for node in document["nodes"] if node["runs_on"] == "rtl"]
    assert len(ran) == 10
    assert sum(node["macs"] for node in ran) == 12_501_632


@pytest.mark.slow  # an 8 x 8 core is compiled; 41 M and 3 M MACs, of depthwise layers with an eighth of the array in use
@needs_compiler
@pytest.mark.usefixtures("data_root")
@pytest.mark.parametrize(("model", "depthwise"), [("cifar_resnet20", 0), ("cifar_mobilenet_v1_025", 13)])
def test_every_layer_of_a_bundled_network_waits_for_a_slow_memory(hwsim: Command, model: str, depthwise: int) -> None:
    """A byte and a half per cycle for three ports, each of which asks for eight."""
    (hwsim.folder / "8x8.toml").write_text(EIGHT.format(bandwidth=1.5, latency=30))
    document = check(hwsim, model, "8x8.toml", Fraction(3, 2))
    ran = [node for node in document["nodes"] if node["kind"] == "depthwise_conv2d"]
    assert len(ran) == depthwise
    # Each of its channels has a job.
    assert all(node["jobs"] >= 8 for node in ran)
