"""What the document says of a layer's integers, or of its floats."""

from __future__ import annotations

import numpy as np

from hwsim.graph import Node, Quantization
from hwsim.quant import Mode, Scheme
from hwsim.quant.float_layers import BITS
from hwsim.quant.pipeline import Quantized
from hwsim.quant.post_training import channel_axis
from hwsim.sim.quantize.document import FloatLayerInfo, Integers, LayerAnalysis, QuantizedLayer
from hwsim.sim.quantize.errors import ErrorSums
from hwsim.spec.requantization import MULTIPLIER_BITS, SHIFT_BITS


def quantized_layer(made: Quantized, node: Node, scheme: Scheme, analysis: LayerAnalysis | None) -> QuantizedLayer:
    """Describe a layer of a network that `scheme` is of."""
    own = next(other for other in made.graph.nodes if other.name == node.name)
    weights = made.graph.tensors[own.inputs[1]]
    assert weights.quantization is not None and weights.data is not None
    error = ErrorSums()
    error.add(made.real.tensors[node.inputs[1]].real(), weights.real())
    entry, leaving = (made.graph.tensors[name].quantization for name in (own.inputs[0], own.outputs[0]))
    scales = scheme.weight_scales(weights.shape[channel_axis(node.op)])
    bits = MULTIPLIER_BITS + SHIFT_BITS if scheme.mode is Mode.STATIC else 32
    return QuantizedLayer(
        name=node.name, op=node.op.kind, index=made.real.nodes.index(node) + 1,
        weights=_integers(weights.name, weights.quantization), values=len(np.unique(weights.data)),
        scales=scales, scale_bytes=scales * bits // 8,
        weight_error=error.figures(), input=None if entry is None else _integers(own.inputs[0], entry),
        output=None if leaving is None else _integers(own.outputs[0], leaving), analysis=analysis,
    )  # fmt: skip


def float_layer(made: Quantized, node: Node, scheme: Scheme) -> FloatLayerInfo:
    """Describe a layer that stayed in float32."""
    count = made.real.tensors[node.inputs[1]].elements
    return FloatLayerInfo(
        name=node.name, op=node.op.kind, index=made.real.nodes.index(node) + 1, weights=count,
        weight_bytes=count * BITS // 8, integer_bytes=-(-count * scheme.weight_bits // 8),
    )  # fmt: skip


def _integers(name: str, known: Quantization) -> Integers:
    scale, zero_point = np.atleast_1d(known.scale), np.atleast_1d(known.zero_point)
    return Integers(
        tensor=name, format=str(known.format), axis=known.axis, scale=tuple(scale.tolist()),
        zero_point=tuple(zero_point.tolist()), lo=float((scale * (known.lo - zero_point)).min()),
        hi=float((scale * (known.hi - zero_point)).max()),
    )  # fmt: skip
