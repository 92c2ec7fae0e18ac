"""Quantized networks in the formats of other tools: ONNX models and memory files. ``docs/export.md`` says what each holds."""

from hwsim.export.onnx_network import single_scales
from hwsim.export.onnx_qdq import onnx_qdq
from hwsim.export.onnx_qonnx import onnx_qonnx, recentered
from hwsim.export.parameters import parameters
from hwsim.export.weights import file_name, weight_files

__all__ = ["file_name", "onnx_qdq", "onnx_qonnx", "parameters", "recentered", "single_scales", "weight_files"]
