"""What a figure of the report is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from matplotlib.figure import Figure

from hwsim.report.sweep_results import SweepResults
from hwsim.sim.analyze.document import AnalysisDocument
from hwsim.sim.document import TimedDocument
from hwsim.sim.narrow.document import NarrowDocument
from hwsim.sim.quantize.document import QuantizeDocument

Section = Literal["accuracy", "bandwidth", "cycles", "accumulators", "sqnr", "sweep"]
"""Where on the page a figure stands."""


Document_contra = TypeVar(
    "Document_contra", bound=TimedDocument | AnalysisDocument | NarrowDocument | SweepResults | QuantizeDocument,
    contravariant=True,
)  # fmt: skip
"""What a figure is drawn from: a run, anything that has times, an analysis, a search of registers, a sweep, or a quantization."""


@dataclass(frozen=True)
class FigureSpec(Generic[Document_contra]):
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
    caption: Callable[[Document_contra], str]
    draw: Callable[[Document_contra], Figure | None]
