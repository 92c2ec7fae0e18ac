"""Write a digits network as ONNX.

With ``onnx.helper`` and not with PyTorch's exporter: the names of nodes and tensors are then ours, and batch
norm stays a node of its own, as it is in many of the graphs that users bring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .digits_networks import NETWORKS, RELU, Step

if TYPE_CHECKING:
    import onnx
    import torch

OPSET, IR_VERSION = 17, 8

PIXEL_MEAN, PIXEL_STD = 0, 16
"""The model's input is ``(pixel - mean) / std``."""

OPERATORS = {"add": "Add", "mean": "GlobalAveragePool", "flatten": "Flatten"}


class _Writer:
    """Collects the nodes and weights of a graph; a node and its output share a name."""

    def __init__(self, layers: torch.nn.ModuleDict) -> None:
        self.layers = layers
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {}

    def node(self, op: str, name: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def parameters(self, layer: str, names: dict[str, str]) -> list[str]:
        """Add parameters of `layer`; `names` maps PyTorch's names to those of the graph."""
        state = self.layers[layer].state_dict()
        self.weights.update({f"{layer}.{ours}": state[theirs].numpy() for theirs, ours in names.items()})
        return [f"{layer}.{ours}" for ours in names.values()]

    def convolution(self, step: Step) -> None:
        convolved = self.node(
            "Conv",
            f"{step.name}_conv",
            [*step.inputs, *self.parameters(step.name, {"weight": "weight"})],
            kernel_shape=[step.kernel] * 2,
            strides=[step.stride] * 2,
            pads=[step.kernel // 2] * 4,
            group=step.groups,
        )
        names = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "variance"}
        normalized = self.node(
            "BatchNormalization",
            step.name if step.clip is None else f"{step.name}_bn",
            [convolved, *self.parameters(f"{step.name}_bn", names)],
            epsilon=1e-5,
        )
        if step.clip == RELU:
            self.node("Relu", step.name, [normalized])
        elif step.clip is not None:
            self.weights["clip.min"] = np.array(0, np.float32)
            self.weights["clip.max"] = np.array(step.clip, np.float32)
            self.node("Clip", step.name, [normalized, "clip.min", "clip.max"])

    def add(self, step: Step) -> None:
        """Append the nodes of `step`."""
        inputs = list(step.inputs)
        if step.op == "conv":
            self.convolution(step)
        elif step.op == "linear":
            inputs += self.parameters(step.name, {"weight": "weight", "bias": "bias"})
            self.node("Gemm", step.name, inputs, transB=1)
        elif step.op == "maxpool":
            self.node("MaxPool", step.name, inputs, kernel_shape=[step.kernel] * 2, strides=[step.stride] * 2)
        else:
            self.node(OPERATORS[step.op], step.name, inputs)


def to_onnx(name: str, layers: torch.nn.ModuleDict) -> onnx.ModelProto:
    """Return network `name` with the trained `layers` as a checked ONNX model.

    The input is ``image``, float32 ``[N, 1, 8, 8]``; the output is ``logits``, float32 ``[N, 10]``.
    The metadata holds ``hwsim.input.mean`` and ``.std`` (per channel, in pixel units), ``hwsim.dataset`` and
    ``hwsim.description``.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    description, steps = NETWORKS[name]
    writer = _Writer(layers)
    for step in steps:
        writer.add(step)
    graph = helper.make_graph(
        writer.nodes,
        name,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(value, label) for label, value in writer.weights.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="hwsim")
    metadata = {
        "hwsim.input.mean": str(PIXEL_MEAN),
        "hwsim.input.std": str(PIXEL_STD),
        "hwsim.dataset": "digits",
        "hwsim.description": description,
    }
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model
