"""Signal-to-quantization-noise ratio of each layer's output."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from hwsim.report.figures.spec import FigureSpec
from hwsim.report.figures.style import BLUE, MAX_ROWS, VERMILLION, layer_axes, rows_note
from hwsim.report.measures import Numbered, numbered
from hwsim.sim.document import RunDocument


def _rows(document: RunDocument) -> list[tuple[float, Numbered]]:
    """Return the layers with a ratio, in network order; of too many, the noisiest."""
    known = [
        (layer[1].sqnr_db, layer)
        for layer in numbered(document)
        # A layer without noise has an infinite ratio, which no axis can show.
        if layer[1].sqnr_db is not None and math.isfinite(layer[1].sqnr_db)
    ]
    noisiest = sorted(known, key=lambda pair: (pair[0], pair[1][0]))[:MAX_ROWS]
    return sorted(noisiest, key=lambda pair: pair[1][0])


def _caption(document: RunDocument) -> str:
    rows = _rows(document)
    if not rows:
        return "The ratio is not defined for any layer of this run."
    return (
        "Power of the float32 output over the power of its difference to the integer output; 6 dB are about one bit. "
        "The noise of earlier layers is part of it, so it tends to fall along the network. The square marks the lowest."
        + rows_note([layer for _, layer in rows], document, "have none", kept="noisiest")
    )


def _draw(document: RunDocument) -> Figure | None:
    rows = _rows(document)
    if not rows:
        return None
    figure, (axes,) = layer_axes([layer for _, layer in rows])
    values = [value for value, _ in rows]
    at = range(len(rows))
    base = min(0.0, *values)
    axes.hlines(at, base, values, color=BLUE, linewidth=1.1)
    axes.plot(values, at, "o", color=BLUE, markersize=5, linestyle="none")
    worst = min(at, key=lambda row: values[row])
    axes.plot(values[worst], worst, "s", color=VERMILLION, markersize=6.5, linestyle="none")
    axes.annotate(
        f"{values[worst]:.1f} dB",
        (values[worst], worst),
        (7, 0),
        textcoords="offset points",
        va="center",
        color=VERMILLION,
        fontweight="bold",
    )
    axes.set_xlim(base, max(1.0, 1.18 * max(values)))
    axes.set_xlabel("SQNR (dB)")
    return figure


SQNR = FigureSpec[RunDocument](
    name="sqnr",
    section="sqnr",
    title="SQNR per layer",
    alt="One dot per layer on an axis of decibels; a square marks the lowest.",
    caption=_caption,
    draw=_draw,
)
