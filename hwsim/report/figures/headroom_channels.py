"""Which channels of a layer are short of bits, and at which products their sums overflow."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure

from hwsim.report.figures.headroom_strips import colour_bar, drawn, left_out, names, rows_axes, strip
from hwsim.report.figures.spec import FigureSpec
from hwsim.report.text import plural
from hwsim.sim.analyze.document import AnalysisDocument, AnalyzedLayer

CELLS = 64
"""Cells of a strip, at most: beyond, each is the worst of a run of channels."""

REACH = 4
"""Bits to spare beyond which all channels look alike."""


def _spare(layer: AnalyzedLayer) -> np.ndarray:
    """Return the bits to spare by run of channels: on the data where there was any, else for every input."""
    needed = np.array(layer.acc.channel_observed_bits or layer.acc.channel_proven_bits)
    starts = np.arange(0, len(needed), -(-len(needed) // CELLS))
    spare: np.ndarray = layer.acc.bits - np.maximum.reduceat(needed, starts)
    return spare


def _channel_caption(document: AnalysisDocument) -> str:
    of = "on the data" if document.data is not None else "for every input"
    return (
        f"Bits to spare of the accumulator {of}, channel by channel; each strip is as long as its layer has channels to "
        f"show, {CELLS} cells at most, the worst of each run of channels. Red is short of bits."
        + left_out(document.layers)
    )


def _draw_channels(document: AnalysisDocument) -> Figure | None:
    layers = drawn(document.layers)
    if not layers:
        return None
    figure, axes = rows_axes(names(layers), extra=0.6)
    norm, mesh = TwoSlopeNorm(0.0, -REACH, REACH), None
    for row, layer in enumerate(layers):
        spare = _spare(layer)
        mesh = strip(axes, row, np.linspace(0, 1, len(spare) + 1), spare.clip(-REACH, REACH), "RdBu", norm)
    axes.set_xticks([0, 1], ["first channel", "last channel"])
    axes.set_xlim(-0.01, 1.01)
    axes.grid(visible=False)
    colour_bar(figure, axes, mesh, "bits to spare of the accumulator")
    return figure


def _events_by_place(layer: AnalyzedLayer) -> np.ndarray:
    parts = [
        np.array(register.positive_by_place) + np.array(register.negative_by_place) for register in layer.registers
    ]
    total: np.ndarray = np.sum(parts, axis=0)
    return total


def _place_caption(document: AnalysisDocument) -> str:
    if document.total.events == 0:
        return "No register of any layer overflowed."
    return (
        f"{plural(document.total.events, 'event')} of all registers, by where in the dot product they happened, relative to "
        "the busiest part of each layer. Layers without events are not drawn." + left_out(document.layers)
    )


def _draw_places(document: AnalysisDocument) -> Figure | None:
    layers = [layer for layer in drawn(document.layers) if layer.events]
    if not layers:
        return None
    figure, axes = rows_axes(names(layers), extra=0.6)
    norm, mesh = Normalize(0.0, 1.0), None
    for row, layer in enumerate(layers):
        events = _events_by_place(layer)
        share = np.where(events > 0, events / events.max(), np.nan)
        mesh = strip(axes, row, np.linspace(0, 1, len(events) + 1), share, "Blues", norm)
    axes.set_xticks([0, 0.5, 1], ["first product", "half", "last product"])
    axes.set_xlim(-0.01, 1.01)
    axes.grid(visible=False)
    colour_bar(figure, axes, mesh, "events, relative to the busiest part of the layer")
    return figure


HEADROOM_CHANNELS = FigureSpec[AnalysisDocument](
    name="headroom_channels",
    section="accumulators",
    title="Headroom by channel",
    alt="One strip per layer with a cell per channel, blue where the accumulator has bits to spare and red where it is short.",
    caption=_channel_caption,
    draw=_draw_channels,
)

OVERFLOW_PLACES = FigureSpec[AnalysisDocument](
    name="overflow_places",
    section="accumulators",
    title="Where in the dot product sums overflow",
    alt="One strip per layer from the first product to the last, coloured by its overflow events.",
    caption=_place_caption,
    draw=_draw_places,
)
