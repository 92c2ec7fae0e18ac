"""Accuracy against the width of all registers, by order of summation and by what they do with what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter

from hwsim.report.figures.spec import FigureSpec
from hwsim.report.figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, legend_above, new_figure
from hwsim.report.text import percent, plural
from hwsim.report.wilson import wilson
from hwsim.sim.narrow.document import NarrowDocument, Point

_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)


@dataclass(frozen=True)
class Curve:
    """Accuracies by width.

    Parameters
    ----------
    group
        Curves of a group have one colour.
    label
        In the legend.
    dashed
        Whether it is the second kind of its group.
    points
        (bits, correct, images) each.
    """

    group: str
    label: str
    dashed: bool
    points: Sequence[tuple[int, int, int]]


def accuracy_by_width(axes: Axes, curves: Sequence[Curve]) -> None:
    """Draw curves with their 95 % intervals."""
    groups = list(dict.fromkeys(curve.group for curve in curves))
    for curve in curves:
        bits = [point[0] for point in curve.points]
        share = [correct / n for _, correct, n in curve.points]
        ends = [wilson(correct, n) for _, correct, n in curve.points]
        below = [max(0.0, value - end[0]) for value, end in zip(share, ends, strict=True)]
        above = [max(0.0, end[1] - value) for value, end in zip(share, ends, strict=True)]
        axes.errorbar(
            bits, share, [below, above], color=_COLOURS[groups.index(curve.group) % len(_COLOURS)],
            linestyle="--" if curve.dashed else "-", marker="x" if curve.dashed else "o", markersize=3.5, linewidth=1.1,
            elinewidth=0.6, capsize=1.5, label=curve.label,
        )  # fmt: skip
    axes.xaxis.set_major_locator(MultipleLocator(2))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("width of the registers, bits")
    axes.set_ylabel("top-1 accuracy")


def _known(document: NarrowDocument, order: str, overflow: str) -> list[Point]:
    found = [p for p in document.points if p.order == order and p.overflow == overflow and p.correct is not None]
    return sorted(found, key=lambda point: point.bits)


def _draw(document: NarrowDocument) -> Figure | None:
    n = document.data.n
    kinds = dict.fromkeys((point.order, point.overflow) for point in document.points)
    curves = [
        Curve(order, f"{order}, {overflow}", overflow == "wrap", [(p.bits, p.correct or 0, n) for p in found])
        for order, overflow in kinds
        if (found := _known(document, order, overflow))
    ]
    if not curves:
        return None
    figure = new_figure(3.2)
    axes = figure.add_subplot()
    accuracy_by_width(axes, curves)
    axes.axhline(document.least_correct / n, color=GREY, linewidth=0.8, linestyle=":", label="permitted loss")
    legend_above(figure, axes, 2)
    return figure


def _caption(document: NarrowDocument) -> str:
    found = [row for row in document.rows if row.permitted == "loss" and row.bits is not None]
    text = (
        f"Top-1 on {plural(document.data.n, 'image')} with its 95 % interval; all layers have registers of the same width. The "
        f"dotted line is {document.loss_points:g} points below the network without overflow."
    )
    for row in found:
        text += f" {row.order}, {row.overflow}: {row.bits} bits and every wider one meet it ({percent(row.top1, 2)})."
    return text


NARROW_ACCURACY = FigureSpec[NarrowDocument](
    name="accuracy_by_width",
    section="accumulators",
    title="Accuracy by the width of the registers",
    alt="One line per order of summation and kind of overflow, with error bars, over the width in bits.",
    caption=_caption,
    draw=_draw,
)
