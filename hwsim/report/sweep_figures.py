"""The figures of a sweep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter

from hwsim.report.figures.spec import FigureSpec
from hwsim.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    drawable,
    legend_above,
    logarithmic,
    new_figure,
)
from hwsim.report.sweep_results import ACCURACY, Row, SweepResults
from hwsim.report.sweep_words import limit_text, metric_name, metric_unit
from hwsim.report.text import listing, plural

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION)
MARKERS = ("o", "s", "^", "D", "v", "P")
"""Series differ in form as well, for print without colours."""

CLOUD = 250
"""Points beyond which those that are not on a front are drawn as one picture, which keeps the page small."""

VALUE_PARAMETERS = re.compile(
    r"weight_bits|activation_bits|layers|acc|psum|tree|lanes|chain|.*outlier.*|scheme|ranges|repair.*"
)
"""Parameters that decide accuracy, by name."""


def models(rows: Sequence[Row]) -> list[str]:
    """Return the names of the models of some rows, in order."""
    return sorted({str(row["model"]) for row in rows})


def _costs(results: SweepResults) -> list[str]:
    return [name for name in results.objectives if name != ACCURACY]


def _scatter(axes: Axes, rows: Sequence[Row], results: SweepResults, x: str, y: str, scale: float = 1.0) -> None:
    """Draw rows by model, those of a front filled and in front of the others."""
    names = models(results.finished)
    for model in models(rows):
        at = names.index(model) % len(COLOURS)
        some = [row for row in rows if row["model"] == model]
        ahead = [row for row in some if row["key"] in results.on_front]
        # Points that coincide are drawn once.
        behind = list({(row[x], row[y]): row for row in some if row["key"] not in results.on_front}.values())
        marker, colour = MARKERS[at], COLOURS[at]
        axes.scatter(
            [row[x] for row in behind], [row[y] * scale for row in behind], s=9, marker=marker, facecolors="none",
            edgecolors=colour, linewidths=0.5, alpha=0.45, rasterized=len(behind) > CLOUD, zorder=2,
        )  # fmt: skip
        axes.scatter(
            [row[x] for row in ahead], [row[y] * scale for row in ahead], s=26, marker=marker, facecolors=colour,
            edgecolors=INK, linewidths=0.5, label=drawable(model), zorder=4,
        )  # fmt: skip


def _front_pairs(results: SweepResults) -> list[tuple[str, str]]:
    """Return the pairs of objectives that are drawn: accuracy over each cost, and else the first over the others."""
    costs = _costs(results)
    if ACCURACY in results.objectives and any(row[ACCURACY] is not None for row in results.finished):
        return [(cost, ACCURACY) for cost in costs]
    return [(cost, costs[0]) for cost in costs[1:]]


def _front_caption(results: SweepResults) -> str:
    if not results.feasible or not _front_pairs(results):
        return "No two objectives have values to draw."
    limits = [limit_text(name, limit) for name, limit in results.constraints.items()]
    text = (
        f"Filled: the {plural(len(results.on_front), 'configuration')} that no other one beats in all objectives together "
        f"({listing([f'{goal} {metric_name(name)}' for name, goal in results.objectives.items()])}). "
        f"Hollow: the other {len(results.feasible) - len(results.on_front)} that meet the constraints."
    )
    if ACCURACY in results.objectives:
        text += " With more than two objectives a filled point may lie inside the cloud: it is ahead in one that is not drawn."
    return text + (f" Constraints: {listing(limits)}." if limits else "")


def _draw_front(results: SweepResults) -> Figure | None:
    pairs = _front_pairs(results)
    if not results.feasible or not pairs:
        return None
    figure = new_figure(0.45 + 2.6 * len(pairs))
    grid = figure.add_gridspec(len(pairs), 1)
    for place, (x, y) in enumerate(pairs):
        axes = figure.add_subplot(grid[place, 0])
        rows = [row for row in results.feasible if row[x] and row[y] is not None]
        _scatter(axes, rows, results, x, y, 100.0 if y == ACCURACY else 1.0)
        _scale(axes, "x", x, rows)
        if y == ACCURACY:
            axes.set_ylabel("top-1 accuracy (%)")
        else:
            _scale(axes, "y", y, rows)
        if place == 0:
            legend_above(figure, axes, 2)
    return figure


def _scale(axes: Axes, which: Any, column: str, rows: Sequence[Row]) -> None:
    values = [row[column] for row in rows if row[column]]
    axis = axes.xaxis if which == "x" else axes.yaxis
    if values and max(values) > 3 * min(values):
        logarithmic(axes, which)
    else:
        axes.locator_params(axis=which, nbins=5)
    axis.set_major_formatter(EngFormatter(unit=metric_unit(column)))
    axes.set(**{f"{which}label": metric_name(column)})


def _sort_key(value: object) -> tuple[int, float, str]:
    if value is None:
        return 0, 0.0, ""
    number = re.match(r"\d+(\.\d+)?", str(value))
    return 1, float(number[0]) if number else 0.0, str(value)


def _value_parameters(results: SweepResults) -> list[str]:
    rows = [row for row in results.finished if row[ACCURACY] is not None]
    return [
        name for name in results.parameters
        if VALUE_PARAMETERS.fullmatch(name) and len({row[name] for row in rows}) > 1
    ]  # fmt: skip


def _precision_caption(results: SweepResults) -> str:
    if not _value_parameters(results):
        return "Nothing that decides accuracy was varied, or nothing was executed."
    return (
        "Each mark is one execution of a network on the data, whatever array it ran on; bars are 95 % Wilson intervals. "
        "The line joins the best of each value: what is left of accuracy when this parameter alone is narrowed and all others "
        "are at their best."
    )


def _draw_precision(results: SweepResults) -> Figure | None:
    names = _value_parameters(results)
    if not names:
        return None
    rows = [row for row in results.finished if row[ACCURACY] is not None]
    figure = new_figure(0.45 + 2.2 * len(names))
    grid = figure.add_gridspec(len(names), 1)
    known = models(results.finished)
    for place, name in enumerate(names):
        axes = figure.add_subplot(grid[place, 0])
        values = sorted({row[name] for row in rows}, key=_sort_key)
        present = models(rows)
        for model in present:
            at = known.index(model) % len(COLOURS)
            shift = 0.16 * (present.index(model) - (len(present) - 1) / 2)
            _one_precision(axes, [row for row in rows if row["model"] == model], name, values, at, shift)
        axes.set_xticks(range(len(values)), ["model's" if value is None else str(value) for value in values])
        if len(values) > 8:
            axes.tick_params(axis="x", labelrotation=45)
        axes.set_xlabel(metric_name(name))
        axes.set_ylabel("top-1 accuracy (%)")
        if place == 0:
            legend_above(figure, axes, 2)
    return figure


def _one_precision(axes: Axes, rows: Sequence[Row], name: str, values: Sequence[object], at: int, shift: float) -> None:
    """Draw the accuracies of one model over the values of a parameter."""
    seen = {(row[name], row["correct"], row["n"]): row for row in rows}
    for row in seen.values():
        x = values.index(row[name]) + shift
        axes.plot([x, x], [100 * row["top1_low"], 100 * row["top1_high"]], color=COLOURS[at], linewidth=1.6, alpha=0.4)
        axes.plot(
            x, 100 * row["top1"], MARKERS[at], color=COLOURS[at], markersize=4, markeredgecolor=INK, markeredgewidth=0.4
        )
    present = [(i, [r["top1"] for r in rows if r[name] == value]) for i, value in enumerate(values)]
    line = [(i + shift, 100 * max(some)) for i, some in present if some]
    axes.plot(
        [x for x, _ in line],
        [y for _, y in line],
        color=COLOURS[at],
        linewidth=1,
        label=drawable(str(rows[0]["model"])),
    )


def _roofline_caption(results: SweepResults) -> str:
    if not results.finished:
        return "No point was finished."
    bound = [row for row in results.finished if _intensity(row) < 1]
    return (
        "All machines under one roof: operations per DRAM byte over what the machine needs to keep its multipliers busy, and "
        "operations per second over what its multipliers can do. Left of 1 the DRAM bounds a machine "
        f"({len(bound)} of {len(results.finished)} points), right of it the array. Below the roof are fill, drain, idle "
        "multipliers, and transfers that nothing overlaps."
    )


def _intensity(row: Row) -> float:
    """Return operations per byte, 1 where arithmetic and DRAM are in balance."""
    balance = 2.0 * row["multipliers"] / row["dram_bytes_per_cycle"]
    return float(row["operations_per_byte"] / balance)


def _draw_roofline(results: SweepResults) -> Figure | None:
    rows = [
        {
            **row,
            "_intensity": _intensity(row),
            "_share": row["operations_per_second"] / (2 * row["multipliers"] * row["clock_hz"]),
        }
        for row in results.finished
        if row["operations_per_byte"] and row["operations_per_second"]
    ]
    if not rows:
        return None
    figure = new_figure(3.3)
    axes = figure.add_subplot()
    _scatter(axes, rows, results, "_intensity", "_share")
    low, high = min(r["_intensity"] for r in rows) / 2, max(max(r["_intensity"] for r in rows) * 2, 4.0)
    span = np.geomspace(low, high, 100)
    axes.plot(span, np.minimum(1.0, span), color=INK, linewidth=1.4)
    axes.set_xlim(low, high)
    axes.set_ylim(min(r["_share"] for r in rows) / 2, 2)
    logarithmic(axes, "x")
    logarithmic(axes, "y")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("operations per DRAM byte, of those that balance the machine")
    axes.set_ylabel("share of the multipliers' peak")
    legend_above(figure, axes, 2)
    return figure


def _effects_caption(results: SweepResults) -> str:
    if not results.effects:
        return "No two points differ in one parameter alone, so no parameter's own effect can be told (a grid has such points)."
    return (
        "Bar: the median, over all groups of points that differ in this parameter alone, of the highest value over the lowest "
        "(for accuracy their difference in percentage points). Line: the largest. A parameter that leaves a metric as it is has "
        "a factor of 1."
    )


def _draw_effects(results: SweepResults) -> Figure | None:
    metrics = [name for name in results.objectives if any(e.metric == name for e in results.effects)]
    if not metrics:
        return None
    sizes = [sum(e.metric == name for e in results.effects) for name in metrics]
    figure = new_figure(0.3 + sum(0.55 + 0.24 * size for size in sizes))
    grid = figure.add_gridspec(len(metrics), 1, height_ratios=[0.55 + 0.24 * size for size in sizes])
    for place, metric in enumerate(metrics):
        axes = figure.add_subplot(grid[place, 0])
        effects = [effect for effect in results.effects if effect.metric == metric]
        accuracy = metric == ACCURACY
        start, scale = (0.0, 100.0) if accuracy else (1.0, 1.0)
        for row, effect in enumerate(effects):
            axes.plot([start, effect.largest * scale], [row, row], color=GREY, linewidth=1, zorder=2)
            axes.barh(row, effect.typical * scale - start, left=start, height=0.6, color=BLUE, zorder=3)
        axes.set_yticks(range(len(effects)), [drawable(metric_name(effect.parameter)) for effect in effects])
        axes.set_ylim(len(effects) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("top-1 accuracy, percentage points" if accuracy else f"{metric_name(metric)}, factor")
    return figure


def _split_caption(results: SweepResults) -> str:
    if not results.best:
        return "No configuration meets the constraints."
    table = energy_table(results)
    energy = f" Energy is by the table {table}; other tables differ by factors." if table else ""
    return f"The best configurations, by their numbers in the list above: what of their DRAM traffic is what.{energy}"


def energy_table(results: SweepResults) -> str | None:
    """Return the energy table that is drawn: that of an objective, else the first that knows all parts."""
    columns = list(results.rows[0]) if results.rows else []
    asked = [re.fullmatch(r"energy_(.+)_(macs|sram|dram|total)", name) for name in results.objectives]
    tables = [match[1] for match in asked if match]
    tables += [name[len("energy_") : -len("_total")] for name in columns if re.fullmatch(r"energy_.*_total", name)]
    rows = [best.row for best in results.best]
    return next((t for t in tables if rows and all(row[f"energy_{t}_total"] is not None for row in rows)), None)


def _draw_split(results: SweepResults) -> Figure | None:
    rows = [best.row for best in results.best]
    if not rows:
        return None
    table = energy_table(results)
    traffic = [("weights", ("weights", "biases", "scales")), ("activations in", ("activations_in",)),
               ("activations out", ("activations_out",))]  # fmt: skip
    if any(row.get("dram_outliers_bytes") for row in rows):
        traffic.append(("outliers", ("outliers",)))
    panels = [
        (
            "DRAM bytes per image",
            "B",
            [(n, [sum(r[f"dram_{p}_bytes"] or 0 for p in ps) for r in rows]) for n, ps in traffic],
        )
    ]
    if table:
        energies = [(n, [r[f"energy_{table}_{n}"] * 1e-12 for r in rows]) for n in ("macs", "sram", "dram")]
        panels.append((f"energy per image by {table.replace('_', '-')}", "J", energies))
    height = 0.75 + 0.24 * len(rows)
    figure = new_figure(0.2 + height * len(panels))
    grid = figure.add_gridspec(len(panels), 1)
    for place, (label, unit, parts) in enumerate(panels):
        axes = figure.add_subplot(grid[place, 0])
        left = np.zeros(len(rows))
        for (name, sizes), colour, hatch in zip(
            parts, (BLUE, ORANGE, GREEN, PURPLE), ("", "///", "", "\\\\\\"), strict=False
        ):
            axes.barh(range(len(rows)), sizes, left=left, height=0.66, color=colour, hatch=hatch, edgecolor="white",
                      linewidth=0.3, label=name)  # fmt: skip
            left += np.array(sizes)
        axes.set_yticks(range(len(rows)), [str(number) for number in range(1, len(rows) + 1)])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_formatter(EngFormatter(unit=unit))
        axes.set_xlabel(label)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, handlelength=1.4)
    return figure


SWEEP_FIGURES: tuple[FigureSpec[SweepResults], ...] = (
    FigureSpec(
        "front", "sweep", "Best trade-offs", "Scatter plots of the objectives; filled marks are on the Pareto front.",
        _front_caption, _draw_front,
    ),
    FigureSpec(
        "precision", "sweep", "Accuracy against precision",
        "Accuracy with intervals over the values of each parameter that decides it.", _precision_caption, _draw_precision,
    ),
    FigureSpec(
        "effects", "sweep", "What each parameter does",
        "Bars of the typical and largest effect of each parameter on each objective.",
        _effects_caption, _draw_effects,
    ),
    FigureSpec(
        "roofline", "sweep", "Roofline of all machines", "Double logarithmic plot of the share of peak over relative intensity.",
        _roofline_caption, _draw_roofline,
    ),
    FigureSpec(
        "split", "sweep", "Traffic and energy of the best", "Stacked bars of DRAM bytes and energy of the best configurations.",
        _split_caption, _draw_split,
    ),
)  # fmt: skip
"""Those of a sweep, in the order of the page."""
