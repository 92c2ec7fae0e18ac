"""What the benches of the dot-product unit run: its configurations, and stimulus that lives at the registers' edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.spec import BiasAt, Format, Reduction, Register

Int64 = npt.NDArray[np.int64]

UNSIGNED = False


@dataclass(frozen=True)
class Configuration:
    """Parameters of a `DotProduct` under test."""

    name: str
    activation: Format
    weight: Format
    reduction: Reduction
    event_bits: int = 32


def _reduction(acc: str, lanes: int = 1, tree: str | None = None, chain: int | None = None, psum: str | None = None,
               bias_at: BiasAt = BiasAt.START) -> Reduction:  # fmt: skip
    return Reduction(
        acc=Register.parse(acc),
        lanes=lanes,
        tree=None if tree is None else Register.parse(tree),
        chain=chain,
        psum=None if psum is None else Register.parse(psum),
        bias_at=bias_at,
    )


CONFIGURATIONS: tuple[Configuration, ...] = (
    Configuration("acc16-saturate", Format(8), Format(8), _reduction("16:saturate")),
    Configuration("acc8-wrap", Format(4, UNSIGNED), Format(2), _reduction("8:wrap")),
    Configuration("acc32-wrap-lanes4", Format(8), Format(8), _reduction("32:wrap", lanes=4)),
    Configuration("acc48-saturate-w16", Format(16), Format(16), _reduction("48:saturate", lanes=2)),
    Configuration("acc48-wrap-w17-chain4", Format(17), Format(17),
                  _reduction("48:wrap", lanes=2, chain=4, psum="34:saturate")),
    Configuration("acc13-saturate-lanes3", Format(8, UNSIGNED), Format(3), _reduction("13:saturate", lanes=3)),
    Configuration("acc12-bias-end", Format(8, UNSIGNED), Format(2),
                  _reduction("12:wrap", lanes=4, bias_at=BiasAt.END)),
    Configuration("acc20-unsigned", Format(8, UNSIGNED), Format(8, UNSIGNED), _reduction("20:saturate", lanes=3)),
    Configuration("tree16-saturate-lanes8", Format(8), Format(8),
                  _reduction("32:saturate", lanes=8, tree="16:saturate"), event_bits=3),
    Configuration("tree11-wrap-lanes3", Format(7), Format(5), _reduction("23:wrap", lanes=3, tree="11:wrap")),
    Configuration("tree9-saturate-lanes5", Format(5), Format(6),
                  _reduction("19:saturate", lanes=5, tree="9:saturate")),
    Configuration("psum16-saturate-chain4", Format(8), Format(8),
                  _reduction("32:wrap", chain=4, psum="16:saturate")),
    Configuration("psum9-wrap-chain3", Format(4, UNSIGNED), Format(4),
                  _reduction("17:saturate", lanes=2, tree="8:saturate", chain=3, psum="9:wrap")),
    Configuration("psum20-saturate-chain1", Format(11), Format(11),
                  _reduction("21:wrap", lanes=3, tree="21:saturate", chain=1, psum="20:saturate")),
    Configuration("psum33-wrap-chain4", Format(16, UNSIGNED), Format(16),
                  _reduction("47:saturate", lanes=4, chain=4, psum="33:wrap")),
    Configuration("psum8-all-narrow-chain3", Format(4), Format(4),
                  _reduction("8:saturate", lanes=8, tree="8:wrap", chain=3, psum="8:saturate"), event_bits=8),
)  # fmt: skip


def named(name: str) -> Configuration:
    """Return the configuration of a name."""
    return next(configuration for configuration in CONFIGURATIONS if configuration.name == name)


@dataclass(frozen=True)
class Case:
    """One dot product: operands of any depth, not padded, and the bias in the accumulator's format."""

    activations: Int64
    weights: Int64
    bias: int


def _random(rng: np.random.Generator, number: Format, count: int) -> Int64:
    return rng.integers(number.lo, number.hi, count, endpoint=True)


def _corners(rng: np.random.Generator, number: Format, count: int) -> Int64:
    return rng.choice([number.lo, number.hi, 0, 1, max(-1, number.lo)], count)


def _small(rng: np.random.Generator, number: Format, count: int) -> Int64:
    return rng.integers(max(-1, number.lo), 1, count, endpoint=True)


def _constant(rng: np.random.Generator, number: Format, count: int) -> Int64:
    return np.full(count, rng.choice([number.lo, number.hi]))


_DRAWS: tuple[Callable[[np.random.Generator, Format, int], Int64], ...] = (_random, _corners, _small, _constant)


def _steer(rng: np.random.Generator, configuration: Configuration, depth: int) -> tuple[Int64, Int64]:
    """Draw products whose sum over a group, a chain or all comes within one of a register's edge, where it can."""
    reduction = configuration.reduction
    spans = [(reduction.acc, depth)]
    if reduction.psum is not None and reduction.chain is not None:
        spans.append((reduction.psum, reduction.lanes * reduction.chain))
    if reduction.tree is not None:
        spans.append((reduction.tree, reduction.lanes))
    register, span = spans[rng.integers(len(spans))]
    activations, weights = np.zeros(depth, np.int64), _corners(rng, configuration.weight, depth)
    residual = 0
    for k in range(depth):
        if k % span == 0:
            edge = register.format.lo if rng.random() < 0.5 else register.format.hi
            residual = edge + int(rng.integers(-1, 2))
        if abs(residual) < abs(weights[k]):
            weights[k] = -1 if residual < 0 and configuration.weight.signed else 1
        wanted = 0 if weights[k] == 0 else round(residual / int(weights[k]))
        activations[k] = min(max(wanted, configuration.activation.lo), configuration.activation.hi)
        residual -= int(activations[k]) * int(weights[k])
    return activations, weights


def draw_case(rng: np.random.Generator, configuration: Configuration) -> Case:
    """Draw a dot product; the last group and the last chain are often incomplete."""
    reduction = configuration.reduction
    depth = int(rng.integers(1, 1 + reduction.lanes * int(rng.choice([1, 4, 13]))))
    if rng.random() < 0.4:
        activations, weights = _steer(rng, configuration, depth)
    else:
        activations = _DRAWS[rng.integers(len(_DRAWS))](rng, configuration.activation, depth)
        weights = _DRAWS[rng.integers(len(_DRAWS))](rng, configuration.weight, depth)
    acc = reduction.acc.format
    to_edge = (acc.lo if rng.random() < 0.5 else acc.hi) - int(activations @ weights) + int(rng.integers(-1, 2))
    bias = int(rng.choice([0, acc.lo, acc.hi, rng.integers(acc.lo, acc.hi, endpoint=True), to_edge]))
    if reduction.bias_at is BiasAt.END:
        bias = 0
    return Case(activations, weights, min(max(bias, acc.lo), acc.hi))


def groups_of(case: Case, lanes: int) -> list[tuple[list[int], list[int], bool, bool]]:
    """Return (activations, weights, first, last) per group; the last group is padded with zeros."""
    depth = len(case.activations)
    padding = (0, -depth % lanes)
    activations = np.pad(case.activations, padding).reshape(-1, lanes).tolist()
    weights = np.pad(case.weights, padding).reshape(-1, lanes).tolist()
    final = len(activations) - 1
    return [(a, w, i == 0, i == final) for i, (a, w) in enumerate(zip(activations, weights, strict=True))]
