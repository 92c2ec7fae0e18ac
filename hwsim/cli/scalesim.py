"""``hwsim scalesim``: SCALE-Sim 3's figures for its own files, and its report files."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hwsim.cli.terminal import check_parent, console, write_whole
from hwsim.report.text import grouped, percent, shorten, si
from hwsim.scalesim import LayerResult, read_config, read_topology, simulate
from hwsim.scalesim.defects import rtl_fold_cycles, unread_partial_sums
from hwsim.scalesim.reports import REPORTS
from hwsim.spec import InputError


def scalesim(
    config: Annotated[Path, typer.Argument(help="A SCALE-Sim .cfg file.", metavar="CONFIG.cfg")],
    topology: Annotated[Path, typer.Argument(help="A topology: convolutions or GEMMs.", metavar="TOPOLOGY.csv")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for its reports, in a folder of the run's name.")
    ] = None,
) -> None:
    """Compute what SCALE-Sim 3.0.0 reports in CALC mode, to the character; hwsim's own model is `hwsim time`.

    What its figures leave out is printed below them.
    """
    machine = read_config(config)
    layers = read_topology(topology)
    if output is not None:
        check_parent(output, "--output")
    results = simulate(layers, machine)
    table = Table(
        title=f"{topology.name} on {machine.run_name}: {machine.rows} x {machine.cols}, {machine.dataflow}, "
        f"{machine.ifmap_kb} + {machine.filter_kb} + {machine.ofmap_kb} KiB",
        box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    table.add_column("layer", no_wrap=True)
    for header in ("cycles", "+ prefetch", "util.", "mapped", "ifmap", "filter", "ofmap"):
        table.add_column(header, justify="right", no_wrap=True)
    for name, alike in _rows(results):
        first, number = alike[0], len(alike)
        times = f" x {number}" if number > 1 else ""
        table.add_row(
            shorten(name, 17 - len(times)) + times,
            grouped(number * first.cycles), grouped(number * first.cycles_with_prefetch),
            percent(first.utilization_percent / 100), percent(first.mapping_efficiency_percent / 100),
            *(si(number * access.words).replace(" ", "") for access in first.dram),
        )  # fmt: skip
    console.print(table)
    for line in _totals(results):
        console.print(line, highlight=False)
    if output is not None:
        for path in _write(results, output / machine.run_name):
            console.print(f"wrote         {path}", highlight=False)


def _rows(results: list[LayerResult]) -> list[tuple[str, list[LayerResult]]]:
    """Put the channels of a depthwise layer together, which are alike."""
    named = [(result.layer.name.partition("Channel_"), result) for result in results]
    # Any other layer has a number for a name of its own.
    keys = [(head if mark else str(number)) for number, ((head, mark, _), _) in enumerate(named)]
    rows = [
        [result for _, result in part] for _, part in groupby(zip(keys, results, strict=True), lambda pair: pair[0])
    ]
    return [(row[0].layer.name if len(row) == 1 else row[0].layer.name.partition("Channel_")[0], row) for row in rows]


def _totals(results: list[LayerResult]) -> list[str]:
    cycles = sum(result.cycles for result in results)
    folds = [result.folds for result in results]
    multipliers = folds[0].rows * folds[0].cols
    utilization = sum(result.layer.macs for result in results) / (cycles * multipliers)
    words = [sum(result.dram[operand].words for result in results) for operand in range(3)]
    in_rtl = sum(each.number * rtl_fold_cycles(each) for each in folds)
    unread = sum(map(unread_partial_sums, folds))
    lines = (
        f"total         {grouped(cycles)} cycles, utilization {percent(utilization)}",
        f"DRAM          {' + '.join(map(grouped, words))} = {grouped(sum(words))} words (ifmap, filter, ofmap; one byte each)",
        f"left out      {grouped(in_rtl - cycles)} cycles: its own RTL takes R + 1 more per fold, and the last one of each layer",
        f"              {grouped(unread)} words of partial sums that are written and never read back" if unread else "",
    )
    return [line for line in lines if line]


def _write(results: list[LayerResult], folder: Path) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output must be a folder that can be written, not {folder} ({error.strerror})") from None
    paths = []
    for name, report in REPORTS.items():
        write_whole(folder / name, report(results), "--output")
        paths.append(folder / name)
    return paths
