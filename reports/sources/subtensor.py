"""The subtensor paper: a split range against scales per channel and bias correction, with size and operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zoo import Bench, Gap, Score, bullets, measured_on, table

from hwsim.quant import Scheme
from hwsim.quant.repair import Cost, cost
from hwsim.sim.time.network import time_network
from hwsim.spec import PRESETS

EDGE = PRESETS[0]

TENSOR = Scheme(per_channel=False, affine_weights=True)
"""Section 3: per-tensor asymmetric."""


@dataclass(frozen=True)
class Method:
    """A row of the paper's table 1, and what it is here.

    Parameters
    ----------
    name
        The paper's.
    source
        Its accuracy in percent, latency in ms and size in kB; None for a row that is ours alone.
    scheme, repairs
        Ours; a scheme of None is no quantization, and no `ours` leaves the row empty.
    """

    name: str
    source: tuple[float, float, float] | None
    scheme: Scheme | None
    repairs: str = ""
    ours: bool = True


PLAIN, SPLIT = "per tensor, nothing else", "per tensor, split range alone"
REPAIRS = "split-range,clip-weights,correct-bias"
METHODS = (
    Method("Baseline FP32", (71.8, 20.4, 13651), None),
    Method("Per-Channel", (69.8, 11.5, 4056), replace(TENSOR, per_channel=True)),
    Method("Training Aware", (70.7, 8.2, 3494), None, ours=False),
    Method("Bias Fine Tune", (70.6, 8.2, 3494), TENSOR, "correct-bias"),
    Method("Proposed", (71.12, 9.1, 3508), TENSOR, REPAIRS),
    Method(PLAIN, None, TENSOR),
    Method(SPLIT, None, TENSOR, "split-range"),
)
"""Table 1; the paper has no row for the plain per-tensor scheme that it starts from."""

WIDTHS = (8, 4)


@dataclass(frozen=True, eq=False)
class Result:
    """What a method makes of a network: `spent` and `cycles` are None for the float one."""

    score: Score
    spent: Cost | None
    cycles: int | None


Results = dict[str, Result]


def measure(bench: Bench, bits: int) -> Results:
    """Run all methods with weights of so many bits."""
    found = {}
    for method in METHODS:
        if method.scheme is None:
            if method.ours:
                found[method.name] = Result(bench.real, None, None)
            continue
        score = bench.score(replace(method.scheme, weight_bits=bits), method.repairs)
        cycles = sum(layer.time.cycles for layer in time_network(score.graph, EDGE))
        found[method.name] = Result(score, cost(score.graph), cycles)
    return found


def float_bytes(bench: Bench) -> int:
    """Return the bytes of the float network's weights and biases."""
    return 4 * sum(tensor.elements for tensor in bench.graph.tensors.values() if tensor.constant)


def section(bench: Bench, found: dict[int, Results]) -> str:
    """Return a network's table."""
    head = ["method", "paper: %", "paper: ms", "paper: kB"]
    head += [
        f"{what}{bits}: {unit}"
        for bits in found
        for what, unit in (("W", "%"), ("W", "cycles"), ("W", "MACs"), ("W", "kB"))
    ]
    rows = []
    for method in METHODS:
        row = [method.name, *([""] * 3 if method.source is None else map(str, method.source))]
        for results in found.values():
            row += cells(bench, results.get(method.name))
        rows.append(row)
    return table(head, rows)


def cells(bench: Bench, result: Result | None) -> list[str]:
    """Return accuracy, cycles, MACs and size of a method."""
    if result is None:
        return [""] * 4
    if result.spent is None:
        return [f"{result.score.top1:.2f}", "", "", f"{float_bytes(bench) / 1000:.1f}"]
    spent = result.spent
    return [f"{result.score.top1:.2f}", f"{result.cycles:,}", f"{spent.macs:,}", f"{spent.parameter_bytes / 1000:.1f}"]


def findings(bench: Bench, bits: int, results: Results) -> list[str]:
    """Say what agrees on one network."""
    names = ("Proposed", "Bias Fine Tune", "Per-Channel", PLAIN, SPLIT)
    proposed, fine, channel, plain, split = (results[name] for name in names)
    start = f"`{bench.name}`, {bits}-bit weights"
    return [
        (
            f"{start}: per tensor {bench.gap(plain.score)} points from float, per channel {bench.gap(channel.score)}, bias "
            f"corrected "
            f"{bench.gap(fine.score)}, proposed {bench.gap(proposed.score)}; splitting alone against per tensor "
            f"{bench.gap(split.score, plain.score)}."
        ),
        (
            f"{start}, proposed against bias correction: "
            f"{verdict(bench.gap(proposed.score, fine.score), paper(names[0], names[1]))}."
        ),
        (
            f"{start}, proposed against per channel: "
            f"{verdict(bench.gap(proposed.score, channel.score), paper(names[0], names[2]))}."
        ),
        f"{start}, overhead of proposed over bias correction: {overhead(proposed, fine)}.",
    ]


def paper(one: str, other: str) -> float:
    """Return what one of the paper's rows has over another, in points."""
    found = {method.name: method.source for method in METHODS}
    left, right = found[one], found[other]
    assert left is not None and right is not None
    return left[0] - right[0]


def verdict(gap: Gap, theirs: float) -> str:
    """Say whether a difference has the paper's sign."""
    word = "cannot be told apart here"
    if gap.clear:
        word = "agrees" if gap.points * theirs > 0 else "does not agree"
    return f"{gap} points, {theirs:+.2f} in the paper: **{word}**"


def overhead(one: Result, other: Result) -> str:
    """Return what one method costs over another, and the paper's own figures."""
    assert one.spent is not None and other.spent is not None and one.cycles is not None and other.cycles is not None
    macs, size = one.spent.macs / other.spent.macs, one.spent.parameter_bytes / other.spent.parameter_bytes
    table_1 = {method.name: method.source for method in METHODS}
    left, right = table_1["Proposed"], table_1["Bias Fine Tune"]
    assert left is not None and right is not None
    return (
        f"{100 * (one.cycles / other.cycles - 1):+.1f} % cycles, {100 * (macs - 1):+.1f} % MACs, {100 * (size - 1):+.1f} % "
        f"bytes "
        f"(by its table, the paper's: {100 * (left[1] / right[1] - 1):+.1f} % ms, {100 * (left[2] / right[2] - 1):+.1f} % kB)"
    )


def page(benches: Sequence[Bench]) -> str:
    """Return the page."""
    found = {bench.name: {bits: measure(bench, bits) for bits in WIDTHS} for bench in benches}
    parts = [
        f"## `{bench.name}`\n\n{section(bench, found[bench.name])}\n\n"
        + bullets(line for bits in WIDTHS for line in findings(bench, bits, found[bench.name][bits]))
        for bench in benches
    ]
    return f"""# The subtensor paper

The source is *Subtensor Quantization for Mobilenets*, table 1: MobileNetV2 on ImageNet, 8-bit integers, latency of a binary on
a processor that it does not name.
{measured_on(benches)}
Ours has the paper's scheme, {TENSOR.name} (per channel: the same with a scale per channel), at 8 bits of weights as there and
at 4, where there is more to win; activations have 8.

**What is not the same.** The paper does not say which tensors it splits nor where: ours is `--repair {REPAIRS}`, with a tenth
more weights at most, layers in the order of weight error removed per weight added ([repairs](../../docs/repairs.md)). Its
cross-layer equalization is left out: behind ReLU6 it does not apply, and elsewhere `equalize` is measured on the page of
repairs. "Bias Fine Tune" is `correct-bias`, of Nagel et al. as in the paper's text, not Finkelstein's. Training-aware rows are
empty: nothing is trained here. Latency is cycles of {EDGE.name}, whose arrays rescale per channel at no cost: the paper's
price of per-channel scales is that of its processor. kB are weights, biases and requantization constants, not files.

{f"{chr(10)}{chr(10)}".join(parts)}
"""
