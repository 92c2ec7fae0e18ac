"""Every exact sum that a case writes to a register: what functional coverage looks at.

Not a reference for values: results and events come from the kernels. `Coverage` holds the events that follow from these
sums to the kernels' counts, so that a bin cannot be filled by a mistake here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hwsim.cosim.golden import GemmCase
from hwsim.spec import BiasAt, Core, Overflow, Register, ZeroPoints

Int64 = npt.NDArray[np.int64]


@dataclass
class Sums:
    """The writes to one register, in order.

    Attributes
    ----------
    register
        Its width and overflow.
    exact, stored
        int64 [M, N] per write: the sum, and what the register kept of it.
    written
        Per write the channels [N] that it concerns: an outlier writes one column.
    fresh, sparse
        Per write whether the register started anew before it, and whether an outlier made it.
    """

    register: Register
    exact: list[Int64] = field(default_factory=list)
    stored: list[Int64] = field(default_factory=list)
    written: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    fresh: list[bool] = field(default_factory=list)
    sparse: list[bool] = field(default_factory=list)

    def write(self, held: Int64, addend: Int64, *, outlier_of: int | None = None, fresh: bool = False) -> Int64:
        """Add to a register that holds `held` [M, N], an outlier to its column only; return what it holds then."""
        columns = slice(None) if outlier_of is None else slice(outlier_of, outlier_of + 1)
        exact, written = held.copy(), np.zeros(held.shape[1], bool)
        exact[:, columns] += addend
        written[columns] = True
        limits = self.register.format
        if self.register.overflow is Overflow.SATURATE:
            stored = np.clip(exact, limits.lo, limits.hi)
        else:
            stored = ((exact - limits.lo) & (limits.hi - limits.lo)) + limits.lo
        self.exact.append(exact)
        self.stored.append(stored)
        self.written.append(written)
        self.fresh.append(fresh)
        self.sparse.append(outlier_of is not None)
        return stored

    @property
    def events(self) -> tuple[int, int]:
        """Sums above the largest value of the register, and below its smallest."""
        limits = self.register.format
        above = sum(int(((exact > limits.hi) & at).sum()) for exact, at in zip(self.exact, self.written, strict=True))
        below = sum(int(((exact < limits.lo) & at).sum()) for exact, at in zip(self.exact, self.written, strict=True))
        return above, below


@dataclass
class Trace:
    """All sums of a case by register name (``tree``, ``psum``, ``acc``, as far as the core has them), and the accumulators."""

    sums: dict[str, Sums]
    results: Int64
    """What leaves the accumulator, [M, N]; the bias is included, as `hwsim.kernels.reduce.reduce_panel` returns it."""


def trace(core: Core, case: GemmCase) -> Trace:
    """Follow a case through the registers of a core, in the order that ``docs/rtl-core.md`` declares."""
    reduction = core.arithmetic.reduction
    registers = {"tree": reduction.tree, "psum": reduction.psum, "acc": reduction.acc}
    sums = {name: Sums(register) for name, register in registers.items() if register is not None}
    operands, weights = _padded(core, case)
    shape = operands.shape[0], weights.shape[1]
    limits = reduction.acc.format
    start = case.bias if reduction.bias_at is BiasAt.START else np.zeros(shape[1], np.int64)
    acc = np.broadcast_to(((start - limits.lo) & (limits.hi - limits.lo)) + limits.lo, shape).copy()
    psum, links = np.zeros(shape, np.int64), 0
    for k in range(0, operands.shape[1], reduction.lanes):
        lanes = slice(k, k + reduction.lanes)
        group = _tree(operands[:, lanes, None] * weights[None, lanes, :], sums.get("tree"))
        end = k + reduction.lanes
        if reduction.chain is None:
            acc = sums["acc"].write(acc, group)
        else:
            psum, links = sums["psum"].write(psum, group, fresh=links == 0), links + 1
            if links == reduction.chain or end == operands.shape[1]:
                acc = sums["acc"].write(acc, psum)
                psum, links = np.zeros(shape, np.int64), 0
        if end % core.tile_products == 0:
            for at, column, value in _outliers(case, range(end - core.tile_products, end)):
                acc = sums["acc"].write(acc, operands[:, at, None] * value, outlier_of=column)
    return Trace(sums, acc if reduction.bias_at is BiasAt.START else acc + case.bias)


def _padded(core: Core, case: GemmCase) -> tuple[Int64, Int64]:
    """Return the operands of the multipliers [M, K] and the weights [K, N], K padded with zeros to whole K tiles."""
    subtract = core.arithmetic.reduction.zero_points is ZeroPoints.SUBTRACT
    operands = case.activations - (case.activation_zero_point if subtract else 0)
    missing = -operands.shape[1] % core.tile_products
    return np.pad(operands, ((0, 0), (0, missing))), np.pad(case.weights, ((0, missing), (0, 0)))


def _tree(level: Int64, sums: Sums | None) -> Int64:
    """Sum the lanes of [M, lanes, N] in pairs, each a write where the tree has registers."""
    nodes = [level[:, lane] for lane in range(level.shape[1])]
    if sums is None:
        return np.asarray(level.sum(axis=1), np.int64)
    while len(nodes) > 1:
        odd = nodes[len(nodes) // 2 * 2 :]
        nodes = [
            sums.write(left, right, fresh=True) for left, right in zip(nodes[::2], nodes[1::2], strict=False)
        ] + odd
    return nodes[0]


def _outliers(case: GemmCase, tile: range) -> Iterator[tuple[int, int, int]]:
    """Yield position, column and value of the outliers of one K tile, in the order of the stream."""
    if case.outliers is not None:
        entries = zip(
            case.outliers.k.tolist(), case.outliers.column.tolist(), case.outliers.value.tolist(), strict=True
        )
        yield from (entry for entry in entries if entry[0] in tile)
