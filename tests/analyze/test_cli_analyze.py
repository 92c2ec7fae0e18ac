"""``hwsim analyze`` from end to end on bundled data, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli.command import Command
from hwsim.load import load_model
from hwsim.report.folder import check_folder
from hwsim.sim.analyze.document import AnalysisDocument

QUICK = ("--images", "6", "--calibration-images", "8")
NARROW = ("--acc", "16:wrap", "--chain", "8", "--psum", "15:saturate")


@pytest.fixture
def hwsim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """``hwsim`` in an empty folder, without downloaded data."""
    monkeypatch.delenv("HWSIM_DATA", raising=False)
    return Command(monkeypatch, capsys, tmp_path)


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return document


def test_the_table_the_document_and_the_figures(hwsim: Command) -> None:
    answer = hwsim("analyze", "digits_cnn", *QUICK, *NARROW, "--json", "a.json", "--report", "report")
    assert answer.code == 0, answer.err
    document = AnalysisDocument.model_validate_json((hwsim.folder / "a.json").read_text("utf-8"))
    assert [layer.name for layer in document.layers] == ["conv1_conv", "conv2_conv", "conv3_conv", "logits"]
    assert document.data is not None and document.data.n == 6
    for layer in document.layers:
        seen = layer.observed
        assert seen is not None
        assert seen.outputs == sum(seen.needed_bits.values()) == 6 * layer.outputs_per_image
        assert [register.name for register in layer.registers] == ["psum", "acc"]
        assert layer.acc.observed_bits == seen.worst_bits <= layer.acc.proven_bits <= layer.acc.any_order_bits
        assert max(layer.acc.channel_proven_bits) == layer.acc.proven_bits
        assert layer.events == sum(map(sum, seen.events_by_pixel.counts))
        for register in layer.registers:
            assert sum(register.positive_by_place) == register.positive
            assert sum(register.negative_by_place) == register.negative
        assert seen.cancelled == sum(seen.channel_cancelled) <= seen.struck == sum(seen.channel_struck)
        # A struck output had one event at least, or a bias that did not fit.
        assert (seen.first is None) == (layer.events == 0)
    assert document.total.events == sum(layer.events for layer in document.layers) > 0
    assert f"{document.total.events:,} events" in answer.out
    assert "certified     no overflow possible for any input in 0 of 4 layers" in answer.out
    folder = hwsim.folder / "report"
    figures = {path.name for path in (folder / "figures").iterdir()}
    names = ("accumulator_widths", "headroom", "headroom_channels", "overflow_places")
    assert figures == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    assert read(folder / "analysis.json") == read(hwsim.folder / "a.json")
    table = list(csv.DictReader(io.StringIO((folder / "layers.csv").read_text("utf-8"))))
    assert sum(int(row["positive"]) + int(row["negative"]) for row in table) == document.total.events
    page = (folder / "report.html").read_text("utf-8")
    for text in ("Proven width", "0 of 4", "conv3_conv", 'role="img"', f"{document.total.struck:,}"):
        assert text in page
    # Its own report may be replaced.
    check_folder(folder)


def test_events_are_those_of_a_run(hwsim: Command) -> None:
    hwsim("analyze", "digits_mobilenet", *QUICK, *NARROW, "--json", "a.json")
    hwsim("run", "digits_mobilenet", *QUICK, *NARROW, "--observe", "6", "--no-float", "--json", "r.json")
    analyzed, ran = read(hwsim.folder / "a.json"), read(hwsim.folder / "r.json")
    assert analyzed["total"]["events"] == ran["total"]["overflow_events"] > 0
    reductions = {layer["name"]: layer["reduction"] for layer in ran["layers"] if layer["reduction"] is not None}
    assert list(reductions) == [layer["name"] for layer in analyzed["layers"]]
    for layer in analyzed["layers"]:
        other = reductions[layer["name"]]
        acc = layer["registers"][-1]
        assert layer["observed"]["first"] == other["first"]
        assert acc["any_order_bits"] == other["proven_safe_bits"]
        assert acc["channel_observed_bits"] == other["channel_observed_safe_bits"]
        for register in layer["registers"]:
            assert {kind: register[kind] for kind in ("positive", "negative")} == other["overflow"][register["name"]]


def test_the_same_command_gives_the_same_bytes(hwsim: Command) -> None:
    texts = []
    for threads in ("1", "3"):
        hwsim(
            "analyze",
            "digits_cnn",
            *QUICK,
            *NARROW,
            "--threads",
            threads,
            "--json",
            "a.json",
            "--certificate",
            "c.json",
        )
        document = read(hwsim.folder / "a.json")
        document["provenance"].pop("command")
        texts.append((document, (hwsim.folder / "c.json").read_bytes()))
    assert texts[0] == texts[1]


def test_a_certificate_is_accepted_and_with_one_number_changed_refused_by_name(hwsim: Command) -> None:
    options = ("--calibration-images", "8", "--acc", "24:saturate")
    answer = hwsim(
        "analyze",
        "digits_cnn",
        *options,
        "--no-observe",
        "--certificate",
        "c.json",
        "--json",
        "a.json",
        "--report",
        "r",
    )
    assert answer.code == 0
    drawn = {path.stem for path in (hwsim.folder / "r" / "figures").iterdir()}
    assert drawn == {"accumulator_widths", "headroom_channels"}
    assert "No data was run." in (hwsim.folder / "r" / "report.html").read_text("utf-8")
    assert "observed      nothing: no data was run" in answer.out
    assert read(hwsim.folder / "a.json")["data"] is None
    answer = hwsim("analyze", "digits_cnn", *options, "--verify", "c.json")
    assert answer.code == 0
    assert answer.out.splitlines() == [
        "certificate accepted: every claim of 4 layers holds",
        "no overflow possible for any input in 4 of 4 layers",
    ]
    certificate = read(hwsim.folder / "c.json")
    certificate["layers"][2]["registers"][0]["high"]["value"] -= 1
    (hwsim.folder / "wrong.json").write_text(json.dumps(certificate), "utf-8")
    answer = hwsim("analyze", "digits_cnn", *options, "--verify", "wrong.json")
    assert answer.code == 1
    assert answer.err.startswith("hwsim: certificate refused: layer conv3_conv: acc.high is claimed to be value=")
    assert answer.err.count("\n") == 1
    # Another quantization is another network.
    answer = hwsim("analyze", "digits_cnn", *options, "--weight-bits", "6", "--verify", "c.json")
    assert answer.code == 1
    assert "layer conv1_conv: weight_bits is claimed to be 8 and is 6" in answer.err


def test_a_narrow_register_is_named_where_nothing_is_certified(hwsim: Command) -> None:
    options = ("--calibration-images", "8", *NARROW)
    hwsim("analyze", "digits_cnn", *options, "--no-observe", "--certificate", "c.json")
    answer = hwsim("analyze", "digits_cnn", *options, "--verify", "c.json")
    assert answer.code == 0
    assert "no overflow possible for any input in 0 of 4 layers" in answer.out
    psum, acc = (register["safe_bits"] for register in read(hwsim.folder / "c.json")["layers"][2]["registers"])
    assert psum > 15 and acc > 16
    assert f"not in conv3_conv: psum needs {psum} bits, acc needs {acc} bits" in answer.out


def test_a_float_model_of_the_users_needs_data(hwsim: Command) -> None:
    shutil.copy(load_model("digits_cnn").path, hwsim.folder / "mine.onnx")
    assert hwsim.refused("analyze", "mine.onnx").startswith("--data must be given where hwsim quantizes the model")


REFUSED = {
    "a register without its kind": (("--acc", "16"), "--acc must be BITS:wrap or BITS:saturate with BITS from 8 to 48"),
    "a partial sum without a chain": (("--psum", "16:wrap"), "psum must be given together with chain"),
    "a tree of one lane": (("--tree", "16:wrap"), "lanes must be at least 2 when tree is given"),
    "an accumulator that cannot hold the bias": (
        ("--acc", "8:saturate", "--no-observe"), "digits_cnn: node conv1_conv (conv2d): acc must hold the bias",
    ),
    "no images": (("--images", "0"), "images must be 1 or more, not 0"),
    "a certificate in a folder that is not there": (
        ("--certificate", "no/c.json"), "--certificate must be in a folder that can be written",
    ),
    "a report in the place of something else": (("--report", "full"), "report folder must be empty or an earlier"),
    "a check that should write": (
        ("--verify", "full/narrow", "--json", "a.json"), "--verify must be given without files to write, not with --json",
    ),
    "no certificate": (("--verify", "none.json"), "certificate must be a file that can be read, not none.json (No such"),
    "no JSON": (("--verify", "full/text"), "certificate full/text: it: Invalid JSON"),
    "another document": (("--verify", "full/other"), "certificate full/other: schema_version: Input should be 1"),
    "a width that no register has": (
        ("--verify", "full/narrow"), "certificate full/narrow: machine.acc.bits: Input should be greater than or equal to 8",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_options_are_one_line(options: tuple[str, ...], message: str, hwsim: Command) -> None:
    folder = hwsim.folder / "full"
    folder.mkdir()
    (folder / "text").write_text("{", "utf-8")
    machine = {
        "acc": {"bits": 7, "overflow": "wrap"}, "lanes": 1, "tree": None, "chain": None, "psum": None, "bias_at": "start",
        "zero_points": "subtract",
    }  # fmt: skip
    certificate = {
        "schema_version": 1, "kind": "hwsim accumulator certificate", "model": "m", "model_sha256": "", "machine": machine,
        "layers": [], "no_overflow": True,
    }  # fmt: skip
    (folder / "narrow").write_text(json.dumps(certificate), "utf-8")
    (folder / "other").write_text(json.dumps({**certificate, "schema_version": 2}), "utf-8")
    assert hwsim.refused("analyze", "digits_cnn", "--calibration-images", "8", *options).startswith(message)
