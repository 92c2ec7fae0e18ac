"""The constants of a TFLite file, with those that parts of it compute: Keras' batch-size shapes, float16 weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.graph import Array, Tensor
from hwsim.load.tflite_file import StoredOperator, StoredTensor
from hwsim.load.tflite_tensors import bias, integers, values, weights
from hwsim.spec import InputError, require


@dataclass(frozen=True)
class Folder:
    """How a constant operator is computed.

    Parameters
    ----------
    code
        TFLite's name.
    constant_inputs
        Whether its operands must be constants; SHAPE needs only their shapes.
    fold
        Computes the output from the operator, its first stored operand and the values of its operands.
    """

    code: str
    constant_inputs: bool
    fold: Callable[[StoredOperator, StoredTensor, Sequence[Array]], Array]


class Constants:
    """Values that are known before the network runs: stored ones, and those that folding computed.

    Parameters
    ----------
    tensors
        Every tensor of the file.
    limit_bytes
        What constants may take in memory in all: many tensors of a hostile file may share one large buffer.
    """

    def __init__(self, tensors: Sequence[StoredTensor], limit_bytes: int) -> None:
        self._tensors = tensors
        self._folded: dict[int, Array] = {}
        self._limit_bytes = limit_bytes
        self._used_bytes = 0

    def known(self, index: int) -> bool:
        """Whether tensor `index` is a constant."""
        return index in self._folded or self._tensors[index].data is not None

    def tensor(self, index: int, as_bias: bool) -> Tensor:
        """Return a constant that a node reads."""
        stored, value = self._tensors[index], self._folded.get(index)
        if value is None:
            tensor = bias(stored) if as_bias else weights(stored)
            assert tensor.data is not None
            self.charge(tensor.data.nbytes)
            return tensor
        require(value.dtype == np.float32, str(stored), "float32 as an operand", value.dtype)
        return Tensor(stored.name, value.shape, None, value)

    def charge(self, count: int) -> None:
        """Count bytes that a constant takes; raise `InputError` at the limit."""
        self._used_bytes += count
        require(self._used_bytes <= self._limit_bytes, "constants", f"at most {self._limit_bytes} bytes in all", "more")

    def integers(self, index: int) -> Array:
        """Return a constant vector of sizes, axes or paddings; raise `InputError` where it is computed at run time."""
        value = self._folded.get(index)
        if value is None:
            return integers(self._tensors[index])
        require(value.dtype == np.int64, str(self._tensors[index]), "a vector of integers", value.dtype)
        return value

    def real(self, index: int) -> Array:
        """Return the real values of a constant."""
        value = self._folded.get(index)
        return weights(self._tensors[index]).real() if value is None else value

    def try_fold(self, operator: StoredOperator) -> bool:
        """Compute the operator now if it yields a constant; tell whether it did."""
        folder = next((folder for folder in FOLDERS if folder.code == operator.code), None)
        if folder is None or len(operator.outputs) != 1 or not operator.inputs or min(operator.inputs) < 0:
            return False
        operands: list[Array] = []
        if folder.constant_inputs:
            if not all(self.known(index) for index in operator.inputs):
                return False
            read = self._any if operator.code == "DEQUANTIZE" else self.integers
            operands = [read(index) for index in operator.inputs]
        value = folder.fold(operator, self._tensors[operator.inputs[0]], operands)
        self.charge(value.nbytes)
        self._folded[operator.outputs[0]] = value
        return True

    def _any(self, index: int) -> Array:
        value = self._folded.get(index)
        return value if value is not None else values(self._tensors[index])


def _shape(operator: StoredOperator, source: StoredTensor, operands: Sequence[Array]) -> Array:
    return np.array(source.shape, np.int64)


def _pack(operator: StoredOperator, source: StoredTensor, operands: Sequence[Array]) -> Array:
    require(
        all(value.size == 1 for value in operands),
        "operands",
        "single integers",
        [list(value.shape) for value in operands],
    )
    return np.array([int(value.reshape(-1)[0]) for value in operands], np.int64)


def _strided_slice(operator: StoredOperator, source: StoredTensor, operands: Sequence[Array]) -> Array:
    options: Any = operator.options("StridedSliceOptions")
    if options.EllipsisMask() or options.NewAxisMask():
        raise InputError("ellipsis and new-axis masks are not supported")
    require(
        len(operands) == 4 and operands[0].ndim == 1 and all(value.size == 1 for value in operands[1:]),
        "operands",
        "a vector of sizes with one begin, end and stride",
        [list(value.shape) for value in operands],
    )
    sizes, begin, end, stride = operands[0], *(int(value.reshape(-1)[0]) for value in operands[1:])
    require(stride != 0, "stride", "other than 0", stride)
    if options.ShrinkAxisMask() & 1:
        require(-sizes.size <= begin < sizes.size, "begin", f"an index into {sizes.size} sizes", begin)
        return np.array(sizes[begin], np.int64)
    first = None if options.BeginMask() & 1 else begin
    last = None if options.EndMask() & 1 else end
    return np.array(sizes[first:last:stride], np.int64)


def _dequantize(operator: StoredOperator, source: StoredTensor, operands: Sequence[Array]) -> Array:
    return operands[0] if source.type == "FLOAT16" else weights(source).real()


FOLDERS: tuple[Folder, ...] = (
    Folder("SHAPE", False, _shape),
    Folder("STRIDED_SLICE", True, _strided_slice),
    Folder("PACK", True, _pack),
    Folder("DEQUANTIZE", True, _dequantize),
)
