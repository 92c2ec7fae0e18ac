"""Options that several commands share, and how their texts become specifications."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from hwsim.graph import Graph, InputScaling
from hwsim.sim.accelerator_file import load_accelerator
from hwsim.spec import PRESETS, Accelerator, Arithmetic, BiasAt, InputError, Profile, Reduction, Register, ZeroPoints

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
DEFAULT_ACCELERATOR = PRESETS[0].name


def accelerator_of(
    name: str, *, acc: str | None, psum: str | None, chain: int | None, lanes: int | None, tree: str | None,
    bias_at: BiasAt | None, zero_points: ZeroPoints | None, requantize: Profile | None,
) -> Accelerator:  # fmt: skip
    """Return the named machine with the options that were given in place of its own."""
    accelerator = load_accelerator(name)
    registers = {"acc": acc, "psum": psum, "tree": tree}
    given: dict[str, object] = {
        field: Register.parse(text, f"--{field}") for field, text in registers.items() if text is not None
    }
    plain = {"chain": chain, "lanes": lanes, "bias_at": bias_at, "zero_points": zero_points}
    given |= {field: value for field, value in plain.items() if value is not None}
    arithmetic = accelerator.arithmetic
    reduction: Reduction = replace(arithmetic.reduction, **given)  # type: ignore[arg-type]
    return replace(accelerator, arithmetic=Arithmetic(reduction, requantize or arithmetic.profile))


def rounding_as(
    machine: Accelerator, name: str, requantize: Profile | None, graph: Graph, *, anew: bool
) -> Accelerator:  # fmt: skip
    """Return the machine with the rounding of a model's makers, where neither an option nor a file states one.

    `anew`: the model is quantized again, so its makers' rounding says nothing.
    """
    if requantize is not None or anew or not graph.quantized or all(preset.name != name for preset in PRESETS):
        return machine
    return replace(machine, arithmetic=replace(machine.arithmetic, profile=graph.profile))


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
