"""An ONNX graph while it is written: nodes, initializers, and a name of its own for everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from hwsim.graph import Array, Quantization, Tensor
from hwsim.load.onnx_build import unique
from hwsim.load.onnx_layout import TO_NCHW, TO_NHWC, is_free
from hwsim.spec import Format


class Writer:
    """Nodes and initializers so far.

    Parameters
    ----------
    taken
        Names that are kept for the tensors of the network.
    """

    def __init__(self, taken: Sequence[str]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._tensors, self._nodes = set(taken), set[str]()

    def name(self, wanted: str) -> str:
        """Return a name for a tensor that no other has."""
        found = unique(wanted, self._tensors)
        self._tensors.add(found)
        return found

    def constant(self, wanted: str, values: Array, form: Format | None = None) -> str:
        """Add an initializer: integers of a format, else the array as it is (reals as float32)."""
        name = self.name(wanted)
        if form is not None:
            values = values.astype(onnx.helper.tensor_dtype_to_np_dtype(element_type(form)))
        elif values.dtype.kind == "f":
            values = values.astype(np.float32)
        # A scalar's contiguous copy would have an axis.
        self.initializers.append(onnx.numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def node(
        self, kind: str, name: str, inputs: Sequence[str], output: str | None = None, domain: str = "", **attributes: Any
    ) -> str:  # fmt: skip
        """Add a node and return its output, which is named like it unless `output` says otherwise."""
        label = unique(name, self._nodes)
        self._nodes.add(label)
        result = output or self.name(name)
        made = onnx.helper.make_node(kind, list(inputs), [result], name=label, domain=domain, **attributes)
        self.nodes.append(made)
        return result

    def rename(self, tensor: str, name: str) -> None:
        """Give a tensor that leaves the model the name that it has outside."""
        if tensor == name:
            return
        if any(tensor in node.input for node in self.nodes) or not any(tensor in node.output for node in self.nodes):
            self.node("Identity", f"{name}/output", [tensor], output=name)
            return
        for node in self.nodes:
            if tensor in node.output:
                node.output[0] = name

    def drop_unread(self, outputs: Sequence[str]) -> None:
        """Leave out nodes and initializers that no output depends on."""
        wanted = set(outputs)
        kept = []
        for node in reversed(self.nodes):
            if not wanted.isdisjoint(node.output):
                kept.append(node)
                wanted.update(node.input)
        self.nodes = kept[::-1]
        self.initializers = [tensor for tensor in self.initializers if tensor.name in wanted]

    def transpose(self, name: str, source: str, permutation: Sequence[int]) -> str:
        """Reorder axes; nothing is written where none moves."""
        if list(permutation) == sorted(permutation):
            return source
        return self.node("Transpose", f"{name}/transpose", [source], perm=list(permutation))

    def reshape(self, name: str, source: str, shape: Sequence[int]) -> str:
        """Give another shape; the batch, which `shape` begins with, stays as it is."""
        wanted = self.constant(f"{name}/shape", np.array([0, *shape[1:]], np.int64))
        return self.node("Reshape", f"{name}/reshape", [source, wanted])

    def row_major(self, name: str, source: str, shape: Sequence[int]) -> tuple[str, tuple[int, ...]]:
        """Return a tensor whose elements are in the order of a network's tensor of `shape`, and its own shape."""
        if len(shape) != 4:
            return source, tuple(shape)
        stored = onnx_shape(shape)
        if is_free(stored, TO_NHWC):
            return source, stored
        return self.transpose(name, source, TO_NHWC), tuple(shape)

    def from_row_major(self, name: str, source: str, held: Sequence[int], shape: Sequence[int]) -> str:
        """Make of a tensor of shape `held`, in the order of a network's tensor of `shape`, ONNX's form of that."""
        if len(shape) == 4 and not is_free(shape, TO_NCHW):
            return self.transpose(name, self._shaped(name, source, held, shape), TO_NCHW)
        return self._shaped(name, source, held, onnx_shape(shape))

    def _shaped(self, name: str, source: str, held: Sequence[int], shape: Sequence[int]) -> str:
        return source if tuple(held) == tuple(shape) else self.reshape(name, source, shape)


def onnx_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of a network's tensor in ONNX: of an image, NCHW."""
    return tuple(shape[axis] for axis in TO_NCHW) if len(shape) == 4 else tuple(shape)


def onnx_axis(axis: int, rank: int) -> int:
    """Return where ONNX's form of a tensor has an axis."""
    return TO_NCHW.index(axis % rank) if rank == 4 else axis % rank


def element_type(form: Format) -> int:
    """Return ONNX's number of the element type of a format that it has."""
    number: int = onnx.TensorProto.DataType.Value(str(form).upper())
    return number


def value_info(name: str, tensor: Tensor, quantization: Quantization | None, batch: str | int) -> onnx.ValueInfoProto:
    """Describe an input or output; `quantization` is that of its integers, None for reals."""
    kind = onnx.TensorProto.FLOAT if quantization is None else element_type(quantization.format)
    return onnx.helper.make_tensor_value_info(name, kind, [batch, *onnx_shape(tensor.shape)[1:]])
