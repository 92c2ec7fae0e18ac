"""``hwsim narrow``: the narrowest accumulators that a network can live with."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hwsim.api.machine import rounding_as
from hwsim.cli.inputs import open_inputs, usable_cores
from hwsim.cli.options import (
    CALIBRATION_IMAGES,
    DEFAULT_ACCELERATOR,
    OUTPUT,
    AcceleratorOption,
    AccOption,
    ActivationBitsOption,
    BiasAtOption,
    CalibrationImagesOption,
    DataOption,
    InputMeanOption,
    InputStdOption,
    JsonOption,
    ModelArgument,
    OutlierBitsOption,
    OutliersOption,
    RequantizeOption,
    ThreadsOption,
    WeightBitsOption,
    ZeroPointsOption,
    accelerator_of,
    outliers_of,
    scaling_of,
)
from hwsim.cli.terminal import check_parent, check_writable, console, errors, write_whole
from hwsim.report.folder import check_folder
from hwsim.report.text import percent, plural, si
from hwsim.report.wilson import wilson
from hwsim.sim.narrow.document import NarrowDocument, Row
from hwsim.sim.narrow.order import Order
from hwsim.sim.narrow.run import narrow as search
from hwsim.sim.narrow.search import Wanted
from hwsim.sim.run import Settings
from hwsim.spec import Reduction, Register, require
from hwsim.spec.number import REGISTER_BITS

SEARCH = "Search"


def narrow(
    model: ModelArgument,
    data: DataOption = None,
    images: Annotated[int | None, typer.Option("--images", help="Run the first N samples only.")] = None,
    loss: Annotated[
        float, typer.Option("--loss", help="Permitted loss of accuracy, percentage points.", rich_help_panel=SEARCH)
    ] = 1.0,
    order: Annotated[
        list[str] | None,
        typer.Option(
            "--order", help="sequential, lanes:N, tree:N or chain:R; may be given several times.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    no_overflow: Annotated[
        bool, typer.Option("--no-overflow", help="Only widths without overflow: proven, and observed.",
                           rich_help_panel=SEARCH)
    ] = False,
    per_layer: Annotated[
        bool, typer.Option("--per-layer/--uniform", help="Also a width for each layer.", rich_help_panel=SEARCH)
    ] = True,
    down_to: Annotated[
        int | None, typer.Option("--down-to", help="Try all layers at every width down to this.",
                                 rich_help_panel=SEARCH)
    ] = None,
    accelerator: AcceleratorOption = DEFAULT_ACCELERATOR,
    acc: AccOption = None,
    bias_at: BiasAtOption = None,
    zero_points: ZeroPointsOption = None,
    requantize: RequantizeOption = None,
    weight_bits: WeightBitsOption = None,
    activation_bits: ActivationBitsOption = None,
    outliers: OutliersOption = None,
    outlier_bits: OutlierBitsOption = None,
    calibration_images: CalibrationImagesOption = CALIBRATION_IMAGES,
    input_mean: InputMeanOption = None,
    input_std: InputStdOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Write figures, tables and the registers by layer.", rich_help_panel=OUTPUT),
    ] = None,
) -> None:  # fmt: skip
    """Search the narrowest accumulators for a permitted loss of accuracy, and without overflow."""
    require(0 <= loss <= 100, "--loss", "0 to 100 percentage points", loss)
    require(down_to is None or down_to in REGISTER_BITS, "--down-to", "an integer from 8 to 48", down_to)
    orders = [Order.parse(text) for text in order or ["sequential"]]
    require(len({one.text for one in orders}) == len(orders), "--order", "given once each", ", ".join(order or []))
    chained = any(one.chain is not None for one in orders)
    require(acc is None or chained, "--acc", "left out where no order has chains: its width is what is searched", acc)
    machine = accelerator_of(
        accelerator, acc=acc, psum=None, chain=None, lanes=None, tree=None, bias_at=bias_at, zero_points=zero_points,
        requantize=requantize,
    )  # fmt: skip
    settings = Settings(
        accelerator=machine, images=images, weight_bits=weight_bits, activation_bits=activation_bits,
        calibration_images=calibration_images, scaling=scaling_of(input_mean, input_std),
        threads=usable_cores() if threads is None else threads, outliers=outliers_of(outliers, outlier_bits),
    )  # fmt: skip
    if json is not None:
        check_writable(json, "--json")
    if report is not None:
        check_folder(report)
        check_parent(report, "--report")
    loaded, dataset = open_inputs(model, data)
    anew = any(part is not None for part in (weight_bits, activation_bits, outliers))
    machine = rounding_as(machine, accelerator, requantize, loaded.graph, anew=anew)
    given = {
        "--data": data, "--images": images, "--accelerator": accelerator if accelerator != DEFAULT_ACCELERATOR else None,
        "--weight-bits": weight_bits, "--activation-bits": activation_bits, "--outliers": outliers,
        "--outlier-bits": outlier_bits,
        "--calibration-images": calibration_images if anew or not loaded.graph.quantized else None,
        "--input-mean": input_mean, "--input-std": input_std, "--requantize": requantize.value if requantize else None,
    }  # fmt: skip

    def repeat(reduction: Reduction, registers: str) -> str:
        if registers and report is None:
            return ""
        options = {**given, **_reduction_options(reduction)}
        if registers:
            options["--layers"] = str(Path(report or "", "registers", registers))
        words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
        return shlex.join(["hwsim", "run", model, *words])

    wanted = Wanted(loss, per_layer, down_to, loss=not no_overflow)
    with errors.status("") as status:
        found = search(
            loaded, dataset, replace(settings, accelerator=machine), orders, wanted, repeat=repeat,
            command=shlex.join(["hwsim", *sys.argv[1:]]), tell=status.update,
        )  # fmt: skip
    _print(found.document)
    if json is not None:
        write_whole(json, found.document.to_json(), "--json")
        console.print(f"JSON: {json}", highlight=False)
    if report is not None:
        # Matplotlib takes a third of a second to import.
        from hwsim.report.narrow_report import write_narrow

        write_narrow(found.document, found.registers, report)
        console.print(f"Report: {report}", highlight=False)


def _reduction_options(reduction: Reduction) -> dict[str, object]:
    """Return the options of ``hwsim run`` that say a reduction."""
    registers: dict[str, Register | None] = {"acc": reduction.acc, "tree": reduction.tree, "psum": reduction.psum}
    return {
        **{f"--{name}": register for name, register in registers.items()},
        "--lanes": reduction.lanes if reduction.lanes > 1 else None,
        "--chain": reduction.chain,
        "--bias-at": reduction.bias_at.value,
        "--zero-points": reduction.zero_points.value,
    }


def _print(document: NarrowDocument) -> None:
    low, high = wilson(document.exact_correct, document.data.n)
    table = Table(title=f"{document.model.name}: narrowest registers", box=SIMPLE_HEAD, pad_edge=False)
    for header in ("order", "permitted"):
        table.add_column(header, no_wrap=True)
    for header in ("bits", "mean", "accuracy", "events", "changed"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in document.rows:
        table.add_row(*_cells(row, document))
    console.print(table)
    console.print(
        f"exact         {document.exact_correct} of {document.data.n} right without overflow "
        f"(95 % interval {percent(low)} to {percent(high)}); the permitted loss leaves {document.least_correct}",
        highlight=False,
    )
    for row in document.rows:
        if row.also:
            console.print(
                f"not monotone  {row.order}, {row.overflow}: {', '.join(map(str, row.also))} bits meet the loss too, "
                f"{', '.join(map(str, row.failed))} do not",
                highlight=False,
            )
    console.print(f"tried         {plural(document.runs, 'network')}, in part", highlight=False)
    for row in document.rows:
        if row.command:
            console.print(f"$ {row.command}", highlight=False)


def _cells(row: Row, document: NarrowDocument) -> tuple[str, ...]:
    widths = [layer.bits for layer in row.layers]
    points = f"{document.loss_points:g} point{'' if document.loss_points == 1 else 's'}"
    permitted = f"{row.overflow}, {points}" if row.permitted == "loss" else row.permitted
    return (
        row.order, permitted, str(row.bits) if row.bits is not None else f"{min(widths)}..{max(widths)}",
        f"{row.mean_bits:.2f}", percent(row.top1, 2), si(row.events), str(row.changed),
    )  # fmt: skip
