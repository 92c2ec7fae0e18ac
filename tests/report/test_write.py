"""The folder: the same bytes for the same document, replaced as a whole, and never somebody else's."""

from __future__ import annotations

import csv
import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure

from hwsim.report import write
from hwsim.report.figures import FIGURES
from hwsim.report.table import COLUMNS
from hwsim.report.write import write_report
from hwsim.sim.document import Layer, RunDocument
from hwsim.spec import InputError

_AGAIN = """
import sys
from pathlib import Path
from hwsim.report.write import write_report
from hwsim.sim.document import RunDocument
write_report(RunDocument.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
"""


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_page_document_table_and_figures(
    tmp_path: Path, make_document: Callable[..., RunDocument]
) -> None:
    document = make_document(5)
    page = write_report(document, tmp_path / "deep" / "report")
    assert page == tmp_path / "deep" / "report" / "report.html"
    contents = _contents(page.parent)
    figures = {f"figures/{spec.name}.{ending}" for spec in FIGURES for ending in ("svg", "png")}
    assert contents.keys() == {"report.html", "run.json", "layers.csv"} | figures
    assert RunDocument.model_validate_json(contents["run.json"]) == document
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report"]


def test_the_same_document_gives_the_same_bytes(tmp_path: Path, make_document: Callable[..., RunDocument]) -> None:
    first = _contents(write_report(make_document(5), tmp_path / "a").parent)
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False}):
        assert _contents(write_report(make_document(5), tmp_path / "b").parent) == first
        assert matplotlib.rcParams["font.size"] == 30
    subprocess.run(
        [sys.executable, "-c", _AGAIN, str(tmp_path / "a" / "run.json"), str(tmp_path / "c")], check=True, timeout=120
    )
    assert _contents(tmp_path / "c") == first


def test_an_earlier_report_is_replaced_as_a_whole(tmp_path: Path, make_document: Callable[..., RunDocument]) -> None:
    write_report(make_document(5), tmp_path / "report")
    write_report(make_document(3), tmp_path / "report")
    contents = _contents(tmp_path / "report")
    assert contents == _contents(write_report(make_document(3), tmp_path / "other").parent)
    assert "figures/overflow_events.svg" not in contents


@pytest.mark.parametrize("existing", [False, True])
def test_a_failure_leaves_everything_as_it_was(
    existing: bool, tmp_path: Path, make_document: Callable[..., RunDocument], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "FIGURES", FIGURES[:1])
    if existing:
        write_report(make_document(3), tmp_path / "report")
    before = _contents(tmp_path)

    def fail(document: RunDocument) -> Figure:
        raise RuntimeError(document.model.name)

    monkeypatch.setattr(write, "FIGURES", (*FIGURES[:1], dataclasses.replace(FIGURES[0], name="broken", draw=fail)))
    with pytest.raises(RuntimeError):
        write_report(make_document(5), tmp_path / "report")
    assert _contents(tmp_path) == before
    assert (tmp_path / "report").exists() == existing


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failing_rename_brings_the_earlier_report_back(
    failing: int, tmp_path: Path, make_document: Callable[..., RunDocument], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "FIGURES", FIGURES[:1])  # what is moved does not matter here
    write_report(make_document(3), tmp_path / "report")
    before = _contents(tmp_path)
    rename, calls = Path.rename, 0

    def rename_or_fail(path: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_or_fail)
    with pytest.raises(InputError, match=r"report folder must be writable, not .*report \(No space left on device\)"):
        write_report(make_document(5), tmp_path / "report")
    assert _contents(tmp_path) == before


@pytest.mark.parametrize("foreign", ["thesis.tex", "run.json", "figures/photo.jpg"])
def test_a_foreign_folder_is_refused(foreign: str, tmp_path: Path, make_document: Callable[..., RunDocument]) -> None:
    folder = tmp_path / "report"
    (folder / foreign).parent.mkdir(parents=True)
    (folder / foreign).write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"report folder must be empty or an earlier hwsim report, not .*report"):
        write_report(make_document(3), folder)
    assert _contents(tmp_path) == {f"report/{foreign}": b"{}"}


def test_a_file_of_the_user_in_an_earlier_report_protects_it(
    tmp_path: Path, make_document: Callable[..., RunDocument]
) -> None:
    write_report(make_document(3), tmp_path / "report")
    (tmp_path / "report" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="empty or an earlier hwsim report"):
        write_report(make_document(3), tmp_path / "report")


def test_an_empty_folder_is_used(tmp_path: Path, make_document: Callable[..., RunDocument]) -> None:
    assert write_report(make_document(3), tmp_path).exists()


def test_a_path_that_cannot_be_a_folder_is_one_line(tmp_path: Path, make_document: Callable[..., RunDocument]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError) as refused:
        write_report(make_document(3), tmp_path / "file" / "report")
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="empty or an earlier hwsim report"):
        write_report(make_document(3), tmp_path / "file")


def test_the_table_has_a_line_per_layer_and_plain_numbers(
    tmp_path: Path,
    make_document: Callable[..., RunDocument],
    make_layer: Callable[..., Layer],
    make_bare_layer: Callable[..., Layer],
) -> None:
    layers = (make_layer(4, name='a "quoted", name'), make_bare_layer())
    page = write_report(make_document(layers), tmp_path / "report")
    with (page.parent / "layers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["layer", *(column.name for column in COLUMNS)]
    assert rows[0]["name"] == 'a "quoted", name'
    assert rows[0]["macs"] == str(layers[0].macs)
    assert int(rows[0]["acc_overflow_events"]) == int(rows[0]["acc_overflow_positive"]) + int(
        rows[0]["acc_overflow_negative"]
    )
    assert rows[0]["accumulator_bits"] == "16"
    assert rows[1]["layer"] == "2"
    assert rows[1]["sqnr_db"] == rows[1]["psum_overflow_events"] == ""
