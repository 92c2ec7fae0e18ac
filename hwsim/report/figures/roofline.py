"""The roofline: what bounds each layer, arithmetic or bandwidth."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.report.figures.spec import FigureSpec
from hwsim.report.figures.style import BLUE, INK, ORANGE, logarithmic, new_figure
from hwsim.report.measures import NumberedTimes, label, largest, numbered_times
from hwsim.report.text import listing, si
from hwsim.sim.document import LayerTimes, TimedDocument

_LABELLED = 5
_WAITING = 0.1
"""Of a layer's cycles; the first load and the last store make almost every layer wait a little."""
_BUSY = f"waits for DRAM below {_WAITING:.0%} of its time"
_TOUCHING = 0.06
"""Share of the axes between centres within which two labels would collide."""


def _rows(document: TimedDocument) -> list[NumberedTimes]:
    return [
        layer for layer in numbered_times(document) if layer[1].macs and layer[1].dram_bytes.total and layer[1].cycles
    ]


def _roofs(document: TimedDocument) -> tuple[float, float]:
    """Return operations per second of a full array, and bytes per second of the interface."""
    machine = document.accelerator
    return 2.0 * machine.multipliers * machine.clock_hz, machine.dram_bytes_per_cycle * machine.clock_hz


def _point(layer: LayerTimes, clock_hz: float) -> tuple[float, float]:
    operations = 2.0 * layer.macs
    return operations / layer.dram_bytes.total, operations * clock_hz / layer.cycles


def _caption(document: TimedDocument) -> str:
    rows = _rows(document)
    if not rows:
        return "No layer both multiplies and moves bytes, so there is no point to draw."
    compute, memory = _roofs(document)
    slowest = largest(rows, lambda layer: layer.cycles, _LABELLED)
    return (
        "Each point is a layer; its area grows with its cycles. No point can be above the roofs: "
        f"{si(compute, 'OP/s')} of arithmetic and {si(memory, 'B/s')} of DRAM, which meet at "
        f"{compute / memory:.3g} operations per byte (1 MAC = 2 operations). "
        "A point far below both loses cycles to fill, drain, idle multipliers, or to loads and stores that nothing overlaps. "
        f"Numbered: {listing([f'{layer[0]} {label(layer)}' for layer in slowest])}."
    )


def _draw(document: TimedDocument) -> Figure | None:
    rows = _rows(document)
    if not rows:
        return None
    compute, memory = _roofs(document)
    points = np.array([_point(layer, document.accelerator.clock_hz) for _, layer in rows])
    areas = 14 + 130 * np.array([layer.cycles for _, layer in rows]) / max(layer.cycles for _, layer in rows)
    stalled = np.array([layer.stall_cycles > _WAITING * layer.cycles for _, layer in rows])
    figure = new_figure(3.5)
    axes = figure.add_subplot()
    low = min(points[:, 0].min(), compute / memory) / 3
    high = max(points[:, 0].max(), compute / memory) * 4
    span = np.geomspace(low, high, 200)
    axes.plot(span, np.minimum(compute, memory * span), color=INK, linewidth=1.4)
    for mask, colour, marker, name in ((~stalled, BLUE, "o", _BUSY), (stalled, ORANGE, "s", "waits for DRAM")):
        if mask.any():
            axes.scatter(
                points[mask, 0],
                points[mask, 1],
                s=areas[mask],
                c=colour,
                marker=marker,
                alpha=0.8,
                edgecolors=INK,
                linewidths=0.5,
                label=name,
                zorder=3,
            )
    axes.set_xlim(low, high)
    axes.set_ylim(min(points[:, 1].min(), memory * low) / 1.5, compute * 2.2)
    axes.annotate(f"{si(compute, 'OP/s')}", (high, compute), (-3, 4), textcoords="offset points", ha="right")
    middle = (low * compute / memory) ** 0.5
    axes.annotate(si(memory, "B/s"), (middle, middle * memory), (6, -6), textcoords="offset points", va="top")
    logarithmic(axes, "x")
    logarithmic(axes, "y")
    _number_slowest(axes, rows, document.accelerator.clock_hz)
    axes.set_xlabel("operations per DRAM byte")
    axes.set_ylabel("operations per second")
    axes.legend(loc="lower right", markerscale=0.8)
    return figure


def _number_slowest(axes: Axes, rows: list[NumberedTimes], clock_hz: float) -> None:
    """Put the numbers of the slowest layers beside their points; points that touch share one label."""
    labels: list[tuple[tuple[float, float], str]] = []
    for number, layer in largest(rows, lambda layer: layer.cycles, _LABELLED):
        point = _point(layer, clock_hz)
        near = [i for i, (other, _) in enumerate(labels) if _touch(axes, point, other)]
        if near:
            other, text = labels[near[0]]
            labels[near[0]] = (max(point, other), f"{text}, {number}")
        else:
            labels.append((point, str(number)))
    for point, text in labels:
        axes.annotate(text, point, (9, 0), textcoords="offset points", va="center", fontsize=8)


def _touch(axes: Axes, one: tuple[float, float], other: tuple[float, float]) -> bool:
    a, b = axes.transAxes.inverted().transform(axes.transData.transform([one, other]))
    return bool(np.all(np.abs(a - b) < _TOUCHING))


ROOFLINE = FigureSpec[TimedDocument](
    name="roofline",
    section="cycles",
    title="Roofline",
    alt="Double logarithmic plot of operations per second over operations per DRAM byte: the roofs of the machine, "
    "and one point per layer.",
    caption=_caption,
    draw=_draw,
)
