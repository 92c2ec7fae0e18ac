"""The report of `hwsim analyze` as a folder: page, document, table and figures, as that of a run has them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from hwsim.report.figures import ANALYSIS_FIGURES
from hwsim.report.folder import check_folder, write_folder
from hwsim.report.headline import Headline
from hwsim.report.page import page_environment, style_text
from hwsim.report.render import Drawing, figure_files, figures_on_page, render_all
from hwsim.report.text import grouped, percent, plural, shorten, si
from hwsim.sim.analyze.document import AnalysisDocument, AnalyzedLayer, RegisterWidths

_COLUMNS = ("layer", "register", "any order", "this order", "on the data", "spare", "events", "struck", "came back")


def write_headroom(document: AnalysisDocument, folder: Path) -> Path:
    """Write the report of an analysis and return the path of its page.

    The folder holds ``report.html``, ``analysis.json`` (the document), ``layers.csv`` and ``figures/*``; the same document
    gives the same bytes. A figure with nothing to draw is left out.

    Raises
    ------
    InputError
        As `hwsim.report.write.write_report`.
    """
    check_folder(folder)
    drawings = render_all(ANALYSIS_FIGURES, document)
    files = {
        "report.html": _page(document, drawings).encode(),
        "analysis.json": document.to_json().encode(),
        "layers.csv": registers_csv(document).encode(),
        **figure_files(drawings),
    }
    write_folder(folder, files)
    return folder / "report.html"


def _page(document: AnalysisDocument, drawings: list[Drawing]) -> str:
    return page_environment().get_template("analyze.html.j2").render(
        document=document,
        style=style_text(),
        headlines=_headlines(document),
        figures=figures_on_page(ANALYSIS_FIGURES, document, drawings),
        columns=_COLUMNS,
        rows=[_cells(layer, register) for layer in document.layers for register in layer.registers],
    )  # fmt: skip


def _headlines(document: AnalysisDocument) -> tuple[Headline, ...]:
    total = document.total
    some = [
        Headline(
            "Proven width", plural(total.proven_bits, "bit"),
            f"an accumulator for every input of every layer, in this order; {total.any_order_bits} in any order",
        ),
        Headline(
            "Certified layers", f"{total.proven_layers} of {total.layers}", "no overflow possible for any input",
            alarm=total.proven_layers < total.layers,
        ),
    ]  # fmt: skip
    if document.data is not None and total.observed_bits is not None:
        some += [
            Headline(
                "Observed width", plural(total.observed_bits, "bit"),
                f"held every running sum of {plural(document.data.n, 'image')}",
            ),
            Headline(
                "Overflow events", si(total.events),
                f"in {grouped(total.struck)} sums, {grouped(total.cancelled)} of them right in the end",
                alarm=total.events > 0,
            ),
        ]  # fmt: skip
    return tuple(some)


def _cells(layer: AnalyzedLayer, register: RegisterWidths) -> tuple[str, ...]:
    seen, is_acc = layer.observed, register is layer.acc
    observed = register.observed_bits
    return (
        f"{layer.index} {shorten(layer.name, 40)}",
        f"{register.name} {register.bits}",
        str(register.any_order_bits),
        str(register.proven_bits),
        "" if observed is None else str(observed),
        "" if observed is None else str(register.bits - observed),
        "" if seen is None else grouped(register.positive + register.negative),
        grouped(seen.struck) if seen is not None and is_acc else "",
        percent(seen.cancelled / seen.struck) if seen is not None and is_acc and seen.struck else "",
    )


def registers_csv(document: AnalysisDocument) -> str:
    """Return one line per layer and register, plain numbers, empty where a value does not exist."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        (
            "layer", "name", "op", "products", "channels", "register", "bits", "overflow", "any_order_bits", "proven_bits",
            "observed_bits", "low", "high", "positive", "negative", "outputs", "struck", "cancelled", "first_image",
            "first_pixel", "outliers", "dense_part_bits", "outliers_alone_bits", "outlier_events",
        )
    )  # fmt: skip
    for layer in document.layers:
        seen = layer.observed
        for register in layer.registers:
            first = seen.first if seen is not None and seen.first is not None else None
            events = (register.positive, register.negative) if seen is not None else (None, None)
            outputs = (
                (seen.outputs, seen.struck, seen.cancelled)
                if seen is not None and register is layer.acc
                else (None,) * 3
            )
            place = (
                (first.image, first.pixel)
                if first is not None and first.register_name == register.name
                else (None, None)
            )
            path = layer.outliers if register is layer.acc else None
            apart = (
                (None,) * 4
                if path is None
                else (path.entries, path.dense_bits, path.apart_bits, path.positive + path.negative if seen else None)
            )
            writer.writerow(
                (
                    layer.index, layer.name, layer.op, layer.products, layer.channels, register.name, register.bits,
                    register.overflow, register.any_order_bits, register.proven_bits, register.observed_bits,
                    register.low.value, register.high.value, *events, *outputs, *place, *apart,
                )
            )  # fmt: skip
    return out.getvalue()
