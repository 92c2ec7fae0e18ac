"""``hwsim bench``: how fast, side by side with the outside reference."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hwsim.cli.options import ModelArgument
from hwsim.cli.terminal import console
from hwsim.load import load_model
from hwsim.sim.compare import Side, hwsim_sides, litert_side, measure, ratio
from hwsim.sim.program import Program
from hwsim.sim.run import total_macs
from hwsim.spec import Arithmetic, InputError, Reduction, Register, require


def bench(
    model: ModelArgument,
    rounds: Annotated[int, typer.Option("--rounds", help="Measurements of each side, in turns.")] = 7,
) -> None:
    """Compare the speed of hwsim with LiteRT's reference kernels on one core, for an integer .tflite model.

    Prints medians of images per CPU second, and ratios of neighbouring measurements.
    """
    require(rounds in range(1, 101), "--rounds", "1 to 100", rounds)
    loaded = load_model(model)
    if loaded.source_format != "tflite" or not loaded.graph.quantized:
        raise InputError(f"model must be an integer .tflite file for this comparison, not {loaded.path}")
    program = Program(loaded.graph)
    ordered = Program(loaded.graph, Arithmetic(Reduction(Register.parse("16:wrap"))))
    sides = [litert_side(loaded.path, loaded.graph), *hwsim_sides(program)]
    largest = sides[-1].images
    sides += [Side(f"{side.name}, 16:wrap", side.run, side.images) for side in hwsim_sides(ordered)[-1:]]
    timings = measure(sides, rounds)
    macs = total_macs(loaded.graph)
    table = Table(title=f"{loaded.graph.name}, one thread, median of {rounds}", box=SIMPLE_HEAD)
    table.add_column("side")
    for header in ("images/s", "GMAC/s", "times LiteRT"):
        table.add_column(header, justify="right")
    for timing in timings:
        table.add_row(
            timing.name,
            f"{timing.median:,.0f}",
            f"{timing.median * macs / 1e9:.1f}",
            f"{ratio(timing, timings[0]):.1f}",
        )
    console.print(table)
    console.print(
        f"Bit for bit the same results; hwsim batches up to {largest} images. The last line counts every overflow.",
        highlight=False,
    )
