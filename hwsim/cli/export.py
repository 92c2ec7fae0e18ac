"""``hwsim export``: a network, and a machine, in the files of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.api.export_files import Form, Quantizing, export_files
from hwsim.cli.options import (
    CALIBRATION_IMAGES,
    DEFAULT_ACCELERATOR,
    AcceleratorOption,
    ActivationBitsOption,
    CalibrationImagesOption,
    DataOption,
    InputMeanOption,
    InputStdOption,
    ModelArgument,
    OutlierBitsOption,
    OutliersOption,
    RequantizeOption,
    WeightBitsOption,
    outliers_of,
    scaling_of,
)
from hwsim.cli.terminal import check_parent, console
from hwsim.cosim.files import write_files
from hwsim.report.text import plural
from hwsim.sim.accelerator_file import load_accelerator
from hwsim.spec import require


def export(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")],
    form: Annotated[Form, typer.Option("--as", help="What to write; see docs/export.md.")] = Form.WORKLOADS,
    accelerator: AcceleratorOption = DEFAULT_ACCELERATOR,
    word_bits: Annotated[
        int | None, typer.Option("--word-bits", help="Width of a word of the weight memories (default 32 or more).")
    ] = None,
    weight_bits: WeightBitsOption = None,
    activation_bits: ActivationBitsOption = None,
    outliers: OutliersOption = None,
    outlier_bits: OutlierBitsOption = None,
    outlier_encoding: Annotated[
        str | None,
        typer.Option("--outlier-encoding", help="Of their memories: smallest (default) or one of docs/outliers.md."),
    ] = None,
    data: DataOption = None,
    calibration_images: CalibrationImagesOption = CALIBRATION_IMAGES,
    input_mean: InputMeanOption = None,
    input_std: InputStdOption = None,
    requantize: RequantizeOption = None,
) -> None:
    """Write a model for other tools.

    workloads: its layers for SCALE-Sim (with the machine), Timeloop and ZigZag.

    onnx-qdq, qonnx: the quantized model as ONNX.

    weights: memories of its weights (npy, bin, hex), of outliers apart, and its requantization as JSON.
    """
    require(form is Form.WEIGHTS or word_bits is None, "--word-bits", "left out without --as weights", word_bits)
    require(
        outliers is not None or outlier_encoding is None, "--outlier-encoding", "left out without --outliers",
        outlier_encoding,
    )  # fmt: skip
    require(calibration_images >= 1, "--calibration-images", "1 or more", calibration_images)
    load_accelerator(accelerator)
    check_parent(output, "--output")
    quantizing = Quantizing(
        weight_bits, activation_bits, data, calibration_images, scaling_of(input_mean, input_std), requantize,
        outliers_of(outliers, outlier_bits),
    )  # fmt: skip
    made = export_files(
        model, form, accelerator, quantizing, word_bits, outlier_encoding=outlier_encoding or "smallest", data_field="--data"
    )  # fmt: skip
    write_files(output, made.files)
    kind = "scalesim, timeloop and zigzag" if form is Form.WORKLOADS else form.value
    console.print(f"{plural(len(made.files), 'file')} in {output}: {kind}", highlight=False)
    for note in made.notes:
        console.print(f"SCALE-Sim     {note}", highlight=False)
