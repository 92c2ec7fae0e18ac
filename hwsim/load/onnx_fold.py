"""Constants, and the parts of a network that compute on constants only (the shapes that exporters write out).

The arithmetic is ONNX's reference evaluator's. Only operators are folded that a bound on their output is known for, so
that a small hostile file cannot ask for much memory or time.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from hwsim.graph import Array
from hwsim.load.onnx_build import Constant
from hwsim.load.onnx_call import Call
from hwsim.load.onnx_tensors import decode
from hwsim.spec import InputError, require

SMALL = 1024
"""Elements up to which any foldable operator may combine constants: far above any shape."""

LARGE = SMALL**2
"""Elements that small constants may broadcast to."""

_SHAPE_READERS = frozenset({"Shape", "Size"})
_UNARY = frozenset(
    {"Cast", "Floor", "Identity", "Neg", "Reshape", "Slice", "Sqrt", "Squeeze", "Transpose", "Unsqueeze"}
)
_MOVES = frozenset({"Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
_BROADCASTING = frozenset({"Add", "Div", "Equal", "Mul", "Pow", "Sub", "Where"})
_COMBINING = frozenset({"Concat", "Gather", "ReduceProd"})

FOLDABLE = _SHAPE_READERS | _UNARY | _BROADCASTING | _COMBINING | {"Constant", "ConstantOfShape"}
"""Operators that are computed here where their inputs are constants (shapes of features are)."""


def foldable(call: Call) -> bool:
    """Return whether a node's output is a constant that `fold` can compute."""
    operator = call.proto.op_type
    constant = all(value is None or isinstance(value, Constant) for value in call.inputs)
    return operator in FOLDABLE and (constant or operator in _SHAPE_READERS)


def fold(call: Call, folder: Path) -> Constant:
    """Compute a node whose output is a constant; `folder` is where external data may lie."""
    operator = call.proto.op_type
    if operator == "Constant":
        data = _stored(call, folder)
    elif operator in _SHAPE_READERS:
        data = _shape(call)
    elif operator == "ConstantOfShape":
        data = _filled(call, folder)
    elif (moved := _moved(call)) is not None:
        call.build.spend(moved.data.size)
        return moved
    else:
        data = _computed(call)
    call.build.spend(data.size)
    return Constant(call.proto.output[0], data)


def _stored(call: Call, folder: Path) -> Array:
    for attribute in call.proto.attribute:
        if attribute.name == "value":
            return decode(attribute.t, folder)
        if attribute.name in ("value_float", "value_floats"):
            return np.array(onnx.helper.get_attribute_value(attribute), np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.array(onnx.helper.get_attribute_value(attribute), np.int64)
    raise InputError("value must be a tensor, floats or integers, not text or sparse")


def _shape(call: Call) -> Array:
    value = call.optional(0)
    assert value is not None  # ONNX's checker has counted the inputs
    if call.proto.op_type == "Size":
        return np.array(math.prod(value.shape), np.int64)
    end = call.attribute("end")
    return np.array(value.shape[call.integer("start", 0) : end], np.int64)


def _filled(call: Call, folder: Path) -> Array:
    shape = [int(size) for size in call.constant(0).data.reshape(-1)]
    require(
        all(size >= 0 for size in shape) and math.prod(shape) <= LARGE,
        "shape",
        f"of 0 or more in each direction and at most {LARGE} elements in all",
        shape,
    )
    given = call.attribute("value")
    fill = np.zeros(1, np.float32) if given is None else decode(given, folder)
    require(fill.size == 1, "value", "one element", fill.size)
    return np.full(shape, fill.reshape(()), fill.dtype)


def _moved(call: Call) -> Constant | None:
    """Move a quantized constant as the integers that it is; None for other operators and constants."""
    value = call.inputs[0] if call.inputs else None
    if not isinstance(value, Constant) or value.quantization is None:
        return None
    if call.proto.op_type in _MOVES and value.quantization.axis is None:
        plain = replace(call, inputs=[replace(value, quantization=None), *call.inputs[1:]])
        return Constant(call.proto.output[0], _computed(plain), value.quantization)
    if call.proto.op_type != "Transpose":
        return None
    rank = value.data.ndim
    order = [int(axis) for axis in call.attribute("perm") or reversed(range(rank))]
    require(sorted(order) == list(range(rank)), "perm", f"an order of the {rank} axes", order)
    return replace(value.transposed(order), name=call.proto.output[0])


def _computed(call: Call) -> Array:
    operator = call.proto.op_type
    arrays = {
        name: value.float32()
        for name, value in zip(call.proto.input, call.inputs, strict=True)
        if isinstance(value, Constant)
    }
    _check_size(operator, list(arrays.values()))
    graph = onnx.helper.make_graph(
        [call.proto], "fold", [onnx.ValueInfoProto(name=name) for name in arrays],
        [onnx.ValueInfoProto(name=call.proto.output[0])],
    )  # fmt: skip
    try:
        # Division by zero and overflow give values that are refused where they are used.
        with np.errstate(all="ignore"):
            (result,) = ReferenceEvaluator(graph, opsets={"": call.opset}).run(None, arrays)
            data = np.asarray(result)
    except Exception as error:  # noqa: BLE001  the evaluator documents no errors: it passes on whatever NumPy raises
        raise InputError(f"cannot be computed: {(str(error).splitlines() or [''])[0][:200]}") from None
    require(data.dtype.kind in "biuf" or data.dtype.name == "bfloat16", "result", "numbers", data.dtype)
    return data


def _check_size(operator: str, arrays: list[Array]) -> None:
    largest = max((array.size for array in arrays), default=0)
    if operator in _COMBINING:
        require(largest <= SMALL, f"constants of {operator}", f"of at most {SMALL} elements", largest)
    if operator in _BROADCASTING:
        try:
            size = math.prod(np.broadcast_shapes(*(array.shape for array in arrays)))
        except ValueError:
            raise InputError(
                f"inputs must have shapes that broadcast, not {[array.shape for array in arrays]}"
            ) from None
        require(size <= max(largest, LARGE), "result", f"of at most {max(largest, LARGE)} elements", size)
