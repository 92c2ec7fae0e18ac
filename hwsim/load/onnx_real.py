"""The float network of a quantized one: the same nodes with real weights, and without rounding.

Quantizers still clamp to the range of their integers: models of few bits, and those whose ReLU is a zero point, mean it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwsim.graph import Array, Node, Tensor
from hwsim.load.onnx_merge import merge
from hwsim.load.onnx_quantizer import Quantizer
from hwsim.ops import Range, Rectify


def real_network(
    tensors: dict[str, Tensor], nodes: Sequence[Node], outputs: Sequence[str]
) -> tuple[dict[str, Tensor], list[Node], tuple[str, ...]]:
    """Return tensors, nodes and outputs of the float network; quantized tensors keep their names."""
    kept = []
    for node in nodes:
        # Integers go by the name of the reals that they stand for, clamped.
        op = Rectify(Range(*node.op.range)) if isinstance(node.op, Quantizer) else node.op
        kept.append(replace(node, op=op))
    used = {name for node in kept for name in (*node.inputs, *node.outputs)}
    real = {name: Tensor(name, tensors[name].shape, data=_data(tensors[name])) for name in used}
    return real, merge(real, kept, outputs), tuple(outputs)


def _data(tensor: Tensor) -> Array | None:
    return tensor.real() if tensor.constant else None
