"""Options that several commands share, and how their texts become specifications."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from hwsim.api.machine import machine_of
from hwsim.graph import InputScaling
from hwsim.quant import RANGES, SCHEMES, Mode, Scheme, parse_scheme, range_method
from hwsim.quant.outliers import OutlierRule
from hwsim.spec import PRESETS, Accelerator, BiasAt, InputError, Profile, Register, ZeroPoints, require

MACHINE, QUANTIZATION, OUTPUT = "Machine", "Quantization", "Output"

ModelArgument = Annotated[
    str, typer.Argument(help="A .tflite or .onnx file, or the name of a bundled model.", metavar="MODEL")
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data", help="digits, cifar10, mnist, imagenet_sample, a folder of images per class, or a .npz file."
    ),
]
AcceleratorOption = Annotated[
    str, typer.Option("--accelerator", help="A preset or a TOML file.", rich_help_panel=MACHINE, metavar="FILE|PRESET")
]
AccOption = Annotated[
    str | None, typer.Option("--acc", help="Accumulator, such as 16:saturate or 20:wrap.", rich_help_panel=MACHINE)
]
PsumOption = Annotated[
    str | None, typer.Option("--psum", help="Partial-sum register; needs --chain.", rich_help_panel=MACHINE)
]
ChainOption = Annotated[
    int | None, typer.Option("--chain", help="Groups per partial sum (array rows).", rich_help_panel=MACHINE)
]
LanesOption = Annotated[
    int | None, typer.Option("--lanes", help="Products per adder-tree group.", rich_help_panel=MACHINE)
]
TreeOption = Annotated[
    str | None,
    typer.Option("--tree", help="Register of each adder-tree node (default exact).", rich_help_panel=MACHINE),
]
BiasAtOption = Annotated[
    BiasAt | None, typer.Option("--bias-at", help="Where the bias enters the sum.", rich_help_panel=MACHINE)
]
ZeroPointsOption = Annotated[
    ZeroPoints | None,
    typer.Option(
        "--zero-points", help="Subtract before the multiplier, or fold into the bias.", rich_help_panel=MACHINE
    ),
]
RequantizeOption = Annotated[
    Profile | None, typer.Option("--requantize", help="Rounding profile.", rich_help_panel=MACHINE)
]
WeightBitsOption = Annotated[int | None, typer.Option("--weight-bits", help="2 to 16.", rich_help_panel=QUANTIZATION)]
ActivationBitsOption = Annotated[
    int | None, typer.Option("--activation-bits", help="2 to 16.", rich_help_panel=QUANTIZATION)
]
OutliersOption = Annotated[
    str | None,
    typer.Option(
        "--outliers",
        help="Weights kept apart, in more bits: 1%, 3/channel, >0.5, least-error or outside.",
        rich_help_panel=QUANTIZATION,
        metavar="RULE",
    ),
]
OutlierBitsOption = Annotated[
    int | None, typer.Option("--outlier-bits", help="2 to 16 (16).", rich_help_panel=QUANTIZATION)
]
SchemeOption = Annotated[
    str | None,
    typer.Option(
        "--scheme",
        help=f"With commas between: {', '.join(choice.word for choice in SCHEMES)}.",
        rich_help_panel=QUANTIZATION,
        metavar="WORDS",
    ),
]
RangesOption = Annotated[
    str | None,
    typer.Option(
        "--ranges",
        help=f"How ranges of activations are set: {', '.join(method.name for method in RANGES)}.",
        rich_help_panel=QUANTIZATION,
        metavar="NAME[:NUMBER]",
    ),
]
AccumulatorAwareOption = Annotated[
    bool,
    typer.Option(
        "--accumulator-aware",
        help="Fit the weights to the registers: no input overflows.",
        rich_help_panel=QUANTIZATION,
    ),
]
CalibrationImagesOption = Annotated[
    int, typer.Option("--calibration-images", help="Samples that set ranges.", rich_help_panel=QUANTIZATION)
]
InputMeanOption = Annotated[
    str | None, typer.Option("--input-mean", help="real = (pixel - mean) / std.", rich_help_panel=QUANTIZATION)
]
InputStdOption = Annotated[
    str | None, typer.Option("--input-std", help="One number or one per channel.", rich_help_panel=QUANTIZATION)
]
ThreadsOption = Annotated[int | None, typer.Option("--threads", help="Default: all cores.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the JSON document.", rich_help_panel=OUTPUT)]
DEFAULT_ACCELERATOR = PRESETS[0].name
CALIBRATION_IMAGES = 256


def accelerator_of(
    name: str, *, acc: str | None, psum: str | None, chain: int | None, lanes: int | None, tree: str | None,
    bias_at: BiasAt | None, zero_points: ZeroPoints | None, requantize: Profile | None,
) -> Accelerator:  # fmt: skip
    """Return the named machine with the options that were given in place of its own."""
    registers = {"acc": acc, "psum": psum, "tree": tree}
    given = {field: Register.parse(text, f"--{field}") for field, text in registers.items() if text is not None}
    return machine_of(
        name, acc=given.get("acc"), psum=given.get("psum"), tree=given.get("tree"), chain=chain, lanes=lanes,
        bias_at=bias_at, zero_points=zero_points, requantize=requantize,
    )  # fmt: skip


def outliers_of(text: str | None, bits: int | None) -> OutlierRule | None:
    """Return the rule of ``--outliers`` and ``--outlier-bits``, or None where there is none."""
    if text is None:
        require(bits is None, "--outlier-bits", "left out without --outliers", bits)
        return None
    return OutlierRule.parse(text, 16 if bits is None else bits)


def scheme_of(
    words: str | None, ranges: str | None, *, weight_ranges: str | None = None, weight_bits: int | None = None,
    activation_bits: int | None = None,
) -> Scheme | None:  # fmt: skip
    """Return the scheme of ``--scheme``, ``--ranges`` and widths, or None where none of them is given."""
    fields: dict[str, object] = {"weight_bits": weight_bits, "activation_bits": activation_bits}
    for field, text, option in (
        ("activation_ranges", ranges, "--ranges"), ("weight_ranges", weight_ranges, "--weight-ranges"),
    ):  # fmt: skip
        fields[field] = None if text is None else range_method(text, option)
    given = {field: value for field, value in fields.items() if value is not None}
    if words is None and not given:
        return None
    scheme = parse_scheme(words or "")
    require(
        ranges is None or scheme.mode is Mode.STATIC, "--ranges", "given with static activations", f"with {words!r}"
    )
    return replace(scheme, **given)  # type: ignore[arg-type]


def scaling_of(mean: str | None, std: str | None) -> InputScaling | None:
    """Return the input scaling of ``--input-mean`` and ``--input-std``, or None where neither is given."""
    if mean is None and std is None:
        return None
    return InputScaling(_numbers(mean or "0", "--input-mean"), _numbers(std or "1", "--input-std"))


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} must be a number, or one per channel with commas between, not {text!r}") from None
