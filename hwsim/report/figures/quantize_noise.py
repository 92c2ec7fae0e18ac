"""Where the noise of a quantized network comes from, layer by layer."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from hwsim.report.figures.headroom_strips import rows_axes
from hwsim.report.figures.spec import FigureSpec
from hwsim.report.figures.style import BLUE, GREY, INK, MAX_ROWS, ORANGE, PURPLE, SKY, VERMILLION, legend_above
from hwsim.report.text import percent, plural, shorten
from hwsim.sim.quantize.document import ErrorFigures, LayerAnalysis, QuantizedLayer, QuantizeDocument

Analyzed = tuple[QuantizedLayer, LayerAnalysis]


def analyzed(document: QuantizeDocument) -> list[Analyzed]:
    """Return the layers that a figure shows: the first ones, where there are too many."""
    return [(layer, layer.analysis) for layer in document.layers if layer.analysis is not None][:MAX_ROWS]


def row_names(layers: list[Analyzed]) -> list[str]:
    """Return what the rows of layers are called."""
    return [f"{shorten(layer.name, 24)}  {layer.index}" for layer, _ in layers]


def left_out(document: QuantizeDocument) -> str:
    """Say how many layers a figure leaves out; empty if none."""
    count = len(document.layers)
    return f" The first {MAX_ROWS} of {count} layers are drawn." if count > MAX_ROWS else ""


def _ratio_caption(document: QuantizeDocument) -> str:
    if document.analysis is None:
        return "The network was not analyzed."
    return (
        f"Signal to noise of each layer's weights and output, on {plural(document.analysis.images, 'image')}; 6 dB are about one "
        "bit. Alone: only this layer is quantized, and gets the float network's input. All: the quantized network up to here, so "
        "the noise of earlier layers is in it." + left_out(document)
    )


def _draw_ratios(document: QuantizeDocument) -> Figure | None:
    layers = analyzed(document)
    if not layers:
        return None
    figure, axes = rows_axes(row_names(layers))
    marks: tuple[tuple[str, str, str, list[ErrorFigures]], ...] = (
        ("weights", "|", INK, [layer.weight_error for layer, _ in layers]),
        ("output, alone", "o", BLUE, [found.alone for _, found in layers]),
        ("output, all", "s", VERMILLION, [found.accumulated for _, found in layers]),
    )
    for row in range(len(layers)):
        ends = [part[3][row].sqnr_db for part in marks[1:]]
        known = [end for end in ends if end is not None]
        if len(known) == 2:
            axes.plot(known, [row, row], color=GREY, linewidth=1, zorder=1)
    for label, marker, colour, errors in marks:
        places = [(error.sqnr_db, row) for row, error in enumerate(errors) if error.sqnr_db is not None]
        options: dict[str, Any] = {
            "markersize": 10 if marker == "|" else 5.5,
            "markeredgewidth": 2 if marker == "|" else 1,
        }
        axes.plot([x for x, _ in places], [y for _, y in places], marker, color=colour, label=label, **options)
    axes.margins(x=0.06)
    axes.set_xlabel("SQNR (dB)")
    legend_above(figure, axes, columns=3)
    return figure


def _blame_caption(document: QuantizeDocument) -> str:
    analysis = document.analysis
    if analysis is None:
        return "The network was not analyzed."
    first = next((layer for layer in document.layers if layer.index == analysis.ranked[0]), None)
    worst = ""
    if first is not None and first.analysis is not None:
        worst = f" {shorten(first.name, 40)} makes {percent(first.analysis.blame)} of it."
    return (
        "Share of the noise at the network's output that each layer makes when only it is quantized, divided by what makes the "
        "layer's own error." + worst + left_out(document)
    )


def _draw_blame(document: QuantizeDocument) -> Figure | None:
    layers = analyzed(document)
    if not layers or not any(found.blame for _, found in layers):
        return None
    figure, axes = rows_axes(row_names(layers))
    start = [0.0] * len(layers)
    for label, colour in (("input", SKY), ("weights", ORANGE), ("output", PURPLE)):
        width = [100 * found.blame * getattr(found.causes, label) for _, found in layers]
        axes.barh(range(len(layers)), width, 0.7, start, color=colour, label=label, edgecolor=INK, linewidth=0.4)
        start = [a + b for a, b in zip(start, width, strict=True)]
    axes.set_xlabel("share of the noise (%)")
    legend_above(figure, axes, columns=3)
    return figure


QUANTIZE_RATIOS = FigureSpec[QuantizeDocument](
    name="layer_sqnr",
    section="sqnr",
    title="Noise of weights and outputs",
    alt="One row per layer on an axis of decibels: a tick for its weights, a dot for its output alone, a square for its output "
    "in the quantized network.",
    caption=_ratio_caption,
    draw=_draw_ratios,
)

QUANTIZE_BLAME = FigureSpec[QuantizeDocument](
    name="blame",
    section="sqnr",
    title="Which layers are to blame",
    alt="One bar per layer, as long as its share of the noise, in three colours for input, weights and output.",
    caption=_blame_caption,
    draw=_draw_blame,
)
