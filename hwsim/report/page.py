"""The page: the document, its derived numbers and its figures, through one template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources

import jinja2
from markupsafe import Markup, escape

from hwsim.report import histogram
from hwsim.report.figures import FIGURES
from hwsim.report.headline import headlines
from hwsim.report.measures import OPERANDS, energy_cell, numbered, overflow_events, share
from hwsim.report.render import Drawing, figures_on_page
from hwsim.report.summary import summary, worst_sqnr
from hwsim.report.table import COLUMNS, shown_columns
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
from hwsim.sim.document import RunDocument, TimedDocument

_TEMPLATES = "templates"


def render_page(document: RunDocument, drawings: Sequence[Drawing]) -> str:
    """Return the HTML of a report: one file, no scripts, nothing loaded from elsewhere."""
    figures = figures_on_page(FIGURES, document, drawings)
    worst = worst_sqnr(document)
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(
            document=document,
            style=style_text(),
            headlines=headlines(document),
            summary=summary(document),
            figures=lambda section: [shown for shown in figures if shown[0].section == section],
            operands=traffic_rows(document),
            energies=energy_rows(document),
            columns=shown_columns(COLUMNS, document.layers),
            layers=numbered(document),
            overflow_events=overflow_events,
            histogram=histogram,
            opened=worst[0] if worst else 1,
        )
    )


def page_environment() -> jinja2.Environment:
    """Return what renders a page: everything is escaped, and nothing may be undefined."""
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
    return environment


def _printable(value: object) -> object:
    """Spell out the invisible characters of any text that reaches the page; line ends come from the template."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _nobreak(text: str) -> Markup:
    """Keep numbers and their units on one line."""
    return Markup(re.sub(r"(?<=\d) (?=[%kMGT])", "&nbsp;", escape(visible(text))))


def traffic_rows(document: TimedDocument) -> list[tuple[str, str, str, str]]:
    """Return rows of the totals table: operand, bytes per image, share, bandwidth at the frame rate."""
    total = document.total
    parts = [(name, part(total.dram_bytes)) for name, part in OPERANDS]
    sizes = [(name, size) for name, size in parts if size or name != "outliers"] + [("total", total.dram_bytes.total)]
    return [
        (
            name,
            bytes_text(size),
            percent(share(size, total.dram_bytes.total)),
            rate_text(size * total.frames_per_second),
        )
        for name, size in sizes
    ]


def energy_rows(document: TimedDocument) -> list[tuple[str, list[str], str]]:
    """Return rows of the table of energies: table, MACs, buffers, DRAM and total, source."""
    return [
        (
            energy.table,
            [energy_cell(part, energy.unit) for part in (energy.macs, energy.sram, energy.dram, energy.total)],
            f"{energy.source}; {energy.stretched}",
        )
        for energy in document.total.energy
    ]


def style_text() -> Markup:
    """Return the style of a page."""
    # Safe: our own file, written for a style element.
    return Markup(resources.files("hwsim.report").joinpath(_TEMPLATES, "report.css").read_text(encoding="utf-8"))
