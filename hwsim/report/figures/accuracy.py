"""Accuracy in float32 and in integers, with intervals."""

from __future__ import annotations

from matplotlib.figure import Figure

from hwsim.report.figures.spec import FigureSpec
from hwsim.report.figures.style import BLUE, INK, ORANGE, new_figure
from hwsim.report.text import percent
from hwsim.report.wilson import wilson
from hwsim.sim.document import RunDocument


def _caption(document: RunDocument) -> str:
    text = "Dot: share of images whose top class is right. Bar: 95 % Wilson interval for each network alone."
    if document.accuracy.float32 is None:
        return text
    return (
        f"{text} Both networks saw the same images, so their difference is better known than two separate "
        "intervals suggest. The axis does not start at zero."
    )


def _draw(document: RunDocument) -> Figure | None:
    accuracy = document.accuracy
    if accuracy.n == 0:
        return None
    rows = [("integer", accuracy.top1, accuracy.correct, accuracy.n, BLUE, "o")]
    if accuracy.float32 is not None:
        reference = accuracy.float32
        rows.append(("float32", reference.top1, reference.correct, reference.n, ORANGE, "D"))
    figure = new_figure(0.75 + 0.42 * len(rows))
    axes = figure.add_subplot()
    ends: list[float] = []
    for row, (_, top1, correct, n, colour, marker) in enumerate(rows):
        low, high = wilson(correct, n)
        ends += [low, high]
        axes.plot([100 * low, 100 * high], [row, row], color=colour, linewidth=3, solid_capstyle="butt", alpha=0.45)
        axes.plot(100 * top1, row, marker, color=colour, markersize=7, markeredgecolor=INK, markeredgewidth=0.6)
        axes.annotate(percent(top1, 2), (100 * top1, row), (0, 7), textcoords="offset points", ha="center")
    pad = 0.15 * (max(ends) - min(ends)) + 0.002
    axes.set_xlim(100 * max(0.0, min(ends) - pad), 100 * min(1.0, max(ends) + pad))
    axes.set_ylim(-0.5, len(rows) - 0.3)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("top-1 accuracy (%)")
    return figure


ACCURACY = FigureSpec[RunDocument](
    name="accuracy",
    section="accuracy",
    title="Top-1 accuracy, float32 and integer",
    alt="One dot with an interval bar for each of the float32 and the integer network on a common axis of percent.",
    caption=_caption,
    draw=_draw,
)
