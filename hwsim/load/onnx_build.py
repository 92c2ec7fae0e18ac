"""The graph while it grows: tensors and nodes under unique names, shapes from the operators themselves."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwsim.graph import Array, Node, Operator, Quantization, Tensor
from hwsim.load.onnx_quantizer import Quantizer
from hwsim.load.onnx_tensors import finite_float32
from hwsim.ops import AveragePool2D, Concat
from hwsim.spec import InputError, require

MAX_ELEMENTS = 2**29
"""Elements that a tensor may have for one image; more is a damaged or hostile file."""


@dataclass(frozen=True, eq=False)
class Constant:
    """An ONNX tensor whose value is known, in ONNX's own axis order and element type.

    With `quantization` it is the reals that the integers `data` stand for. `limits` are those of integers that a Clip has
    narrowed.
    """

    name: str
    data: Array
    quantization: Quantization | None = None
    limits: tuple[int, int] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.data.shape

    def real(self) -> Array:
        """Return the values as float32 in float64, so that what follows is rounded once; they must be finite."""
        return finite_float32(self.float32(), f"tensor {self.name!r}").astype(np.float64)

    def float32(self) -> Array:
        """Return the values: as they are, or what integers stand for as DequantizeLinear computes it."""
        if self.quantization is None:
            return self.data
        quantization = self.quantization
        along = [1] * self.data.ndim
        if quantization.axis is not None:
            along[quantization.axis] = -1
        scale, zero_point = (part.reshape(along) for part in (quantization.scale, quantization.zero_point))
        centered = (self.data.astype(np.int64) - zero_point).astype(np.float32)
        with np.errstate(over="ignore"):
            real: Array = centered * scale.astype(np.float32)
        return real.reshape(self.data.shape)

    def transposed(self, order: Sequence[int]) -> Constant:
        """Return it with axes in another order."""
        quantization = self.quantization
        if quantization is not None and quantization.axis is not None:
            quantization = replace(quantization, axis=list(order).index(quantization.axis))
        return Constant(self.name, self.data.transpose(order), quantization)


@dataclass(frozen=True)
class Feature:
    """An ONNX tensor that depends on the image.

    Parameters
    ----------
    tensor
        The graph's tensor that holds it.
    shape
        In ONNX's axis order, with batch 1.
    image
        Whether ONNX's axes are NCHW and the graph's tensor is NHWC; otherwise both have the same axes.
    integer
        Whether ONNX's values are the integers of a quantized tensor; otherwise they are the reals that these stand for.
    """

    tensor: str
    shape: tuple[int, ...]
    image: bool = False
    integer: bool = False


Value = Constant | Feature


class Builder:
    """Tensors and nodes of the graph so far."""

    def __init__(self, budget: int, *, quantized: bool = False) -> None:
        """Start empty; `budget` bounds the elements of all constants together.

        quantized: what is computed from constants meets quantizers, so it is rounded to float32 where ONNX Runtime rounds.
        """
        self._budget, self.quantized = budget, quantized
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self._writers: dict[str, Node] = {}
        self._quantizers: dict[tuple[object, ...], Node] = {}
        self._names: set[str] = set()

    def input(self, name: str, shape: tuple[int, ...]) -> str:
        """Add the tensor that images enter by."""
        return self._add(Tensor(unique(name, self.tensors), shape))

    def constant(self, name: str, array: Array) -> str:
        """Add a float32 constant that one node reads; return its name."""
        self.spend(array.size)
        data = np.ascontiguousarray(finite_float32(array, f"tensor {name!r}"))
        return self._add(Tensor(unique(name, self.tensors), array.shape, data=data))

    def parameter(self, constant: Constant, data: Array | None = None) -> str:
        """Add a constant that one node reads, as integers where it has them; `data` is another arrangement of its own."""
        array = constant.data if data is None else data
        if constant.quantization is None:
            return self.constant(constant.name, array)
        self.spend(array.size)
        stored = np.ascontiguousarray(array)
        return self._add(Tensor(unique(constant.name, self.tensors), array.shape, constant.quantization, stored))

    def quantizer(self, tensor: str, quantization: Quantization) -> Node | None:
        """Return the node that makes such integers of a tensor already: exporters write a quantizer for every reader."""
        return self._quantizers.get((tensor, *_key(quantization)))

    def spend(self, elements: int) -> None:
        """Count constant elements: nodes of a hostile file may copy or combine one large constant many times."""
        self._budget -= elements
        require(self._budget >= 0, "constants", "a small multiple of what the file stores", "more")

    def apply(self, name: str, op: Operator, inputs: Sequence[str], output: str | None = None) -> str:
        """Add a node; return its output tensor, named `output` or like the node."""
        (shape,) = op.infer([self.tensors[tensor] for tensor in inputs])
        require(shape[:1] == (1,), "output shape", "[1, ...], the batch first and apart", list(shape))
        require(0 < math.prod(shape) <= MAX_ELEMENTS, "output shape", f"of 1 to {MAX_ELEMENTS} elements", list(shape))
        return self._written(name, op, inputs, Tensor(output or name, shape, self._kept(op, inputs)))

    def annotate(self, tensor: str, quantization: Quantization) -> None:
        """Say what integers of the graph's input stand for; other tensors, or a second word, must agree."""
        known = self.tensors[tensor].quantization
        if known is None and self.writer(tensor) is None:
            self.tensors[tensor] = replace(self.tensors[tensor], quantization=quantization)
        elif known is None or not same_steps(known, quantization):
            raise InputError(
                f"scale and zero point must be those that {tensor!r} was quantized with, not {_steps(quantization)}"
            )

    def _kept(self, op: Operator, inputs: Sequence[str]) -> Quantization | None:
        """Return the quantization of an operator's output, where it only moves integers, or makes them."""
        if isinstance(op, Quantizer):
            return op.quantization
        first, *others = (self.tensors[name].quantization for name in inputs)
        if isinstance(op, Concat):
            same = all(other is not None and first is not None and alike(first, other) for other in others)
            return replace(first, limits=None) if first is not None and same else None
        moves = op.same_scale and not isinstance(op, AveragePool2D)
        return first if moves else None

    def _written(self, name: str, op: Operator, inputs: Sequence[str], result: Tensor) -> str:
        name = unique(name, self._names)
        self._names.add(name)
        written = self._add(replace(result, name=unique(result.name, self.tensors)))
        node = Node(name, op, tuple(inputs), (written,))
        self.nodes.append(node)
        self._writers[written] = node
        if isinstance(op, Quantizer) and op.linear_only:
            self._quantizers[inputs[0], *_key(op.quantization)] = node
        return written

    def writer(self, tensor: str) -> Node | None:
        """Return the node that writes a tensor, None for the input."""
        return self._writers.get(tensor)

    def _add(self, tensor: Tensor) -> str:
        self.tensors[tensor.name] = tensor
        return tensor.name


def same_steps(first: Quantization, second: Quantization) -> bool:
    """Whether integers of two quantizations stand for the same reals."""
    return (
        first.axis == second.axis
        and np.array_equal(first.scale, second.scale)
        and np.array_equal(first.zero_point, second.zero_point)
    )


def alike(first: Quantization, second: Quantization) -> bool:
    """Whether two quantizations have the same integers for the same reals."""
    return first.format == second.format and same_steps(first, second)


def _key(quantization: Quantization) -> tuple[object, ...]:
    """Return what tells quantizations per tensor apart."""
    return quantization.format, float(quantization.scale), int(quantization.zero_point), quantization.limits


def _steps(quantization: Quantization) -> str:
    return f"{quantization.scale} and {quantization.zero_point} of {quantization.format}"


def unique(name: str, taken: Container[str]) -> str:
    """Return the name, numbered where it is taken."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate
