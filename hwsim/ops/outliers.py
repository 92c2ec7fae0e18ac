"""The sparse part of a layer's weights: its place in the layer's GEMMs, its bounds, and which kernel may run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from hwsim.graph import Array, Tensor
from hwsim.kernels.assemble import Assembled, Products
from hwsim.kernels.bounds import Bounds, bound
from hwsim.kernels.monitor import Monitor
from hwsim.kernels.outliers import Sparse, bound_with_outliers, require_whole_chains
from hwsim.kernels.plan import Plan, plan_products
from hwsim.kernels.requantize import Requantizer
from hwsim.spec import Overflow, Reduction

Int64 = npt.NDArray[np.int64]


class SparseWeights:
    """Outliers of a layer by group.

    Parameters
    ----------
    dense, sparse
        int64 [groups, K, N], see `hwsim.ops.products.ProductsUnit`; where one is not zero the other is.
    reduction
        Order and registers.

    Attributes
    ----------
    whole
        The weights with their outliers in place.
    entries
        Outliers of the layer.
    tile
        As `place` was told last.
    """

    def __init__(self, dense: Int64, sparse: Int64, reduction: Reduction) -> None:
        self.dense, self.sparse, self.reduction = dense, sparse, reduction
        self.whole: Int64 = dense + sparse
        self.entries = int(np.count_nonzero(sparse))
        self.place(None)

    def place(self, tile: int | None) -> None:
        """Let outliers follow the dense sum of their K tile of so many products, or None: all dense products.

        Raises
        ------
        InputError
            Where a K tile ends within a chain.
        """
        depth, self.tile = self.dense.shape[1], tile
        if tile is not None:
            require_whole_chains(tile, depth, self.reduction)
        self.groups: Sequence[Sparse] = [Sparse.of(group, tile) for group in self.sparse]

    def bounds(self, group: int, bias: Int64, low: int, high: int) -> Bounds:
        """Bound every register of a group."""
        return bound_with_outliers(self.dense[group], self.whole[group], bias, low, high, self.reduction)


def sparse_weights(tensor: Tensor, dense: Int64, depthwise: bool, reduction: Reduction) -> SparseWeights | None:
    """Return the outliers of a weight tensor beside its dense part [groups, K, N]; None where it has none."""
    if tensor.outliers is None:
        return None
    groups, depth, channels = dense.shape
    sparse = tensor.outliers.sparse(tensor.shape)
    by_product = sparse.reshape(dense.shape) if depthwise else sparse.reshape(groups, channels, depth).swapaxes(1, 2)
    return SparseWeights(dense, np.ascontiguousarray(by_product), reduction)


def bounds_of(
    weights: Int64, sparse: SparseWeights | None, bias: Int64, low: int, high: int, reduction: Reduction
) -> Bounds:
    """Bound the registers of all groups; bias [groups, N]."""
    if sparse is None:
        return Bounds.joined(
            [bound(group, own, low, high, reduction) for group, own in zip(weights, bias, strict=True)]
        )
    return Bounds.joined([sparse.bounds(g, own, low, high) for g, own in enumerate(bias)])


def plan_layer(
    weights: Int64, sparse: SparseWeights | None, bias: Int64, low: int, high: int, bounds: Bounds, reduction: Reduction,
    *, depthwise: bool, repeat: int, stored_bits: int, output_bits: int,
) -> Plan:  # fmt: skip
    """Plan a layer with or without outliers, as `plan_products`.

    Where nothing can overflow, the plan is for the weights with their outliers in place. Where only tree and partial sum can,
    it is for the dense part, in its order, and the sparse part is added apart: the accumulator holds every sum of both, so
    that it does not matter when. Otherwise outliers have to follow their K tile, which only the golden kernel does.
    """
    sizes = {"depthwise": depthwise, "repeat": repeat, "stored_bits": stored_bits, "output_bits": output_bits}
    whole = weights if sparse is None else sparse.whole
    plan = plan_products(whole, bias, low, high, bounds, reduction, **sizes)  # type: ignore[arg-type]
    if sparse is None or plan.kernel == "exact":
        return plan
    dense = plan_products(weights, bias, low, high, bounds, reduction, **sizes)  # type: ignore[arg-type]
    reason = _not_apart(sparse, bounds, reduction)
    return replace(dense, operation=None, reason=reason) if reason else dense


def _not_apart(sparse: SparseWeights, bounds: Bounds, reduction: Reduction) -> str:
    """Say why the sparse part must not be added apart; empty: it may.

    What saturates, ends between the sums of its negative and of its positive terms, so that the accumulator's bounds hold for
    what it is given; what wraps can be anything.
    """
    if not bounds.acc_fits(reduction):
        return "outliers follow their K tile in an accumulator that may overflow"
    registers = [register for register in (reduction.tree, reduction.psum) if register is not None]
    if any(register.overflow is Overflow.WRAP for register in registers):
        return "what wraps before the accumulator may bring it any number between outliers"
    if max(-int(bounds.acc_low.min()), int(bounds.acc_high.max())) >= 2**31:
        return "sums with outliers need more than 32 bits"
    return "an outlier needs more than 16 bits with its negative" if sparse.sparse.min() < 1 - 2**15 else ""


class Apart:
    """A layer whose dense part runs in its order, and whose sparse part is added to it, exactly.

    Parameters
    ----------
    products, sparse, plan
        The layer, its outliers, and the plan of its dense part.
    requantizer, storage
        What follows the sums, and dtype of the output.
    """

    def __init__(
        self, products: Products, sparse: SparseWeights, plan: Plan, requantizer: Requantizer, storage: str
    ) -> None:
        self.requantizer, self.storage = requantizer, storage
        exact = replace(plan, kernel="exact", operation="words")
        none = np.zeros_like(products.bias)
        others = replace(products, weights=sparse.sparse, bias=none, reduction=Reduction())
        self.dense = Assembled(replace(products, weights=sparse.dense), plan, requantizer, "int32", raw=True)
        self.sparse = Assembled(others, exact, requantizer, "int32", raw=True)

    def run(self, images: Array, pixels: int, monitor: Monitor | None) -> Array:
        """Return the output [B, pixels, channels] of images [B, H, W, C]; count into a monitor."""
        # Modulo 2**32, as the sparse sums alone may need more; both together do not.
        sums = self.dense.run(images, pixels, monitor) + self.sparse.run(images, pixels, None)
        channels = sums.shape[2]
        found: Array = self.requantizer(sums.reshape(-1, channels).astype(np.int64), slice(0, channels), self.storage)
        return found.reshape(sums.shape)


def assembled(
    products: Products, sparse: SparseWeights | None, plan: Plan, requantizer: Requantizer, storage: str, *, raw: bool
) -> Assembled | Apart:  # fmt: skip
    """Return a layer on the generated kernels, as its plan says."""
    if sparse is None or plan.kernel == "exact":
        return Assembled(products, plan, requantizer, storage, raw=raw)
    return Apart(products, sparse, plan, requantizer, storage)
