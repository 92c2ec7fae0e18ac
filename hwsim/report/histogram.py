"""Histograms of a layer as small SVGs.

A network has two per layer. Drawn by matplotlib they would take longer than many runs do and
make most of the page, so these few paths are written directly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwsim.report.measures import share
from hwsim.report.text import grouped, minus, percent, plural
from hwsim.sim.document import Histogram

WIDTH, HEIGHT = 320.0, 96.0
"""Size of the plot in user units, without the labels under the axis."""

_MOST_TICKS = 64
"""Grid values that are still told apart when each has a tick."""


@dataclass(frozen=True, slots=True)
class HistogramView:
    """What the template needs to draw a histogram; all x in user units.

    Parameters
    ----------
    inside, outside
        Outlines of the bins on the grid, and of those beyond it.
    grid
        Left edge and width of the range of the integer format.
    ticks
        Where the grid values are, if they can be told apart.
    labels
        Position, anchor and text of the values under the axis.
    caption
        What it shows, with the clipped values counted.
    """

    inside: str
    outside: str
    grid: tuple[float, float]
    ticks: tuple[float, ...]
    labels: tuple[tuple[float, str, str], ...]
    caption: str


def view(histogram: Histogram) -> HistogramView | None:
    """Lay out a histogram; None if it holds no values or its edges are not finite."""
    ends = (histogram.lo, histogram.hi, histogram.grid_lo, histogram.grid_hi)
    if histogram.n == 0 or not histogram.counts or not all(map(math.isfinite, ends)):
        return None
    low, high = min(ends), max(ends)
    pad = 0.02 * (high - low) or 1.0
    low, high = low - pad, high + pad

    def x(value: float) -> float:
        return round(WIDTH * (value - low) / (high - low), 2)

    left = x(histogram.grid_lo)
    return HistogramView(
        inside=_outline(histogram, x(histogram.lo), x(histogram.hi), outside=False),
        outside=_outline(histogram, x(histogram.lo), x(histogram.hi), outside=True),
        grid=(left, round(x(histogram.grid_hi) - left, 2)),
        ticks=tuple(x(value) for value in _grid_values(histogram)),
        labels=_labels(histogram, x(histogram.grid_lo), x(histogram.grid_hi), x(0.0)),
        caption=_caption(histogram),
    )


def _outline(histogram: Histogram, left: float, right: float, *, outside: bool) -> str:
    """Return the bins as one path of columns; heights are logarithmic, because the clipped values are few."""
    bins = len(histogram.counts)
    step = (histogram.hi - histogram.lo) / bins
    tallest = math.log1p(max(histogram.counts)) or 1.0
    # Values that are all equal have a histogram without width; it is drawn as a line of one unit.
    pitch = max((right - left) / bins, 1.0 / bins)
    beyond = 0.5 * histogram.grid_step
    parts: list[str] = []
    for index, count in enumerate(histogram.counts):
        centre = histogram.lo + (index + 0.5) * step
        is_outside = not histogram.grid_lo - beyond <= centre <= histogram.grid_hi + beyond
        if count and is_outside == outside:
            height = 0.92 * HEIGHT * math.log1p(count) / tallest
            parts.append(f"M{left + index * pitch:.2f} {HEIGHT:g}v-{height:.2f}h{pitch:.2f}V{HEIGHT:g}z")
    return "".join(parts)


def _grid_values(histogram: Histogram) -> list[float]:
    span = histogram.grid_hi - histogram.grid_lo
    if histogram.grid_step <= 0 or span / histogram.grid_step > _MOST_TICKS:
        return []
    return [histogram.grid_lo + index * histogram.grid_step for index in range(round(span / histogram.grid_step) + 1)]


def _labels(histogram: Histogram, left: float, right: float, zero: float) -> tuple[tuple[float, str, str], ...]:
    """Return the ends of the grid, and zero where there is room between them."""
    near = 45.0
    labels = [(left, "start" if left < near else "middle", histogram.grid_lo)]
    if right - left > near:
        labels.append((right, "end" if right > WIDTH - near else "middle", histogram.grid_hi))
    if left + near < zero < right - near:
        labels.insert(1, (zero, "middle", 0.0))
    return tuple((x, anchor, minus(f"{value:.3g}")) for x, anchor, value in labels)


def _caption(histogram: Histogram) -> str:
    clipped = (
        f"{grouped(histogram.clipped)} clipped ({percent(share(histogram.clipped, histogram.n), 2)})"
        if histogram.clipped
        else "none clipped"
    )
    return (
        f"{plural(histogram.n, 'value')} from {minus(f'{histogram.lo:.3g}')} to {minus(f'{histogram.hi:.3g}')}, "
        f"{clipped}; grid step {histogram.grid_step:.3g}"
    )
