"""How far the channels of each layer's weights reach, before and after equalization."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from hwsim.report.figures.headroom_strips import colour_bar, rows_axes, strip
from hwsim.report.figures.quantize_noise import analyzed, left_out, row_names
from hwsim.report.figures.spec import FigureSpec
from hwsim.sim.quantize.document import QuantizeDocument

DEEPEST = -6.0
"""Octaves below the widest channel that colours still tell apart."""


def _caption(document: QuantizeDocument) -> str:
    analysis = document.analysis
    if analysis is None:
        return "The network was not analyzed."
    after = f" Below each, after {analysis.equalization}." if analysis.equalization else ""
    return (
        "A cell per output channel, in order of size: the largest weight of the channel against the largest of the layer, in "
        "bits. With one scale for the layer, a channel at -3 has three bits fewer than the weights' format." + after
        + left_out(document)
    )  # fmt: skip


def _draw(document: QuantizeDocument) -> Figure | None:
    layers = analyzed(document)
    if not layers:
        return None
    names, rows = [], []
    for name, (_, found) in zip(row_names(layers), layers, strict=True):
        names.append(name)
        rows.append(found.channels)
        if found.equalized is not None:
            names.append("equalized")
            rows.append(found.equalized)
    figure, axes = rows_axes(names, extra=0.6)
    norm, mesh = Normalize(DEEPEST, 0.0), None
    for row, channels in enumerate(rows):
        sizes = np.sort(np.array(channels, np.float64))[::-1]
        relative = np.log2(np.maximum(sizes / max(sizes[0], 1e-30), 2.0**DEEPEST))
        mesh = strip(axes, row, np.linspace(0, 1, len(sizes) + 1), relative, "viridis", norm)
    axes.set_xticks([0, 0.5, 1], ["widest channel", "median", "narrowest"])
    axes.set_xlim(-0.01, 1.01)
    axes.grid(visible=False)
    colour_bar(figure, axes, mesh, "bits below the widest channel")
    return figure


QUANTIZE_CHANNELS = FigureSpec[QuantizeDocument](
    name="channel_ranges",
    section="sqnr",
    title="Ranges of the weights' channels",
    alt="One strip per layer with a cell per output channel, dark where the channel's weights are small against the layer's.",
    caption=_caption,
    draw=_draw,
)
