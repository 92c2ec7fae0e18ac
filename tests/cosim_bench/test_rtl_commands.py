"""``hwsim rtl emit``, ``hwsim rtl verify`` and ``hwsim vectors`` as a user calls them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.command import Command
from hwsim.cosim.sidecar import read_core
from hwsim.hardware import emit, simulators
from hwsim.sim.core_file import load_core
from hwsim.spec import Arithmetic, Core, Overflow, Reduction, Register

CONFIG = """name = "small-3x2"
rows = 3
cols = 2
[reduction]
acc = "16:saturate"
[core]
dataflow = "output_stationary"
"""


@pytest.fixture
def hwsim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    (tmp_path / "small.toml").write_text(CONFIG, "utf-8")
    return Command(monkeypatch, capsys, tmp_path)


def test_emit(hwsim: Command) -> None:
    answer = hwsim("rtl", "emit", "small.toml", "-o", "out")
    assert answer.code == 0, answer
    names = ["small_3x2.v", "small_3x2.json", "small_3x2.core", "small_3x2.md"]
    assert answer.out.splitlines() == [f"out/{name}" for name in names]
    assert read_core(hwsim.folder / "out" / names[1]) == load_core("small.toml")


def test_vectors(hwsim: Command) -> None:
    answer = hwsim("vectors", "small.toml", "-o", "out", "--cases", "3", "--seed", "5")
    assert answer.code == 0, answer
    assert "listed in out/manifest.json" in answer.out
    manifest = json.loads((hwsim.folder / "out" / "manifest.json").read_text("utf-8"))
    assert (manifest["seed"], len(manifest["cases"])) == (5, 3)


@pytest.mark.rtl
def test_verify(hwsim: Command) -> None:
    answer = hwsim(
        "rtl", "verify", "small.toml", "--jobs", "2", "--seed", "3", "--json", "found.json", "-o", "kept", "--waves"
    )
    assert answer.code == 0, answer
    assert "mismatched 0" in answer.out and "passed" in answer.out and "FAILED" not in answer.out
    found = json.loads((hwsim.folder / "found.json").read_text("utf-8"))
    assert found["passed"] and found["schema_version"] == 1 and found["seed"] == 3
    assert str(hwsim.folder) not in (hwsim.folder / "found.json").read_text("utf-8")
    kept = {path.name for path in (hwsim.folder / "kept").iterdir()}
    assert {"small_3x2.v", "results.xml", "test.log", "summary.json", "small_3x2.fst"} <= kept


@pytest.mark.rtl
def test_verify_says_what_is_wrong_and_how_to_see_it_again(hwsim: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    right = emit.GemmCore

    def wrong(core: Core) -> Any:
        reduction = Reduction(acc=Register(16, Overflow.WRAP))
        return right(Core(core.name, core.dataflow, core.rows, core.cols, arithmetic=Arithmetic(reduction)))

    monkeypatch.setattr(emit, "GemmCore", wrong)
    answer = hwsim("rtl", "verify", "small.toml", "--jobs", "2", "--json", "found.json")
    assert answer.code == 1, answer
    assert "mismatched 1" in answer.out and "FAILED" in answer.out
    first = next(line for line in answer.out.splitlines() if line.startswith("first"))
    for word in ("job ", "output tile ", "pixel ", "channel ", "expected ", "got "):
        assert word in first
    assert "hwsim rtl verify small.toml --simulator icarus --seed 1 --jobs 2 --waves -o FOLDER" in answer.out
    found = json.loads((hwsim.folder / "found.json").read_text("utf-8"))
    assert not found["passed"] and found["mismatched"] == 1


REFUSED: list[tuple[tuple[str, ...], str]] = [
    (("rtl", "emit", "nothing.toml", "-o", "out"), "accelerator must be .* not 'nothing.toml'"),
    (("rtl", "emit", "large.toml", "-o", "out"), r"large\.toml: rows must be an integer from 1 to 64, not 65"),
    (
        ("rtl", "emit", "small.toml", "-o", "small.toml"),
        "--output must be a folder that can be written, not small.toml",
    ),
    (("rtl", "verify", "nothing.toml"), "accelerator must be .* not 'nothing.toml'"),
    (("rtl", "verify", "small.toml", "--simulator", "xcelium"), "--simulator must be icarus or verilator, not xcelium"),
    (("rtl", "verify", "small.toml", "--waves"), "--output must be given with --waves, not left out"),
    (("rtl", "verify", "small.toml", "--json", "no/where.json"), "--json must be in a folder that can be written"),
    (("rtl", "verify", "small.toml", "--seed", "-1"), "--seed must be an integer from 0 to 4294967295, not -1"),
    (("rtl", "verify", "small.toml", "--jobs", "-1"), "--jobs must be an integer from 0 to 10000, not -1"),
    (("vectors", "nothing.toml", "-o", "out"), "accelerator must be .* not 'nothing.toml'"),
    (("vectors", "small.toml", "-o", "out", "--cases", "0"), "--cases must be an integer from 1 to 1000, not 0"),
    (
        ("vectors", "small.toml", "-o", "."),
        r"--output must be empty or hold earlier vectors, not \. \(it has large.toml\)",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "message"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_what_cannot_be_done_is_one_line(hwsim: Command, arguments: tuple[str, ...], message: str) -> None:
    (hwsim.folder / "large.toml").write_text("rows = 65\n", "utf-8")
    said = hwsim.refused(*arguments)
    assert re.match(message, said), said


@pytest.mark.parametrize(
    ("take_away", "arguments", "message"),
    [
        (lambda patch: without_module(patch, "amaranth"), ("emit", "small.toml", "-o", "out"),
         "amaranth must be installed for this command: pip install 'hwsim[rtl]'"),
        (lambda patch: without_module(patch, "cocotb"), ("verify", "small.toml"),
         "cocotb must be installed for this command: pip install 'hwsim[rtl]'"),
        (lambda patch: without_program(patch, "iverilog"), ("verify", "small.toml"),
         "Icarus Verilog must be installed for this command: apt install iverilog (or brew install icarus-verilog)"),
        (lambda patch: without_program(patch, "g++"), ("verify", "small.toml", "--simulator", "verilator"),
         "g++ must be installed for this command: apt install g++ make perl"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_its_remedy(
    hwsim: Command, monkeypatch: pytest.MonkeyPatch, take_away: Callable[[pytest.MonkeyPatch], None],
    arguments: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    take_away(monkeypatch)
    assert hwsim.refused("rtl", *arguments) == message


def without_module(patch: pytest.MonkeyPatch, name: str) -> None:
    found = simulators.importlib.util.find_spec
    patch.setattr(simulators.importlib.util, "find_spec", lambda module: None if module == name else found(module))


def without_program(patch: pytest.MonkeyPatch, name: str) -> None:
    """Take one program away; the others are there, whether or not this machine has them."""
    patch.setattr(shutil, "which", lambda program: None if program == name else f"/usr/bin/{program}")
