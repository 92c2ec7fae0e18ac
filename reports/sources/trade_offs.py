"""The slides' "Architecture trade-offs": twice the feature maps in 4 bits, or the base network in 8."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from zoo import Bench, Gap, Score, bullets, fraction, table

from hwsim.graph import Graph
from hwsim.quant import Scheme
from hwsim.quant.repair import cost

_WIDTH = re.compile(r"(?P<family>.+)_(?P<percent>\d{3})")
"""How bundled networks of several width multipliers are named."""


@dataclass(frozen=True)
class Precision:
    """Bits that a network is quantized to, and how its weights are rounded.

    Parameters
    ----------
    scheme
        Symmetric per channel, affine activations.
    repairs
        Names with commas between.
    """

    scheme: Scheme
    repairs: str = ""

    def __str__(self) -> str:
        return f"W{self.scheme.weight_bits}A{self.scheme.activation_bits}" + (
            f", {self.repairs}" if self.repairs else ""
        )


EIGHT = Precision(Scheme())
FOUR = tuple(
    Precision(Scheme(weight_bits=4, activation_bits=bits), repairs)
    for bits in (8, 4)
    for repairs in ("", "adaround,correct-bias")
)


def section(benches: Sequence[Bench]) -> str:
    """Return the section, or say that no two networks differ in their width alone."""
    families = _families(benches)
    head = """## Precision against the width multiplier

The slides draw MobileNetV1 0.25 at several depth multipliers, without figures in the text, and say: "Having 2x number of feature
maps at 4-bits is better than 8 bit quantization of the base network." Bytes are those of weights, biases and scales."""
    if not families:
        return f"{head}\n\nNo two of the networks measured here differ in their width multiplier alone."
    rows, findings = [], []
    for family in families:
        scores = {
            width: {way: bench.score(way.scheme, way.repairs) for way in (EIGHT, *FOUR)} for width, bench in family
        }
        for width, bench in family:
            rows.append([f"`{bench.name}`", "float", fraction(bench.real), f"{4 * _parameters(bench.graph):,}"])
            rows += [
                [f"`{bench.name}`", str(way), fraction(score), _bytes(score)] for way, score in scores[width].items()
            ]
        for (narrow, base), (wide, doubled) in pairwise(family):
            if wide == 2 * narrow:
                eight = scores[narrow][EIGHT]
                findings += [_finding(base, doubled, way, eight, scores[wide][way]) for way in FOUR]
    return f"{head}\n\n{table(['network', 'precision', 'top-1', 'bytes'], rows)}\n\n{bullets(findings)}"


def _families(benches: Sequence[Bench]) -> list[list[tuple[int, Bench]]]:
    """Return the networks that differ in their width alone, the narrowest first; width in percent."""
    found: dict[str, list[tuple[int, Bench]]] = {}
    for bench in benches:
        if match := _WIDTH.fullmatch(bench.name):
            found.setdefault(match["family"], []).append((int(match["percent"]), bench))
    return [sorted(family, key=lambda member: member[0]) for family in found.values() if len(family) > 1]


def _finding(base: Bench, doubled: Bench, way: Precision, eight: Score, four: Score) -> str:
    gap = Gap.between(four.right, eight.right)
    verdict = "cannot be told apart" if not gap.clear else "**agrees**" if gap.points > 0 else "**does not agree**"
    return (
        f"`{doubled.name}` in {way} over `{base.name}` in {EIGHT}: {gap} points with {_bytes(four)} against {_bytes(eight)} "
        f"bytes: {verdict}."
    )


def _bytes(score: Score) -> str:
    return f"{cost(score.graph).parameter_bytes:,}"


def _parameters(graph: Graph) -> int:
    return sum(tensor.elements for tensor in graph.tensors.values() if tensor.constant)
