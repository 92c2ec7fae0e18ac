"""What the output-stationary bench runs: configurations, and output tiles whose sums live at the registers' edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.spec import Arithmetic, BiasAt, Core, Dataflow, Format, Reduction, Register, ZeroPoints

Int64 = npt.NDArray[np.int64]

INT8 = Format(8)
END, FOLD, UNSIGNED = BiasAt.END, ZeroPoints.FOLD, False


def _core(name: str, shape: str, acc: str, *, activation: Format = INT8, weight_bits: int = 8, lanes: int = 1,
          tree: str | None = None, chain: int | None = None, psum: str | None = None,
          bias_at: BiasAt = BiasAt.START, zero_points: ZeroPoints = ZeroPoints.SUBTRACT,
          count_events: bool = True) -> Core:  # fmt: skip
    rows, cols = map(int, shape.split("x"))
    reduction = Reduction(
        acc=Register.parse(acc),
        lanes=lanes,
        tree=None if tree is None else Register.parse(tree),
        chain=chain,
        psum=None if psum is None else Register.parse(psum),
        bias_at=bias_at,
        zero_points=zero_points,
    )
    return Core(
        name=f"{shape}-{name}", dataflow=Dataflow.OUTPUT_STATIONARY, rows=rows, cols=cols, activation=activation,
        weight_bits=weight_bits, arithmetic=Arithmetic(reduction), output=None, count_events=count_events,
    )  # fmt: skip


CORES: tuple[Core, ...] = (
    _core("acc16-saturate", "3x2", "16:saturate"),
    _core("acc17-wrap-bias-end", "2x5", "17:wrap", bias_at=END),
    _core("acc48-saturate-w16", "2x5", "48:saturate", activation=Format(16), weight_bits=16, zero_points=FOLD),
    _core("tree16-saturate-lanes2", "5x3", "19:wrap", lanes=2, tree="16:saturate"),
    _core("exact-tree-lanes3", "1x3", "12:saturate", activation=Format(4, UNSIGNED), weight_bits=3, lanes=3),
    _core("chain1-psum8-lanes2", "1x3", "9:saturate", activation=Format(4), weight_bits=4, lanes=2, chain=1,
          psum="8:saturate"),
    _core("chain2-all-narrow-lanes3", "1x1", "9:saturate", activation=Format(4), weight_bits=4, lanes=3, tree="8:wrap",
          chain=2, psum="8:saturate", bias_at=END),
    _core("chain3-psum16-wrap", "2x5", "18:wrap", chain=3, psum="16:wrap"),
    _core("chain5-exact-tree-lanes3", "4x1", "12:saturate", activation=Format(5), weight_bits=4, lanes=3, chain=5,
          psum="11:wrap"),
    _core("chain5-psum17-lanes2", "5x3", "17:saturate", activation=Format(8, UNSIGNED), lanes=2, tree="16:wrap",
          chain=5, psum="17:saturate", bias_at=END, zero_points=FOLD),
    _core("chain65536", "3x2", "10:wrap", activation=Format(4), weight_bits=3, chain=65536, psum="9:saturate"),
    _core("no-events-chain2", "3x2", "18:saturate", chain=2, psum="16:saturate", count_events=False),
)  # fmt: skip


def named(name: str) -> Core:
    """Return the core of a name."""
    return next(core for core in CORES if core.name == name)


@dataclass(frozen=True)
class Tile:
    """One output tile.

    Parameters
    ----------
    activations
        int64 [rows, K], ascending pixels, zero points treated.
    weights
        int64 [K, cols].
    parameter_set
        0 or 1: which biases it starts from.
    final
        Whether it is called the job's last.
    """

    activations: Int64
    weights: Int64
    parameter_set: int
    final: bool


@dataclass(frozen=True)
class Batch:
    """Output tiles that follow each other while the biases, int64 [2, cols], stay."""

    biases: Int64
    tiles: tuple[Tile, ...]


def _random(rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...]) -> Int64:
    return rng.integers(low, high, shape, endpoint=True)


def _corners(rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...]) -> Int64:
    return rng.choice([low, high, 0, 1, max(-1, low)], shape)


def _constant(rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...]) -> Int64:
    return np.full(shape, rng.choice([low, high]))


_DRAWS = (_random, _corners, _constant)


def _draw(rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...]) -> Int64:
    return _DRAWS[rng.integers(len(_DRAWS))](rng, low, high, shape)


def _steer(rng: np.random.Generator, core: Core, weights: Int64) -> Int64:
    """Draw one pixel's activations so that one column's tree, chain or whole sum comes within one of a register's edge."""
    reduction = core.arithmetic.reduction
    spans = [(reduction.acc, len(weights))]
    if reduction.psum is not None and reduction.chain is not None:
        spans.append((reduction.psum, reduction.lanes * reduction.chain))
    if reduction.tree is not None:
        spans.append((reduction.tree, reduction.lanes))
    register, span = spans[rng.integers(len(spans))]
    low, high = core.operand_range
    column = weights[:, rng.integers(weights.shape[1])].tolist()
    activations, residual = [], 0
    for k, weight in enumerate(column):
        if k % span == 0:
            residual = int(rng.choice([register.format.lo, register.format.hi])) + int(rng.integers(-1, 2))
        wanted = 0 if weight == 0 else round(residual / weight)
        activations.append(min(max(wanted, low), high))
        residual -= activations[-1] * weight
    return np.array(activations, np.int64)


def draw_tile(rng: np.random.Generator, core: Core) -> Tile:
    """Draw an output tile; the last group and the last chain are often incomplete, and one group is often all."""
    depth = int(rng.integers(1, 1 + core.lanes * int(rng.choice([1, 3, core.rows + 1, 14]))))
    weights = _draw(rng, core.weight.lo, core.weight.hi, (depth, core.cols))
    rows = [
        _steer(rng, core, weights) if rng.random() < 0.5 else _draw(rng, *core.operand_range, (depth,))
        for _ in range(core.rows)
    ]
    return Tile(np.array(rows), weights, int(rng.integers(2)), bool(rng.integers(2)))


def draw_batch(rng: np.random.Generator, core: Core, tiles: int) -> Batch:
    """Draw output tiles and their biases, of which some bring a first sum within one of the accumulator's edge."""
    drawn = tuple(draw_tile(rng, core) for _ in range(tiles))
    acc = core.arithmetic.reduction.acc.format
    sums = np.stack([drawn[i].activations[0] @ drawn[i].weights for i in rng.integers(tiles, size=2)])
    edges = rng.choice([acc.lo, acc.hi], sums.shape)
    choices = np.stack(
        [np.zeros_like(sums), edges, _random(rng, acc.lo, acc.hi, sums.shape), edges - sums + rng.integers(-1, 2)]
    )
    biases = np.take_along_axis(choices, rng.integers(len(choices), size=(1, *sums.shape)), axis=0)[0]
    if core.arithmetic.reduction.bias_at is BiasAt.END:
        biases = np.zeros_like(biases)
    return Batch(np.clip(biases, acc.lo, acc.hi), drawn)


@dataclass(frozen=True)
class Slot:
    """One group of an output tile: operands per row of the array and per column, and its tokens."""

    activations: Int64
    weights: Int64
    first: bool
    last: bool
    commit: bool


def slots_of(core: Core, tile: Tile) -> Iterator[Slot]:
    """Yield an output tile's slots; the last group is padded with zeros."""
    lanes, chain = core.lanes, core.arithmetic.reduction.chain or 1
    padding = -tile.weights.shape[0] % lanes
    # The top row of the array works on the last pixel.
    activations = np.pad(tile.activations[::-1], ((0, 0), (0, padding)))
    weights = np.pad(tile.weights, ((0, padding), (0, 0)))
    groups = weights.shape[0] // lanes
    for i in range(groups):
        span, last = slice(i * lanes, (i + 1) * lanes), i == groups - 1
        yield Slot(activations[:, span], weights[span].T, i == 0, last, last or (i + 1) % chain == 0)
