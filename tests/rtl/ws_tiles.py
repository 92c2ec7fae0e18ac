"""What the weight-stationary bench runs: configurations, and GEMMs cut into the tiles that an engine is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.cosim.golden import GemmCase
from hwsim.cosim.stimulus import outlier_bins, outlier_case, random_case, target_cases
from hwsim.cosim.targets import targets_of
from hwsim.spec import Arithmetic, BiasAt, Core, Format, Reduction, Register, ZeroPoints

Int64 = npt.NDArray[np.int64]

INT4, INT8 = Format(4), Format(8)
END, FOLD, UNSIGNED = BiasAt.END, ZeroPoints.FOLD, False


def _core(name: str, shape: str, acc: str, *, lanes: int = 1, tree: str | None = None, psum: str | None = None,
          bias_at: BiasAt = BiasAt.START, zero_points: ZeroPoints = ZeroPoints.SUBTRACT, activation: Format = INT8,
          **others: Any) -> Core:  # fmt: skip
    rows, cols = map(int, shape.split("x"))
    reduction = Reduction(
        acc=Register.parse(acc),
        lanes=lanes,
        tree=None if tree is None else Register.parse(tree),
        chain=None if psum is None else rows,
        psum=None if psum is None else Register.parse(psum),
        bias_at=bias_at,
        zero_points=zero_points,
    )
    sizes = {"rows": rows, "cols": cols, "pixels": 7} | others
    return Core(name=f"{shape}-{name}", arithmetic=Arithmetic(reduction), activation=activation, output=None, **sizes)


CORES: tuple[Core, ...] = (
    _core("acc16-saturate", "3x2", "16:saturate", pixels=13),
    _core("acc17-wrap-bias-end-outlier", "2x5", "17:wrap", bias_at=END, outlier_lanes=1),
    _core("acc48-saturate-w16", "2x5", "48:saturate", activation=Format(16), weight_bits=16, zero_points=FOLD),
    _core("tree17-saturate-lanes3-outliers3", "3x2", "19:wrap", lanes=3, tree="17:saturate", outlier_lanes=3, pixels=13),
    _core("exact-tree-lanes3-outlier", "1x3", "12:saturate", lanes=3, activation=Format(4, UNSIGNED), weight_bits=3,
          outlier_lanes=1, outlier_bits=5),
    _core("lanes65-outliers2", "1x2", "14:wrap", lanes=65, activation=INT4, weight_bits=4, outlier_lanes=2,
          outlier_bits=9),
    _core("single-weight-outlier", "1x1", "17:saturate", outlier_lanes=1, pixels=2),
    _core("chain1-psum8-lanes2-outliers3", "1x3", "9:saturate", lanes=2, activation=INT4, weight_bits=4,
          psum="8:saturate", outlier_lanes=3),
    _core("chain1-all-narrow-lanes3", "1x1", "9:saturate", lanes=3, tree="8:wrap", activation=INT4, weight_bits=4,
          psum="8:saturate", bias_at=END),
    _core("chain2-psum16-wrap-lanes2", "2x5", "18:wrap", lanes=2, psum="16:wrap", zero_points=FOLD),
    _core("chain4-exact-tree-lanes3-outliers3", "4x1", "12:saturate", lanes=3, activation=Format(5), weight_bits=4,
          psum="11:wrap", outlier_lanes=3, outlier_bits=4),
    _core("chain5-psum17-lanes2", "5x3", "17:saturate", lanes=2, tree="16:wrap", activation=Format(8, UNSIGNED),
          psum="17:saturate", bias_at=END, zero_points=FOLD),
    _core("no-events-chain3-outlier", "3x2", "18:saturate", psum="18:saturate", outlier_lanes=1, count_events=False),
)  # fmt: skip


def named(name: str) -> Core:
    """Return the core of a name."""
    return next(core for core in CORES if core.name == name)


def cases_of(core: Core, randoms: int) -> tuple[list[GemmCase], list[str]]:
    """Return cases whose sums lie on and beside the edges of every register, random ones, and the bins they are to hit."""
    rng = np.random.default_rng(7)
    targets = targets_of(core)
    cases = [found.case for found in target_cases(core, targets)]
    bins = [target.name for target in targets]
    if core.outlier_lanes:
        cases.append(outlier_case(core, rng))
        bins += outlier_bins(core)
    return cases + [random_case(core, rng) for _ in range(randoms)], bins


@dataclass(frozen=True)
class KTile:
    """Weights [rows, cols, lanes], one pixel's operands per row [pixels, rows * lanes], outliers (index, column, value)."""

    weights: Int64
    operands: Int64
    outliers: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Tile:
    """One output tile: its K tiles, its biases [cols], and what has to come of it, [pixels, cols]."""

    k_tiles: tuple[KTile, ...]
    bias: Int64
    results: Int64


def tiles_of(core: Core, case: GemmCase, results: Int64) -> Iterator[Tile]:
    """Cut a GEMM with `results` [M, N] into output tiles."""
    m, _, n = case.shape
    subtract = core.arithmetic.reduction.zero_points is ZeroPoints.SUBTRACT
    operands = case.activations - (case.activation_zero_point if subtract else 0)
    for n0 in range(0, n, core.cols):
        columns = slice(n0, n0 + core.cols)
        k_tiles = list(_k_tiles(core, case, operands, n0))
        missing = max(0, n0 + core.cols - n)
        for m0 in range(0, m, core.pixels):
            rows = slice(m0, m0 + core.pixels)
            yield Tile(
                tuple(KTile(tile.weights, tile.operands[rows], tile.outliers) for tile in k_tiles),
                np.pad(case.bias[columns], (0, missing)),
                np.pad(results[rows, columns], ((0, 0), (0, missing))),
            )


def _k_tiles(core: Core, case: GemmCase, operands: Int64, n0: int) -> Iterator[KTile]:
    """Yield the K tiles of a tile of channels: those with too many outliers several times, then with zero weights."""
    _, k, n = case.shape
    size = core.tile_products
    for k0 in range(0, k, size):
        depth, width = min(size, k - k0), min(core.cols, n - n0)
        weights = np.zeros((size, core.cols), np.int64)
        weights[:depth, :width] = case.weights[k0 : k0 + depth, n0 : n0 + width]
        slots = np.pad(operands[:, k0 : k0 + depth], ((0, 0), (0, size - depth)))
        parts = _parts(_outliers(case, range(k0, k0 + size), range(n0, n0 + core.cols)), core.outlier_lanes)
        for number, part in enumerate(parts):
            held = weights if number == 0 else np.zeros_like(weights)
            yield KTile(held.reshape(core.rows, core.lanes, core.cols).transpose(0, 2, 1), slots, tuple(part))


def _outliers(case: GemmCase, products: range, channels: range) -> list[tuple[int, int, int]]:
    if case.outliers is None:
        return []
    entries = zip(*(getattr(case.outliers, name).tolist() for name in ("k", "column", "value")), strict=True)
    return [(k - products[0], n - channels[0], value) for k, n, value in entries if k in products and n in channels]


def _parts(entries: Sequence[tuple[int, int, int]], most: int) -> list[Sequence[tuple[int, int, int]]]:
    return [entries[i : i + most] for i in range(0, len(entries), most or 1)] or [entries]
