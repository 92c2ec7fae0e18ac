"""Options of bits by layer, and what is printed of them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hwsim.api.machine import machine_of
from hwsim.cli.options import MACHINE, QUANTIZATION
from hwsim.quant.mixed_precision import BITS
from hwsim.report.text import plural
from hwsim.sim.quantize.document import MixedInfo
from hwsim.sim.quantize.mixed import Budget, Cost, Measure, MixedSettings
from hwsim.spec import InputError, require

MixedOption = Annotated[
    str | None,
    typer.Option(
        "--mixed",
        help=f"Bits by layer, within a budget of {', '.join(cost.value for cost in Cost)}.",
        rich_help_panel=QUANTIZATION,
        metavar="COST:NUMBER[%]",
    ),
]
MixedBitsOption = Annotated[
    str | None,
    typer.Option(
        "--mixed-bits",
        help=f"Widths that --mixed chooses from ({','.join(map(str, BITS))}).",
        rich_help_panel=QUANTIZATION,
        metavar="NUMBERS",
    ),
]
MixedImagesOption = Annotated[
    int | None,
    typer.Option(
        "--mixed-images", help="Calibration samples that --mixed looks at (64).", rich_help_panel=QUANTIZATION
    ),
]
MixedByOption = Annotated[
    Measure | None,
    typer.Option("--mixed-by", help="What --mixed loses least of (error).", rich_help_panel=QUANTIZATION),
]
CycleMachineOption = Annotated[
    str | None,
    typer.Option(
        "--accelerator", help="The machine of --mixed cycles.", rich_help_panel=MACHINE, metavar="FILE|PRESET"
    ),
]


LOSSES = {
    "error": "summed error", "classes": "summed share of other classes", "hessian": "estimated rise of the loss",
}  # fmt: skip
"""What is minimized, by `MixedInfo.by`."""


def mixed_of(
    budget: str | None, bits: str | None, images: int | None, by: Measure | None, accelerator: str | None
) -> MixedSettings | None:
    """Return how bits by layer are chosen, or None without ``--mixed``."""
    measure = None if by is None else by.value
    options = {"--mixed-bits": bits, "--mixed-images": images, "--mixed-by": measure, "--accelerator": accelerator}
    if budget is None:
        for option, value in options.items():
            require(value is None, option, "left out without --mixed", value)
        return None
    most = Budget.parse(budget)
    counted = most.cost is Cost.CYCLES
    require(counted or accelerator is None, "--accelerator", "left out with other budgets than cycles", accelerator)
    given: dict[str, Any] = {}
    if bits is not None:
        given["bits"] = _widths(bits)
    if images is not None:
        given["images"] = images
    if by is not None:
        given["by"] = by
    if accelerator is not None:
        given["accelerator"] = machine_of(accelerator)
    return MixedSettings(most, **given)


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--mixed-bits must be numbers with commas between, not {text!r}") from None


def mixed_lines(mixed: MixedInfo) -> list[tuple[str, str]]:
    """Return what is said of bits by layer below the table of layers."""
    images = plural(mixed.images, "image")
    lines = [
        ("mixed", f"{mixed.cost:,} of {mixed.allowed:,} {mixed.unit}; uniform bits {mixed.uniform:,}"),
        ("", f"{LOSSES[mixed.by]} {mixed.loss:.3g} on {images}; a greedy search {mixed.greedy_loss:.3g}"),
    ]
    outputs = [item for item in mixed.items if item.name.endswith(": output")]
    if outputs:
        lines.append(("outputs", ", ".join(f"{item.name.removesuffix(': output')} {item.bits}" for item in outputs)))
    if mixed.timed is not None:
        lines.append(("timed", f"{mixed.timed:,} cycles per image as a whole"))
    return lines
