"""One layer of an analysis: the proof, the observation, and the claims of the certificate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.certify.document import Activations, LayerClaim, Reached, RegisterClaim
from hwsim.graph import Graph, Node, Outliers, Tensor
from hwsim.kernels.monitor import REGISTERS, Monitor
from hwsim.kernels.outliers import Sparse
from hwsim.ops.products import ProductsUnit
from hwsim.sim.analyze.document import AnalyzedLayer, Grid, Observed, ReachedSum, RegisterWidths, SparsePath
from hwsim.sim.analyze.extremes import Extremes, extremes
from hwsim.sim.document import FirstOverflow
from hwsim.spec import Reduction, Register, bits_for

Int64 = npt.NDArray[np.int64]

GRID = 16
"""Rows and columns of blocks of output pixels, at most."""


@dataclass(frozen=True)
class Proof:
    """A layer and the extremes of its registers over all inputs.

    `low` and `high` are what the multipliers may see; `found` is by register, in the order in which a sum passes them.
    """

    node: Node
    index: int
    unit: ProductsUnit
    low: int
    high: int
    output: tuple[int, int]
    found: dict[str, Extremes]

    @property
    def reduction(self) -> Reduction:
        """The order and the registers."""
        return self.unit.reduction

    def register(self, name: str) -> Register:
        """Return one that the reduction has."""
        register: Register | None = getattr(self.reduction, name)
        assert register is not None
        return register


def prove(graph: Graph, node: Node, index: int, unit: ProductsUnit) -> Proof:
    """Bound the registers of a layer; `index` is its place in the network, from 1."""
    source = graph.inputs_of(node)[0].quantization
    assert source is not None
    # As the unit sees them: the border of an image is the real value 0.
    low, high = min(source.lo - unit.subtract, unit.pad), max(source.hi - unit.subtract, unit.pad)
    bias = unit.bias.reshape(unit.groups, -1)
    sparse: Sequence[Sparse | None] = [None] * unit.groups if unit.outliers is None else unit.outliers.groups
    groups = [extremes(unit.weights[g], bias[g], low, high, unit.reduction, sparse[g]) for g in range(unit.groups)]
    found = {name: Extremes.joined([group[name] for group in groups]) for name in groups[0]}
    shape = graph.outputs_of(node)[0].shape
    return Proof(node, index, unit, low, high, (shape[1], shape[2]) if len(shape) == 4 else (1, 1), found)


def describe(proof: Proof, graph: Graph, monitor: Monitor | None, images: int) -> AnalyzedLayer:
    """Return a layer of the document; `monitor` looked closely at so many images, or is None."""
    height, width = proof.output
    return AnalyzedLayer(
        name=proof.node.name,
        op=proof.node.op.kind,
        index=proof.index,
        products=proof.unit.depth,
        channels=proof.unit.channels,
        outputs_per_image=height * width * proof.unit.channels,
        activation_low=proof.low,
        activation_high=proof.high,
        registers=tuple(_register(proof, name, monitor) for name in proof.found),
        outliers=_sparse_path(proof, graph, monitor),
        observed=None if monitor is None else _observed(proof, monitor, images),
    )


def _sparse_path(proof: Proof, graph: Graph, monitor: Monitor | None) -> SparsePath | None:
    """Say what a layer's outliers ask of the accumulator, beside its dense part; None where there are none."""
    unit, outliers = proof.unit, _outliers(proof, graph)
    if outliers is None or unit.outliers is None:
        return None
    merged = np.zeros(2, np.int64) if monitor is None or monitor.detail is None else monitor.detail.merged.sum(axis=1)
    return SparsePath(
        entries=outliers.entries,
        bits=outliers.format.bits,
        tile=unit.outliers.tile,
        dense_bits=_alone_bits(proof, unit.weights, unit.bias, unit.reduction),
        apart_bits=_alone_bits(proof, unit.outliers.sparse, np.zeros_like(unit.bias), Reduction()),
        positive=int(merged[0]),
        negative=int(merged[1]),
    )


def _alone_bits(proof: Proof, weights: Int64, bias: Int64, reduction: Reduction) -> int:
    """Return the accumulator width that one part of a layer's weights needs by itself."""
    by_group = zip(weights, bias.reshape(len(weights), -1), strict=True)
    found = (extremes(*group, proof.low, proof.high, reduction)["acc"] for group in by_group)
    return max(max(widths(ends.low, ends.high)) for ends in found)


def _outliers(proof: Proof, graph: Graph) -> Outliers | None:
    """Return those of a layer's weights; None where there are none."""
    outliers = graph.inputs_of(proof.node)[1].outliers
    return outliers if outliers is not None and outliers.entries else None


def claims(proof: Proof, graph: Graph) -> LayerClaim:
    """Return what the certificate says of a layer."""
    source, weights = (tensor.quantization for tensor in graph.inputs_of(proof.node)[:2])
    assert source is not None and weights is not None
    outliers = _outliers(proof, graph)
    registers = []
    for name, found in proof.found.items():
        low, high = _ends(found)
        safe = bits_for(low.value, high.value)
        registers.append(
            RegisterClaim(
                name=name,  # type: ignore[arg-type]
                low=Reached(**low.model_dump()),
                high=Reached(**high.model_dump()),
                channel_low=found.low.tolist(),
                channel_high=found.high.tolist(),
                safe_bits=safe,
                fits=safe <= proof.register(name).bits,
            )
        )
    return LayerClaim(
        name=proof.node.name,
        products=proof.unit.depth,
        channels=proof.unit.channels,
        weight_bits=weights.format.bits,
        outliers=0 if outliers is None else outliers.entries,
        outlier_bits=0 if outliers is None else outliers.format.bits,
        weights_sha256=_digest(proof.unit, graph.inputs_of(proof.node)[2:3]),
        activations=Activations(
            bits=source.format.bits, signed=source.format.signed, zero_point=int(source.zero_point), low=proof.low,
            high=proof.high,
        ),
        registers=registers,
        no_overflow=all(register.fits for register in registers),
    )  # fmt: skip


def _digest(unit: ProductsUnit, constants: list[Tensor]) -> str:
    sparse = (unit.outliers.sparse,) if unit.outliers is not None and unit.outliers.entries else ()
    bias = constants[0].data if constants else None
    stored = np.zeros(unit.channels, "<i8") if bias is None else bias.astype("<i8")
    parts = [part.transpose(0, 2, 1).astype("<i8").tobytes() for part in (unit.weights, *sparse)]
    return hashlib.sha256(b"".join(parts) + stored.tobytes()).hexdigest()


def _ends(found: Extremes) -> tuple[ReachedSum, ReachedSum]:
    """Return the extremes over all channels, in the first channel that has them."""
    low, high = int(found.low.argmin()), int(found.high.argmax())
    return _reached(found.low, found.low_at, low), _reached(found.high, found.high_at, high)


def _reached(values: Int64, places: Int64, channel: int) -> ReachedSum:
    start, stop, outliers = places[channel].tolist()
    return ReachedSum(value=int(values[channel]), channel=channel, start=start, stop=stop, outliers=outliers)


def _register(proof: Proof, name: str, monitor: Monitor | None) -> RegisterWidths:
    found, register = proof.found[name], proof.register(name)
    any_order, proven = widths(found.any_low, found.any_high), widths(found.low, found.high)
    low, high = _ends(found)
    observed = None if monitor is None else _observed_widths(name, monitor)
    r = REGISTERS.index(name)
    places = np.zeros((2, 0), np.int64) if monitor is None or monitor.detail is None else monitor.detail.places[r]
    return RegisterWidths(
        name=name,  # type: ignore[arg-type]
        bits=register.bits,
        overflow=register.overflow.value,
        any_order_bits=max(any_order),
        proven_bits=max(proven),
        fits=max(proven) <= register.bits,
        low=low,
        high=high,
        observed_bits=None if observed is None else max(observed),
        channel_any_order_bits=any_order,
        channel_proven_bits=proven,
        channel_observed_bits=observed,
        positive=0 if monitor is None else int(monitor.counts[r, 0].sum()),
        negative=0 if monitor is None else int(monitor.counts[r, 1].sum()),
        positive_by_place=tuple(places[0].tolist()),
        negative_by_place=tuple(places[1].tolist()),
    )


def _observed_widths(name: str, monitor: Monitor) -> tuple[int, ...] | None:
    assert monitor.detail is not None
    if name == "tree":
        return None
    return widths(*(monitor.detail.psum if name == "psum" else (monitor.low, monitor.high)))


def widths(low: Int64, high: Int64) -> tuple[int, ...]:
    """Return the bits that hold ``low..high``, element by element."""
    return tuple(bits_for(*ends) for ends in zip(low.tolist(), high.tolist(), strict=True))


def _observed(proof: Proof, monitor: Monitor, images: int) -> Observed:
    detail = monitor.detail
    assert detail is not None
    by_width = detail.widths.sum(axis=0)
    first = monitor.first.tolist()
    return Observed(
        images=images,
        outputs=int(by_width.sum()),
        needed_bits={int(bits): int(by_width[bits]) for bits in np.flatnonzero(by_width)},
        struck=int(detail.struck.sum()),
        cancelled=int(detail.cancelled.sum()),
        channel_struck=tuple(detail.struck.tolist()),
        channel_cancelled=tuple(detail.cancelled.tolist()),
        first=None if monitor.first_image is None else FirstOverflow(
            image=first[0], pixel=first[1], channel=first[2], register_name=REGISTERS[first[3]],  # type: ignore[arg-type]
        ),
        events_by_pixel=_grid(detail.pixels, *proof.output),
    )  # fmt: skip


def _grid(pixels: Int64, height: int, width: int) -> Grid:
    """Add pixels up in blocks of at most `GRID` rows and columns."""
    image = pixels.reshape(height, width)
    rows, columns = (np.arange(0, size, -(-size // GRID)) for size in image.shape)
    blocks = np.add.reduceat(np.add.reduceat(image, rows, axis=0), columns, axis=1)
    return Grid(height=height, width=width, counts=tuple(tuple(row) for row in blocks.tolist()))
