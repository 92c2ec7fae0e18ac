"""A network: tensors, and nodes in the order of execution."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hwsim.graph.operator import Operator
from hwsim.graph.tensor import Tensor
from hwsim.spec import InputError, Profile, require


@dataclass(frozen=True, eq=False)
class Node:
    """One operator applied to named tensors.

    Parameters
    ----------
    name
        Unique in its graph; what reports and errors call it.
    op
        The operator with its attributes.
    inputs, outputs
        Tensor names; constants (weights, biases) are inputs too.
    """

    name: str
    op: Operator
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class InputScaling:
    """How raw pixels become the real input: ``real = (pixel - mean) / std``, per channel or one value for all."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, eq=False)
class Graph:
    """A network with one input and at least one output.

    Parameters
    ----------
    name
        Shown in reports.
    tensors
        By name.
    nodes
        Topologically sorted: a node reads only constants, the input, and outputs of earlier nodes.
    inputs, outputs
        Names of the activations that enter and leave.
    scaling
        How the model's makers turn pixels into its real input, where the model says so.
    profile
        How they round, where not as the TFLite reference kernels do.
    real
        The float network of an integer one, where it cannot be had from the integers alone (see `hwsim.quant.dequantized`).
    """

    name: str
    tensors: Mapping[str, Tensor]
    nodes: Sequence[Node]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    scaling: InputScaling | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    profile: Profile = Profile.TFLITE
    real: Graph | None = None

    def __post_init__(self) -> None:
        require(len(self.inputs) == 1, f"{self.name}: inputs", "exactly one tensor", list(self.inputs))
        require(len(self.outputs) >= 1, f"{self.name}: outputs", "at least one tensor", list(self.outputs))
        known = {name for name, tensor in self.tensors.items() if tensor.constant} | set(self.inputs)
        names: set[str] = set()
        for node in self.nodes:
            require(node.name not in names, f"{self.name}: node name", "unique", node.name)
            names.add(node.name)
            for name in node.inputs:
                if name not in known:
                    raise InputError(
                        f"{self.name}: node {node.name} ({node.op.kind}) reads tensor {name!r}, "
                        "which must be a constant, the input or the output of an earlier node"
                    )
            for name in node.outputs:
                require(
                    name in self.tensors and name not in known,
                    f"{self.name}: output {name!r} of node {node.name}",
                    "a tensor of the graph that no other node writes",
                    repr(name),
                )
            known.update(node.outputs)
        for name in self.outputs:
            require(name in known, f"{self.name}: output", "written by a node", repr(name))

    @property
    def input(self) -> Tensor:
        """The tensor that images enter by."""
        return self.tensors[self.inputs[0]]

    @property
    def output(self) -> Tensor:
        """The tensor that scores are read from."""
        return self.tensors[self.outputs[0]]

    @property
    def quantized(self) -> bool:
        """Whether every operator with weights computes on integers.

        A model may still take and give floats through quantize and dequantize nodes.
        """
        weighted = [node for node in self.nodes if node.op.weighted]
        return bool(weighted) and all(self.tensors[node.inputs[1]].quantization is not None for node in weighted)

    def inputs_of(self, node: Node) -> list[Tensor]:
        """The node's input tensors."""
        return [self.tensors[name] for name in node.inputs]

    def outputs_of(self, node: Node) -> list[Tensor]:
        """The node's output tensors."""
        return [self.tensors[name] for name in node.outputs]

    def last_used(self, index: int) -> list[str]:
        """Return the activations that node `index` is the last to touch; the network's outputs are never among them."""
        return self._last_used[index]

    @functools.cached_property
    def _last_used(self) -> list[list[str]]:
        last = {name: index for index, node in enumerate(self.nodes) for name in (*node.inputs, *node.outputs)}
        freed: list[list[str]] = [[] for _ in self.nodes]
        for name, index in last.items():
            if not self.tensors[name].constant and name not in self.outputs:
                freed[index].append(name)
        return freed
