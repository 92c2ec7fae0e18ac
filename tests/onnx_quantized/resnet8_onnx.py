"""MLPerf Tiny's float ResNet-8 as an ONNX model of scores, for ONNX Runtime's quantizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from hwsim.graph import Graph, Node
from hwsim.load.tflite import load_tflite
from hwsim.ops import Activation, Add, AveragePool2D, Conv2D, FullyConnected, Reshape, Softmax


def write_resnet8(source: Path, path: Path) -> Path:
    """Write the network with NCHW images of pixels 0..255 as input ``image`` and the scores before the softmax as output."""
    graph = load_tflite(source)
    names = {name: f"t{index}" for index, name in enumerate(graph.tensors)}
    nodes, constants, last = [], [], ""
    for index, node in enumerate(graph.nodes):
        if isinstance(node.op, Softmax):
            continue
        kind, attributes = _operator(graph, node)
        for place, name in enumerate(node.inputs):
            data = graph.tensors[name].data
            if data is not None and kind != "Flatten":
                array = data.transpose(0, 3, 1, 2) if place == 1 and data.ndim == 4 else data
                constants.append(numpy_helper.from_array(np.ascontiguousarray(array), names[name]))
        inputs = [names[name] for name in (node.inputs[:1] if kind == "Flatten" else node.inputs)]
        last = names[node.outputs[0]]
        clamped = getattr(node.op, "activation", Activation.NONE) is Activation.RELU
        written = f"{last}_sum" if clamped else last
        nodes.append(helper.make_node(kind, inputs, [written], name=f"{kind.lower()}{index}", **attributes))
        if clamped:
            nodes.append(helper.make_node("Relu", [written], [last], name=f"relu{index}"))
    nodes[0].input[0] = "image"
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 32, 32])
    scores = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", 10])
    model = helper.make_graph(nodes, "resnet8", [image], [scores], constants)
    imports = [helper.make_opsetid("", 17)]
    path.write_bytes(helper.make_model(model, opset_imports=imports, ir_version=9).SerializeToString())
    return path


def _operator(graph: Graph, node: Node) -> tuple[str, dict[str, object]]:
    op = node.op
    if isinstance(op, Conv2D):
        window, padding = op.window, op.window.padding
        pads = [padding.top, padding.left, padding.bottom, padding.right]
        return "Conv", {"kernel_shape": list(window.kernel), "strides": list(window.stride), "pads": pads}
    if isinstance(op, AveragePool2D):
        assert op.window.kernel == graph.tensors[node.inputs[0]].shape[1:3]
        return "GlobalAveragePool", {}
    if isinstance(op, FullyConnected):
        return "Gemm", {"transB": 1}
    return {Add: ("Add", {}), Reshape: ("Flatten", {})}[type(op)]
