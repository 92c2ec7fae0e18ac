"""The report of `hwsim narrow` as a folder: document, table, figure, and the registers by layer that its commands read."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from hwsim.report.figures import NARROW_FIGURES
from hwsim.report.folder import write_folder
from hwsim.report.render import figure_files, render_all
from hwsim.report.wilson import wilson
from hwsim.sim.narrow.document import NarrowDocument

COLUMNS = (
    "order", "overflow", "permitted", "bits", "mean_bits", "least_bits", "correct", "images", "top1", "top1_low", "top1_high",
    "events", "changed", "command",
)  # fmt: skip


def write_narrow(document: NarrowDocument, registers: Mapping[str, str], folder: Path) -> None:
    """Write ``narrow.json``, ``rows.csv``, ``figures/*`` and ``registers/*.toml``; the same document gives the same bytes.

    Raises
    ------
    InputError
        As `hwsim.report.write.write_report`.
    """
    files = {"narrow.json": document.to_json().encode(), "rows.csv": rows_csv(document).encode()}
    files |= {f"registers/{name}": text.encode() for name, text in registers.items()}
    write_folder(folder, files | figure_files(render_all(NARROW_FIGURES, document)))


def rows_csv(document: NarrowDocument) -> str:
    """Return one line per row, plain numbers; `bits` is empty where each layer has its own."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in document.rows:
        low, high = wilson(row.correct, document.data.n)
        writer.writerow(
            (
                row.order, row.overflow, row.permitted, row.bits, f"{row.mean_bits:.4f}",
                min(layer.bits for layer in row.layers), row.correct, document.data.n, row.top1, f"{low:.6f}", f"{high:.6f}",
                row.events, row.changed, row.command,
            )
        )  # fmt: skip
    return out.getvalue()
