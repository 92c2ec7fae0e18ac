"""Write ``reports/outliers.md`` again: what a few outliers in a sparse path buy, and what they cost.

    python reports/outliers.py [--images N] [--narrow-images N]

Needs the data pack (HWSIM_DATA); a few minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hwsim.data import Dataset, open_dataset
from hwsim.graph import InputScaling
from hwsim.load import load_model
from hwsim.load.catalog import LoadedModel
from hwsim.models.catalog import BUNDLED
from hwsim.quant import Scheme
from hwsim.quant.outliers import OutlierRule
from hwsim.sim.execute import execute, execute_float
from hwsim.sim.feed import Feed
from hwsim.sim.network import Network, prepare_network
from hwsim.sim.program import Program
from hwsim.sim.time.document import layer_times
from hwsim.sim.time.network import time_network
from hwsim.spec import PRESETS, Accelerator, InputError, Profile, operand_format

HERE = Path(__file__).resolve().parent
THREADS = os.cpu_count() or 1
RULES = (None, "1%", "3%", "5%", "least-error")
LANES = (1, 2, 4)
EDGE = PRESETS[0]
ACC16 = next(preset for preset in PRESETS if preset.name == "fbgemm-acc16")


@dataclass(frozen=True)
class Source:
    """A float network and the set that it is measured on."""

    name: str
    model: LoadedModel
    dataset: Dataset
    scaling: InputScaling | None


@dataclass(frozen=True)
class Row:
    """A way to store the weights, and what it makes of a network.

    Attributes
    ----------
    bits, rule, per_channel
        Of the dense part; None: no outliers.
    correct, n
        Top-1.
    weights, outliers
        Of the network.
    dense_bytes, value_bytes, place_bytes
        Exact; indices and pointers are places.
    encodings
        By how many layers each is taken.
    cycles
        By outlier lanes; without outliers by 0.
    again
        K tiles that are worked through again for want of lanes, by lanes, of how many.
    most, mean
        Outliers of the fullest K tile of the array, and of the mean one.
    """

    bits: int
    rule: str | None
    per_channel: bool
    correct: int
    n: int
    weights: int
    outliers: int
    dense_bytes: int
    value_bytes: int
    place_bytes: int
    encodings: dict[str, int]
    cycles: dict[int, int]
    again: dict[int, tuple[int, int]]
    most: int
    mean: float

    @property
    def bytes(self) -> int:
        """All of the weights."""
        return self.dense_bytes + self.value_bytes + self.place_bytes

    @property
    def top1(self) -> float:
        """In percent."""
        return 100 * self.correct / self.n

    @property
    def name(self) -> str:
        """In the tables."""
        what = {None: "dense", "least-error": "+ least error"}.get(self.rule, f"+ {self.rule} outliers")
        return f"{self.bits} bits, {what}"


def quantized(source: Source, scheme: Scheme, profile: Profile = Profile.TFLITE) -> Network:
    """Quantize a network."""
    return prepare_network(
        source.model, source.dataset, weight_bits=None, activation_bits=None, calibration_images=256, scaling=source.scaling,
        profile=profile, scheme=scheme,
    )  # fmt: skip


def with_lanes(lanes: int) -> Accelerator:
    """Return the edge array with outlier lanes."""
    return replace(EDGE, datapath=replace(EDGE.datapath, outlier_lanes=lanes))


def measure(source: Source, bits: int, rule: str | None, per_channel: bool, images: int) -> Row:
    """Quantize, run, and time a network."""
    outliers = None if rule is None else OutlierRule.parse(rule)
    made = quantized(source, Scheme(weight_bits=bits, per_channel=per_channel, outliers=outliers))
    graph = made.integer
    program = Program(graph, EDGE.arithmetic)
    found = execute(program, Feed(graph, source.dataset), images, threads=THREADS)
    machines = [with_lanes(lanes) for lanes in (LANES if rule else (0,))]
    cycles: dict[int, int] = {}
    again: dict[int, tuple[int, int]] = {}
    infos = []
    for machine in machines:
        timed = time_network(graph, machine)
        lanes = machine.datapath.outlier_lanes
        infos = [layer_times(graph, layer, machine, index)["outliers"] for index, layer in enumerate(timed)]
        infos = [info for info in infos if info is not None]
        cycles[lanes] = sum(layer.time.cycles for layer in timed)
        again[lanes] = sum(info.visits - info.tiles for info in infos), sum(info.tiles for info in infos)
    tensors = [graph.tensors[node.inputs[1]] for node in graph.nodes if node.op.weighted]
    tiles, entries = sum(info.tiles for info in infos), sum(info.entries for info in infos)
    return Row(
        bits=bits, rule=rule, per_channel=per_channel, correct=found.correct, n=found.n,
        weights=sum(tensor.elements for tensor in tensors), outliers=entries,
        dense_bytes=sum(-(-tensor.elements * bits // 8) for tensor in tensors),
        value_bytes=sum(info.value_bytes for info in infos),
        place_bytes=sum(info.index_bytes + info.pointer_bytes for info in infos),
        encodings={name: sum(info.encoding == name for info in infos) for name in {info.encoding for info in infos}},
        cycles=cycles, again=again, most=max((info.most_per_tile for info in infos), default=0),
        mean=entries / tiles if tiles else 0.0,
    )  # fmt: skip


def rows_of(source: Source, images: int) -> Iterator[Row]:
    """Measure all ways to store the weights."""
    for per_channel in (False, True):
        for rule in RULES:
            yield measure(source, 4, rule, per_channel, images)
        yield measure(source, 8, None, per_channel, images)


def table(rows: Sequence[Row], *, per_channel: bool) -> str:
    """Return one scaling's rows."""
    head = [
        "weights", "outliers", "top-1", "dense bytes", "values", "indices, pointers", "all bytes", "bits per weight",
        *(f"cycles, {lanes} lane{'s' * (lanes > 1)}" for lanes in LANES), "tiles again", "fullest tile",
    ]  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in (row for row in rows if row.per_channel is per_channel):
        plain = row.rule is None
        cycles = [f"{row.cycles[0 if plain else lanes]:,}" for lanes in LANES]
        again = (
            "" if plain else ", ".join(f"{100 * row.again[lanes][0] / row.again[lanes][1]:.0f} %" for lanes in LANES)
        )
        cells = [
            row.name, "" if plain else f"{row.outliers:,} ({100 * row.outliers / row.weights:.2f} %)", f"{row.top1:.2f} %",
            f"{row.dense_bytes:,}", f"{row.value_bytes:,}", f"{row.place_bytes:,}", f"{row.bytes:,}",
            f"{8 * row.bytes / row.weights:.2f}", *cycles, again, "" if plain else f"{row.most} (mean {row.mean:.1f})",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def findings(rows: Sequence[Row], real: float) -> str:
    """Say what the outliers buy and cost, from the rows alone."""
    lines = []
    for per_channel, name in ((False, "One scale per tensor"), (True, "One scale per channel")):
        own = [row for row in rows if row.per_channel is per_channel]
        four, eight = (next(row for row in own if row.rule is None and row.bits == bits) for bits in (4, 8))
        sparse = [row for row in own if row.rule is not None]
        best = max(sparse, key=lambda row: row.correct)
        cheap = next(row for row in sparse if row.rule == "1%")
        gap, closed = eight.top1 - four.top1, best.top1 - four.top1
        share = f", {100 * closed / gap:.0f} % of the way to 8 bits" if gap > 0 else ""
        slow = {lanes: 100 * (cheap.cycles[lanes] / four.cycles[0] - 1) for lanes in LANES}
        lines.append(
            f"- **{name}**: 4 bits alone are {real - four.top1:.2f} points below the float network, 8 bits "
            f"{real - eight.top1:.2f}. "
            f"1 % of outliers bring {cheap.top1 - four.top1:+.2f} points for {100 * (cheap.bytes / four.bytes - 1):.1f} % more "
            f"bytes; the best row, {best.name}, {closed:+.2f}{share}, at {100 * best.bytes / eight.bytes:.0f} % of the bytes of "
            f"8 bits. 1 % costs {slow[1]:+.1f} % cycles with one lane, {slow[2]:+.1f} % with two, {slow[4]:+.1f} % with four."
        )
    every = {name: 0 for row in rows for name in row.encodings}
    for row in rows:
        for name, number in row.encodings.items():
            every[name] += number
    taken = ", ".join(f"{name} {number}" for name, number in sorted(every.items(), key=lambda pair: -pair[1]))
    lines.append(f"- **Encodings** that were smallest, over all layers and rows above: {taken}.")
    return "\n".join(lines)


def acc16_cases() -> Iterator[tuple[str, Scheme, Accelerator]]:
    """Yield the networks of the last table, each with its machine."""
    for per_channel in (False, True):
        scale = f"a scale per {'channel' if per_channel else 'tensor'}"
        eight = Scheme(affine_activations=False, unsigned=True, per_channel=per_channel)
        seven = replace(eight, weight_bits=7, outliers=OutlierRule("outside", bits=8))
        yield f"8 bits, {scale}, 32-bit sums", eight, EDGE
        yield f"8 bits, {scale}", eight, ACC16
        yield f"7 bits, {scale}, and outliers beyond -64..63", seven, ACC16


def acc16(source: Source, images: int) -> str:
    """Return FBGEMM's 16-bit accumulation with and without its split."""
    lines = [
        "| weights | outliers | top-1 | pairs that saturate | 16-bit sums that saturate |",
        "|---|---|---|---|---|",
    ]
    for name, scheme, machine in acc16_cases():
        made = quantized(source, scheme)
        program = Program(made.integer, machine.arithmetic, outlier_tile=machine.outlier_tile)
        found = execute(program, Feed(made.integer, source.dataset), images, threads=THREADS)
        tree, psum, _ = np.sum(
            [monitor.counts.sum(axis=(1, 2)) for monitor in found.monitors.values()], axis=0
        ).tolist()
        tensors = [made.integer.tensors[node.inputs[1]] for node in made.integer.nodes if node.op.weighted]
        entries = sum(0 if tensor.outliers is None else tensor.outliers.entries for tensor in tensors)
        share = f"{100 * entries / sum(tensor.elements for tensor in tensors):.2f} %" if entries else ""
        lines.append(f"| {name} | {share} | {100 * found.correct / found.n:.2f} % | {tree:,} | {psum:,} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def sources() -> list[Source]:
    """Return MLPerf Tiny's float ResNet-8, and the bundled networks for CIFAR-10 where there are any."""
    root = os.environ.get("HWSIM_DATA")
    if root is None:
        raise InputError("HWSIM_DATA must name the folder of the data pack")
    cifar10 = open_dataset("cifar10")
    resnet = load_model(str(Path(root, "mlperf_tiny", "resnet8_float.tflite")))
    found = [Source("ResNet-8 (MLPerf Tiny)", resnet, cifar10, InputScaling())]
    zoo = [bundled.name for bundled in BUNDLED if bundled.name.startswith("cifar")]
    return [*found, *(Source(name, load_model(name), cifar10, None) for name in zoo)]


def section(source: Source, images: int) -> str:
    """Return a network's part of the page."""
    count = min(images, len(source.dataset))
    made = quantized(source, Scheme())
    stored = source.model.graph.input.quantization
    _, correct = execute_float(made.real, Feed(made.real, source.dataset, stored), count, threads=THREADS)
    real = 100 * correct / count
    rows = []
    for row in rows_of(source, count):
        print(f"{source.name}: {row.name}, {'channel' if row.per_channel else 'tensor'}: {row.top1:.2f} %", flush=True)
        rows.append(row)
    return f"""## {source.name}

{rows[0].weights:,} weights, {count:,} CIFAR-10 test images; the float network has {real:.2f} %.

{findings(rows, real)}

One scale per tensor:

{table(rows, per_channel=False)}

One scale per channel:

{table(rows, per_channel=True)}
"""


def page(parts: Sequence[str], narrow: str, images: int, narrow_images: int) -> str:
    """Return the report."""
    wide = operand_format(16)
    return f"""# Outliers in a sparse path

Weights in 4 bits, but for a few that are kept apart in 16 (up to {wide.hi:,} steps of the 4-bit scale): what that buys in
accuracy, and what it costs in bytes and cycles. [docs/outliers.md](../docs/outliers.md) says how outliers are chosen, stored and
summed. Activations have 8 bits; ranges are those of 256 training images; nothing is trained again.

Made by `python reports/outliers.py --images {images} --narrow-images {narrow_images}`.

Bytes are exact: 4 bits per weight, also in an outlier's place, and each layer's outliers in whichever encoding is smallest for
their real positions, indices, pointers and fillers included. Cycles are for one image, all layers and stalls included, of
{EDGE.name}: {EDGE.rows} x {EDGE.cols}, {EDGE.memory}.
Its array multiplies as many 4-bit as 8-bit weights per cycle: what smaller multipliers could do with the area is not counted.

A K tile of the array is {EDGE.rows} products of {EDGE.cols} channels. One that has more outliers than lanes is worked through
again; `tiles again` is how often, in parts of all tiles, by lanes. 1 % of its {EDGE.rows * EDGE.cols} weights are
{EDGE.rows * EDGE.cols / 100:.2f} outliers on average: fewer lanes than that cannot keep up, and with as many the fuller tiles are
still worked through again. So it is lanes, not bytes, that decide how many outliers an array can afford.

{chr(10).join(parts)}
## FBGEMM's 16-bit accumulation

{ACC16.arithmetic.reduction}: pairs saturate to 16 bits, their sums too, and are spilled to 32 bits every
{ACC16.arithmetic.reduction.lanes * (ACC16.arithmetic.reduction.chain or 1)} products. Activations are unsigned, as FBGEMM's.
Weights beyond 7 bits go to a sparse matrix in CSC, whose products are added in 32 bits. ResNet-8, the first {narrow_images:,}
test images; the 7-bit network is the 8-bit one, integer by integer, so that whatever differs is saturation. Caffe2 falls back to
32-bit sums where more than 5 % of the weights are outliers (`caffe2_dnnlowp_acc16_density_threshold`).

{narrow}
"""


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description="Write reports/outliers.md.")
    parser.add_argument("--images", type=int, default=10_000, help="test images")
    parser.add_argument("--narrow-images", type=int, default=200, help="test images on the golden kernels")
    given = parser.parse_args()
    found = sources()
    parts = [section(source, given.images) for source in found]
    narrow = acc16(found[0], given.narrow_images)
    (HERE / "outliers.md").write_text(page(parts, narrow, given.images, given.narrow_images), "utf-8")


if __name__ == "__main__":
    try:
        main()
    except InputError as problem:
        sys.exit(f"reports: {problem}")
