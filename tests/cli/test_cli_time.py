"""``hwsim time``: its document, its report, its options, and what it refuses."""

from __future__ import annotations

import csv
import io
import json

import pytest

from cli.command import Command, snapshot
from hwsim.sim.document import TimeDocument

REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "no rows": (("--rows", "0"), "rows must be an integer from 1 to 4096, not 0"),
    "no buffer": (("--sram", "0"), "sram_bytes must be an integer from 1 to 2**40, not 0"),
    "a buffer without room": (("--sram", "50"), "buffers must hold a tile of conv1_conv: sram_bytes at least "),
    "no bandwidth": (("--dram", "0"), "dram_bytes_per_cycle must be positive and at most 1e6, not 0.0"),
    "a negative latency": (("--latency", "-1"), "dram_latency_cycles must be an integer from 0 to 1000000, not -1"),
    "one bit": (("--weight-bits", "1"), "weight_bits must be an integer from 2 to 16, not 1"),
    "no frames": (("--fps", "0"), "frames per second must be positive and below 1e9, not 0.0"),
    "no folder": (("--json", "none/time.json"), "--json must be in a folder that can be written"),
    "an unknown code": (("--compress", "zip"), "--compress must be one of bitmask, "),
    "a code of weights that are not there": (
        ("--compress", "huffman"),
        "compression must be left out where formats are not the model's own, not given",
    ),
    "values that are not there": (
        ("--compress-activations", "bitmask"),
        "--compress-activations must be left out, as no tensor value is looked at here (hwsim run measures them), not bitmask",
    ),
    "no tiles": (("--tiles", "none.toml"), "none.toml: not a readable TOML file: No such file or directory"),
    "no folder for tiles": (
        ("--write-tiles", "none/tiles.toml"),
        "--write-tiles must be in a folder that can be written",
    ),
    "too many repeats": (("--repeat", "10001"), "repeat must be from 0 to 10000, not 10001"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_impossible_options_are_refused_in_one_line(options: tuple[str, ...], message: str, hwsim: Command) -> None:
    assert hwsim.refused("time", "digits_cnn", *options).startswith(message)


def test_the_document_and_the_report_are_the_same_every_time(hwsim: Command) -> None:
    answer = hwsim("time", "digits_cnn", "--json", "time.json", "--report", "report")
    assert (answer.code, answer.err) == (0, "")
    before = snapshot(hwsim.folder)
    assert hwsim("time", "digits_cnn", "--json", "time.json", "--report", "report").code == 0
    assert snapshot(hwsim.folder) == before
    # The report of the document is that of the command; it replaces it, and nothing of the user's.
    assert hwsim("report", "time.json", "-o", "report").code == 0
    assert snapshot(hwsim.folder) == before
    (hwsim.folder / "home").mkdir()
    (hwsim.folder / "home" / "thesis.tex").write_text("mine")
    assert hwsim.refused("time", "digits_cnn", "--report", "home").startswith(
        "report folder must be empty or an earlier"
    )
    text = (hwsim.folder / "time.json").read_text()
    document = TimeDocument.model_validate_json(text)
    assert (hwsim.folder / "report" / "time.json").read_text() == text
    assert (document.schema_version, document.model.name, document.total.macs) == (2, "digits_cnn", 452_864)
    assert {path.stem for path in (hwsim.folder / "report" / "figures").iterdir()} == {
        "traffic", "cycles", "timeline", "roofline",
    }  # fmt: skip
    page = (hwsim.folder / "report" / "report.html").read_text()
    assert "digits_cnn" in page and page.count("<svg") == 4 and "<script" not in page
    rows = list(csv.DictReader(io.StringIO((hwsim.folder / "report" / "layers.csv").read_text())))
    assert [int(row["cycles"]) for row in rows] == [layer.cycles for layer in document.layers]
    assert rows[0]["tile"] == "8x8x16"


def test_written_tiles_are_given_back(hwsim: Command) -> None:
    """The same document but for the command that it names; an edited tile is another."""
    assert hwsim("time", "digits_cnn", "--sram", "4000", "--write-tiles", "tiles.toml", "--json", "a.json").code == 0
    assert hwsim("time", "digits_cnn", "--sram", "4000", "--tiles", "tiles.toml", "--json", "b.json").code == 0
    before, after = (json.loads((hwsim.folder / name).read_text()) for name in ("a.json", "b.json"))
    assert before.pop("provenance")["command"] != after.pop("provenance")["command"]
    assert before == after
    text = (hwsim.folder / "tiles.toml").read_text()
    (hwsim.folder / "tiles.toml").write_text(text.replace('output = "chip"', 'output = "DRAM"', 1))
    answer = hwsim("time", "digits_cnn", "--sram", "4000", "--tiles", "tiles.toml")
    assert answer.code == 0 and "Tiles are given: layers that differ" in answer.out
    (hwsim.folder / "tiles.toml").write_text(text.replace("conv1_conv", "conv9"))
    message = hwsim.refused("time", "digits_cnn", "--tiles", "tiles.toml")
    assert message == "tiles.toml: layers.conv9 must be a layer of the network, not 'conv9'"


def test_options_change_the_machine(hwsim: Command) -> None:
    def total(*options: str) -> dict[str, object]:
        assert hwsim("time", "digits_cnn", "--json", "time.json", *options).code == 0
        document = json.loads((hwsim.folder / "time.json").read_text())
        assert all(document[part] for part in ("accelerator", "layers", "time_model"))
        machine = document["accelerator"]
        return document["total"] | {
            key: machine[key] for key in ("rows", "cols", "dataflow", "multipliers", "not_built")
        }

    base = total()
    assert (base["rows"], base["dataflow"], base["not_built"]) == (16, "weight_stationary", "")
    wide = total("--rows", "70", "--cols", "9", "--lanes", "2")
    assert (wide["rows"], wide["cols"], wide["multipliers"]) == (70, 9, 1260)
    assert wide["not_built"] == "rows must be an integer from 1 to 64, not 70"
    turned = total("--dataflow", "input_stationary")
    assert turned["dataflow"] == "input_stationary" and "transposed" in str(turned["not_built"])
    assert total("--dram", "1")["cycles"] > base["cycles"] > total("--latency", "0")["cycles"]  # type: ignore[operator]
    assert total("--sram", "3000")["dram_bytes"]["total"] > base["dram_bytes"]["total"]  # type: ignore[index]
    direct = total("--direct")
    assert direct["dram_bytes"]["total"] > 2 * base["dram_bytes"]["total"]  # type: ignore[index]
    assert total("--weight-bits", "4")["dram_bytes"]["weights"] < base["dram_bytes"]["weights"]  # type: ignore[index]


def test_the_speed_is_measured_and_said(hwsim: Command) -> None:
    answer = hwsim("time", "digits_cnn", "--repeat", "3")
    assert answer.code == 0
    assert "s of one core per machine, tile search included (median of 3 other ones)" in answer.out
