"""Writes small TFLite files through LiteRT's own schema, so that hwsim's reader and LiteRT read the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import ArrayLike

VERSIONS = {
    "CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 9, "RESIZE_NEAREST_NEIGHBOR": 3,
    "RESHAPE": 1, "SQUEEZE": 1, "EXPAND_DIMS": 1, "RELU_N1_TO_1": 1, "HARD_SWISH": 1, "SHAPE": 1, "CUSTOM": 1,
}  # fmt: skip
"""Operator versions that LiteRT knows and that allow int8, dilation and groups, where that is not 2."""


class ModelBuilder:
    """Collects tensors and operators; tensors are known by the index that `tensor` returns."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "hwsim test"
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str,
        scale: ArrayLike | None = None,
        zero_point: ArrayLike = 0,
        *,
        axis: int = 0,
        data: ArrayLike | None = None,
        name: str | None = None,
    ) -> int:
        """Add a tensor.

        Parameters
        ----------
        shape
            As stored.
        dtype
            NumPy's name, such as ``int8``.
        scale, zero_point
            One number, or a vector along `axis`; no scale means no quantization.
        data
            Values of a constant.
        name
            Defaults to ``t<index>``.
        """
        index = len(self.graph.tensors)
        tensor = schema.TensorT()
        tensor.name = f"t{index}" if name is None else name
        tensor.shape = list(shape)
        tensor.type = getattr(schema.TensorType, dtype.upper())
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = scales
            tensor.quantization.zeroPoint = np.broadcast_to(np.asarray(zero_point, np.int64), scales.shape).copy()
            tensor.quantization.quantizedDimension = axis
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return index

    def operator(
        self, code: str, inputs: Sequence[int], outputs: Sequence[int], options: str | None = None, **fields: Any
    ) -> None:
        """Add an operator.

        Parameters
        ----------
        code
            TFLite's name.
        inputs, outputs
            Tensor indices; -1 leaves one out.
        options
            Name of its options table, such as ``Conv2DOptions``.
        fields
            Fields of that table, in the schema's camelCase.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self._opcode(code)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options is not None:
            table = getattr(schema, f"{options}T")()
            for field, value in fields.items():
                assert hasattr(table, field), f"{options} has no field {field}"
                setattr(table, field, value)
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = table
        self.graph.operators.append(operator)

    def _opcode(self, code: str) -> int:
        number = getattr(schema.BuiltinOperator, code)
        for index, known in enumerate(self.model.operatorCodes):
            if known.builtinCode == number:
                return index
        entry = schema.OperatorCodeT()
        entry.builtinCode = number
        entry.deprecatedBuiltinCode = min(number, 127)
        entry.version = VERSIONS.get(code, 2)
        self.model.operatorCodes.append(entry)
        return len(self.model.operatorCodes) - 1

    def bytes(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """Return the file with these inputs and outputs."""
        self.graph.inputs, self.graph.outputs = list(inputs), list(outputs)
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def write(self, path: Path, inputs: Sequence[int], outputs: Sequence[int]) -> Path:
        """Write the file and return its path."""
        path.write_bytes(self.bytes(inputs, outputs))
        return path
