"""The report of `hwsim quantize --analyze` as a folder: page, document, table and figures, as that of a run has them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from hwsim.report import histogram
from hwsim.report.figures import QUANTIZE_FIGURES
from hwsim.report.folder import check_folder, write_folder
from hwsim.report.headline import Headline, interval_text
from hwsim.report.page import page_environment, style_text
from hwsim.report.render import Drawing, figure_files, figures_on_page, render_all
from hwsim.report.text import minus, percent, plural, points, shorten
from hwsim.sim.quantize.document import ErrorFigures, QuantizedLayer, QuantizeDocument

_COLUMNS = (
    "layer", "weights", "SQNR (dB)", "output", "alone (dB)", "all (dB)", "cosine", "effect (dB)", "blame", "input", "weights",
    "output", "shift", "clipped",
)  # fmt: skip


def write_quantize_report(document: QuantizeDocument, folder: Path) -> Path:
    """Write the report of a quantization and return the path of its page.

    The folder holds ``report.html``, ``quantize.json`` (the document), ``layers.csv`` and ``figures/*``; the same document gives
    the same bytes. A figure with nothing to draw is left out.

    Raises
    ------
    InputError
        As `hwsim.report.write.write_report`.
    """
    check_folder(folder)
    drawings = render_all(QUANTIZE_FIGURES, document)
    files = {
        "report.html": _page(document, drawings).encode(),
        "quantize.json": document.to_json().encode(),
        "layers.csv": layers_csv(document).encode(),
        **figure_files(drawings),
    }
    write_folder(folder, files)
    return folder / "report.html"


def _page(document: QuantizeDocument, drawings: list[Drawing]) -> str:
    layers = {layer.index: layer for layer in document.layers}
    ranked = document.analysis.ranked if document.analysis is not None else ()
    return page_environment().get_template("quantize.html.j2").render(
        document=document,
        style=style_text(),
        headlines=_headlines(document),
        figures=figures_on_page(QUANTIZE_FIGURES, document, drawings),
        columns=_COLUMNS,
        rows=[_cells(layer) for layer in document.layers],
        ranked=[layers[index] for index in ranked],
        percent=percent,
        histogram=histogram,
    )  # fmt: skip


def _headlines(document: QuantizeDocument) -> tuple[Headline, ...]:
    some: list[Headline] = []
    accuracy, analysis = document.accuracy, document.analysis
    if accuracy is not None and accuracy.float32 is not None:
        gap = minus(points(accuracy.top1 - accuracy.float32.top1))
        detail = f"{gap} against float32; {interval_text(accuracy.correct, accuracy.n)}"
        some.append(Headline("Top-1, quantized", percent(accuracy.top1, 2), detail))
        real = accuracy.float32
        some.append(Headline("Top-1, float32", percent(real.top1, 2), interval_text(real.correct, real.n)))
    if analysis is not None:
        output = analysis.output.sqnr_db
        value = "no noise" if output is None else f"{output:.1f} dB"
        some.append(Headline("SQNR of the output", value, f"over {plural(analysis.images, 'image')}"))
        worst = next((layer for layer in document.layers if layer.index == analysis.ranked[0]), None)
        if worst is not None and worst.analysis is not None:
            detail = f"of the noise comes from {worst.index} {shorten(worst.name, 40)}"
            some.append(Headline("Most to blame", percent(worst.analysis.blame), detail))
    return tuple(some)


def _cells(layer: QuantizedLayer) -> tuple[str, ...]:
    found = layer.analysis
    head = (
        f"{layer.index} {shorten(layer.name, 40)}", layer.weights.format, _decibels(layer.weight_error),
        "float" if layer.output is None else layer.output.format,
    )  # fmt: skip
    if found is None:
        return (*head, *[""] * (len(_COLUMNS) - len(head)))
    return (
        *head, _decibels(found.alone), _decibels(found.accumulated),
        "" if found.accumulated.cosine is None else f"{found.accumulated.cosine:.4f}", _decibels(found.effect),
        percent(found.blame), percent(found.causes.input), percent(found.causes.weights), percent(found.causes.output),
        percent(found.shift), percent(found.clipped, 2),
    )  # fmt: skip


def _decibels(error: ErrorFigures) -> str:
    return "" if error.sqnr_db is None else f"{error.sqnr_db:.1f}"


def layers_csv(document: QuantizeDocument) -> str:
    """Return one line per layer, plain numbers, empty where a value does not exist."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    errors = ("weights", "alone", "accumulated", "effect")
    writer.writerow(
        (
            "layer", "name", "op", "weight_format", "weight_scale_lowest", "weight_scale_highest", "output_format",
            "output_scale", "output_zero_point", "output_lo", "output_hi",
            *(f"{name}_{figure}" for name in errors for figure in ("rms", "sqnr_db", "cosine")), "blame", "cause_input",
            "cause_weights", "cause_output", "shift", "clipped", "widest_channel", "median_channel", "advice",
        )
    )  # fmt: skip
    for layer in document.layers:
        found, leaving = layer.analysis, layer.output
        blank = ErrorFigures(rms=0.0, sqnr_db=None, cosine=None)
        figures = [layer.weight_error, *((found.alone, found.accumulated, found.effect) if found else (blank,) * 3)]
        channels = sorted(found.channels) if found else []
        writer.writerow(
            (
                layer.index, layer.name, layer.op, layer.weights.format, min(layer.weights.scale), max(layer.weights.scale),
                *((leaving.format, leaving.scale[0], leaving.zero_point[0], leaving.lo, leaving.hi) if leaving else (None,) * 5),
                *(value for error in figures for value in (error.rms, error.sqnr_db, error.cosine)),
                *(
                    (
                        found.blame, found.causes.input, found.causes.weights, found.causes.output, found.shift,
                        found.clipped, channels[-1], channels[len(channels) // 2], found.advice,
                    )
                    if found
                    else (None,) * 9
                ),
            )
        )  # fmt: skip
    return out.getvalue()
