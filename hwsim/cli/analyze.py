"""``hwsim analyze``: the accumulators that a network needs, and certificates that they are wide enough."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from threadpoolctl import threadpool_limits

from hwsim.api.machine import rounding_as
from hwsim.certify.document import Certificate, read_certificate
from hwsim.certify.verify import WrongClaimError, verify
from hwsim.cli.inputs import open_if_given, usable_cores
from hwsim.cli.options import (
    CALIBRATION_IMAGES,
    DEFAULT_ACCELERATOR,
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
    RequantizeOption,
    ThreadsOption,
    TreeOption,
    WeightBitsOption,
    ZeroPointsOption,
    accelerator_of,
    outliers_of,
    scaling_of,
)
from hwsim.cli.terminal import check_parent, check_writable, console, errors, stages, write_whole
from hwsim.data import Dataset
from hwsim.load import LoadedModel
from hwsim.report.folder import check_folder
from hwsim.report.text import grouped, percent, plural, shorten, si
from hwsim.sim.analyze.document import AnalysisDocument, AnalyzedLayer, SparsePath
from hwsim.sim.analyze.run import analyze as examine
from hwsim.sim.analyze.run import prepare
from hwsim.sim.run import Settings
from hwsim.spec import require

EXIT_WRONG_CLAIM = 1


def analyze(
    model: ModelArgument,
    data: DataOption = None,
    images: Annotated[int | None, typer.Option("--images", help="Observe the first N samples only.")] = None,
    observe: Annotated[bool, typer.Option("--observe/--no-observe", help="Also run the samples.")] = True,
    accelerator: AcceleratorOption = DEFAULT_ACCELERATOR,
    acc: AccOption = None,
    psum: PsumOption = None,
    chain: ChainOption = None,
    lanes: LanesOption = None,
    tree: TreeOption = None,
    bias_at: BiasAtOption = None,
    zero_points: ZeroPointsOption = None,
    requantize: RequantizeOption = None,
    weight_bits: WeightBitsOption = None,
    activation_bits: ActivationBitsOption = None,
    outliers: OutliersOption = None,
    outlier_bits: OutlierBitsOption = None,
    accumulator_aware: AccumulatorAwareOption = False,
    calibration_images: CalibrationImagesOption = CALIBRATION_IMAGES,
    input_mean: InputMeanOption = None,
    input_std: InputStdOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the HTML report and the figures.", rich_help_panel=OUTPUT)
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", help="Write what is proven, for the verifier.", rich_help_panel=OUTPUT),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option("--verify", help="Check a certificate against the model; nothing else.", rich_help_panel=OUTPUT),
    ] = None,
) -> None:
    """Find the accumulator width that each layer needs: proven for every input, and observed on a data set."""
    machine = accelerator_of(
        accelerator, acc=acc, psum=psum, chain=chain, lanes=lanes, tree=tree, bias_at=bias_at, zero_points=zero_points,
        requantize=requantize,
    )  # fmt: skip
    settings = Settings(
        accelerator=machine, images=images, weight_bits=weight_bits, activation_bits=activation_bits,
        calibration_images=calibration_images, scaling=scaling_of(input_mean, input_std),
        threads=usable_cores() if threads is None else threads, accumulator_aware=accumulator_aware,
        outliers=outliers_of(outliers, outlier_bits),
    )  # fmt: skip
    for path, option in ((json, "--json"), (certificate, "--certificate")):
        if path is not None:
            check_writable(path, option)
    if report is not None:
        check_folder(report)
        check_parent(report, "--report")
    written = [
        option for option, path in (("--json", json), ("--certificate", certificate), ("--report", report)) if path
    ]
    require(check is None or not written, "--verify", "given without files to write", f"with {', '.join(written)}")
    claimed = None if check is None else read_certificate(check)
    loaded, dataset = open_if_given(model, data)
    anew = any(given is not None for given in (weight_bits, activation_bits, outliers))
    settings = replace(settings, accelerator=rounding_as(machine, accelerator, requantize, loaded.graph, anew=anew))
    if claimed is not None:
        _verify(claimed, loaded, dataset, settings)
        return
    command = shlex.join(["hwsim", *sys.argv[1:]])
    # One thread per BLAS call, as in a run.
    with stages() as stage, threadpool_limits(limits=1, user_api="blas"):
        found = examine(loaded, dataset, settings, observe=observe, command=command, stage=stage)
    _print(found.document)
    if json is not None:
        write_whole(json, found.document.to_json(), "--json")
        console.print(f"JSON: {json}", highlight=False)
    if certificate is not None:
        write_whole(certificate, found.certificate.to_json(), "--certificate")
        console.print(f"Certificate: {certificate}", highlight=False)
    if report is not None:
        # Matplotlib takes a third of a second to import.
        from hwsim.report.headroom_report import write_headroom

        console.print(f"Report: {write_headroom(found.document, report)}", highlight=False)


def _verify(claimed: Certificate, loaded: LoadedModel, dataset: Dataset | None, settings: Settings) -> None:
    graph = prepare(loaded, dataset, settings).graph
    try:
        verify(claimed, graph, loaded.sha256)
    except WrongClaimError as error:
        errors.print(f"hwsim: certificate refused: {error}", style="red", highlight=False)
        raise typer.Exit(EXIT_WRONG_CLAIM) from None
    proven = sum(layer.no_overflow for layer in claimed.layers)
    console.print(f"certificate accepted: every claim of {plural(len(claimed.layers), 'layer')} holds", highlight=False)
    console.print(
        f"no overflow possible for any input in {proven} of {plural(len(claimed.layers), 'layer')}", highlight=False
    )
    for layer in claimed.layers:
        if not layer.no_overflow:
            narrow = [f"{part.name} needs {part.safe_bits} bits" for part in layer.registers if not part.fits]
            console.print(f"  not in {layer.name}: {', '.join(narrow)}", highlight=False)


def _print(document: AnalysisDocument) -> None:
    total = document.total
    table = Table(
        title=f"{document.model.name}: {document.accelerator.reduction}", box=SIMPLE_HEAD, pad_edge=False,
        collapse_padding=True,
    )  # fmt: skip
    table.add_column("layer", no_wrap=True)
    for header in (
        "register", "any\norder", "this\norder", "on\ndata", "spare", "events", "came\nback", "image/\npixel",
    ):  # fmt: skip
        table.add_column(header, justify="right", no_wrap=True)
    for layer in document.layers:
        for row in _rows(layer):
            table.add_row(*row)
    console.print(table)
    console.print(
        f"proven        {total.proven_bits} accumulator bits hold every running sum of every input in this order, "
        f"{total.any_order_bits} in any order",
        highlight=False,
    )
    if document.data is not None:
        console.print(
            f"observed      {total.observed_bits} accumulator bits held every running sum of "
            f"{plural(document.data.n, 'image')} of {document.data.name}",
            highlight=False,
        )
        console.print(f"overflow      {_overflow_text(document)}", highlight=False)
    else:
        console.print("observed      nothing: no data was run", highlight=False)
    console.print(
        f"certified     no overflow possible for any input in {total.proven_layers} of {plural(total.layers, 'layer')}",
        highlight=False,
    )


def _overflow_text(document: AnalysisDocument) -> str:
    total = document.total
    if total.events == 0 and total.struck == 0:
        return "no events"
    outputs = sum(layer.observed.outputs for layer in document.layers if layer.observed is not None)
    return (
        f"{plural(total.events, 'event')}; {grouped(total.struck)} of {grouped(outputs)} sums struck "
        f"({percent(total.struck / outputs)}), {grouped(total.cancelled)} of them right in the end"
    )


def _rows(layer: AnalyzedLayer) -> list[tuple[str, ...]]:
    """The accumulator with what became of its outputs; below it what its outliers ask of it, and the registers before it."""
    seen = layer.observed
    rows: list[tuple[str, ...]] = []
    for register in reversed(layer.registers):
        is_acc = register is layer.acc
        events = register.positive + register.negative
        spare = None if register.observed_bits is None else register.bits - register.observed_bits
        first = seen.first if seen is not None and seen.first is not None else None
        rows.append(
            (
                f"{layer.index:2} {shorten(layer.name, 12)}" if is_acc else "",
                f"{register.name} {register.bits}",
                str(register.any_order_bits),
                f"{register.proven_bits}{' ok' if register.fits else '   '}",
                "" if register.observed_bits is None else str(register.observed_bits),
                "" if spare is None else str(spare),
                "" if seen is None else si(events),
                _share(seen.cancelled, seen.struck) if is_acc and seen is not None else "",
                f"{first.image}/{first.pixel}" if first is not None and first.register_name == register.name else "",
            )
        )
    if layer.outliers is not None:
        rows[1:1] = _outlier_rows(layer.outliers, seen is not None)
    return rows


def _outlier_rows(path: SparsePath, seen: bool) -> list[tuple[str, ...]]:
    """What the accumulator would need for either part alone, and the events where outliers are added."""
    events = si(path.positive + path.negative) if seen else ""
    return [
        ("", "dense", "", f"{path.dense_bits}   ", "", "", "", "", ""),
        ("", "outliers", "", f"{path.apart_bits}   ", "", "", events, "", ""),
    ]


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else ""
