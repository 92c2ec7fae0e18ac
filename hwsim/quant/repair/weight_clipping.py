"""Weight clipping: cut the few largest weights so that the many others count in finer steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Graph, Node, Tensor
from hwsim.quant.post_training import BIAS_LIMIT, channel_axis
from hwsim.quant.repair.base import QuantizedRepair
from hwsim.quant.repair.channels import along_outputs, constants_of, output_ranges, unused, with_read
from hwsim.quant.repair.guard import better
from hwsim.quant.repair.side_by_side import paired
from hwsim.quant.repair.weight_error import error, quantization_of, sqnr_db
from hwsim.quant.schemes import Scheme
from hwsim.spec import InputError

FRACTIONS = np.linspace(0.05, 1.0, 96)
"""Clips that are tried, as parts of the largest weight; the last clips nothing."""


@dataclass(frozen=True)
class ClipWeights(QuantizedRepair):
    """Clip each tensor, or each output channel where the scheme has a scale for each, to the range of least squared error.

    The best of `FRACTIONS` under the scheme's own rounding, found by trying them, so weights never lose more than without;
    ranges of weights must be set by min-max, as other methods clip by themselves. The float network keeps its weights, so what
    is cut counts as an error for repairs that follow: `adaround` makes up for it, `correct-bias` removes the mean of it. Where
    the scores do not come nearer as a whole, nothing is changed.
    """

    name: ClassVar[str] = "clip-weights"

    def repair(self, graph: Graph, quantized: Graph, samples: Sequence[Array], scheme: Scheme) -> Graph:
        if scheme.weight_ranges.clips:
            raise InputError(f"clip-weights: ranges of weights must be min-max, not {scheme.weight_ranges}")
        tensors, nodes = dict(quantized.tensors), []
        for real, node in paired(graph, quantized):
            clipped = real.op.weighted and tensors[node.inputs[1]].outliers is None
            nodes.append(_clip(graph, real, tensors, node, scheme) if clipped else node)
        return better(graph, quantized, with_read(quantized, tensors, nodes), samples)


def _clip(graph: Graph, real: Node, tensors: dict[str, Tensor], node: Node, scheme: Scheme) -> Node:
    """Quantize a layer's weights anew over a clipped range, and its bias in the steps that follow from it."""
    weights, bias = constants_of(graph, real)
    source, stored = (tensors[name].quantization for name in node.inputs[:2])
    if source is None or stored is None:
        return node
    scheme = replace(scheme, weight_bits=stored.format.bits)  # layers may have bits of their own
    axis, limits = channel_axis(real.op), best_limits(weights, channel_axis(real.op), scheme)
    bound = along_outputs(real, weights, limits)
    values = np.clip(weights, -bound, bound)
    least = np.zeros_like(limits) if bias is None else np.abs(bias) / (float(source.scale) * BIAS_LIMIT)
    quantization = quantization_of(values, axis, scheme, least)
    integers = scheme.weight_integers(real.inputs[1], values, quantization)
    name = unused(f"{node.name}/clipped weights", tensors)
    tensors[name] = Tensor(name, weights.shape, quantization, integers)
    if bias is None:
        return replace(node, inputs=(node.inputs[0], name))
    steps = unused(f"{node.name}/clipped bias", tensors)
    tensors[steps] = Tensor(
        steps, bias.shape, data=np.rint(bias / (float(source.scale) * quantization.scale)).astype(np.int64)
    )
    return replace(node, inputs=(node.inputs[0], name, steps))


def best_limits(weights: Array, axis: int, scheme: Scheme) -> Array:
    """Return the magnitude [channels] at which to clip for the least squared error; one value for all that share a scale."""
    others = tuple(i for i in range(weights.ndim) if i != axis)
    largest = np.abs(weights).max(axis=others)
    largest = scheme.shared(largest, np.maximum) if scheme.per_channel else np.full_like(largest, largest.max())
    losses = []
    for fraction in FRACTIONS:
        shape = [1] * weights.ndim
        shape[axis] = -1
        bound = (fraction * largest).reshape(shape)
        lost = error(weights, axis, scheme, np.clip(weights, -bound, bound))
        losses.append(scheme.shared(lost, np.add) if scheme.per_channel else np.full_like(lost, lost.sum()))
    # The last of equal ones: clip no more than needed.
    best = len(FRACTIONS) - 1 - np.argmin(np.array(losses)[::-1], axis=0)
    found: Array = FRACTIONS[best] * largest
    return found


@dataclass(frozen=True)
class Clipping:
    """One layer's clips, as magnitudes of a tensor-wide clip, and the SQNR of its weights in dB without and with the best.

    Parameters
    ----------
    layer
        The node.
    largest
        The largest weight: no clip.
    gauss, laplace
        ACIQ's clip, were the weights of that distribution.
    best
        Of least squared error (the largest of the channels', where the scheme has a scale for each).
    sqnr_db, clipped_sqnr_db
        Without a clip and with the best.
    """

    layer: str
    largest: float
    gauss: float
    laplace: float
    best: float
    sqnr_db: float
    clipped_sqnr_db: float


def clipping_analysis(graph: Graph, scheme: Scheme) -> list[Clipping]:
    """Say for every layer what clipping its weights would bring."""
    rows = []
    for node in graph.nodes:
        if not node.op.weighted:
            continue
        weights, _ = constants_of(graph, node)
        axis, limits = channel_axis(node.op), best_limits(weights, channel_axis(node.op), scheme)
        bound = along_outputs(node, weights, limits)
        bits = scheme.weight_bits
        before, after = error(weights, axis, scheme), error(weights, axis, scheme, np.clip(weights, -bound, bound))
        rows.append(
            Clipping(
                node.name, float(output_ranges(node, weights).max()), gauss_clip(bits) * float(weights.std()),
                laplace_clip(bits) * float(np.abs(weights - weights.mean()).mean()), float(limits.max()),
                sqnr_db(weights, float(before.sum())), sqnr_db(weights, float(after.sum())),
            )
        )  # fmt: skip
    return rows


def laplace_clip(bits: int) -> float:
    """Return the clip of least squared error for a Laplace distribution, in units of its scale b.

    Banner et al. 2019 (ACIQ, equation 10): the error ``2 b**2 exp(-a / b) + a**2 / (3 * 4**bits)`` is least where
    ``(a / b) exp(a / b) = 3 * 4**bits``.
    """
    return _root(lambda a: math.log(a) + a - math.log(3 * 4.0**bits), 1e-3, 60.0)


def gauss_clip(bits: int) -> float:
    """Return the clip of least squared error for a normal distribution, in units of its deviation.

    The slope of ACIQ's error (Banner et al. 2019, section 2) is twice
    ``a * (1 - erf(a / sqrt(2))) - sqrt(2 / pi) * exp(-a**2 / 2) + a / (3 * 4**bits)``.
    """

    def slope(a: float) -> float:
        return a * math.erfc(a / math.sqrt(2)) - math.sqrt(2 / math.pi) * math.exp(-a * a / 2) + a / (3 * 4.0**bits)

    return _root(slope, 1e-3, 60.0)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Bisect a function that is negative below its only root."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return (low + high) / 2
