"""``hwsim run``: the main job."""

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
    MACHINE,
    OUTPUT,
    AcceleratorOption,
    AccOption,
    AccumulatorAwareOption,
    ActivationBitsOption,
    BiasAtOption,
    CalibrationImagesOption,
    ChainOption,
    DataOption,
    InputMeanOption,
    InputStdOption,
    JsonOption,
    LanesOption,
    ModelArgument,
    OutlierBitsOption,
    OutliersOption,
    PsumOption,
    RangesOption,
    RequantizeOption,
    SchemeOption,
    ThreadsOption,
    TreeOption,
    WeightBitsOption,
    ZeroPointsOption,
    accelerator_of,
    outliers_of,
    scaling_of,
    scheme_of,
)
from hwsim.cli.terminal import check_parent, check_writable, console, stages, write_whole
from hwsim.memory.compression import SCHEMES, scheme_named
from hwsim.report.folder import check_folder
from hwsim.report.text import bytes_text, grouped, rate_text, shorten, si
from hwsim.sim.document import Layer, RunDocument
from hwsim.sim.layer_registers import load_layer_registers
from hwsim.sim.run import Settings
from hwsim.sim.run import run as simulate

CODES = ", ".join(code.name for code in SCHEMES)


def run(
    model: ModelArgument,
    data: DataOption = None,
    images: Annotated[int | None, typer.Option("--images", help="Run the first N samples only.")] = None,
    accelerator: AcceleratorOption = DEFAULT_ACCELERATOR,
    acc: AccOption = None,
    psum: PsumOption = None,
    chain: ChainOption = None,
    lanes: LanesOption = None,
    tree: TreeOption = None,
    bias_at: BiasAtOption = None,
    zero_points: ZeroPointsOption = None,
    requantize: RequantizeOption = None,
    layers: Annotated[
        Path | None,
        typer.Option("--layers", help="TOML file: registers of single layers.", rich_help_panel=MACHINE),
    ] = None,
    fps: Annotated[float, typer.Option("--fps", help="Frame rate for the bandwidth.", rich_help_panel=MACHINE)] = 30.0,
    weight_bits: WeightBitsOption = None,
    activation_bits: ActivationBitsOption = None,
    accumulator_aware: AccumulatorAwareOption = False,
    scheme: SchemeOption = None,
    ranges: RangesOption = None,
    outliers: OutliersOption = None,
    outlier_bits: OutlierBitsOption = None,
    compress_activations: Annotated[
        str | None,
        typer.Option("--compress-activations", help=f"Store activations as {CODES}.", rich_help_panel=MACHINE),
    ] = None,
    calibration_images: CalibrationImagesOption = CALIBRATION_IMAGES,
    input_mean: InputMeanOption = None,
    input_std: InputStdOption = None,
    float_reference: Annotated[
        bool, typer.Option("--float/--no-float", help="Also run the float network.", rich_help_panel=OUTPUT)
    ] = True,
    observe: Annotated[
        int, typer.Option("--observe", help="Most images to look at closely.", rich_help_panel=OUTPUT)
    ] = 64,
    threads: ThreadsOption = None,
    json: JsonOption = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the HTML report.", rich_help_panel=OUTPUT)
    ] = None,
) -> None:
    """Run a quantized CNN bit-accurately on a data set; report accuracy, overflow and memory bandwidth."""
    machine = accelerator_of(
        accelerator, acc=acc, psum=psum, chain=chain, lanes=lanes, tree=tree, bias_at=bias_at, zero_points=zero_points,
        requantize=requantize,
    )  # fmt: skip
    code = None if compress_activations is None else scheme_named(compress_activations, "--compress-activations")
    settings = Settings(
        accelerator=machine, images=images, weight_bits=weight_bits, activation_bits=activation_bits,
        calibration_images=calibration_images, observed=observe, scaling=scaling_of(input_mean, input_std),
        frames_per_second=fps, reference=float_reference, threads=usable_cores() if threads is None else threads,
        layers={} if layers is None else load_layer_registers(layers), outliers=outliers_of(outliers, outlier_bits),
        scheme=scheme_of(scheme, ranges), accumulator_aware=accumulator_aware,
        activation_compression=code,
    )  # fmt: skip
    if json is not None:
        check_writable(json, "--json")
    if report is not None:
        check_folder(report)
        check_parent(report, "--report")
    loaded, dataset = open_inputs(model, data)
    anew = any(given is not None for given in (weight_bits, activation_bits, outliers, scheme, ranges))
    machine = rounding_as(machine, accelerator, requantize, loaded.graph, anew=anew)
    settings = replace(settings, accelerator=machine)
    command = shlex.join(["hwsim", *sys.argv[1:]])
    with stages() as stage:
        document = simulate(loaded, dataset, settings, command=command, stage=stage)
    _print(document)
    if json is not None:
        write_whole(json, document.to_json(), "--json")
        console.print(f"JSON: {json}", highlight=False)
    if report is not None:
        # Matplotlib takes a third of a second to import: only those who want figures wait for it.
        from hwsim.report.write import write_report

        page = write_report(document, report)
        console.print(f"Report: {page}", highlight=False)


def _print(document: RunDocument) -> None:
    total, accuracy = document.total, document.accuracy
    title = f"{document.model.name} on {document.accelerator.name}: {document.accelerator.reduction}"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer", no_wrap=True)
    for header in ("MACs", "bits", "DRAM", "cycles", "overflow", "SQNR"):
        table.add_column(header, justify="right", no_wrap=True)
    for layer in document.layers:
        table.add_row(
            shorten(layer.name, 20), si(layer.macs) if layer.macs else "",
            f"{layer.weight_bits}/{layer.activation_bits}" if layer.weight_bits else "",
            bytes_text(layer.dram_bytes.total), grouped(layer.cycles), _events(layer),
            f"{layer.sqnr_db:.1f}" if layer.sqnr_db is not None else "",
        )  # fmt: skip
    console.print(table)
    console.print(f"accuracy      {_share(accuracy.correct, accuracy.n)}", highlight=False)
    if accuracy.float32 is not None:
        reference = accuracy.float32
        console.print(
            f"float         {_share(reference.correct, reference.n)}, {reference.source}; same class on "
            f"{_share(reference.agree, reference.n)}",
            highlight=False,
        )
    console.print(
        f"per image     {si(total.macs)} MACs, {bytes_text(total.dram_bytes.total)} of DRAM traffic, "
        f"{grouped(total.cycles)} cycles ({total.images_per_second:,.1f} images/s at the clock)",
        highlight=False,
    )
    console.print(
        f"bandwidth     {rate_text(total.bandwidth_bytes_per_second)} at {total.frames_per_second:g} frames/s",
        highlight=False,
    )
    console.print(f"overflow      {grouped(total.overflow_events)} events", highlight=False)
    if text := _outliers(document):
        console.print(f"outliers      {text}", highlight=False)


def _outliers(document: RunDocument) -> str:
    """Say how many weights are kept apart and what they take; an empty text where none are."""
    found = [layer.outliers for layer in document.layers if layer.outliers is not None]
    if not found:
        return ""
    entries, size = sum(part.entries for part in found), sum(part.bytes for part in found)
    weights = sum(round(part.entries / part.share) for part in found)
    repeats = sum(part.visits - part.tiles for part in found)
    lanes = (
        f"; {grouped(repeats)} of the array's tiles worked through again for want of lanes" if found[0].lanes else ""
    )
    return f"{grouped(entries)} of {grouped(weights)} weights in {bytes_text(size)} with their indices{lanes}"


def _events(layer: Layer) -> str:
    if layer.reduction is None:
        return ""
    events = layer.reduction.overflow.events
    return si(events) if events else "0" if layer.reduction.kernel == "ordered" else "proven 0"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} % ({part} of {whole})"
