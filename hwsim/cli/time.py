"""``hwsim time``: cycles, memory traffic and stalls of a network on a machine, without running it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hwsim.api.machine import machine_of
from hwsim.cli.options import (
    DEFAULT_ACCELERATOR,
    MACHINE,
    OUTPUT,
    AcceleratorOption,
    AccOption,
    ActivationBitsOption,
    ChainOption,
    JsonOption,
    LanesOption,
    ModelArgument,
    OutlierBitsOption,
    OutliersOption,
    PsumOption,
    WeightBitsOption,
    accelerator_of,
    outliers_of,
)
from hwsim.cli.terminal import check_parent, check_writable, console, write_whole
from hwsim.load import load_model
from hwsim.memory.compression import SCHEMES, scheme_named
from hwsim.report.folder import check_folder
from hwsim.report.measures import energy_text
from hwsim.report.text import bytes_text, grouped, hertz_text, percent, rate_text, shorten, si
from hwsim.sim.document import LayerTimes, TimeDocument
from hwsim.sim.time.given import load_tiles, tiles_text
from hwsim.sim.time.run import evaluation_seconds, graph_of, time_model
from hwsim.spec import Dataflow, require

NAMES = ", ".join(scheme.name for scheme in SCHEMES)


def time(
    model: ModelArgument,
    accelerator: AcceleratorOption = DEFAULT_ACCELERATOR,
    rows: Annotated[int | None, typer.Option("--rows", help="Rows of the array.", rich_help_panel=MACHINE)] = None,
    cols: Annotated[int | None, typer.Option("--cols", help="Columns of the array.", rich_help_panel=MACHINE)] = None,
    dataflow: Annotated[
        Dataflow | None, typer.Option("--dataflow", help="What stays in the array.", rich_help_panel=MACHINE)
    ] = None,
    sram: Annotated[
        int | None, typer.Option("--sram", help="Bytes of one buffer for everything.", rich_help_panel=MACHINE)
    ] = None,
    dram: Annotated[float | None, typer.Option("--dram", help="DRAM bytes per cycle.", rich_help_panel=MACHINE)] = None,
    latency: Annotated[
        int | None, typer.Option("--latency", help="DRAM latency in cycles.", rich_help_panel=MACHINE)
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="No buffers: the ports are at the DRAM.", rich_help_panel=MACHINE)
    ] = False,
    acc: AccOption = None,
    psum: PsumOption = None,
    chain: ChainOption = None,
    lanes: LanesOption = None,
    fps: Annotated[float, typer.Option("--fps", help="Frame rate for the bandwidth.", rich_help_panel=MACHINE)] = 30.0,
    weight_bits: WeightBitsOption = None,
    activation_bits: ActivationBitsOption = None,
    outliers: OutliersOption = None,
    outlier_bits: OutlierBitsOption = None,
    compress: Annotated[
        str | None,
        typer.Option("--compress", help=f"Store weights as {NAMES}.", rich_help_panel=MACHINE),
    ] = None,
    compress_activations: Annotated[str | None, typer.Option("--compress-activations", hidden=True)] = None,
    tiles: Annotated[
        Path | None, typer.Option("--tiles", help="Cut layers as this TOML file says.", rich_help_panel=MACHINE)
    ] = None,
    repeat: Annotated[
        int, typer.Option("--repeat", help="Measure: time so many machines, of other sizes.", rich_help_panel=OUTPUT)
    ] = 0,
    json: JsonOption = None,
    write_tiles: Annotated[
        Path | None,
        typer.Option("--write-tiles", help="Write the tiles that were used, for --tiles.", rich_help_panel=OUTPUT),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the table and the figures.", rich_help_panel=OUTPUT)
    ] = None,
) -> None:
    """Time a network on an accelerator: cycles, DRAM traffic, stalls. No tensor value is looked at, but for outliers' places."""
    machine = accelerator_of(
        accelerator, acc=acc, psum=psum, chain=chain, lanes=lanes, tree=None, bias_at=None, zero_points=None,
        requantize=None,
    )  # fmt: skip
    machine = machine_of(
        machine, rows=rows, cols=cols, dataflow=dataflow, sram_bytes=sram, dram_bytes_per_cycle=dram,
        dram_latency_cycles=latency, direct=direct,
    )  # fmt: skip
    require(
        compress_activations is None, "--compress-activations",
        "left out, as no tensor value is looked at here (hwsim run measures them)", compress_activations,
    )  # fmt: skip
    require(0 < fps < 1e9, "frames per second", "positive and below 1e9", fps)
    require(0 <= repeat <= 10_000, "repeat", "from 0 to 10000", repeat)
    code = None if compress is None else scheme_named(compress, "--compress")
    given = None if tiles is None else load_tiles(tiles)
    rule = outliers_of(outliers, outlier_bits)
    for path, option in ((json, "--json"), (write_tiles, "--write-tiles")):
        if path is not None:
            check_writable(path, option)
    if report is not None:
        check_folder(report)
        check_parent(report, "--report")
    loaded = load_model(model)
    command = shlex.join(["hwsim", *sys.argv[1:]])
    document = time_model(
        loaded, machine, weight_bits=weight_bits, activation_bits=activation_bits, outliers=rule, frames_per_second=fps,
        command=command, compression=code, tiles=given,
    )  # fmt: skip
    _print(document)
    if repeat:
        graph = graph_of(loaded.graph, machine, weight_bits, activation_bits, rule)
        seconds = median(evaluation_seconds(graph, machine, repeat))
        console.print(
            f"speed         {seconds:.3f} s of one core per machine, tile search included (median of {repeat} other ones)",
            highlight=False,
        )
    if json is not None:
        write_whole(json, document.to_json(), "--json")
        console.print(f"JSON: {json}", highlight=False)
    if write_tiles is not None:
        write_whole(write_tiles, tiles_text(document.layers), "--write-tiles")
        console.print(f"Tiles: {write_tiles}", highlight=False)
    if report is not None:
        from hwsim.report.time_report import write_time_report

        console.print(f"Report: {write_time_report(document, report)}", highlight=False)


def _print(document: TimeDocument) -> None:
    machine, total = document.accelerator, document.total
    table = Table(
        title=f"{document.model.name} on {machine.name}: {machine.rows} x {machine.cols} {machine.dataflow}",
        box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    table.add_column("layer", no_wrap=True)
    for header in ("MACs", "cycles", "stalled", "used", "DRAM", "/bound", "tile", "output"):
        table.add_column(header, justify="right", no_wrap=True)
    for layer in document.layers:
        table.add_row(*_row(layer))
    console.print(table)
    console.print(
        f"per image     {si(total.macs)} MACs, {grouped(total.compute_cycles)} + {grouped(total.stall_cycles)} stalled = "
        f"{grouped(total.cycles)} cycles, {percent(total.utilization)} of {grouped(machine.multipliers)} multipliers; "
        f"{total.images_per_second:,.1f} images/s at {hertz_text(machine.clock_hz)}",
        highlight=False,
    )
    moved, ports = total.dram_bytes, total.port_bytes
    console.print(
        f"DRAM          {bytes_text(moved.total)}: weights {bytes_text(moved.weights + moved.biases + moved.scales)}, "
        f"{f'outliers {bytes_text(moved.outliers)}, ' if moved.outliers else ''}"
        f"activations in {bytes_text(moved.activations_in)}, out {bytes_text(moved.activations_out)}; "
        f"{_ratio(moved.total, total.bound_bytes)} x the bound; {total.operations_per_byte:.1f} operations per byte",
        highlight=False,
    )
    console.print(
        f"array ports   weights {bytes_text(ports.weights)}, activations {bytes_text(ports.activations)}, "
        f"{f'outliers {bytes_text(ports.outliers)}, ' if ports.outliers else ''}results {bytes_text(ports.results)}",
        highlight=False,
    )
    console.print(
        f"bandwidth     {rate_text(total.bandwidth_bytes_per_second)} at {total.frames_per_second:g} frames/s; "
        f"{rate_text(moved.total / total.seconds_per_image if total.cycles else 0)} while it runs, "
        f"of {rate_text(machine.dram_bytes_per_cycle * machine.clock_hz)}",
        highlight=False,
    )
    console.print(f"energy        {energy_text(total.energy)}", highlight=False)
    for note in document.notes:
        console.print(f"note          {note}", highlight=False)


def _row(layer: LayerTimes) -> tuple[str, ...]:
    moved = layer.dram_bytes.total
    tile = layer.tiling
    return (
        shorten(layer.name, 13),
        si(layer.macs) if layer.macs else "",
        grouped(layer.cycles),
        grouped(layer.stall_cycles),
        percent(layer.utilization, 0) if layer.macs else "",
        bytes_text(moved),
        _ratio(moved, layer.bound_bytes),
        f"{tile.height}x{tile.width}x{tile.channels}" if tile is not None else "",
        "chip" if layer.output_on_chip else "DRAM" if layer.cycles else "",
    )


def _ratio(moved: int, bound: int) -> str:
    return f"{moved / bound:.2f}" if bound else ""
