"""A network of `hwsim.cli.bench_shapes` as a .tflite file, by LiteRT's own schema."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.graph import Graph, Node, Operator, Tensor
from hwsim.ops import Activation, Add, Conv2D, FullyConnected, MaxPool2D, Mean, Padding, Window
from hwsim.spec import InputError

_ACTIVATIONS = {Activation.NONE: 0, Activation.RELU: 1, Activation.RELU6: 3, Activation.RELU_N1_TO_1: 2}
"""``ActivationFunctionType`` of the schema."""

_SAME, _VALID = 0, 1
"""``Padding`` of the schema."""


def tflite(graph: Graph) -> bytes:
    """Return an int8 network as a file.

    Raises
    ------
    InputError
        Where LiteRT, whose schema it takes, is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        raise InputError("the comparison needs LiteRT: pip install 'hwsim[compare]'") from None
    return _File(graph, schema).written()


class _File:
    def __init__(self, graph: Graph, schema: Any) -> None:
        self._graph, self._schema = graph, schema
        self._model, self._part = schema.ModelT(), schema.SubGraphT()
        self._model.version, self._model.buffers, self._model.operatorCodes = 3, [schema.BufferT()], []
        self._model.subgraphs = [self._part]
        self._part.tensors, self._part.operators = [], []

    def written(self) -> bytes:
        numbers = {name: self._tensor(tensor) for name, tensor in self._graph.tensors.items()}
        for node in self._graph.nodes:
            self._operator(node, numbers)
        self._part.inputs = [numbers[name] for name in self._graph.inputs]
        self._part.outputs = [numbers[name] for name in self._graph.outputs]
        # Slow to import, for a command line that seldom needs it.
        import flatbuffers

        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _tensor(self, tensor: Tensor) -> int:
        """Add a tensor; return its number."""
        form, known = self._schema.QuantizationParametersT(), tensor.quantization
        if known is None:
            form.scale = self._bias_scale(tensor.name)
            form.zeroPoint = np.zeros(form.scale.size, np.int64)
            return self._raw(tensor.name, tensor.shape, np.dtype("int32"), tensor.data, form)
        form.scale = np.atleast_1d(known.scale).astype(np.float32)
        form.zeroPoint, form.quantizedDimension = np.atleast_1d(known.zero_point), known.axis or 0
        return self._raw(tensor.name, tensor.shape, np.dtype(known.format.storage), tensor.data, form)

    def _bias_scale(self, name: str) -> npt.NDArray[np.float32]:
        """Return the scales of biases: that of the activations that their weights meet, times those of the weights."""
        node = next(node for node in self._graph.nodes if name in node.inputs[2:])
        both = [self._graph.tensors[operand].quantization for operand in node.inputs[:2]]
        scales = [known.scale for known in both if known is not None]
        return np.atleast_1d(scales[0] * scales[1]).astype(np.float32)

    def _raw(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], data: Any, form: Any = None) -> int:
        entry = self._schema.TensorT()
        entry.name, entry.shape, entry.quantization = name, list(shape), form
        entry.type = getattr(self._schema.TensorType, dtype.name.upper())
        if data is not None:
            buffer = self._schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            entry.buffer = len(self._model.buffers)
            self._model.buffers.append(buffer)
        self._part.tensors.append(entry)
        return len(self._part.tensors) - 1

    def _operator(self, node: Node, numbers: dict[str, int]) -> None:
        op, inputs = node.op, [numbers[name] for name in node.inputs]
        code, options, fields = _described(op, self._graph.tensors[node.inputs[0]])
        if isinstance(op, Mean):
            axes = np.array(op.axes)
            inputs.append(self._raw(f"{node.name}_axes", axes.shape, np.dtype("int32"), axes))
        entry = self._schema.OperatorT()
        entry.opcodeIndex, entry.inputs, entry.outputs = self._code(code), inputs, [numbers[node.outputs[0]]]
        table = getattr(self._schema, f"{options}T")()
        for field, value in fields.items():
            setattr(table, field, value)
        entry.builtinOptionsType, entry.builtinOptions = getattr(self._schema.BuiltinOptions, options), table
        self._part.operators.append(entry)

    @functools.cache  # noqa: B019 (as long as the file)
    def _code(self, code: str) -> int:
        """Add an operator's code; return its number."""
        number = getattr(self._schema.BuiltinOperator, code)
        entry = self._schema.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = number
        # The first versions with int8.
        entry.version = {"CONV_2D": 3, "FULLY_CONNECTED": 4}.get(code, 2)
        self._model.operatorCodes.append(entry)
        return len(self._model.operatorCodes) - 1


def _described(op: Operator, source: Tensor) -> tuple[str, str, dict[str, Any]]:
    """Return an operator's code, and its options with their fields."""
    if isinstance(op, Conv2D):
        return "CONV_2D", "Conv2DOptions", _sliding(op.window, source) | _activation(op.activation)
    if isinstance(op, MaxPool2D):
        sizes = dict(zip(("filterHeight", "filterWidth"), op.window.kernel, strict=True))
        return "MAX_POOL_2D", "Pool2DOptions", _sliding(op.window, source) | sizes | _activation(op.activation)
    if isinstance(op, FullyConnected):
        return "FULLY_CONNECTED", "FullyConnectedOptions", _activation(op.activation)
    if isinstance(op, Add):
        return "ADD", "AddOptions", _activation(op.activation)
    if isinstance(op, Mean):
        return "MEAN", "ReducerOptions", {"keepDims": op.keep_dims}
    raise InputError(f"operator must be one of those that shapes consist of, not {op.kind}")


def _activation(activation: object) -> dict[str, int]:
    assert isinstance(activation, Activation)
    return {"fusedActivationFunction": _ACTIVATIONS[activation]}


def _sliding(window: Window, source: Tensor) -> dict[str, int]:
    same = Padding.same(source.shape[1:3], window.kernel, window.stride)
    assert window.padding in (same, Padding())
    found = {"padding": _SAME if window.padding == same else _VALID}
    return found | dict(zip(("strideH", "strideW"), window.stride, strict=True))
