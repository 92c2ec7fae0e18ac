"""Operators, one concept per file. `OPS` lists them all; ``docs/extending.md`` says how to add one."""

from hwsim.graph import Operator
from hwsim.ops.activation import Activation, Range
from hwsim.ops.concat import Concat
from hwsim.ops.conv2d import Conv2D
from hwsim.ops.depthwise import DepthwiseConv2D
from hwsim.ops.elementwise import Add, Mul
from hwsim.ops.fully_connected import FullyConnected
from hwsim.ops.geometry import Padding, Window
from hwsim.ops.lookup import Lookup, Rectify
from hwsim.ops.mean import Mean
from hwsim.ops.moves import Pad, Reshape, ResizeNearest, Transpose
from hwsim.ops.pool2d import AveragePool2D, MaxPool2D
from hwsim.ops.quantize import Dequantize, Quantize
from hwsim.ops.softmax import Softmax
from hwsim.ops.table import Table

OPS: tuple[type[Operator], ...] = (
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    MaxPool2D,
    AveragePool2D,
    Mean,
    Add,
    Mul,
    Concat,
    Pad,
    Reshape,
    Transpose,
    ResizeNearest,
    Rectify,
    Lookup,
    Table,
    Softmax,
    Quantize,
    Dequantize,
)

__all__ = [
    "OPS",
    "Activation",
    "Add",
    "AveragePool2D",
    "Concat",
    "Conv2D",
    "DepthwiseConv2D",
    "Dequantize",
    "FullyConnected",
    "Lookup",
    "MaxPool2D",
    "Mean",
    "Mul",
    "Pad",
    "Padding",
    "Quantize",
    "Range",
    "Rectify",
    "Reshape",
    "ResizeNearest",
    "Softmax",
    "Table",
    "Transpose",
    "Window",
]
