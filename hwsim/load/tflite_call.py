"""One TFLite operator as its converter sees it, and what several converters read in the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tflite

from hwsim.graph import Array, Tensor
from hwsim.load.tflite_file import StoredOperator
from hwsim.ops.activation import Activation
from hwsim.ops.geometry import Padding, Window
from hwsim.spec import require

ACTIVATIONS = {
    tflite.ActivationFunctionType.NONE: Activation.NONE,
    tflite.ActivationFunctionType.RELU: Activation.RELU,
    tflite.ActivationFunctionType.RELU6: Activation.RELU6,
    tflite.ActivationFunctionType.RELU_N1_TO_1: Activation.RELU_N1_TO_1,
}


@dataclass(frozen=True, eq=False)
class Call:
    """An operator of the file with what its function may look at.

    Parameters
    ----------
    stored
        Code, tensor indices and options.
    inputs
        The tensors that the node will read.
    batch
        Size of the file's batch axis, which the graph writes as 1.
    output_shape
        Shape of the first output, with a batch of 1.
    integers
        Reads the constant integers of operand i, such as axes or paddings.
    real
        Reads the real value of the constant operand i.
    """

    stored: StoredOperator
    inputs: list[Tensor]
    batch: int
    output_shape: tuple[int, ...]
    integers: Callable[[int], Array]
    real: Callable[[int], Array]

    def options(self, kind: str) -> Any:
        """Return the operator's options table."""
        return self.stored.options(kind)

    def image(self) -> tuple[int, int, int]:
        """Return (height, width, channels) of input 0."""
        require(len(self.inputs[0].shape) == 4, "input", "[batch, height, width, channels]", list(self.inputs[0].shape))
        return self.inputs[0].shape[1:]  # type: ignore[return-value]

    def rank4_weights(self) -> tuple[int, int, int, int]:
        """Return the shape of convolution weights."""
        require(len(self.inputs) >= 2, "operands", "an input and weights", f"{len(self.inputs)} tensor(s)")
        require(
            len(self.inputs[1].shape) == 4 and min(self.inputs[1].shape) >= 1,
            "weights",
            "of four axes, none empty",
            list(self.inputs[1].shape),
        )
        return self.inputs[1].shape  # type: ignore[return-value]


def fused(code: int) -> Activation:
    """Return the activation that a layer fuses."""
    allowed = ", ".join(activation.name for activation in ACTIVATIONS.values())
    require(code in ACTIVATIONS, "fused activation", f"one of {allowed}", f"code {code}")
    return ACTIVATIONS[code]


def sliding_window(call: Call, options: Any, kernel: tuple[int, int], dilation: tuple[int, int] = (1, 1)) -> Window:
    """Return the sliding window over input 0, with SAME and VALID resolved."""
    height, width, _ = call.image()
    stride = (options.StrideH(), options.StrideW())
    Window(kernel, stride, dilation)  # SAME divides by the stride, so check it before
    if options.Padding() == tflite.Padding.VALID:
        return Window(kernel, stride, dilation)
    require(options.Padding() == tflite.Padding.SAME, "padding", "SAME or VALID", f"code {options.Padding()}")
    return Window(kernel, stride, dilation, Padding.same((height, width), kernel, stride, dilation))


def dilations(options: Any) -> tuple[int, int]:
    """Return (vertical, horizontal) dilation."""
    return options.DilationHFactor(), options.DilationWFactor()
