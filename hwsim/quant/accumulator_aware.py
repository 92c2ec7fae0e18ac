"""Weights that a given accumulator is wide enough for, whatever the input: A2Q's constraint, met after training.

An output channel that does not fit yet is projected onto the rows that fit the register (`hwsim.quant.l1_projection`), rounded
toward zero, which keeps it there, and then given back what room is left. A2Q learns scales together with weights; here each
channel takes the step of least squared error among `STEPS`: a coarser one spends less of the room per weight. The bias is in the
room where the accumulator starts at it. Outliers are weights like the others to an accumulator, and none to a partial sum. A
partial sum bounds the weights of each chain by themselves, as in the tiles of AXE
(I. Colbert et al., "Accumulator-Aware Post-Training Quantization", arXiv 2409.17092).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Graph, Node, Quantization, Tensor
from hwsim.graph.outliers import split
from hwsim.ops.products import centered_weights
from hwsim.quant.l1_projection import Budget, Float64, Int64
from hwsim.quant.post_training import channel_axis
from hwsim.quant.repair.base import QuantizedRepair
from hwsim.quant.schemes import Scheme
from hwsim.spec import BiasAt, Format, InputError, Reduction, Register, ZeroPoints, require

STEPS = tuple(2.0 ** (half / 2) for half in range(16))
"""Multiples of a channel's step that are tried."""


@dataclass(frozen=True)
class _Layer:
    """A layer with weights: rows of real weights [O, K] in the order of summation, real biases [O], and its activations."""

    node: Node
    rows: Float64
    bias: Float64
    integers: Int64
    """The rows as they are, outliers in place."""
    wide: Format | None
    """Of outliers; None where there are none."""
    lowest: int
    """Integer of the dense part."""
    steps: Int64
    """The biases as they are."""
    low: int
    high: int
    input_scale: float
    stored: Quantization
    shape: tuple[int, ...]
    """Of a channel's weights in the tensor."""


@dataclass(frozen=True)
class AccumulatorAware(QuantizedRepair):
    """Projects weights so that no input can overflow the registers of `reduction`."""

    name: ClassVar[str] = "accumulator-aware"
    reduction: Reduction

    def repair(self, graph: Graph, quantized: Graph, samples: Sequence[Array], scheme: Scheme) -> Graph:
        return project(graph, quantized, self.reduction, power_of_two=scheme.power_of_two)


def project(real: Graph, quantized: Graph, reduction: Reduction, *, power_of_two: bool = False) -> Graph:
    """Return the integer network with weights that no input can overflow the registers with.

    Parameters
    ----------
    real
        The float network: its weights are what the integers stay near to.
    quantized
        Its integer network: the same nodes, by name.
    reduction
        Order and registers, with an exact adder tree.
    power_of_two
        Keep to scales that are powers of two times those of `quantized`.

    Raises
    ------
    InputError
        Naming the layer, where a register cannot be kept in its range by weights alone.
    """
    require(reduction.tree is None, "tree", "exact for accumulator-aware weights", reduction.tree)
    free = reduction.zero_points is ZeroPoints.SUBTRACT or reduction.bias_at is BiasAt.END
    require(
        free, "zero_points", "subtract, or bias_at end, for accumulator-aware weights (a folded zero point moves with them)",
        reduction.zero_points.value,
    )  # fmt: skip
    originals = {node.name: node for node in real.nodes}
    tensors, nodes = dict(quantized.tensors), []
    for node in quantized.nodes:
        if not node.op.weighted:
            nodes.append(node)
            continue
        layer = _read(real, originals[node.name], quantized, node, reduction)
        try:
            made = _fitted(layer, reduction, power_of_two)
        except InputError as error:
            raise InputError(f"{quantized.name}: node {node.name}: {error}") from None
        names = [f"{name}@{node.name}:fitted" for name in node.inputs[1:]]
        for name, tensor in zip(names, made, strict=False):
            tensors[name] = replace(tensor, name=name)
        nodes.append(replace(node, inputs=(node.inputs[0], *names)))
    used = {name for node in nodes for name in (*node.inputs, *node.outputs)}
    kept = {name: tensor for name, tensor in tensors.items() if name in used}
    return replace(quantized, tensors=kept, nodes=nodes)


def _read(real: Graph, original: Node, quantized: Graph, node: Node, reduction: Reduction) -> _Layer:
    source, weights, *rest = quantized.inputs_of(node)
    entering, stored = source.quantization, weights.quantization
    if entering is None or stored is None or len(rest) > 1:
        raise InputError(
            f"{quantized.name}: node {node.name} must have integer activations, and plain integer weights and biases, for "
            "accumulator-aware weights"
        )
    constants = [tensor.real().astype(np.float64) for tensor in real.inputs_of(original)[1:]]
    axis = channel_axis(node.op)
    by_channel = np.moveaxis(constants[0], axis, 0)
    rows = by_channel.reshape(len(by_channel), -1)
    removed = int(entering.zero_point) if reduction.zero_points is ZeroPoints.SUBTRACT else 0
    # The border of an image is the real value 0, which a folded zero point leaves in the range.
    low, high = removed - entering.lo, entering.hi - removed
    integers = np.moveaxis(centered_weights(weights), axis, 0).reshape(rows.shape)
    lowest = min(-stored.format.hi, int(integers.min()))
    outliers = weights.outliers
    if outliers is not None:
        integers = integers + outliers.matrix(weights.shape, axis)
    bias = constants[1] if len(constants) > 1 else np.zeros(len(rows))
    steps = np.zeros(len(rows), np.int64) if not rest or rest[0].data is None else rest[0].data.astype(np.int64)
    return _Layer(
        node,
        rows,
        bias,
        integers,
        None if outliers is None else outliers.format,
        lowest,
        steps,
        max(low, 0),
        max(high, 0),
        float(entering.scale),
        stored,
        by_channel.shape[1:],
    )


def _fitted(layer: _Layer, reduction: Reduction, power_of_two: bool) -> tuple[Tensor, Tensor]:
    """Return the weights and the biases of a layer."""
    stored, count = layer.stored, len(layer.rows)
    require(
        stored.symmetric and stored.format.signed, "weights", "signed and without zero points for accumulator-aware weights",
        f"{stored.format}",
    )  # fmt: skip
    most = min(stored.hi, -stored.lo, stored.format.hi) if layer.wide is None else layer.wide.hi
    base = np.broadcast_to(stored.scale, (count,)).astype(np.float64)
    steps = STEPS[::2] if power_of_two else STEPS
    # One scale for all channels stays: what suits one channel does not suit the next.
    steps = steps if stored.axis is not None else steps[:1]
    rows, scales, biases = layer.integers.copy(), base.copy(), layer.steps.copy()
    for channel in range(count):
        if _fits(layer, reduction, rows[channel], int(biases[channel])):
            continue
        tried = [_channel(layer, reduction, channel, float(base[channel] * step), most) for step in steps]
        best = min((found for found in tried if found is not None), key=lambda found: found[0], default=None)
        if best is None:
            raise InputError(
                f"acc must hold the bias and all partial sums of channel {channel}, not {reduction.acc}; widen it, or add the "
                "bias after it with bias_at = end"
            )
        _, rows[channel], scales[channel], biases[channel] = best
    axis = channel_axis(layer.node.op)
    integers = np.moveaxis(rows.reshape(count, *layer.shape), 0, axis)
    scale = scales if stored.axis is not None else stored.scale
    quantization = replace(stored, scale=scale)
    if layer.wide is None:
        dense, outliers = np.ascontiguousarray(integers).astype(stored.format.storage), None
    else:
        dense, outliers = split(np.ascontiguousarray(integers), stored.format, layer.lowest, layer.wide)
    return Tensor("", integers.shape, quantization, dense, outliers), Tensor("", (count,), data=biases)


def _channel(
    layer: _Layer, reduction: Reduction, channel: int, scale: float, most: int
) -> tuple[float, Int64, float, int] | None:
    """Return the squared error of a channel at a step, its integers, the step and its bias; None where the bias does not fit."""
    bias = _steps(layer, channel, scale)
    wanted = layer.rows[channel] / scale
    row = np.zeros(len(wanted), np.int64)
    apart = np.zeros_like(row)
    if layer.wide is not None and reduction.psum is not None:
        # They go past partial sums, so that only the accumulator bounds them.
        whole = np.clip(np.rint(wanted), -most, most).astype(np.int64)
        apart = whole - _dense(layer, whole)
        wanted, most = np.where(apart != 0, 0.0, wanted), layer.stored.format.hi
    for part, budget in _budgets(layer, reduction, bias):
        if min(budget.above, budget.below) < 0:
            return None
        nearest = budget.project(np.clip(wanted[part], -most, most))
        # A float that should be an integer may be a hair below it; the check behind takes back what it may be above.
        rounded = np.trunc(nearest + np.copysign(1e-9, nearest)).astype(np.int64)
        if not budget.holds(rounded):
            rounded = np.trunc(nearest).astype(np.int64)
        row[part] = budget.fill(rounded, wanted[part], most)
    row += apart
    if not _fits(layer, reduction, row, bias):
        return None
    return float(((layer.rows[channel] - scale * row) ** 2).sum()), row, scale, bias


def _dense(layer: _Layer, row: Int64) -> Int64:
    """Return what the dense part has of a row of weights: 0 where an outlier is."""
    if layer.wide is None:
        return row
    return np.where((row >= layer.lowest) & (row <= layer.stored.format.hi), row, 0)


def _fits(layer: _Layer, reduction: Reduction, row: Int64, bias: int) -> bool:
    start = bias if reduction.bias_at is BiasAt.START else 0
    whole = _budget(layer, reduction.acc, start)
    summed = row if reduction.psum is None else _dense(layer, row)
    parts = all(budget.holds(summed[part]) for part, budget in _budgets(layer, reduction, bias))
    return parts and whole.holds(row) and min(whole.above, whole.below) >= 0


def _steps(layer: _Layer, channel: int, scale: float) -> int:
    return int(np.rint(layer.bias[channel] / (layer.input_scale * scale)))


def _budgets(layer: _Layer, reduction: Reduction, bias: int) -> Iterator[tuple[slice, Budget]]:
    """Yield parts of a row of weights with what they must fit: each chain its partial sum, then all of them the accumulator."""
    depth = layer.rows.shape[1]
    start = bias if reduction.bias_at is BiasAt.START else 0
    if reduction.psum is None or reduction.chain is None:
        yield slice(0, depth), _budget(layer, reduction.acc, start)
        return
    size = reduction.chain * reduction.lanes
    for first in range(0, depth, size):
        yield slice(first, first + size), _budget(layer, reduction.psum, 0)


def _budget(layer: _Layer, register: Register, start: int) -> Budget:
    return Budget(layer.low, layer.high, register.format.hi - start, start - register.format.lo)
