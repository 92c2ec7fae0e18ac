"""Figures as bytes: SVG for the page and for print, PNG for slides; the same document gives the same bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from hwsim.report.figures.spec import Document_contra, FigureSpec
from hwsim.report.figures.style import style

# What would differ between two runs or two machines, or says nothing: dates, versions, vocabulary links.
_SVG_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_PNG_METADATA = {"Software": None}

_NOT_IN_HTML = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<style.*?</style>|<metadata>.*?</metadata>", re.DOTALL
)
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(?<=href="#)[^"]+|(?<=url\(#)[^)]+')


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawn figure: the files, and the SVG as part of a page."""

    spec: FigureSpec[Any]
    svg: bytes
    png: bytes

    def inline(self) -> Markup:
        """Return the SVG for an HTML page: no prologue, ids of its own, and a text for those who cannot see it."""
        text = _NOT_IN_HTML.sub("", self.svg.decode("utf-8"))
        used = set(_REFERENCE.findall(text))
        # Matplotlib calls every first axes "axes_1" and shares glyph ids between figures; a page needs them unique.
        text = _ID.sub(lambda match: f' id="{self.spec.name}-{match[1]}"' if match[1] in used else "", text)
        text = _REFERENCE.sub(lambda match: f"{self.spec.name}-{match[0]}", text)
        text = re.sub(r"\s*\n\s*", " ", text).strip()
        label = escape(f"{self.spec.title}. {self.spec.alt}")
        # Safe: the file holds numbers and glyph outlines only, its comments are gone, and the label is escaped.
        return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


def render(spec: FigureSpec[Document_contra], document: Document_contra) -> Drawing | None:
    """Draw a figure of `document`, or nothing where there is nothing to draw."""
    with style():
        figure = spec.draw(document)
        if figure is None:
            return None
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata=_SVG_METADATA)
        figure.savefig(png, format="png", metadata=_PNG_METADATA)
    return Drawing(spec, svg.getvalue(), png.getvalue())


def render_all(specs: Iterable[FigureSpec[Document_contra]], document: Document_contra) -> list[Drawing]:
    """Draw the figures of `document` that have something to draw."""
    return [drawing for spec in specs if (drawing := render(spec, document)) is not None]


def figure_files(drawings: Iterable[Drawing]) -> dict[str, bytes]:
    """Return what a report's folder holds of its figures: path in the folder to contents."""
    return {
        f"figures/{drawing.spec.name}{suffix}": contents
        for drawing in drawings
        for suffix, contents in ((".svg", drawing.svg), (".png", drawing.png))
    }


def figures_on_page(
    specs: Iterable[FigureSpec[Document_contra]], document: Document_contra, drawings: Iterable[Drawing]
) -> list[tuple[FigureSpec[Document_contra], str, Markup | None]]:
    """Return what a page shows of each of `specs`: the figure, its caption, and its drawing where there is one."""
    drawn = {drawing.spec.name: drawing.inline() for drawing in drawings}
    return [(spec, spec.caption(document), drawn.get(spec.name)) for spec in specs]
