"""The ONNX operators that may depend on the image, each with the function that converts a node of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from hwsim.load import onnx_ops_moves as moves
from hwsim.load import onnx_ops_pointwise as pointwise
from hwsim.load import onnx_ops_pool as pool
from hwsim.load import onnx_ops_products as products
from hwsim.load import onnx_qonnx as qonnx
from hwsim.load.onnx_build import Value
from hwsim.load.onnx_call import Call
from hwsim.load.onnx_qdq import dequantize_linear, dynamic, quantize_linear
from hwsim.load.onnx_qoperator import QOPERATORS

Converter = Callable[[Call], Value]
"""Adds what a node computes to the graph under construction and returns its first output."""

CONVERTERS: Mapping[str, Converter] = MappingProxyType(
    {
        "Add": pointwise.add,
        "AveragePool": pool.average_pool,
        "BatchNormalization": pointwise.batch_normalization,
        "Cast": pointwise.cast,
        "Clip": pointwise.clip,
        "Concat": moves.concat,
        "Conv": products.conv,
        "DequantizeLinear": dequantize_linear,
        "Div": pointwise.div,
        "Dropout": pointwise.identity,
        "DynamicQuantizeLinear": dynamic,
        "Flatten": moves.flatten,
        "Gemm": products.gemm,
        "GlobalAveragePool": pool.global_average_pool,
        "GlobalMaxPool": pool.global_max_pool,
        "HardSigmoid": pointwise.hard_sigmoid,
        "HardSwish": pointwise.hard_swish,
        "Identity": pointwise.identity,
        "MatMul": products.matmul,
        "MaxPool": pool.max_pool,
        "Mul": pointwise.mul,
        "Pad": moves.pad,
        "QuantizeLinear": quantize_linear,
        "ReduceMean": pool.reduce_mean,
        "Relu": pointwise.relu,
        "Reshape": moves.reshape_to,
        "Resize": pool.resize,
        "Sigmoid": pointwise.sigmoid,
        "Softmax": pointwise.softmax,
        "Squeeze": moves.squeeze,
        "Sub": pointwise.sub,
        "Tanh": pointwise.tanh,
        "Transpose": moves.transpose,
        "Unsqueeze": moves.unsqueeze,
        "Upsample": pool.resize,
        "qonnx.BipolarQuant": qonnx.bipolar_quant,
        "qonnx.MultiThreshold": qonnx.multi_threshold,
        "qonnx.Quant": qonnx.quant,
        "qonnx.Trunc": qonnx.trunc,
        **QOPERATORS,
    }
)

MOVES = frozenset(
    {
        "Clip", "Concat", "Dropout", "Flatten", "GlobalMaxPool", "Identity", "MaxPool", "Pad", "Reshape", "Resize", "Squeeze",
        "Transpose", "Unsqueeze", "Upsample",
    }
)  # fmt: skip
"""Operators that take integers and reals alike and return what they take."""

QUANTIZERS = frozenset({"QuantizeLinear", "qonnx.BipolarQuant", "qonnx.MultiThreshold", "qonnx.Quant", "qonnx.Trunc"})
"""Operators that make integers of reals."""
