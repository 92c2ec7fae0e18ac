"""The report of a sweep: its front, its words, its commands, its bytes."""

from __future__ import annotations

import itertools
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sweeping import SMALL
from typer.testing import CliRunner

from hwsim.cli.main import app
from hwsim.cli.sweep_report import open_results
from hwsim.report.sweep_compare import compare
from hwsim.report.sweep_lessons import lessons
from hwsim.report.sweep_results import Limit, SweepResults, front
from hwsim.spec import InputError
from hwsim.sweep.api import read_space, sweep_rows
from hwsim.sweep.columns import table_types
from hwsim.sweep.reproduce import commands, machine_toml, plain
from hwsim.sweep.store import Store


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results, and their report."""
    folder = tmp_path_factory.mktemp("reported")
    sweep_rows(read_space(SMALL), folder / "results", workers=0)
    done = CliRunner().invoke(app, ["report", str(folder / "results"), "-o", str(folder / "report")])
    assert done.exit_code == 0, done.output
    return folder / "results", folder / "report"


def test_the_page_stands_by_itself(folders: tuple[Path, Path]) -> None:
    page = (folders[1] / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page
    assert "src=" not in page
    assert page.count("<tr class=") + page.count('<tr><th scope="row">') >= 48
    names = sorted(path.relative_to(folders[1]).as_posix() for path in folders[1].rglob("*") if path.is_file())
    assert {"report.html", "rows.csv", "sweep.json", "figures/front.svg", "figures/front.png"} <= set(names)


def test_the_same_results_give_the_same_bytes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(folders[0]), "-o", str(tmp_path / "again")])
    assert done.exit_code == 0
    for path in folders[1].rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folders[1])).read_bytes(), path.name


def test_the_commands_give_the_figures_again(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of the most accurate configuration is run from the folder of the page, as a reader would."""
    results = open_results(folders[0], "RESULTS")
    best = results.best[0]
    page = (folders[1] / "report.html").read_text()
    line = next(line for line in page.splitlines() if "hwsim run digits_cnn" in line).split("<pre>")[-1]
    monkeypatch.chdir(folders[1])
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*shlex.split(line)[1:], "--observe", "1"])
    assert done.exit_code == 0, done.output
    out = done.output
    assert f"({best.row['correct']} of {best.row['n']})" in out
    assert f"{best.row['cycles']:,} cycles" in out


@pytest.mark.parametrize("converted", [False, True])
def test_rows_of_a_frame_reproduce_as_those_of_the_store(folders: tuple[Path, Path], converted: bool) -> None:
    """A frame makes floats with NaN of integers with gaps, and NA and NumPy's scalars of everything where types are converted."""
    rows = Store(folders[0]).read("rows")
    frame = pd.DataFrame(rows, columns=list(table_types("rows")))
    frame = frame.convert_dtypes() if converted else frame
    for row, (_, line), record in zip(rows, frame.iterrows(), frame.to_dict("records"), strict=True):
        for given in (line, record):
            assert plain(given) == {name: row[name] for name in table_types("rows")}
            assert machine_toml(given) == machine_toml(row)
            assert commands(given, "machine.toml") == commands(row, "machine.toml")


def brute_force_front(rows: list[dict[str, Any]], goals: dict[str, str]) -> set[str]:
    """The definition: no other row is as good in all goals and better in one."""

    def as_good(a: dict[str, Any], b: dict[str, Any], name: str) -> bool:
        return bool(a[name] >= b[name] if goals[name] == "max" else a[name] <= b[name])

    def beats(a: dict[str, Any], b: dict[str, Any]) -> bool:
        return all(as_good(a, b, n) for n in goals) and any(a[n] != b[n] for n in goals)

    return {row["key"] for row in rows if not any(beats(other, row) for other in rows)}


def test_the_front_is_that_of_its_definition() -> None:
    rows = [
        {"key": f"{a}{b}{c}", "top1": (a * 7 + b * c) % 5, "cycles": (b * 5 + a) % 7, "bytes": (c * 3 + a * b) % 4}
        for a, b, c in itertools.product(range(5), repeat=3)
    ]
    goals = {"top1": "max", "cycles": "min", "bytes": "min"}
    found = front(rows, goals)
    wanted = brute_force_front(rows, goals)
    # Of rows with equal figures the first stands for all.
    figures = {tuple(row[name] for name in goals) for row in rows if row["key"] in wanted}
    assert {row["key"] for row in found} <= wanted
    assert sorted(tuple(row[name] for name in goals) for row in found) == sorted(figures)


def results_of(rows: list[dict[str, Any]], **fields: Any) -> SweepResults:
    columns = {
        "status": "ok", "reason": None, "model": "net", "data": None, "rows": 8, "cols": 8, "top1": None, "cycles": 100,
        "dram_bytes": 10, "bound_bytes": 5, "dram_weights_bytes": 4, "dram_biases_bytes": 1, "dram_scales_bytes": 0,
        "stall_cycles": 50, "acc": "32:wrap", "weight_bits": None, "activation_bits": None,
    }  # fmt: skip
    full = tuple({"key": str(number), **columns, **row} for number, row in enumerate(rows))
    given: dict[str, Any] = {
        "name": "test", "rows": full, "parameters": ("rows", "cols"), "objectives": {"cycles": "min", "dram_bytes": "min"},
        "constraints": {}, "space": {}, **fields,
    }  # fmt: skip
    return SweepResults(**given)


def test_effects_compare_points_that_differ_in_one_parameter() -> None:
    """Twice the rows are 2 and 4 times faster: the median of two is 3; columns change nothing at 8 rows, and 2 times at 16."""
    found = results_of(
        [
            {"rows": 8, "cols": 8, "cycles": 400}, {"rows": 16, "cols": 8, "cycles": 200},
            {"rows": 8, "cols": 16, "cycles": 400}, {"rows": 16, "cols": 16, "cycles": 100},
        ]
    )  # fmt: skip
    effects = {e.parameter: e for e in found.effects if e.metric == "cycles"}
    assert (effects["rows"].typical, effects["rows"].largest, effects["rows"].comparisons) == (3.0, 4.0, 2)
    assert (effects["cols"].typical, effects["cols"].largest) == (1.5, 2.0)
    assert "depends most on rows (a factor of 3.00 in the median, 4.00 at most" in " ".join(lessons(found))


def test_constraints_leave_out_of_the_front() -> None:
    found = results_of(
        [{"rows": 8, "cycles": 100}, {"rows": 16, "cycles": 50}], constraints={"cycles": Limit(60, None)}
    )  # fmt: skip
    assert [row["cycles"] for row in found.feasible] == [100]
    assert found.on_front == {"0"}


def test_two_sweeps_side_by_side() -> None:
    before = results_of([{"rows": 8, "cycles": 100}, {"rows": 16, "cycles": 50}])
    after = results_of([{"rows": 8, "cycles": 100}, {"rows": 16, "cycles": 40}, {"rows": 32, "cycles": 30}])
    found = compare(before, after)
    assert found.sentences[0] == "2 configurations in both, 0 in test only, 1 in test only."
    assert found.sentences[1] == "Of those in both, 1 have the same figures to the last digit, 1 have not."
    assert [(change.metric, change.before, change.after) for change in found.changes] == [
        ("cycles per image", "50", "40")
    ]


def test_a_comparison_on_the_page(folders: tuple[Path, Path], tmp_path: Path) -> None:
    other = {**SMALL, "name": "other", "images": 60}
    sweep_rows(read_space(other), tmp_path / "other", workers=0)
    command = ["report", str(folders[0]), "-o", str(tmp_path / "report"), "--compare", str(tmp_path / "other")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "Against other" in (tmp_path / "report" / "report.html").read_text()


def test_what_is_no_sweep_is_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(tmp_path), "-o", str(tmp_path / "report")])
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == f"RESULTS must be a folder of hwsim sweep, not {tmp_path}"


@pytest.mark.slow  # starts a browser
def test_a_browser_sorts_and_filters_the_table(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Chromium runs the page's script: after a press on "cycles" rows rise by cycles, and the filter leaves the front."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("Chromium is not installed: apt install chromium")
    page = (folders[1] / "report.html").read_text()
    probe = """<script>
      const heads = [...document.querySelectorAll("#points thead th")];
      const at = heads.findIndex((head) => head.textContent === "cycles per image");
      heads[at].querySelector("button").click();
      const seen = () => [...document.querySelectorAll("#points tbody tr")].filter((row) => !row.hidden);
      const cycles = seen().map((row) => row.cells[at].textContent.replaceAll(",", "")).filter((v) => v !== "").map(Number);
      document.getElementById("front-only").click();
      document.title = JSON.stringify([cycles.length, cycles.every((v, i) => !i || cycles[i - 1] <= v), seen().length,
        seen().every((row) => row.classList.contains("front")), document.documentElement.scrollWidth <= innerWidth]);
    </script></body>"""
    (tmp_path / "probe.html").write_text(page.replace("</body>", probe))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=400,800", "--dump-dom"]
    done = subprocess.run(
        [*command, (tmp_path / "probe.html").as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    results = open_results(folders[0], "RESULTS")
    timed = sum(row["cycles"] is not None for row in results.rows)
    assert f"<title>[{timed},true,{len(results.on_front)},true,true]</title>" in done.stdout
