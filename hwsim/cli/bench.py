"""``hwsim bench``: how fast, side by side with what else runs the network."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hwsim.cli.bench_onnx import onnx_of
from hwsim.cli.bench_shapes import SHAPES, integer_network
from hwsim.cli.bench_tflite import tflite
from hwsim.cli.terminal import console
from hwsim.graph import Graph
from hwsim.kernels.targets import host
from hwsim.load import LoadedModel, load_model
from hwsim.sim.compare import Side, agreement, counting_side, hwsim_sides, litert_sides, measure, onnx_sides, ratio
from hwsim.sim.execute import batch_size
from hwsim.sim.program import Program
from hwsim.sim.run import total_macs
from hwsim.spec import Arithmetic, BiasAt, InputError, Reduction, Register, require

COMPARED_IMAGES = 16
"""Random images that outputs are compared on."""


def bench(
    model: Annotated[str | None, typer.Argument(help="A .tflite file.", metavar="MODEL")] = None,
    shapes: Annotated[
        str | None,
        typer.Option(
            "--shapes", help=f"In place of a model: a network of these shapes, {' or '.join(SHAPES)}, 224x224."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", help="Measurements of each side, in turns.")] = 7,
    threads: Annotated[int, typer.Option("--threads", help="Worker threads of every side.")] = 1,
    acc: Annotated[
        list[str] | None, typer.Option("--acc", help="Also with this accumulator, every overflow counted; repeatable.")
    ] = None,
) -> None:
    """Compare the speed of hwsim with LiteRT and ONNX Runtime, for an integer .tflite model or for the shapes of one.

    Prints medians of images per CPU second (per second with more than one thread), ratios of neighbouring measurements, and of
    how many random images the outputs equal hwsim's bit for bit.
    """
    require(rounds in range(1, 101), "--rounds", "1 to 100", rounds)
    require(threads in range(1, 257), "--threads", "1 to 256", threads)
    registers = [Register.parse(text, "--acc") for text in acc or ["16:saturate", "20:saturate", "16:wrap"]]
    require((model is None) != (shapes is None), "MODEL", "given, or --shapes in its place", repr(model))
    with tempfile.TemporaryDirectory() as folder:
        path = model if shapes is None else written(shapes, Path(folder))
        assert path is not None
        _compare(load_model(path), rounds, threads, registers)


def written(shapes: str, folder: Path) -> Path:
    """Write a network of `SHAPES` as a .tflite file; return its path."""
    require(shapes in SHAPES, "--shapes", " or ".join(SHAPES), repr(shapes))
    path = folder / f"{shapes}.tflite"
    path.write_bytes(tflite(integer_network(shapes)))
    return path


def _compare(loaded: LoadedModel, rounds: int, threads: int, registers: list[Register]) -> None:
    graph = loaded.graph
    if loaded.source_format != "tflite" or not graph.quantized:
        raise InputError(f"model must be an integer .tflite file for this comparison, not {loaded.path}")
    program = Program(graph)
    onnx = onnx_of(graph)
    sides: list[Side] = litert_sides(loaded.path, graph, threads)
    if isinstance(onnx, bytes):
        sides += onnx_sides(onnx, graph, (1, batch_size(graph)), threads)
    sides += hwsim_sides(program, threads)
    if threads == 1:
        sides += [counting_side(_ordered(graph, register), str(register)) for register in registers]
    timings = measure(sides, rounds, threads)
    macs = total_macs(graph)
    table = Table(title=f"{graph.name}, threads: {threads}, median of {rounds}, {host().name}", box=SIMPLE_HEAD)
    table.add_column("side")
    for header in ("images/s", "GMAC/s", "times LiteRT reference", "outputs equal"):
        table.add_column(header, justify="right")
    for side, timing in zip(sides, timings, strict=True):
        equal = agreement(side, program, COMPARED_IMAGES)
        table.add_row(
            timing.name, f"{timing.median:,.0f}", f"{timing.median * macs / 1e9:.1f}", f"{ratio(timing, timings[0]):.2f}",
            "" if equal is None else f"{equal[0]} of {equal[1]}",
        )  # fmt: skip
    console.print(table)
    if isinstance(onnx, str):
        console.print(f"ONNX Runtime  left out: {onnx}", highlight=False)
    console.print("Lines with a register count every overflow; the others sum in 32 bits.", highlight=False)


def _ordered(graph: Graph, register: Register) -> Program:
    """Return the network with one accumulator, whatever its biases are."""
    return Program(graph, Arithmetic(Reduction(register, bias_at=BiasAt.END), profile=graph.profile))
