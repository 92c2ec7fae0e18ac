"""An executor of QONNX models for tests: ONNX's reference evaluator, with QONNX's operators written from their documentation.

Roundings are those of Python's `decimal`, whose names QONNX took over.
"""

from __future__ import annotations

import decimal
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

DOMAIN = "qonnx.custom_op.general"
OLD_DOMAIN = "onnx.brevitas"

_MODES = {
    "ROUND": decimal.ROUND_HALF_EVEN, "HALF_EVEN": decimal.ROUND_HALF_EVEN, "CEIL": decimal.ROUND_CEILING,
    "FLOOR": decimal.ROUND_FLOOR, "UP": decimal.ROUND_UP, "DOWN": decimal.ROUND_DOWN, "HALF_UP": decimal.ROUND_HALF_UP,
    "HALF_DOWN": decimal.ROUND_HALF_DOWN,
}  # fmt: skip


def rounded(values: Any, mode: str) -> Any:
    """Round every element, exactly."""
    flat = [int(decimal.Decimal(float(v)).to_integral_value(_MODES[mode])) for v in np.asarray(values).reshape(-1)]
    return np.array(flat, np.float32).reshape(np.shape(values))


class Quant(OpRun):
    """Uniform quantization of any width."""

    op_domain: ClassVar[str] = DOMAIN

    def _run(
        self, x: Any, scale: Any, zero: Any, bits: Any, signed: int = 1, narrow: int = 1, rounding_mode: Any = "ROUND"
    ) -> Any:
        mode = rounding_mode.decode() if isinstance(rounding_mode, bytes) else rounding_mode
        width = int(np.asarray(bits).reshape(()))
        steps = x / scale + zero
        if width == 1 and signed:
            integers = np.where(steps >= 0, 1, -1)
        else:
            low = -(2 ** (width - 1)) + (1 if narrow else 0) if signed else 0
            high = 2 ** (width - 1) - 1 if signed else 2**width - 1 - (1 if narrow else 0)
            integers = rounded(np.minimum(np.maximum(steps, low), high), mode)
        return (((integers - zero) * scale).astype(np.float32),)


class BipolarQuant(OpRun):
    """The sign, times a scale."""

    op_domain: ClassVar[str] = DOMAIN

    def _run(self, x: Any, scale: Any) -> Any:
        return ((np.where(x >= 0, 1, -1) * scale).astype(np.float32),)


class Trunc(OpRun):
    """Fewer low bits, version 1."""

    op_domain: ClassVar[str] = DOMAIN

    def _run(self, x: Any, scale: Any, zero: Any, bits_in: Any, bits_out: Any, rounding_mode: Any = "FLOOR") -> Any:
        mode = rounding_mode.decode() if isinstance(rounding_mode, bytes) else rounding_mode
        integers = rounded(x / scale + zero, "HALF_EVEN")
        kept = rounded(integers / 2.0 ** float(bits_in - bits_out), mode)
        return (((kept - zero) * scale).astype(np.float32),)


class MultiThreshold(OpRun):
    """How many thresholds of its channel (axis 1) a value reaches."""

    op_domain: ClassVar[str] = DOMAIN

    def _run(
        self,
        x: Any,
        thresholds: Any,
        out_dtype: Any = "",
        out_scale: float = 1.0,
        out_bias: float = 0.0,
        data_layout: Any = "",
    ) -> Any:
        count = np.zeros(x.shape, np.float32)
        for index in np.ndindex(*x.shape):
            row = thresholds[index[1] if len(thresholds) > 1 else 0]
            count[index] = sum(1 for threshold in row if x[index] >= threshold)
        return ((np.float32(out_scale) * count + np.float32(out_bias)).astype(np.float32),)


class BatchNormalization(OpRun):
    """At inference; the evaluator's own one trains where an old operator set has a momentum."""

    op_domain: ClassVar[str] = DOMAIN

    def _run(
        self, x: Any, gamma: Any, beta: Any, mean: Any, variance: Any, epsilon: float = 1e-5, **_ignored: Any
    ) -> Any:
        gamma, beta, mean, variance = (part.reshape(-1, *[1] * (x.ndim - 2)) for part in (gamma, beta, mean, variance))
        return (((x - mean) / np.sqrt(variance + np.float32(epsilon)) * gamma + beta).astype(np.float32),)


def execute(path: Path, inputs: Any) -> dict[str, Any]:
    """Return every tensor of a QONNX model, by name."""
    model = onnx.load(path)
    for node in model.graph.node:
        if node.domain == OLD_DOMAIN or node.op_type == "BatchNormalization":
            node.domain = DOMAIN
    if all(entry.domain != DOMAIN for entry in model.opset_import):
        model.opset_import.add(domain=DOMAIN, version=1)
    (name,) = {value.name for value in model.graph.input} - {tensor.name for tensor in model.graph.initializer}
    del model.graph.output[:]
    for node in model.graph.node:
        model.graph.output.append(onnx.helper.make_empty_tensor_value_info(node.output[0]))
    evaluator = ReferenceEvaluator(model, new_ops=[BatchNormalization, Quant, BipolarQuant, Trunc, MultiThreshold])
    # One by one: files may write the batch size into their shapes.
    rows = [evaluator.run(None, {name: inputs[i : i + 1]}) for i in range(len(inputs))]
    names = [value.name for value in model.graph.output]
    return {name: np.concatenate([np.atleast_1d(row[i]) for row in rows]) for i, name in enumerate(names)}
