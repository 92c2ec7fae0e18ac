"""The report of a sweep as a folder: one page that works offline, its figures, its rows, and a machine file for each best."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from hwsim.report.folder import check_folder, write_folder
from hwsim.report.headline import Headline
from hwsim.report.page import page_environment, style_text
from hwsim.report.render import Drawing, figure_files, figures_on_page, render_all
from hwsim.report.sweep_compare import Comparison, compare
from hwsim.report.sweep_figures import SWEEP_FIGURES
from hwsim.report.sweep_lessons import lessons
from hwsim.report.sweep_results import ACCURACY, Row, SweepResults
from hwsim.report.sweep_words import configuration_text, metric_name, value_text
from hwsim.report.text import grouped

ALWAYS = ("dram_bytes", "cycles", "utilization", "dram_bytes_per_second")
"""Metrics of the table beside the objectives and constraints."""

_PARTS = re.compile(r"energy_.*_(macs|sram|dram)$|dram_(biases|scales)_bytes$")
"""Columns that ``rows.csv`` leaves out, as totals stand for them; the store has them."""

COLOURS = 96
"""Of a figure's PNG."""

DIGITS = 8
"""Of numbers in ``rows.csv``; the store has all of them."""


@dataclass(frozen=True)
class Reproduction:
    """A machine file, and the commands that give a row's figures again with it beside the page."""

    machine: str
    commands: tuple[str, ...]


Reproduce = Callable[[Row, str], Reproduction]
"""Told a row and the path of its machine file as a command beside the page would name it."""


@dataclass(frozen=True)
class Column:
    """A column of the table: its heading, whether it holds numbers, and its cells by row."""

    header: str
    numeric: bool
    cells: dict[str, tuple[str, str | None]]
    """Text, and the number that it stands for where it is not the text itself (but for the commas)."""


def write_sweep_report(
    results: SweepResults, folder: Path, reproduce: Reproduce, before: SweepResults | None = None
) -> Path:
    """Write the report of a sweep and return the path of its page.

    The folder holds ``report.html``, ``sweep.json`` (what was asked, the lessons, columns that are the same in all rows),
    ``rows.csv`` (the others), ``figures/*`` and ``machines/*.toml``; the same results give the same bytes.

    Parameters
    ----------
    results
        The sweep.
    folder
        Where to write; an earlier report there is replaced as a whole.
    reproduce
        Makes machine files and commands.
    before
        Another sweep to compare with.

    Raises
    ------
    InputError
        As `hwsim.report.write.write_report`.
    """
    check_folder(folder)
    drawings = [replace(drawing, png=_small(drawing.png)) for drawing in render_all(SWEEP_FIGURES, results)]
    made = [reproduce(best.row, f"machines/{best.row['key'][:12]}.toml") for best in results.best]
    comparison = None if before is None else compare(before, results)
    files = {
        "report.html": _page(results, drawings, made, comparison).encode(),
        "sweep.json": _document(results).encode(),
        "rows.csv": _rows_csv(results).encode(),
        **figure_files(drawings),
    }
    for best, reproduction in zip(results.best, made, strict=True):
        files[f"machines/{best.row['key'][:12]}.toml"] = reproduction.machine.encode()
    write_folder(folder, files)
    return folder / "report.html"


def _page(
    results: SweepResults, drawings: list[Drawing], made: Sequence[Reproduction], comparison: Comparison | None
) -> str:
    ordered = sorted(results.rows, key=lambda row: (_rank(results, row), row["model"], row["cycles"] or 0, row["key"]))
    return page_environment().get_template("sweep.html.j2").render(
        results=results,
        style=style_text() + _text("sweep.css"),
        script=_text("sweep.js"),
        headlines=_headlines(results),
        lessons=lessons(results),
        figures=figures_on_page(SWEEP_FIGURES, results, drawings),
        best=[
            (number, best, configuration_text(best.row, results.varied), _figures(results, best.row), reproduction.commands)
            for number, (best, reproduction) in enumerate(zip(results.best, made, strict=True), 1)
        ],
        columns=_columns(results),
        rows=[(row, row["key"] in results.on_front) for row in ordered],
        comparison=comparison,
        failures=_failures(results),
        versions=sorted({str(row["hwsim_version"]) for row in results.rows}),
        models=_models(results),
        space=json.dumps(results.space, indent=1),
    )  # fmt: skip


def _rank(results: SweepResults, row: Row) -> int:
    """Return the place of a row's kind: the front, what meets the constraints, the finished, the rest."""
    feasible = row["status"] == "ok" and all(limit.holds(row[name]) for name, limit in results.constraints.items())
    return 0 if row["key"] in results.on_front else 1 if feasible else 2 if row["status"] == "ok" else 3


def _headlines(results: SweepResults) -> list[Headline]:
    statuses = Counter(str(row["status"]) for row in results.rows)
    kinds = ", ".join(f"{grouped(n)} {status}" for status, n in sorted(statuses.items()))
    executed = {(row["model_sha256"], row["correct"], row["overflow_events"], *_value_settings(row))
                for row in results.rows if row["n"]}  # fmt: skip
    images = sorted({row["n"] for row in results.rows if row["n"]})
    seen = (
        f"distinct networks and arithmetics, on {' or '.join(map(grouped, images))} images each"
        if images
        else "times only"
    )
    met = f"of {grouped(len(results.feasible))} that meet the constraints"
    found = [
        Headline("Points", grouped(len(results.rows)), kinds),
        Headline("Executions", grouped(len(executed)), seen),
        Headline("On the front", grouped(len(results.on_front)), met),
    ]
    accurate = [row for row in results.feasible if row[ACCURACY] is not None]
    if accurate:
        top = max(accurate, key=lambda row: (row[ACCURACY], row["key"]))
        interval = f"95 % interval {100 * top['top1_low']:.1f} to {100 * top['top1_high']:.1f} %"
        found.append(Headline("Best accuracy", value_text(ACCURACY, top[ACCURACY]), f"{top['model']}, {interval}"))
    return found


def _value_settings(row: Row) -> tuple[str, ...]:
    names = (
        "weight_bits",
        "activation_bits",
        "acc",
        "psum",
        "tree",
        "lanes",
        "chain",
        "bias_at",
        "zero_points",
        "requantize",
    )
    return tuple(str(row.get(name)) for name in names)


def _figures(results: SweepResults, row: Row) -> list[tuple[str, str]]:
    names = dict.fromkeys((*results.goals([row]), *results.constraints, *ALWAYS))
    found = [(metric_name(name), value_text(name, row[name])) for name in names if row[name] is not None]
    if row[ACCURACY] is not None and ACCURACY in names:
        interval = f"{100 * row['top1_low']:.2f} to {100 * row['top1_high']:.2f} %, {grouped(row['n'])} images"
        found.insert(1, ("95 % interval", interval))
    return found


def _columns(results: SweepResults) -> list[Column]:
    names = [name for name in results.varied if name != "model"]
    metrics = dict.fromkeys((*results.objectives, *results.constraints, *ALWAYS))
    if any(row["overflow_events"] for row in results.rows):
        metrics["overflow_events"] = None
    found = []
    for name in (*names, *metrics):
        cells = {row["key"]: _cell(name, row[name]) for row in results.rows}
        numeric = all(row[name] is None or isinstance(row[name], int | float) for row in results.rows)
        found.append(Column(metric_name(name), numeric, cells))
    return found


def _models(results: SweepResults) -> list[tuple[str, ...]]:
    """Return model, hash, data and hash, each once."""
    names = ("model", "model_sha256", "data", "data_sha256")
    return sorted({tuple(row[name] for name in names) for row in results.rows}, key=str)


def _failures(results: SweepResults) -> list[tuple[int, str]]:
    reasons = Counter(str(row["reason"]) for row in results.rows if row["status"] in ("failed", "crashed"))
    return [(count, reason) for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))][:20]


def _document(results: SweepResults) -> str:
    document = {
        "schema_version": 1,
        "generator": "hwsim report",
        "name": results.name,
        "accelerator": results.space.get("accelerator"),
        "points": len(results.rows),
        "same_in_all_rows": {name: value for name, value in _constants(results).items() if value is not None},
        "lessons": lessons(results),
        "best": [{"key": best.row["key"], "why": best.why} for best in results.best],
        "front": sorted(results.on_front),
        "space": results.space,
        "provenance": {
            "versions": {"hwsim": sorted({str(row["hwsim_version"]) for row in results.rows})},
            "models": [
                dict(zip(("model", "sha256", "data", "data_sha256"), some, strict=True)) for some in _models(results)
            ],
        },
    }
    return json.dumps(document, indent=1) + "\n"


def _small(png: bytes) -> bytes:
    """Return a picture in a palette: drawings of lines and marks look the same in a third of the bytes."""
    stream = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(stream, "png", optimize=True)
    return stream.getvalue()


def _cell(name: str, value: object) -> tuple[str, str | None]:
    text = value_text(name, value)
    if not isinstance(value, int | float):
        return text, None
    exact = f"{value:.{DIGITS}g}"
    return text, None if text.replace(",", "") == exact else exact


def _rows_csv(results: SweepResults) -> str:
    """Return the columns in which rows differ; `_document` has the others, and the hashes of models and data."""
    stream = io.StringIO()
    apart = {*_constants(results), "model_sha256", "data_sha256", "model_path"}
    names = [name for name in (results.rows[0] if results.rows else ()) if name not in apart and not _PARTS.match(name)]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in results.rows:
        writer.writerow([f"{row[n]:.{DIGITS}g}" if isinstance(row[n], float) else row[n] for n in names])
    return stream.getvalue()


def _constants(results: SweepResults) -> dict[str, object]:
    """Return the columns that are the same in all rows."""
    first = results.rows[0] if results.rows else {}
    return {name: value for name, value in first.items() if all(row[name] == value for row in results.rows)}


def _text(name: str) -> Markup:
    # Safe: our own files, written for style and script elements.
    return Markup(resources.files("hwsim.report").joinpath("templates", name).read_text(encoding="utf-8"))
