"""What every operator offers; one concrete class per file in `hwsim.ops`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from hwsim.graph.tensor import Array, Tensor
from hwsim.kernels.monitor import Monitor
from hwsim.kernels.table import Step
from hwsim.spec import Arithmetic, Operand, Role, Sliding, Workload


class Unit(ABC):
    """An operator made ready for integer execution: constants folded and packed, multipliers computed.

    Making it may use floats (offline); running it does not, save where the operator's definition is float (softmax,
    quantize, dequantize).
    """

    channels: int | None = None
    """Output channels that a `Monitor` of the unit has; None for an operator that sums no products."""

    step: Step | None = None
    """The same for a table of layers that run as one compiled call, where the unit has it."""

    @abstractmethod
    def run(self, inputs: Sequence[Array], monitor: Monitor | None = None) -> list[Array]:
        """Compute the outputs of a batch.

        Parameters
        ----------
        inputs
            The node's inputs, constants included; activations [batch, ...] in their storage dtype.
        monitor
            Where to count overflow, for a unit with `channels`; None counts nothing.
        """


class Operator(ABC):
    """An operator with its attributes; subclasses are frozen dataclasses."""

    kind: ClassVar[str]
    """Name in reports, errors and JSON."""
    weighted: ClassVar[bool] = False
    """Whether input 1 is a weight tensor whose products are summed (and input 2, where given, a bias)."""
    same_scale: ClassVar[bool] = False
    """Whether outputs carry the quantization of input 0 unchanged (moves, pooling)."""

    @abstractmethod
    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        """Return the output shapes; raise `InputError` where the inputs do not fit the attributes."""

    @abstractmethod
    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        """Compute in float32; `inputs` hold real values, activations [batch, ...]."""

    @abstractmethod
    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        """Return the integer unit; raise `InputError` where formats or scales cannot be computed."""

    def gemm(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> tuple[int, int, int, int]:
        """Return (m, k, n, groups) of the layer's products for one image; zeros where there are none."""
        return 0, 0, 0, 0

    def workload(
        self, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic
    ) -> Workload:
        """Describe the layer, for one image, to the time engine."""
        operands = [tensor_operand("activations_in", tensor) for tensor in inputs if not tensor.constant]
        operands += [tensor_operand("weights", tensor) for tensor in inputs if tensor.constant]
        operands += [tensor_operand("activations_out", tensor) for tensor in outputs]
        m, k, n, groups = self.gemm(inputs, outputs)
        activation_bits = operands[0].element_bits if operands else 0
        return Workload(
            name, self.kind, m, k, n, groups, tuple(operands), 0, activation_bits, self.sliding(inputs, outputs)
        )

    def sliding(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Sliding | None:
        """Return which part of the image each output pixel reads; None where that may be all of it."""
        return None


def tensor_operand(role: Role, tensor: Tensor) -> Operand:
    """Describe a tensor by the bits of its own format; floats have 32."""
    bits = 32 if tensor.quantization is None else tensor.quantization.format.bits
    return Operand(role, tensor.elements, bits)
