"""``hwsim train``: integers of a float network, trained on the machine that will run them."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from hwsim.api.training import check_form, onnx_file, rounding_as_file
from hwsim.cli.inputs import open_inputs
from hwsim.cli.options import (
    CALIBRATION_IMAGES,
    DEFAULT_ACCELERATOR,
    QUANTIZATION,
    AcceleratorOption,
    AccOption,
    ActivationBitsOption,
    BiasAtOption,
    CalibrationImagesOption,
    ChainOption,
    DataOption,
    InputMeanOption,
    InputStdOption,
    LanesOption,
    ModelArgument,
    PsumOption,
    RangesOption,
    RequantizeOption,
    SchemeOption,
    TreeOption,
    WeightBitsOption,
    ZeroPointsOption,
    accelerator_of,
    scaling_of,
)
from hwsim.cli.quantize import Form
from hwsim.cli.terminal import check_writable, console, stages, write_whole
from hwsim.quant import Scheme, parse_scheme, range_method
from hwsim.report.text import plural
from hwsim.spec import require
from hwsim.train.document import Epoch, Reached, TrainDocument
from hwsim.train.extra import require_torch
from hwsim.train.settings import (
    Augmentation,
    Distillation,
    Fitting,
    Gradients,
    Optimizer,
    Saturated,
    TrainSettings,
)

TRAINING = "Training"


def train(
    model: ModelArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .onnx file; its .json is written beside it.", metavar="FILE")
    ],
    data: DataOption = None,
    form: Annotated[Form, typer.Option("--as", help="Dialect of the file.")] = Form.ONNX_QDQ,
    images: Annotated[int | None, typer.Option("--images", help="Evaluate on the first N samples only.")] = None,
    epochs: Annotated[
        int, typer.Option("--epochs", help="Times that all training samples are seen.", rich_help_panel=TRAINING)
    ] = 10,
    learning_rate: Annotated[
        float,
        typer.Option("--learning-rate", help="The highest; it falls to 0.", rich_help_panel=TRAINING),
    ] = 1e-3,
    optimizer: Annotated[
        Optimizer, typer.Option("--optimizer", help="Who takes the steps.", rich_help_panel=TRAINING)
    ] = Optimizer.ADAM,
    warm_up: Annotated[
        float, typer.Option("--warm-up", help="Epochs over which the rate rises first.", rich_help_panel=TRAINING)
    ] = 0.0,
    weight_decay: Annotated[
        float, typer.Option("--weight-decay", help="Of weights alone.", rich_help_panel=TRAINING)
    ] = 0.0,
    learn_steps: Annotated[
        bool, typer.Option("--learn-steps", help="Train step sizes too (LSQ).", rich_help_panel=TRAINING)
    ] = False,
    gradients: Annotated[
        Gradients, typer.Option("--gradients", help="Operands of their products.", rich_help_panel=TRAINING)
    ] = Gradients.FLOAT32,
    batch: Annotated[int, typer.Option("--batch", help="Samples per step.", rich_help_panel=TRAINING)] = 64,
    train_images: Annotated[
        int | None, typer.Option("--train-images", help="Train on the first N samples only.", rich_help_panel=TRAINING)
    ] = None,
    freeze: Annotated[
        int | None,
        typer.Option(
            "--freeze", help="Epochs after which batch norm and ranges stay (half).", rich_help_panel=TRAINING
        ),
    ] = None,
    distill: Annotated[
        float | None,
        typer.Option(
            "--distill",
            help="Weight of the float network's soft targets, to 1.",
            rich_help_panel=TRAINING,
            metavar="WEIGHT",
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", help="Of the soft targets.", rich_help_panel=TRAINING)
    ] = 4.0,
    fit: Annotated[
        Fitting | None,
        typer.Option("--fit", help="Keep weights to what the registers hold (A2Q+).", rich_help_panel=TRAINING),
    ] = None,
    penalty: Annotated[
        float, typer.Option("--penalty", help="Its weight in the loss.", rich_help_panel=TRAINING)
    ] = 1.0,
    saturated: Annotated[
        Saturated,
        typer.Option("--saturated", help="Gradient of sums beyond a saturating accumulator.", rich_help_panel=TRAINING),
    ] = Saturated.ZERO,
    shift: Annotated[
        int, typer.Option("--shift", help="Move training images by up to N pixels.", rich_help_panel=TRAINING)
    ] = 0,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Mirror half of the training images.", rich_help_panel=TRAINING)
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            help="Kept after every epoch; a stopped training goes on.",
            rich_help_panel=TRAINING,
            metavar="FILE",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of all chance.", rich_help_panel=TRAINING)] = 0,
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
    edge_bits: Annotated[
        int | None,
        typer.Option(
            "--edge-bits",
            help="Of the input, the first and last layer's weights, and the scores.",
            rich_help_panel=QUANTIZATION,
        ),
    ] = None,
    scheme: SchemeOption = None,
    ranges: RangesOption = None,
    calibration_images: CalibrationImagesOption = CALIBRATION_IMAGES,
    input_mean: InputMeanOption = None,
    input_std: InputStdOption = None,
) -> None:
    """Train a network's integers with the machine in the loop, and write them as ONNX, which hwsim run runs bit for bit."""
    require(output.suffix == ".onnx", "--output", "a .onnx file", output)
    machine = accelerator_of(
        accelerator, acc=acc, psum=psum, chain=chain, lanes=lanes, tree=tree, bias_at=bias_at, zero_points=zero_points,
        requantize=requantize,
    )  # fmt: skip
    settings = TrainSettings(
        accelerator=rounding_as_file(machine, accelerator, requantize),
        scheme=_scheme(scheme, ranges, weight_bits, activation_bits), edge_bits=edge_bits, epochs=epochs,
        learning_rate=learning_rate, batch=batch, optimizer=optimizer, warm_up=warm_up, weight_decay=weight_decay,
        learn_steps=learn_steps, gradients=gradients, images=train_images, freeze=freeze,
        distillation=None if distill is None else Distillation(distill, temperature), fitting=fit, penalty=penalty,
        saturated=saturated, augmentation=Augmentation(shift, mirror), calibration_images=calibration_images,
        evaluated=images, scaling=scaling_of(input_mean, input_std), seed=seed,
    )  # fmt: skip
    check_form(form.value, settings, "--as")
    document_path = output.with_suffix(".json")
    for path in (output, document_path):
        check_writable(path, "--output")
    if checkpoint is not None:
        check_writable(checkpoint, "--checkpoint")
    require_torch()
    # It brings ONNX's library, which is loaded on use.
    from hwsim.train.run import train_model

    loaded, dataset = open_inputs(model, data)
    command = shlex.join(["hwsim", *sys.argv[1:]])
    with stages() as stage:
        result = train_model(loaded, dataset, settings, command=command, stage=stage, report=_print_epoch,
                             checkpoint=checkpoint)  # fmt: skip
    # Before anything is written: a network that the dialect cannot say leaves one line.
    file = onnx_file(result.graph, form.value)
    write_whole(output, file, "--output")
    write_whole(document_path, result.document.to_json(), "--output")
    _print(result.document)
    console.print(f"ONNX: {output}, with {document_path.name} beside it", highlight=False)


def _scheme(words: str | None, ranges: str | None, weight_bits: int | None, activation_bits: int | None) -> Scheme:
    """Return the scheme of the options, with ranges by moving average where none are named."""
    scheme = parse_scheme(words or "", TrainSettings().scheme)
    return replace(
        scheme,
        activation_ranges=scheme.activation_ranges if ranges is None else range_method(ranges, "--ranges"),
        weight_bits=scheme.weight_bits if weight_bits is None else weight_bits,
        activation_bits=scheme.activation_bits if activation_bits is None else activation_bits,
    )


def _print_epoch(epoch: Epoch) -> None:
    excess = "" if epoch.penalty is None else f", excess {epoch.penalty:.3f}"
    console.print(
        f"epoch {epoch.epoch:<7} loss {epoch.loss:.4f}, {100 * epoch.top1:.2f} % of the training samples{excess}"
        f"{', frozen' if epoch.frozen else ''}",
        highlight=False,
    )


def _print(document: TrainDocument) -> None:
    exact = document.after.accuracy.float32
    assert exact is not None
    console.print(f"{'float':<13} {_share(exact.correct, exact.n)}", highlight=False)
    for name, reached in (("untrained", document.before), ("trained", document.after)):
        console.print(f"{name:<13} {_reached(reached)}", highlight=False)
    if document.certified:
        console.print(f"{'certified':<13} no input overflows {document.accelerator.reduction}", highlight=False)
    for note in document.notes:
        console.print(f"{'note':<13} {note}", highlight=False)


def _reached(reached: Reached) -> str:
    found = reached.accuracy
    return f"{_share(found.correct, found.n)}, {plural(reached.overflow_events, 'overflow event')}"


def _share(correct: int, n: int) -> str:
    return f"{100 * correct / n:.2f} % ({correct} of {n})"
