"""Cycles per layer, computing and stalled, beside the utilization of the array."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from hwsim.report.figures.spec import FigureSpec
from hwsim.report.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    engineering,
    layer_axes,
    legend_above,
    rows_note,
    times_to_draw,
)
from hwsim.report.measures import NumberedTimes
from hwsim.report.text import grouped
from hwsim.sim.document import TimedDocument


def _rows(document: TimedDocument) -> list[NumberedTimes]:
    return times_to_draw(document, lambda layer: layer.cycles)


def _caption(document: TimedDocument) -> str:
    rows = _rows(document)
    if not rows:
        return "No layer takes a cycle."
    machine = document.accelerator
    return (
        "Left: cycles for one image; a stall is a cycle in which the array waits for DRAM. Right: utilization, the "
        f"share of {grouped(machine.multipliers)} multipliers times cycles that did a MAC of the layer."
        + rows_note(rows, document, "take no cycles")
    )


def _draw(document: TimedDocument) -> Figure | None:
    rows = _rows(document)
    if not rows:
        return None
    figure, (time, usage) = layer_axes(rows, widths=(3.0, 1.25))
    at = range(len(rows))
    compute = np.array([layer.compute_cycles for _, layer in rows], dtype=float)
    stall = np.array([layer.stall_cycles for _, layer in rows], dtype=float)
    time.barh(at, compute, height=0.72, color=BLUE, label="compute")
    time.barh(
        at, stall, left=compute, height=0.72, color=ORANGE, hatch="////", edgecolor="white", linewidth=0, label="stall"
    )
    time.set_xlim(0, 1.04 * (compute + stall).max())
    engineering(time, "")
    time.set_xlabel("cycles per image")
    used = [100 * layer.utilization for _, layer in rows]
    usage.hlines(at, 0, used, color=GREEN, linewidth=1)
    usage.plot(used, at, "o", color=GREEN, markersize=4.5, clip_on=False)
    usage.set_xlim(0, 100)
    usage.set_xticks((0, 50, 100))
    usage.set_xlabel("utilization (%)")
    legend_above(figure, time, columns=2)
    return figure


CYCLES = FigureSpec[TimedDocument](
    name="cycles",
    section="cycles",
    title="Cycles and utilization per layer",
    alt="Stacked bars, one per layer, of compute and stall cycles; beside them a dot for utilization in percent.",
    caption=_caption,
    draw=_draw,
)
