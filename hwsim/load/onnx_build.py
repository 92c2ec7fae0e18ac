"""The graph while it grows: tensors and nodes under unique names, shapes from the operators themselves."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.graph import Array, Node, Operator, Tensor
from hwsim.load.onnx_tensors import finite_float32
from hwsim.spec import require

MAX_ELEMENTS = 2**29
"""Elements that a tensor may have for one image; more is a damaged or hostile file."""


@dataclass(frozen=True, eq=False)
class Constant:
    """An ONNX tensor whose value is known, in ONNX's own axis order and element type."""

    name: str
    data: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.data.shape

    def real(self) -> Array:
        """Return the values as float32 in float64, so that what follows is rounded once; they must be finite."""
        return finite_float32(self.data, f"tensor {self.name!r}").astype(np.float64)


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
    """

    tensor: str
    shape: tuple[int, ...]
    image: bool = False


Value = Constant | Feature


class Builder:
    """Tensors and nodes of the graph so far."""

    def __init__(self, budget: int) -> None:
        """Start empty; `budget` bounds the elements of all constants together."""
        self._budget = budget
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self._writers: dict[str, Node] = {}
        self._names: set[str] = set()

    def input(self, name: str, shape: tuple[int, ...]) -> str:
        """Add the tensor that images enter by."""
        return self._add(Tensor(unique(name, self.tensors), shape))

    def constant(self, name: str, array: Array) -> str:
        """Add a float32 constant that one node reads; return its name."""
        self.spend(array.size)
        data = np.ascontiguousarray(finite_float32(array, f"tensor {name!r}"))
        return self._add(Tensor(unique(name, self.tensors), array.shape, data=data))

    def spend(self, elements: int) -> None:
        """Count constant elements: nodes of a hostile file may copy or combine one large constant many times."""
        self._budget -= elements
        require(self._budget >= 0, "constants", "a small multiple of what the file stores", "more")

    def apply(self, name: str, op: Operator, inputs: Sequence[str], output: str | None = None) -> str:
        """Add a node; return its output tensor, named `output` or like the node."""
        (shape,) = op.infer([self.tensors[tensor] for tensor in inputs])
        require(shape[:1] == (1,), "output shape", "[1, ...], the batch first and apart", list(shape))
        require(0 < math.prod(shape) <= MAX_ELEMENTS, "output shape", f"of 1 to {MAX_ELEMENTS} elements", list(shape))
        name = unique(name, self._names)
        self._names.add(name)
        written = self._add(Tensor(unique(output or name, self.tensors), shape))
        node = Node(name, op, tuple(inputs), (written,))
        self.nodes.append(node)
        self._writers[written] = node
        return written

    def writer(self, tensor: str) -> Node | None:
        """Return the node that writes a tensor, None for the input."""
        return self._writers.get(tensor)

    def _add(self, tensor: Tensor) -> str:
        self.tensors[tensor.name] = tensor
        return tensor.name


def unique(name: str, taken: Container[str]) -> str:
    """Return the name, numbered where it is taken."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate
