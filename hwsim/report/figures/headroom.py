"""What accumulators need beside what they have: widths by layer, and the bits to spare of every output."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hwsim.report.figures.headroom_strips import colour_bar, drawn, left_out, names, rows_axes, strip
from hwsim.report.figures.spec import FigureSpec
from hwsim.report.figures.style import BLUE, GREY, INK, MAX_ROWS, ORANGE, VERMILLION, legend_above
from hwsim.report.text import grouped, percent, plural, shorten
from hwsim.sim.analyze.document import AnalysisDocument, RegisterWidths

Row = tuple[str, RegisterWidths]
"""A register and what its row is called."""


def _width_rows(document: AnalysisDocument) -> list[Row]:
    """Return all registers, or the accumulators alone where those are too many for one figure."""
    rows = [(layer, register) for layer in document.layers for register in layer.registers]
    if len(rows) > MAX_ROWS:
        rows = [(layer, layer.acc) for layer in drawn(document.layers)]
    several = any(register.name != "acc" for _, register in rows)
    return [
        (f"{shorten(layer.name, 24)}  {layer.index}{f' {part.name}' if several else ''}", part) for layer, part in rows
    ]


def _width_caption(document: AnalysisDocument) -> str:
    total = document.total
    return (
        f"The tick is the register that is built. It never overflows where no diamond is right of it: {total.proven_bits} "
        f"bits are enough for every accumulator in this order, {total.any_order_bits} in any order."
        + left_out(document.layers)
    )


def _draw_widths(document: AnalysisDocument) -> Figure | None:
    rows = _width_rows(document)
    if not rows:
        return None
    figure, axes = rows_axes([name for name, _ in rows])
    registers, places = [register for _, register in rows], range(len(rows))
    for place, register in enumerate(registers):
        ends = [register.any_order_bits, register.proven_bits, register.observed_bits or register.proven_bits]
        axes.plot([min(ends), max(ends)], [place, place], color=GREY, linewidth=1, zorder=1)
    seen = [(part.observed_bits, place) for place, part in enumerate(registers) if part.observed_bits is not None]
    if seen:
        axes.plot([x for x, _ in seen], [y for _, y in seen], "o", color=BLUE, markersize=5.5, label="on the data")
    any_order = [register.any_order_bits for register in registers]
    this_order = [register.proven_bits for register in registers]
    open_marks: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "none"}
    axes.plot(any_order, places, marker="s", markeredgecolor=ORANGE, markersize=9, label="any order", **open_marks)
    axes.plot(this_order, places, marker="D", markeredgecolor=INK, markersize=5, label="this order", **open_marks)
    built = [register.bits for register in registers]
    axes.plot(built, places, "|", color=INK, markersize=11, markeredgewidth=2.2, label="built")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))
    axes.margins(x=0.06)
    axes.set_xlabel("bits")
    legend_above(figure, axes, columns=4)
    return figure


def _spare_caption(document: AnalysisDocument) -> str:
    if document.data is None:
        return "No data was run."
    total = document.total
    outputs = sum(layer.observed.outputs for layer in document.layers if layer.observed is not None)
    return (
        f"Each output's worst running sum over {plural(document.data.n, 'image')}, as if no register had overflowed. Left of "
        f"the line it did not fit. Of {grouped(outputs)} outputs {grouped(total.struck)} ({percent(total.struck / outputs)}) "
        f"overflowed in some register; {grouped(total.cancelled)} of those were right in the end."
        + left_out(document.layers)
    )


def _draw_spare(document: AnalysisDocument) -> Figure | None:
    layers = [layer for layer in drawn(document.layers) if layer.observed is not None]
    if not layers:
        return None
    figure, axes = rows_axes(names(layers), extra=0.6)
    norm, mesh = LogNorm(1e-6, 1.0, clip=True), None
    for row, layer in enumerate(layers):
        assert layer.observed is not None
        needed = layer.observed.needed_bits
        spare = np.arange(layer.acc.bits - max(needed), layer.acc.bits - min(needed) + 1)
        share = np.array([needed.get(layer.acc.bits - int(bits), 0) / layer.observed.outputs for bits in spare])
        share[share == 0] = np.nan
        mesh = strip(axes, row, np.append(spare, spare[-1] + 1) - 0.5, share, "Blues", norm)
    axes.axvline(-0.5, color=VERMILLION, linewidth=1.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12, min_n_ticks=1))
    axes.set_xlabel("bits to spare")
    colour_bar(figure, axes, mesh, "share of the layer's outputs")
    figure.axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    return figure


HEADROOM_WIDTHS = FigureSpec[AnalysisDocument](
    name="accumulator_widths",
    section="accumulators",
    title="Register bits: built, proven, observed",
    alt="One row per register on an axis of bits: an open square for the width that is safe in any order, an open diamond "
    "for the declared order, a dot for what the data needed, and a tick for what is built.",
    caption=_width_caption,
    draw=_draw_widths,
)

HEADROOM = FigureSpec[AnalysisDocument](
    name="headroom",
    section="accumulators",
    title="Headroom of every output",
    alt="One strip per layer on an axis of bits to spare, coloured by the share of its outputs.",
    caption=_spare_caption,
    draw=_draw_spare,
)
