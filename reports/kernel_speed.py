"""Write ``reports/kernel_speed.md`` again: products per second by the way they are summed, and whole networks beside others.

    python reports/kernel_speed.py [--rounds N] [--only layers networks]

All on one thread, in turns within one process, in CPU time. ``networks`` needs the data pack (HWSIM_DATA), LiteRT and ONNX
Runtime (``pip install 'hwsim[compare]'``). Figures belong to the machine: run it on one that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwsim.cli.bench_onnx import onnx_of
from hwsim.graph import Graph, Node, Quantization, Tensor
from hwsim.kernels.targets import host
from hwsim.load import load_model
from hwsim.ops import Conv2D, DepthwiseConv2D, Operator, Padding, Window
from hwsim.ops.products import ProductsUnit
from hwsim.sim.compare import (
    Side,
    Timing,
    agreement,
    counting_side,
    hwsim_sides,
    litert_sides,
    measure,
    onnx_sides,
    ratio,
)
from hwsim.sim.execute import batch_size
from hwsim.sim.program import Program
from hwsim.sim.run import total_macs
from hwsim.spec import Arithmetic, BiasAt, Format, InputError, Reduction, Register, require

HERE = Path(__file__).resolve().parent

SIDE, CHANNELS = 32, 64
"""Of the images that single layers take, and give."""

WEIGHT_SPREAD = 20
"""Standard deviation of their 8-bit weights."""

COMPARED_IMAGES = 16
"""Random images that outputs of whole networks are compared on."""

REGISTERS = ("20:saturate", "16:saturate")
"""Accumulators that whole networks also run with, every overflow counted."""

NETWORKS = (
    ("mlperf_tiny", "resnet8_int8"),
    ("mlperf_tiny", "kws_dscnn_int8"),
    ("mlperf_tiny", "vww_mobilenet_v1_0.25_int8"),
    ("tflite_imagenet", "mobilenet_v1_0.25_128_quant"),
    ("tflite_imagenet", "tf2_mobilenet_v2_1.0_224_ptq"),
)


@dataclass(frozen=True)
class Sum:
    """A layer of the first table.

    Parameters
    ----------
    text
        What it is called.
    acc
        Its accumulator.
    lanes, tree, chain, psum
        As in `hwsim.spec.Reduction`; registers as text.
    depthwise
        Whether every channel has its own 3x3 filter; otherwise K = 9 * `CHANNELS`.
    activation_bits
        8 or 16.
    """

    text: str
    acc: str = "32:wrap"
    lanes: int = 1
    tree: str = ""
    chain: int | None = None
    psum: str = ""
    depthwise: bool = False
    activation_bits: int = 8

    @property
    def arithmetic(self) -> Arithmetic:
        """Its registers; the bias is added at the end, so that any width can start."""
        tree, psum = (Register.parse(text) if text else None for text in (self.tree, self.psum))
        return Arithmetic(Reduction(Register.parse(self.acc), self.lanes, tree, self.chain, psum, bias_at=BiasAt.END))


SUMS = (
    Sum("exact, dense"),
    Sum("exact, dense, 16-bit activations", activation_bits=16, acc="48:wrap"),
    Sum("exact, depthwise", depthwise=True),
    Sum("one at a time", "12:saturate"),
    Sum("one at a time", "12:wrap"),
    Sum("one at a time", "16:saturate"),
    Sum("one at a time", "16:wrap"),
    Sum("one at a time", "20:saturate"),
    Sum("one at a time, depthwise", "14:saturate", depthwise=True),
    Sum("4 lanes, exact tree", "18:saturate", 4),
    Sum("8 lanes, exact tree", "18:saturate", 8),
    Sum("16 lanes, exact tree", "18:saturate", 16),
    Sum("8 lanes, 16-bit saturating tree", "16:saturate", 8, "16:saturate"),
    Sum("partial sums of 16 bits over 16", "40:wrap", chain=16, psum="16:saturate"),
    Sum("4 lanes, partial sums of 18 bits over 16", "40:wrap", 4, chain=16, psum="18:saturate"),
    Sum("128 lanes, exact tree", "18:saturate", 128),
)
"""The last has more lanes than generated kernels know: it is the golden kernel's."""


def layer(depthwise: bool, activation_bits: int) -> Graph:
    """Return a network of one 3x3 layer with random weights."""
    rng = np.random.default_rng(0)
    shape = (1, 3, 3, CHANNELS) if depthwise else (CHANNELS, 3, 3, CHANNELS)
    weights = np.clip(np.rint(rng.normal(0, WEIGHT_SPREAD, shape)), -127, 127).astype(np.int8)
    window = Window((3, 3), padding=Padding(1, 1, 1, 1))
    op: Operator = DepthwiseConv2D(window) if depthwise else Conv2D(window)
    pixels = (1, SIDE, SIDE, CHANNELS)
    form = Format(activation_bits)

    def quantization(form: Format, scale: float) -> Quantization:
        return Quantization(form, np.asarray(scale), np.asarray(0))

    coarse = 2.0 ** (8 - activation_bits)
    tensors = {
        "x": Tensor("x", pixels, quantization(form, 0.02 * coarse)),
        "w": Tensor("w", shape, quantization(Format(8), 0.01), weights),
        "b": Tensor("b", (CHANNELS,), quantization(Format(32), 0.02 * coarse * 0.01), np.zeros(CHANNELS, np.int64)),
        "y": Tensor("y", pixels, quantization(form, 2.0 * coarse)),
    }
    return Graph("layer", tensors, (Node("layer", op, ("x", "w", "b"), ("y",)),), ("x",), ("y",))


def layers(rounds: int) -> str:
    """Return the table of single layers."""
    graphs = [layer(each.depthwise, each.activation_bits) for each in SUMS]
    programs = [Program(graph, each.arithmetic) for graph, each in zip(graphs, SUMS, strict=True)]
    timings = measure([counting_side(program, "layer") for program in programs], rounds)
    lines = ["| sum | accumulator | kernel | GMAC/s |", "|---|---|---|---|"]
    for each, graph, program, timing in zip(SUMS, graphs, programs, timings, strict=True):
        unit = program.units["layer"]
        assert isinstance(unit, ProductsUnit)
        speeds = [rate * total_macs(graph) / 1e9 for rate in (timing.median, min(timing.rates), max(timing.rates))]
        cell = "{:.1f} ({:.1f} to {:.1f})".format(*speeds)
        lines.append(f"| {each.text} | {each.acc} | `{unit.plan.operation or 'golden'}` | {cell} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def network(parts: tuple[str, str], rounds: int) -> str:
    """Return a network's row: images per second, of the faster batch of each side."""
    path = Path(os.environ["HWSIM_DATA"], parts[0], f"{parts[1]}.tflite")
    graph = load_model(path).graph
    program = Program(graph)
    reference, _, xnnpack = litert_sides(path, graph)
    written = onnx_of(graph)
    onnx = onnx_sides(written, graph, (1, batch_size(graph))) if isinstance(written, bytes) else []
    narrow = [
        counting_side(
            Program(graph, Arithmetic(Reduction(Register.parse(text), bias_at=BiasAt.END), graph.profile)), text
        )
        for text in REGISTERS
    ]
    groups: list[list[Side]] = [[xnnpack], onnx, hwsim_sides(program)]
    timings = iter(measure([reference, *(side for group in groups for side in group), *narrow], rounds))
    slow = next(timings)
    cells = [f"{slow.median:,.0f}"]
    for group in groups:
        found = [(side, next(timings)) for side in group]
        cells.append(_best(found, slow, program) if found else f"none: {written!s}")
    cells += [f"{next(timings).median:,.0f}" for _ in narrow]
    row = f"| {parts[1]} | {' | '.join(cells)} |"
    print(row, flush=True)
    return row


def _best(found: Sequence[tuple[Side, Timing]], slow: Timing, program: Program) -> str:
    side, timing = max(found, key=lambda pair: pair[1].median)
    text = f"{timing.median:,.0f} ({ratio(timing, slow):.1f})"
    equal = agreement(side, program, COMPARED_IMAGES)
    return text if equal is None else f"{text}, {equal[0]} equal"


def networks(rounds: int) -> str:
    """Return the table of whole networks."""
    if "HWSIM_DATA" not in os.environ:
        raise InputError("HWSIM_DATA must name the folder of the data pack for networks")
    head = ["network", "LiteRT reference", "XNNPACK", "ONNX Runtime u8 x s8", "hwsim, 32 bits", *REGISTERS]
    rows = [network(parts, rounds) for parts in NETWORKS]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *rows])


PARTS = {"layers": layers, "networks": networks}


def page(parts: Sequence[str], rounds: int) -> str:
    """Measure and return the report."""
    made = {name: PARTS[name](rounds) if name in parts else "Not measured." for name in PARTS}
    only = "" if set(parts) == set(PARTS) else f" --only {' '.join(parts)}"
    return f"""# Speed of the kernels

Made by `python reports/kernel_speed.py --rounds {rounds}{only}` with the kernels for {host().name}: medians over rounds of
CPU time on one thread, all sides in turns. [kernels.md](../docs/kernels.md) says what the kernels are. Absolute figures belong to
the machine; neighbours in a row carry over better.

## Sums

One layer of {CHANNELS} channels on {SIDE} x {SIDE} pixels, 3x3, 8-bit weights, at the batch of `hwsim run`; requantization,
the calls from Python and the counting of every overflow included. In brackets the slowest and the fastest round.
Activations are uniform over their 8 bits, weights normal with a standard deviation of {WEIGHT_SPREAD}.

{made["layers"]}

## Whole networks

Images per second at the better batch of each side, in brackets times LiteRT's reference kernels; "equal": on how many of
{COMPARED_IMAGES} random images the output is hwsim's, bit for bit. The last columns count every overflow.

{made["networks"]}
"""


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each side")
    parser.add_argument("--only", nargs="+", default=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--output", type=Path, default=HERE, help="folder to write to")
    given = parser.parse_args()
    require(given.rounds in range(1, 101), "--rounds", "1 to 100", given.rounds)
    for part in given.only:
        require(part in PARTS, "--only", f"one of {', '.join(PARTS)}", repr(part))
    (given.output / "kernel_speed.md").write_text(page(given.only, given.rounds), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except InputError as problem:
        sys.exit(f"kernel_speed: {problem}")
