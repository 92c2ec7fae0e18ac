"""``hwsim quantize``: integers for a float network, written as ONNX, with what they cost and where."""

from __future__ import annotations

import enum
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hwsim.cli.inputs import open_inputs, usable_cores
from hwsim.cli.mixed_options import (
    CycleMachineOption,
    MixedBitsOption,
    MixedByOption,
    MixedImagesOption,
    MixedOption,
    mixed_lines,
    mixed_of,
)
from hwsim.cli.options import (
    CALIBRATION_IMAGES,
    OUTPUT,
    QUANTIZATION,
    ActivationBitsOption,
    CalibrationImagesOption,
    DataOption,
    InputMeanOption,
    InputStdOption,
    JsonOption,
    ModelArgument,
    RangesOption,
    SchemeOption,
    ThreadsOption,
    WeightBitsOption,
    scaling_of,
    scheme_of,
)
from hwsim.cli.terminal import check_parent, check_writable, console, stages, write_whole
from hwsim.cosim.files import write_files
from hwsim.graph import Graph
from hwsim.quant import Mode, Scheme
from hwsim.quant.pipeline import find_repairs
from hwsim.quant.repair import REPAIRS
from hwsim.report.folder import check_folder
from hwsim.report.text import percent, plural, shorten
from hwsim.sim.quantize.document import ErrorFigures, QuantizedLayer, QuantizeDocument
from hwsim.sim.quantize.mixed import Measure, MixedSettings
from hwsim.sim.quantize.run import QuantizeSettings, quantize_model
from hwsim.spec import require
from hwsim.train.extra import require_torch
from hwsim.train.hessian import curvatures

DOCUMENT = "quantize.json"
BLAMED = 5
"""Layers whose advice is printed."""

QDQ_BITS = (4, 8, 16)


class Form(enum.Enum):
    """What ``--as`` names."""

    ONNX_QDQ = "onnx-qdq"
    QONNX = "qonnx"


def quantize(
    model: ModelArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .onnx file, or a folder for it and its JSON.", metavar="DIR|FILE"),
    ] = None,
    data: DataOption = None,
    form: Annotated[Form, typer.Option("--as", help="Dialect of the file.")] = Form.ONNX_QDQ,
    weight_bits: WeightBitsOption = None,
    activation_bits: ActivationBitsOption = None,
    scheme: SchemeOption = None,
    ranges: RangesOption = None,
    weight_ranges: Annotated[
        str | None,
        typer.Option("--weight-ranges", help="The same for weights.", rich_help_panel=QUANTIZATION, metavar="NAME"),
    ] = None,
    repair: Annotated[
        str,
        typer.Option(
            "--repair",
            help=f"With commas between, in order: {', '.join(each.name for each in REPAIRS)}.",
            rich_help_panel=QUANTIZATION,
            metavar="NAMES",
        ),
    ] = "",
    float_layers: Annotated[
        str,
        typer.Option(
            "--float-layers",
            help="Layers that stay in float32, with commas between.",
            rich_help_panel=QUANTIZATION,
            metavar="NAMES",
        ),
    ] = "",
    mixed: MixedOption = None,
    mixed_bits: MixedBitsOption = None,
    mixed_images: MixedImagesOption = None,
    mixed_by: MixedByOption = None,
    accelerator: CycleMachineOption = None,
    calibration_images: CalibrationImagesOption = CALIBRATION_IMAGES,
    input_mean: InputMeanOption = None,
    input_std: InputStdOption = None,
    images: Annotated[int, typer.Option("--images", help="Also measure accuracy on the first N samples.")] = 0,
    analyze: Annotated[
        bool, typer.Option("--analyze", help="Find where the noise comes from, and what helps.")
    ] = False,
    analyze_images: Annotated[int, typer.Option("--analyze-images", help="Samples for that.")] = 64,
    threads: ThreadsOption = None,
    json: JsonOption = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the HTML report (with --analyze).", rich_help_panel=OUTPUT)
    ] = None,
) -> None:
    """Quantize a float network after training; write it as ONNX; say what was lost, in which layers, and what helps."""
    chosen = (
        scheme_of(scheme, ranges, weight_ranges=weight_ranges, weight_bits=weight_bits, activation_bits=activation_bits)
        or Scheme()
    )
    require(report is None or analyze, "--report", "given with --analyze", report)
    require(analyze_images >= 1, "--analyze-images", "1 or more", analyze_images)
    settings = QuantizeSettings(
        scheme=chosen, repairs=find_repairs([name for name in repair.split(",") if name]),
        float_layers=tuple(name for name in float_layers.split(",") if name),
        mixed=mixed_of(mixed, mixed_bits, mixed_images, mixed_by, accelerator),
        calibration_images=calibration_images, evaluated=images, analyzed=analyze_images if analyze else 0,
        scaling=scaling_of(input_mean, input_std), threads=usable_cores() if threads is None else threads,
    )  # fmt: skip
    if output is not None:
        require(
            not float_layers,
            "--float-layers",
            "left out with --output: no file or machine here holds them",
            float_layers,
        )
    _check_outputs(output, json, report)
    if mixed_by is Measure.HESSIAN:
        require_torch("the Hessian")
    if output is not None and form is Form.ONNX_QDQ:
        _check_qdq(chosen, settings.mixed)
    loaded, dataset = open_inputs(model, data)
    command = shlex.join(["hwsim", *sys.argv[1:]])
    with stages() as stage:
        result = quantize_model(loaded, dataset, settings, command=command, stage=stage, curvatures=curvatures)
    # Before anything is printed: a network that the dialect cannot say leaves one line.
    file = None if output is None else _file(result.graph, form)
    _print(result.document)
    if output is not None and file is not None:
        _write(output, file, form, result.graph.name, result.document)
    if json is not None:
        write_whole(json, result.document.to_json(), "--json")
        console.print(f"JSON: {json}", highlight=False)
    if report is not None:
        # Matplotlib takes a third of a second to import.
        from hwsim.report.quantize_report import write_quantize_report

        console.print(f"Report: {write_quantize_report(result.document, report)}", highlight=False)


def _check_outputs(output: Path | None, json: Path | None, report: Path | None) -> None:
    if output is not None:
        if _is_file(output):
            check_writable(output, "--output")
        else:
            check_parent(output, "--output")
    if json is not None:
        check_writable(json, "--json")
    if report is not None:
        check_folder(report)
        check_parent(report, "--report")


def _is_file(output: Path) -> bool:
    return output.suffix == ".onnx"


def _check_qdq(scheme: Scheme, mixed: MixedSettings | None) -> None:
    """Before the work: QDQ has integers of few widths."""
    fields = [("--weight-bits", scheme.weight_bits)]
    if mixed is not None:
        fields += [("--mixed-bits", bits) for bits in mixed.bits]
    if scheme.mode is Mode.STATIC:
        fields.append(("--activation-bits", scheme.activation_bits))
    for option, bits in fields:
        require(bits in QDQ_BITS, option, "4, 8 or 16 for --as onnx-qdq (--as qonnx takes 2 to 16)", bits)


def _file(graph: Graph, form: Form) -> bytes:
    # It brings ONNX's library, which is loaded on use.
    from hwsim.export import onnx_qdq, onnx_qonnx

    writer = onnx_qonnx if form is Form.QONNX else onnx_qdq
    made: bytes = writer(graph).SerializeToString(deterministic=True)
    return made


def _write(output: Path, file: bytes, form: Form, name: str, document: QuantizeDocument) -> None:
    from hwsim.export import file_name

    ending = "qonnx" if form is Form.QONNX else "qdq"
    if _is_file(output):
        write_files(output.parent, {output.name: file})
        console.print(f"ONNX: {output}", highlight=False)
        return
    written = f"{file_name(name)}_{ending}.onnx"
    write_files(output, {written: file, DOCUMENT: document.to_json().encode()})
    console.print(f"ONNX: {output / written}, with {DOCUMENT} beside it", highlight=False)


def _print(document: QuantizeDocument) -> None:
    table = Table(title=f"{document.model.name}: {document.quantization.scheme}", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("layer", no_wrap=True)
    for header in ("weights", "SQNR", "output", "zero", *(("alone", "all", "blame") if document.analysis else ())):
        table.add_column(header, justify="right", no_wrap=True)
    for layer in document.layers:
        table.add_row(*_row(layer))
    console.print(table)
    for name, value in _lines(document):
        console.print(f"{name:<13} {value}", highlight=False)
    if document.analysis is not None:
        _print_blame(document)
    for note in document.notes:
        console.print(f"note          {note}", highlight=False)


def _row(layer: QuantizedLayer) -> tuple[str, ...]:
    leaving, found = layer.output, layer.analysis
    cells = (
        f"{layer.index:2} {shorten(layer.name, 16)}", layer.weights.format, _decibels(layer.weight_error),
        "float" if leaving is None else leaving.format, "" if leaving is None else str(leaving.zero_point[0]),
    )  # fmt: skip
    if found is None:
        return cells
    return (*cells, _decibels(found.alone), _decibels(found.accumulated), percent(found.blame, 0))


def _lines(document: QuantizeDocument) -> list[tuple[str, str]]:
    data = document.data
    lines = [("calibrated", f"on {plural(data.n, 'image')} of {data.name} ({data.split})")]
    scales, size = (sum(getattr(layer, name) for layer in document.layers) for name in ("scales", "scale_bytes"))
    lines.append(("scales", f"{plural(scales, 'scale')} of weights, {size:,} bytes"))
    if document.float_layers:
        size, before = (
            sum(getattr(each, name) for each in document.float_layers) for name in ("weight_bytes", "integer_bytes")
        )
        names = ", ".join(f"{each.index} {each.name}" for each in document.float_layers)
        lines.append(("float32", f"{names}: {size:,} bytes of weights, {before:,} in integers"))
    if document.repairs:
        lines.append(("repaired", ", ".join(document.repairs)))
    if document.mixed is not None:
        lines += mixed_lines(document.mixed)
    accuracy = document.accuracy
    if accuracy is not None:
        lines.append(("accuracy", f"{100 * accuracy.top1:.2f} % ({accuracy.correct} of {accuracy.n})"))
        real = accuracy.float32
        if real is not None:
            same = f"same class on {100 * real.agree / real.n:.2f} %"
            lines.append(("float", f"{100 * real.top1:.2f} % ({real.correct} of {real.n}), {real.source}; {same}"))
    return lines


def _print_blame(document: QuantizeDocument) -> None:
    analysis = document.analysis
    assert analysis is not None
    console.print(
        f"{'output':<13} {_decibels(analysis.output) or 'no'} dB SQNR on {plural(analysis.images, 'image')}",
        highlight=False,
    )
    layers = {layer.index: layer for layer in document.layers}
    for index in analysis.ranked[:BLAMED]:
        layer = layers[index]
        if layer.analysis is not None and layer.analysis.blame > 0:
            console.print(
                f"{'blame':<13} {layer.index} {shorten(layer.name, 30)}, {percent(layer.analysis.blame)} of the noise: "
                f"{layer.analysis.advice}",
                highlight=False,
            )


def _decibels(error: ErrorFigures) -> str:
    return "" if error.sqnr_db is None else f"{error.sqnr_db:.1f}"
