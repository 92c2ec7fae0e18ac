"""The report as a folder of files."""

from __future__ import annotations

from pathlib import Path

from hwsim.report.figures import FIGURES
from hwsim.report.folder import check_folder, write_folder
from hwsim.report.page import render_page
from hwsim.report.render import figure_files, render_all
from hwsim.report.table import layers_csv
from hwsim.sim.document import RunDocument


def write_report(document: RunDocument, folder: Path) -> Path:
    """Write the report of a run and return the path of its page.

    The folder holds ``report.html`` (one file that works offline), ``run.json`` (the document),
    ``layers.csv`` (the per-layer table in plain numbers) and ``figures/*.svg`` and ``.png``. The
    same document gives the same bytes. Nothing is left behind on any failure.

    Parameters
    ----------
    document
        What a run found out.
    folder
        Where to write. An earlier report there is replaced as a whole.

    Raises
    ------
    InputError
        If `folder` holds anything else than an earlier report, or cannot be written.
    """
    check_folder(folder)
    drawings = render_all(FIGURES, document)
    files = {
        "report.html": render_page(document, drawings).encode(),
        "run.json": document.to_json().encode(),
        "layers.csv": layers_csv(document).encode(),
        **figure_files(drawings),
    }
    write_folder(folder, files)
    return folder / "report.html"
