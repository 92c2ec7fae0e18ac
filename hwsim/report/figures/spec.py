"""What a figure of the report is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

from hwsim.sim.document import RunDocument

Section = Literal["accuracy", "bandwidth", "cycles", "accumulators", "sqnr"]
"""Where on the page a figure stands."""


@dataclass(frozen=True, slots=True)
class FigureSpec:
    """A figure: its file name, its texts, and how to draw it.

    Parameters
    ----------
    name
        File name without ending, and prefix of every id in the SVG.
    section
        The part of the page that shows it; figures of a section stand in the order of `FIGURES`.
    title
        Heading over the figure.
    alt
        What is drawn, for readers who cannot see it. The numbers are in the tables of the page.
    caption
        How to read it, with what this run shows. Also shown where there is nothing to draw.
    draw
        Returns the figure, or None where the run has nothing to draw. Called inside `style()`.
    """

    name: str
    section: Section
    title: str
    alt: str
    caption: Callable[[RunDocument], str]
    draw: Callable[[RunDocument], Figure | None]
