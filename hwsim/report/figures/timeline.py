"""What the array and the DRAM port do over the time of an image."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hwsim.report.figures.spec import FigureSpec
from hwsim.report.figures.style import BLUE, GREEN, GREY, INK, ORANGE, engineering, new_figure
from hwsim.report.measures import NumberedTimes, label, largest, numbered_times
from hwsim.report.text import bytes_text, listing
from hwsim.sim.document import Segment, TimedDocument

_NAMED = 6
"""Of the layers that take longest, as many as have their numbers above the time axis."""

_HIGHEST = 3.0
"""The bandwidth axis ends at so many times what the interface offers: a short step may ask for far more."""


def _rows(document: TimedDocument) -> list[NumberedTimes]:
    return [layer for layer in numbered_times(document) if layer[1].cycles]


def _caption(document: TimedDocument) -> str:
    rows = _rows(document)
    if not rows:
        return "No layer takes a cycle."
    offered = document.accelerator.dram_bytes_per_cycle
    total, most = document.total, max(layer.peak_bytes_per_cycle for _, layer in rows)
    named = [f"{layer[0]} {label(layer)}" for layer in sorted(largest(rows, lambda layer: layer.cycles, _NAMED))]
    return (
        "Layers one after the other, for one image. Above: the share of the time in which the array computes; in the rest it "
        "waits for the DRAM. Below: what the DRAM moves, and what it would have to move for the array not to wait; it offers "
        f"{bytes_text(offered)} per cycle. On average {bytes_text(total.dram_bytes.total / total.cycles)} per cycle are moved; "
        f"the most demanding step would need {bytes_text(most)}. Numbered: {listing(named)}."
    )


def _draw(document: TimedDocument) -> Figure | None:
    rows = _rows(document)
    if not rows:
        return None
    figure = new_figure(3.3)
    busy, bandwidth = figure.subplots(2, 1, sharex=True, height_ratios=(1.0, 1.3))
    segments = [segment for _, layer in rows for segment in layer.timeline]
    edges = np.concatenate([[0], np.cumsum([segment.cycles for segment in segments])])
    computing = np.array([100 * segment.compute_cycles / segment.cycles for segment in segments])
    busy.stairs(computing, edges, fill=True, color=BLUE, label="compute")
    full = np.full_like(computing, 100)
    busy.stairs(full, edges, baseline=computing, fill=True, color=ORANGE, hatch="////", edgecolor="white", linewidth=0,
                label="stall")  # fmt: skip
    busy.set_ylim(0, 100)
    busy.set_yticks((0, 50, 100))
    busy.set_ylabel("time (%)")
    offered = document.accelerator.dram_bytes_per_cycle
    bandwidth.stairs(
        [_moved(segment) / segment.cycles for segment in segments], edges, fill=True, color=GREEN, label="DRAM moves"
    )
    bandwidth.stairs([_required(segment, offered) for segment in segments], edges, color=INK, linewidth=0.8,
                     label="without stalls")  # fmt: skip
    bandwidth.axhline(offered, color=GREY, linestyle="--", linewidth=1, label="offered")
    bandwidth.set_ylim(
        0, min(_HIGHEST, max(1.2, *(_required(segment, offered) / offered for segment in segments))) * offered
    )
    bandwidth.set_ylabel("bytes per cycle")
    bandwidth.set_xlim(0, edges[-1])
    engineering(bandwidth, "")
    bandwidth.set_xlabel("cycles")
    _number_longest(busy, rows)
    handles = [handle for axes in (busy, bandwidth) for handle in axes.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside upper left", ncols=5, handlelength=1.6, columnspacing=1.4)
    return figure


def _moved(segment: Segment) -> int:
    return segment.read_bytes + segment.write_bytes


def _required(segment: Segment, offered: float) -> float:
    """Return bytes per cycle of computing; where nothing is computed, those that move."""
    if not segment.compute_cycles:
        return _moved(segment) / segment.cycles
    return min(_moved(segment) / segment.compute_cycles, _HIGHEST * offered)


def _number_longest(axes: Axes, rows: list[NumberedTimes]) -> None:
    starts = np.concatenate([[0], np.cumsum([layer.cycles for _, layer in rows])])
    for number, layer in largest(rows, lambda layer: layer.cycles, _NAMED):
        index = next(i for i, (other, _) in enumerate(rows) if other == number)
        middle = starts[index] + layer.cycles / 2
        axes.annotate(str(number), (middle, 100), (0, 2), textcoords="offset points", ha="center", fontsize=7.5)


TIMELINE = FigureSpec[TimedDocument](
    name="timeline",
    section="cycles",
    title="Array and DRAM over time",
    alt="Two plots over the cycles of an image: the share of time in which the array computes or waits, and the bytes per cycle "
    "that the DRAM moves, would have to move, and offers.",
    caption=_caption,
    draw=_draw,
)
