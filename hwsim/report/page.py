"""The page: the document, its derived numbers and its figures, through one template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources

import jinja2
from markupsafe import Markup, escape

from hwsim.report import histogram
from hwsim.report.figures import FIGURES, FigureSpec
from hwsim.report.headline import headlines
from hwsim.report.measures import OPERANDS, numbered, overflow_events, share
from hwsim.report.render import Drawing
from hwsim.report.summary import summary, worst_sqnr
from hwsim.report.table import shown_columns
from hwsim.report.text import (
    bytes_text,
    grouped,
    hertz_text,
    percent,
    plural,
    rate_text,
    shape_text,
    shorten,
    si,
    visible,
)
from hwsim.sim.document import RunDocument

_TEMPLATES = "templates"


def render_page(document: RunDocument, drawings: Sequence[Drawing]) -> str:
    """Return the HTML of a report: one file, no scripts, nothing loaded from elsewhere."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hwsim.report", _TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "bits": lambda bits: "in mixed bits" if bits is None else f"in {bits} bits",
        "nobreak": _nobreak,
        "grouped": grouped,
        "hertz": hertz_text,
        "plural": plural,
        "shape": shape_text,
        "shorten": shorten,
        "si": si,
    }
    drawn = {drawing.spec.name: drawing.inline() for drawing in drawings}
    worst = worst_sqnr(document)
    return environment.get_template("report.html.j2").render(
        document=document,
        # Safe: our own file, written for a style element.
        style=Markup(_read("report.css")),
        headlines=headlines(document),
        summary=summary(document),
        figures=lambda section: _figures(document, drawn, section),
        operands=_operands(document),
        columns=shown_columns(),
        layers=numbered(document),
        overflow_events=overflow_events,
        histogram=histogram,
        opened=worst[0] if worst else 1,
    )


def _printable(value: object) -> object:
    """Spell out the invisible characters of any text that reaches the page; line ends come from the template."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _nobreak(text: str) -> Markup:
    """Keep numbers and their units on one line."""
    return Markup(re.sub(r"(?<=\d) (?=[%kMGT])", "&nbsp;", escape(visible(text))))


def _figures(
    document: RunDocument, drawn: dict[str, Markup], section: str
) -> list[tuple[FigureSpec, str, Markup | None]]:
    """Return the figures of a section with caption and drawing, None where there is nothing to draw."""
    return [(spec, spec.caption(document), drawn.get(spec.name)) for spec in FIGURES if spec.section == section]


def _operands(document: RunDocument) -> list[tuple[str, str, str, str]]:
    """Return rows of the totals table: operand, bytes per image, share, bandwidth at the frame rate."""
    total = document.total
    sizes = [(name, part(total.dram_bytes)) for name, part in OPERANDS] + [("total", total.dram_bytes.total)]
    return [
        (
            name,
            bytes_text(size),
            percent(share(size, total.dram_bytes.total)),
            rate_text(size * total.frames_per_second),
        )
        for name, size in sizes
    ]


def _read(name: str) -> str:
    return resources.files("hwsim.report").joinpath(_TEMPLATES, name).read_text(encoding="utf-8")
