"""Figures with one strip of coloured cells per layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from hwsim.report.figures.style import MAX_ROWS, drawable, new_figure
from hwsim.report.text import shorten
from hwsim.sim.analyze.document import AnalyzedLayer

_ROW = 0.185
_MARGINS = 1.05


def rows_axes(labels: Sequence[str], extra: float = 0.0) -> tuple[Figure, Axes]:
    """Return axes with one row per label, the first on top, and so many inches more."""
    figure = new_figure(_MARGINS + extra + _ROW * max(len(labels), 2))
    axes = figure.add_subplot()
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks(range(len(labels)), [drawable(label) for label in labels])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    # The scale of a figure taller than a screen must be in sight from both ends.
    axes.tick_params(axis="x", labeltop=len(labels) > 24)
    return figure, axes


def names(layers: Sequence[AnalyzedLayer]) -> list[str]:
    """Return what the rows of layers are called."""
    return [f"{shorten(layer.name, 24)}  {layer.index}" for layer in layers]


def drawn(layers: Sequence[AnalyzedLayer]) -> list[AnalyzedLayer]:
    """Return the layers of a figure: the first ones, where there are too many."""
    return list(layers[:MAX_ROWS])


def left_out(layers: Sequence[AnalyzedLayer]) -> str:
    """Say how many layers a figure leaves out; empty if none."""
    return f" The first {MAX_ROWS} of {len(layers)} layers are drawn." if len(layers) > MAX_ROWS else ""


def strip(
    axes: Axes, row: int, edges: npt.NDArray[Any], values: npt.NDArray[Any], colours: str, norm: Normalize
) -> Any:
    """Draw the cells of one layer; a value that is not a number leaves its cell empty."""
    return axes.pcolormesh(
        edges, np.array([row - 0.42, row + 0.42]), np.ma.masked_invalid(values)[None], cmap=colours, norm=norm,
        shading="flat", linewidth=0,
    )  # fmt: skip


def colour_bar(figure: Figure, axes: Axes, mesh: Any, label: str) -> None:
    """Place the scale of the colours below the strips."""
    bar = figure.colorbar(mesh, ax=axes, orientation="horizontal", fraction=0.05, aspect=45, pad=0.02)
    bar.set_label(label)
    bar.outline.set_visible(False)
