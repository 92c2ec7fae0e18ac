"""What the writing of a node works with: the node, the model so far, and the dialect of its quantizers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from hwsim.export.onnx_writer import Writer
from hwsim.graph import Array, Graph, Node, Quantization, Tensor
from hwsim.spec import InputError


class Dialect(ABC):
    """How a format of files says "these reals are integers"."""

    option: ClassVar[str]
    """What ``--as`` calls it."""
    batch: ClassVar[str | int] = "N"
    """Images that the model takes at once: a name for any number."""

    @abstractmethod
    def check(self, graph: Graph) -> None:
        """Raise `InputError` naming the layer, where the dialect cannot say what the network computes."""

    @abstractmethod
    def opsets(self, graph: Graph) -> dict[str, int]:
        """Return the operator set of each domain."""

    @abstractmethod
    def integers_outside(self, quantization: Quantization) -> bool:
        """Whether the model's input and outputs may hold the integers themselves."""

    @abstractmethod
    def range(self, quantization: Quantization) -> tuple[int, int]:
        """Return the lowest and the highest integer that a quantizer yields by itself."""

    @abstractmethod
    def quantized(
        self, writer: Writer, source: str, tensor: Tensor, quantization: Quantization, rounding: str | None
    ) -> str:
        """Make integers of reals, as the tensor's name says, and return the reals that these stand for.

        `rounding` is one of `hwsim.ops.quantize.ROUNDINGS` that the node asks for, None where it leaves it to the profile.
        """

    def compared(self, writer: Writer, source: str, step: Step, quantization: Quantization) -> str:
        """Make integers of a layer's sums by thresholds, as `quantized`."""
        raise InputError("requantization must be by a factor per channel, not by thresholds")

    def reals(self, writer: Writer, source: str, quantization: Quantization) -> str:
        """Return the reals that the integers of the model's input stand for."""
        scale = writer.constant(f"{source}/scale", quantization.scale)
        zero = writer.constant(f"{source}/zero_point", quantization.zero_point, quantization.format)
        return writer.node("DequantizeLinear", f"{source}/dequantize", [source, scale, zero])

    @abstractmethod
    def constant(self, writer: Writer, name: str, values: Array, quantization: Quantization) -> str:
        """Return the reals of integers that are part of the model; those of 32 bits are a bias."""


@dataclass
class Step:
    """One node on its way: what it reads and where it is written.

    Parameters
    ----------
    graph, node
        The node in its network.
    writer, dialect
        The model so far.
    inputs
        Tensors of reals by position; None for a constant, which the node's emitter writes in the form that it needs.
    """

    graph: Graph
    node: Node
    writer: Writer
    dialect: Dialect
    inputs: list[str | None]

    @property
    def tensors(self) -> list[Tensor]:
        """The node's input tensors."""
        return self.graph.inputs_of(self.node)

    @property
    def result(self) -> Tensor:
        """The node's output tensor."""
        return self.graph.tensors[self.node.outputs[0]]

    def real(self, position: int = 0) -> str:
        """Return the tensor of an input that is computed."""
        found = self.inputs[position]
        if found is None:
            raise InputError(f"input {position} must be computed, not a constant")
        return found
