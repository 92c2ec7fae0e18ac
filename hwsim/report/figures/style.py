"""How every figure looks: colours, type, and the axes with one row per layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator
from matplotlib.typing import RcKeyType

from hwsim.report.measures import Numbered, NumberedTimes, label, largest, numbered, numbered_times
from hwsim.sim.document import Layer, LayerTimes, RunDocument, TimedDocument

# M. Okabe, K. Ito, "Color Universal Design" (2008): distinguishable with every common colour blindness.
BLUE = "#0072B2"
SKY = "#56B4E9"
ORANGE = "#E69F00"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
INK = "#1b1f24"
GREY = "#6b7480"
HAIRLINE = "#d5dae0"

WIDTH = 5.4
"""Inches. Narrow, so that an 8.5 point text is legible when the figure is shrunk to a phone."""

MAX_ROWS = 120
"""Layers in one figure; beyond, the largest are drawn and the caption says so."""

_ROW = 0.185
_MARGINS = 0.85

_STYLE: dict[RcKeyType, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same glyphs on every machine
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": HAIRLINE,
    "grid.linewidth": 0.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.7,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a layer name is a dollar sign
    "savefig.dpi": 200,
    "svg.fonttype": "path",
    "svg.hashsalt": "hwsim",  # ids by content, not by chance
}


@contextmanager
def style() -> Iterator[None]:
    """Draw and save inside this: our style on matplotlib's defaults, whatever the user configured.

    Matplotlib has one set of parameters per process; they are put back on leaving.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(height: float) -> Figure:
    """Return an empty figure of the common width, `height` inches high, that no global state knows of."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def rows_to_draw(document: RunDocument, value: Callable[[Layer], float]) -> list[Numbered]:
    """Return the layers where `value` is positive, in network order, at most `MAX_ROWS` of the largest."""
    return sorted(largest(numbered(document), value, MAX_ROWS), key=lambda layer: layer[0])


def times_to_draw(document: TimedDocument, value: Callable[[LayerTimes], float]) -> list[NumberedTimes]:
    """Return the same of a document that has times."""
    return sorted(largest(numbered_times(document), value, MAX_ROWS), key=lambda layer: layer[0])


def rows_note(drawn: Sequence[NumberedTimes], document: TimedDocument, lacking: str, kept: str = "largest") -> str:
    """Say which layers a figure leaves out and why (`lacking` completes "layers, which ..."); empty if none."""
    left_out = len(document.layers) - len(drawn)
    if left_out == 0:
        return ""
    if len(drawn) == MAX_ROWS:
        return f" The {MAX_ROWS} {kept} of {len(document.layers)} layers are drawn."
    return f" Not drawn: {left_out} of {len(document.layers)} layers, which {lacking}."


def layer_axes(layers: Sequence[NumberedTimes], widths: Sequence[float] = (1.0,)) -> tuple[Figure, list[Axes]]:
    """Return axes side by side with one row per layer, the first layer on top; the first axes has the names."""
    figure = new_figure(_MARGINS + _ROW * max(len(layers), 2))
    grid = figure.add_gridspec(1, len(widths), width_ratios=widths)
    panels = [figure.add_subplot(grid[0, column]) for column in range(len(widths))]
    for panel in panels:
        panel.set_ylim(len(layers) - 0.4, -0.6)
        panel.set_yticks(range(len(layers)), [""] * len(layers))
        panel.tick_params(axis="y", length=0)
        panel.grid(visible=False, axis="y")
        # The scale of a figure taller than a screen must be in sight from both ends.
        panel.tick_params(axis="x", labeltop=len(layers) > 24)
    panels[0].set_yticklabels([f"{drawable(label(layer))}  {layer[0]}" for layer in layers])
    return figure, panels


def engineering(axes: Axes, unit: str) -> None:
    """Show the x axis with decimal prefixes, and few enough ticks that they do not touch."""
    axes.xaxis.set_major_formatter(EngFormatter(unit=unit))
    axes.locator_params(axis="x", nbins=5)


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make a scale logarithmic, with decimal prefixes; below two decades it also has ticks at 2 and 5."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0,) if high > 100 * low else (1.0, 2.0, 5.0), numticks=9))
    axis.set_major_formatter(EngFormatter())
    axis.set_minor_locator(NullLocator())


def legend_above(figure: Figure, axes: Axes, columns: int) -> None:
    """Place the legend over the figure, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, handlelength=1.6, columnspacing=1.4)


def drawable(text: str) -> str:
    """Return `text` with a box for each character that the font lacks."""
    known = _characters()
    return "".join(c if ord(c) in known else "□" for c in text)


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())
