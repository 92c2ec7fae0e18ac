"""The report of `hwsim time` as a folder: page, document, table and figures, as that of a run has them."""

from __future__ import annotations

from pathlib import Path

from hwsim.report.figures import TIME_FIGURES
from hwsim.report.folder import check_folder, write_folder
from hwsim.report.headline import time_headlines
from hwsim.report.measures import numbered_times
from hwsim.report.page import energy_rows, page_environment, style_text, traffic_rows
from hwsim.report.render import Drawing, figure_files, figures_on_page, render_all
from hwsim.report.summary import time_summary
from hwsim.report.table import TIME_COLUMNS, shown_columns, times_csv
from hwsim.sim.document import TimeDocument


def write_time_report(document: TimeDocument, folder: Path) -> Path:
    """Write the report of times and return the path of its page.

    The folder holds ``report.html``, ``time.json`` (the document), ``layers.csv`` and ``figures/*``; the same document gives
    the same bytes.

    Raises
    ------
    InputError
        As `hwsim.report.write.write_report`.
    """
    check_folder(folder)
    drawings = render_all(TIME_FIGURES, document)
    files = {
        "report.html": _page(document, drawings).encode(),
        "time.json": document.to_json().encode(),
        "layers.csv": times_csv(document).encode(),
        **figure_files(drawings),
    }
    write_folder(folder, files)
    return folder / "report.html"


def _page(document: TimeDocument, drawings: list[Drawing]) -> str:
    return page_environment().get_template("time.html.j2").render(
        document=document,
        style=style_text(),
        headlines=time_headlines(document),
        summary=time_summary(document),
        figures=figures_on_page(TIME_FIGURES, document, drawings),
        operands=traffic_rows(document),
        energies=energy_rows(document),
        columns=shown_columns(TIME_COLUMNS, document.layers),
        layers=numbered_times(document),
    )  # fmt: skip
