"""Holds hwsim and ONNX Runtime to the same integers, tensor by tensor.

ONNX Runtime runs with its optimizations off, on the CPU, so that QDQ models compute in float32 between their quantizers.
Every layer gets ONNX Runtime's own inputs: what differs, differs there. `end_to_end` compares whole runs instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from hwsim.graph import Array, Graph, Node, Tensor
from hwsim.load.onnx import load_onnx
from hwsim.load.onnx_chain import channel_axis
from hwsim.load.onnx_layout import TO_NHWC
from hwsim.ops import MaxPool2D, Mean, Reshape, Transpose
from hwsim.sim import Program

ULP = 2.0**-24
"""Relative error of one rounding to float32."""

INTEGERS = ("QuantizeLinear", "QLinear", "Quant", "QGemm")
MOVES = ("MaxPool", "Reshape", "Flatten", "Transpose")


@dataclass
class Found:
    """What a comparison of one model found."""

    graph: Graph
    elements: int = 0
    different: dict[str, int] = field(default_factory=dict)
    """Elements that differ, by node, where some do."""
    largest: int = 0
    """Steps between two elements, at most."""
    rounded_bias: int = 0
    """Of those that differ, how many differ because a layer's bias of floats is rounded to steps of the sums."""
    compared: list[str] = field(default_factory=list)


def ort_session(model: onnx.ModelProto, optimize: bool = False) -> onnxruntime.InferenceSession:
    """Return a session on one thread of the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def ort_tensors(path: Path, inputs: Array, optimize: bool = False) -> dict[str, Array]:
    """Return what ONNX Runtime computes for the model's outputs and for every tensor of integers, by name."""
    model = onnx.load(path)
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        if node.op_type.startswith(INTEGERS) and node.output[0] not in outputs:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(node.output[0]))
    _quantize_before_pools(model.graph)
    session = ort_session(model, optimize)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: inputs}), strict=True))


def _quantize_before_pools(graph: onnx.GraphProto) -> None:
    """Let a quantizer behind a MaxPool of reals quantize before it, too, as hwsim does: name it after the MaxPool."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for pool in [node for node in graph.node if node.op_type == "MaxPool"]:
        following = readers.get(pool.output[0], [])
        while len(following) == 1 and following[0].op_type in MOVES:
            following = readers.get(following[0].output[0], [])
        if len(following) == 1 and following[0].op_type == "QuantizeLinear":
            added = graph.node.add()
            added.CopyFrom(following[0])
            added.name = added.output[0] = _before(pool.name)
            added.input[0] = pool.input[0]
            graph.output.append(onnx.helper.make_empty_tensor_value_info(added.output[0]))


def _before(pool: str) -> str:
    return f"{pool}/quantized"


def layer_by_layer(path: Path, inputs: Array, *, float_bias: bool = False) -> Found:
    """Compare every layer on ONNX Runtime's own inputs; assert that what differs is a step beside a tie.

    See `assert_ties` for what that means; with `float_bias` biases may be floats.
    """
    graph, biases = load_onnx(path), _float_biases(path) if float_bias else {}
    program, expected = Program(graph), _stored_tensors(graph, ort_tensors(path, inputs))
    found = Found(graph)
    values = {name: tensor.data for name, tensor in graph.tensors.items() if tensor.data is not None}
    values[graph.inputs[0]] = _stored(graph.input, inputs)
    for node in graph.nodes:
        arrays = [values[name] for name in node.inputs]
        (name,) = node.outputs
        (ours,) = program.units[node.name].run(arrays)
        values[name] = ours
        if name in expected:
            theirs = expected[name]
            if _compare(found, node, ours, theirs):
                assert_ties(graph, node, arrays, ours, theirs, float_bias)
                if node.name in biases:
                    found.rounded_bias += moved_by_bias(graph, node, arrays, ours != theirs, biases[node.name])
            values[name] = theirs.astype(ours.dtype)
    return found


def _stored_tensors(graph: Graph, tensors: dict[str, Array]) -> dict[str, Array]:
    """Return the integers as the graph stores them, also those that it quantizes before a move and ONNX after it."""
    known = {name: tensor for name, tensor in graph.tensors.items() if tensor.quantization is not None}
    stored = {name: _stored(known[name], array) for name, array in tensors.items() if name in known}
    for node in reversed(graph.nodes):
        moved = stored.get(node.outputs[0])
        if moved is not None and isinstance(node.op, Reshape):
            shape = graph.tensors[node.inputs[0]].shape
            stored.setdefault(node.inputs[0], moved.reshape(len(moved), *shape[1:]))
        elif moved is not None and isinstance(node.op, Transpose):
            stored.setdefault(node.inputs[0], moved.transpose(np.argsort(node.op.permutation)))
        elif isinstance(node.op, MaxPool2D) and _before(node.name) in tensors:
            stored.setdefault(node.inputs[0], _stored(graph.tensors[node.inputs[0]], tensors[_before(node.name)]))
    return stored


def end_to_end(path: Path, inputs: Array) -> Found:
    """Compare whole runs."""
    graph = load_onnx(path)
    expected = ort_tensors(path, inputs)
    ours = Program(graph).run(_stored(graph.input, inputs), keep=True)
    found = Found(graph)
    for node in graph.nodes:
        (name,) = node.outputs
        if name in expected and graph.tensors[name].quantization is not None:
            _compare(found, node, ours[name], _stored(graph.tensors[name], expected[name]))
    for name in graph.outputs:
        if graph.tensors[name].quantization is None:
            theirs = _stored(graph.tensors[name], expected[name])
            assert ours[name].shape == theirs.shape
            if not found.different:
                np.testing.assert_allclose(ours[name], theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())
    return found


def assert_ties(
    graph: Graph, node: Node, arrays: list[Array], ours: Array, theirs: Array, float_bias: bool = False
) -> None:  # fmt: skip
    """Assert that elements of a sum of products differ by one step, and lie within float32's error of a tie.

    ONNX Runtime rounds x and w when it dequantizes them, each product and each sum of K (and the bias), and the quotient by
    the output's scale: relative errors that sum to less than (K + 6) ulp of the sum of magnitudes. hwsim's own float32 steps
    add 4 ulp of the result. So the real value of a step cannot be farther from the tie than that; where the file has a bias
    in floats, half a step of the sums farther, to which hwsim rounds it.
    """
    assert node.op.weighted or isinstance(node.op, Mean), node
    at = ours != theirs
    assert np.abs(ours.astype(np.int64) - theirs.astype(np.int64)).max() == 1
    exact, error, step = _exact_steps(graph, node, arrays)
    allowed = error + 0.5 * step * float_bias
    assert (_from_tie(exact)[at] <= allowed[at]).all(), (node, _from_tie(exact)[at].max(), allowed[at].min())


def moved_by_bias(graph: Graph, node: Node, arrays: list[Array], at: Array, bias: Array) -> int:
    """Return of how many elements there is a tie between the exact results with the file's bias and with hwsim's.

    Assert that all others lie within float32's error of a tie.
    """
    exact, error, step = _exact_steps(graph, node, arrays)
    result = graph.tensors[node.outputs[0]].quantization
    assert result is not None
    wanted = exact + bias.astype(np.float64) / float(result.scale) - arrays[2] * step
    moved = np.rint(exact) != np.rint(wanted)
    ties = np.minimum(_from_tie(exact), _from_tie(wanted)) <= error
    assert (moved | ties)[at].all(), node
    return int(np.count_nonzero(moved[at]))


def _from_tie(steps: Array) -> Array:
    distance: Array = np.abs(steps - np.floor(steps) - 0.5)
    return distance


def _float_biases(path: Path) -> dict[str, Array]:
    """Return biases of floats by the node that has them."""
    graph = onnx.load(path).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm") and len(node.input) > 2]
    return {node.name: onnx.numpy_helper.to_array(stored[node.input[2]]) for node in layers if node.input[2] in stored}


def _exact_steps(graph: Graph, node: Node, arrays: list[Array]) -> tuple[Array, Array, Array]:
    """Return a layer's exact result, what float32 may be off (see `assert_ties`), and a step of the sums.

    All in steps of the output.
    """
    exact, magnitude, products, step = _exact_sums(graph, node, arrays)
    return exact, (products + 6) * ULP * magnitude + 4 * ULP * np.abs(exact), step


def _exact_sums(graph: Graph, node: Node, arrays: list[Array]) -> tuple[Array, Array, int, Array]:
    """Return result, sum of magnitudes of its terms (in steps of the output), terms per sum, and a step of the sums."""
    source, result = graph.tensors[node.inputs[0]].quantization, graph.tensors[node.outputs[0]].quantization
    assert source is not None and result is not None
    x = arrays[0].astype(np.int64) - int(source.zero_point)
    if isinstance(node.op, Mean):
        axes = tuple(node.op.axes)
        count = int(np.prod([x.shape[axis] for axis in axes]))
        real = float(source.scale) / float(result.scale) / count
        sums = [part.sum(axis=axes, keepdims=node.op.keep_dims) * real for part in (x, np.abs(x))]
        return sums[0], sums[1], count, np.asarray(real)
    weights = graph.tensors[node.inputs[1]]
    assert weights.quantization is not None
    axis = channel_axis(node.op)
    along = [1] * arrays[1].ndim
    along[axis] = -1
    zero = weights.quantization.zero_point
    w = arrays[1].astype(np.int64) - (zero.reshape(along) if zero.ndim else zero)
    bias = arrays[2] if len(arrays) > 2 else np.zeros(w.shape[axis], np.int64)
    acc = _products(node, x, w) + bias
    magnitude = _products(node, np.abs(x), np.abs(w)) + np.abs(bias)
    real = float(source.scale) * weights.quantization.scale / float(result.scale)
    return acc * real, magnitude * real, w.size // w.shape[axis] + 1, real


def _products(node: Node, x: Array, w: Array) -> Array:
    """Sum products exactly: in float32 by 6 bits of x at a time, so that no sum reaches 2**24."""
    total: Any = 0
    assert w.size // w.shape[channel_axis(node.op)] * 2**6 * int(np.abs(w).max()) < 2**24
    for shift in range(0, 18, 6):
        part = np.sign(x) * ((np.abs(x) >> shift) & 63)
        (sums,) = node.op.evaluate([part.astype(np.float32), w.astype(np.float32)])
        total = total + (sums.astype(np.int64) << shift)
    return np.asarray(total)


def _compare(found: Found, node: Node, ours: Array, theirs: Array) -> bool:
    found.compared.append(node.name)
    found.elements += ours.size
    assert ours.shape == theirs.shape, node
    steps = np.abs(ours.astype(np.int64) - theirs.astype(np.int64))
    if steps.any():
        found.different[node.name] = int(np.count_nonzero(steps))
        found.largest = max(found.largest, int(steps.max()))
    return bool(steps.any())


def _stored(tensor: Tensor, array: Array) -> Array:
    """Bring an array from ONNX's axes to those of the graph's tensor."""
    array = np.asarray(array)
    if array.dtype.name in ("int4", "uint4"):
        array = array.astype(np.int8 if array.dtype.name == "int4" else np.uint8)
    if array.ndim == 4 and tuple(array.shape[axis] for axis in TO_NHWC)[1:] == tensor.shape[1:]:
        array = array.transpose(TO_NHWC)
    return np.ascontiguousarray(array.reshape(array.shape[0], *tensor.shape[1:]))
