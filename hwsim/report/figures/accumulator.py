"""Accumulators: the bits that each layer has and needs, and the sums that did not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hwsim.report.figures.spec import FigureSpec
from hwsim.report.figures.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    VERMILLION,
    layer_axes,
    legend_above,
    logarithmic,
    rows_note,
    rows_to_draw,
)
from hwsim.report.measures import REGISTERS, Numbered, accumulator_bits, overflow_events
from hwsim.report.text import grouped, plural
from hwsim.sim.document import Layer, RunDocument

# One look per register, in the order of `REGISTERS`.
_LOOKS = ((PURPLE, "^"), (ORANGE, "s"), (VERMILLION, "o"))


def _fitted(layer: Layer) -> int | None:
    return None if _did_not_fit(layer) or layer.reduction is None else layer.reduction.observed_safe_bits


def _unfitted(layer: Layer) -> int | None:
    return layer.reduction.observed_safe_bits if _did_not_fit(layer) and layer.reduction else None


def _did_not_fit(layer: Layer) -> bool:
    headroom = layer.reduction.headroom_bits if layer.reduction else None
    return headroom is not None and headroom < 0


def _proven(layer: Layer) -> int | None:
    return layer.reduction.proven_safe_bits if layer.reduction else None


_WIDTHS: tuple[tuple[str, Callable[[Layer], int | None], dict[str, Any]], ...] = (
    ("observed safe", _fitted, {"marker": "o", "color": BLUE, "markersize": 5.5}),
    ("observed, did not fit", _unfitted, {"marker": "X", "color": VERMILLION, "markersize": 7}),
    ("proven safe", _proven, {"marker": "D", "markerfacecolor": "white", "markeredgecolor": INK, "markersize": 5}),
    ("accumulator", accumulator_bits, {"marker": "|", "color": INK, "markersize": 11, "markeredgewidth": 2.2}),
)
"""What is drawn at how many bits."""


def _width_rows(document: RunDocument) -> list[Numbered]:
    return rows_to_draw(document, lambda layer: layer.reduction.proven_safe_bits if layer.reduction else 0)


def _width_caption(document: RunDocument) -> str:
    rows = _width_rows(document)
    if not rows:
        return "No layer sums products."
    return (
        "The tick is the accumulator that is built. A layer is safe for every input where the diamond is not right of "
        "the tick; a cross marks a layer that needed more bits for the observed images than there are."
        + rows_note(rows, document, "sum no products")
    )


def _draw_widths(document: RunDocument) -> Figure | None:
    rows = _width_rows(document)
    if not rows:
        return None
    figure, (axes,) = layer_axes(rows)
    for row, (_, layer) in enumerate(rows):
        if layer.reduction is not None and layer.reduction.observed_safe_bits is not None:
            ends = [layer.reduction.observed_safe_bits, layer.reduction.proven_safe_bits]
            axes.plot(ends, [row, row], color=GREY, linewidth=1, zorder=1)
    for name, width, look in _WIDTHS:
        points = [(bits, row) for row, (_, layer) in enumerate(rows) if (bits := width(layer)) is not None]
        if points:
            axes.plot([bits for bits, _ in points], [row for _, row in points], linestyle="none", label=name, **look)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))
    axes.margins(x=0.06)
    axes.set_xlabel("bits")
    legend_above(figure, axes, columns=4)
    return figure


def _event_rows(document: RunDocument) -> list[Numbered]:
    return rows_to_draw(document, overflow_events)


def _event_caption(document: RunDocument) -> str:
    rows = _event_rows(document)
    if not rows:
        return "No register of any layer overflowed in this run."
    return (
        f"{grouped(document.total.overflow_events)} events over {plural(document.data.n, 'image')}, on a logarithmic "
        "axis. Filled: above the largest value of the register; open: below the smallest. A layer after one that "
        "overflowed may do so because of it." + rows_note(rows, document, "have no event")
    )


def _draw_events(document: RunDocument) -> Figure | None:
    rows = _event_rows(document)
    if not rows:
        return None
    figure, (axes,) = layer_axes(rows)
    for (name, part), (colour, marker) in zip(REGISTERS, _LOOKS, strict=True):
        for side, face in (("above", colour), ("below", "white")):
            points: list[tuple[int, int]] = []
            for row, (_, layer) in enumerate(rows):
                if layer.reduction is not None:
                    events = part(layer.reduction.overflow)
                    points.append((events.positive if side == "above" else events.negative, row))
            points = [(count, row) for count, row in points if count]
            if points:
                axes.plot(
                    [count for count, _ in points],
                    [row for _, row in points],
                    marker,
                    markersize=6,
                    linestyle="none",
                    markerfacecolor=face,
                    markeredgecolor=colour,
                    markeredgewidth=1.3,
                    label=f"{name}, {side}",
                )
    most = max(overflow_events(layer) for _, layer in rows)
    axes.set_xlim(0.7, max(most * 2.0, 20.0))
    logarithmic(axes, "x")
    axes.grid(visible=True, axis="y")
    axes.set_xlabel("overflow events in the run")
    legend_above(figure, axes, columns=4)
    return figure


ACCUMULATOR_BITS = FigureSpec[RunDocument](
    name="accumulator_bits",
    section="accumulators",
    title="Accumulator bits: built, proven safe, observed safe",
    alt="One row per layer on an axis of bits: a dot for the observed safe width, an open diamond for the proven safe "
    "width, and a tick for the accumulator that is built.",
    caption=_width_caption,
    draw=_draw_widths,
)

OVERFLOW_EVENTS = FigureSpec[RunDocument](
    name="overflow_events",
    section="accumulators",
    title="Overflow events",
    alt="One row per layer that overflowed, on a logarithmic axis of events: a marker per register and direction.",
    caption=_event_caption,
    draw=_draw_events,
)
