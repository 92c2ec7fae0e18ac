"""What stays float of a quantized network: before its first quantizers, and after its last layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim.graph import Node, Quantization, Tensor
from hwsim.load.onnx_build import unique
from hwsim.load.onnx_chain import NotIntegerError, Tensors
from hwsim.load.onnx_layers import accumulator_scale, check_weights, scaled
from hwsim.load.onnx_quantizer import Quantizer
from hwsim.ops import Dequantize
from hwsim.spec import Format

SUM = Format(32)
"""Format of accumulators that leave a layer."""


class Ends:
    """Takes the nodes that no quantizer took along, in order.

    Parameters
    ----------
    tensors
        Added to.
    problems
        Reasons by node; added to.
    """

    def __init__(self, tensors: Tensors, problems: dict[str, str]) -> None:
        self.tensors, self.problems = tensors, problems
        self._after: set[str] = set()
        self._reals: dict[str, str] = {}

    def place(self, node: Node) -> list[Node]:
        """Return the nodes that take the place of one."""
        moving = [name for name in node.inputs if not self.tensors[name].constant]
        integer = any(self.tensors[name].quantization is not None for name in moving)
        after = integer or not self._after.isdisjoint(moving)
        if self.tensors[node.outputs[0]].quantization is None and after:
            self._after.update(node.outputs)
        try:
            if isinstance(node.op, Quantizer):
                return [self._first(node, node.op, after)]
            if self.tensors[node.outputs[0]].quantization is not None:
                return [node]
            return self._sums(node, integer) if node.op.weighted else self._float(node)
        except NotIntegerError as error:
            self.problems.setdefault(node.name, str(error))
            return []

    def real(self, name: str, made: list[Node], wanted: str | None = None) -> str:
        """Return the tensor of the reals that a tensor's integers stand for, with the node that makes it if need be."""
        tensor = self.tensors[name]
        if tensor.quantization is None:
            return name
        if name not in self._reals:
            written = unique(wanted or f"{name}/real", self.tensors)
            self.tensors[written] = Tensor(written, tensor.shape)
            made.append(Node(f"{name}/real", Dequantize(), (name,), (written,)))
            self._reals[name] = written
        return self._reals[name]

    def _first(self, node: Node, op: Quantizer, after: bool) -> Node:
        if after:
            raise NotIntegerError(
                "its input is computed in float: a layer must be followed by its quantizer, with no other reader between"
            )
        if op.direct is None:
            raise NotIntegerError("thresholds must follow a layer")
        return replace(node, op=op.direct)

    def _float(self, node: Node) -> list[Node]:
        made: list[Node] = []
        inputs = []
        for name in node.inputs:
            tensor = self.tensors[name]
            if tensor.constant:
                self.tensors[name] = Tensor(name, tensor.shape, data=tensor.real())
            inputs.append(name if tensor.constant else self.real(name, made))
        return [*made, replace(node, inputs=tuple(inputs))]

    def _sums(self, node: Node, integer: bool) -> list[Node]:
        """Return a layer whose accumulators leave it, and their reals."""
        if not integer:
            raise NotIntegerError("its input is not quantized")
        check_weights(self.tensors, node)
        scale = accumulator_scale(self.tensors, node)
        inputs = scaled(self.tensors, node, np.ones(1), np.zeros(1))
        result = self.tensors[node.outputs[0]]
        sums = unique(f"{result.name}/sums", self.tensors)
        quantization = Quantization(SUM, scale, np.zeros(scale.shape, np.int64), len(result.shape) - 1)
        self.tensors[sums] = Tensor(sums, result.shape, quantization)
        return [
            Node(node.name, node.op, inputs, (sums,)),
            Node(f"{node.name}/real", Dequantize(), (sums,), node.outputs),
        ]
