"""What all dialects' quantizers become while an ONNX graph grows: a function from float32 reals to integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Quantization, Tensor, Unit
from hwsim.ops import Quantize
from hwsim.ops.float_steps import to_integers
from hwsim.ops.quantize import ROUNDINGS, rounded
from hwsim.spec import Arithmetic, InputError

THRESHOLD_BITS = 8
"""Most bits of a quantizer that thresholds may stand for."""


@dataclass(frozen=True, eq=False)
class Quantizer(Operator):
    """A node that makes integers; `hwsim.load.onnx_integer` merges it into the layer before, or makes operators of it.

    Parameters
    ----------
    quantization
        Of the result, per tensor.
    function
        Maps float32 [..., C] to integers of the result's storage, never falling where a real rises.
    direct
        The operator that computes it from floats, None where there is none.
    step
        Between one integer of the result and the next.
    per_channel
        Whether the function is another one for each channel.
    """

    quantization: Quantization
    function: Callable[[Array], Array]
    direct: Quantize | None
    step: int = 1
    per_channel: bool = False

    kind: ClassVar[str] = "quantize"

    @classmethod
    def linear(cls, quantization: Quantization) -> Quantizer:
        """Return QuantizeLinear."""
        lo, hi = quantization.lo, quantization.hi
        return cls(quantization, lambda real: to_integers(quantization, real, lo, hi), Quantize())

    @classmethod
    def rounding(cls, quantization: Quantization, mode: str) -> Quantizer:
        """Return QONNX's Quant with one of `ROUNDINGS`."""
        function = ROUNDINGS[mode]
        # With a zero point, which Quant adds before it rounds, ties and what is close to them go elsewhere.
        usual = mode == "HALF_EVEN" and not quantization.zero_point.any()
        direct = Quantize(None if usual else mode)
        return cls(
            quantization, lambda real: rounded(quantization, real, function), direct, 2 if mode == "BIPOLAR" else 1
        )

    @property
    def linear_only(self) -> bool:
        """Whether it is QuantizeLinear."""
        return self.direct is not None and self.direct.rounding is None

    @property
    def plain(self) -> bool:
        """Whether a requantizer may take its place: half to even, in many bits whatever a zero point does to ties."""
        many = self.quantization.format.bits > THRESHOLD_BITS
        return self.linear_only or (self.direct is not None and self.direct.rounding == "HALF_EVEN" and many)

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest real that it yields."""
        lo, hi = self.quantization.dequantize(np.array([self.quantization.lo, self.quantization.hi])).tolist()
        return lo, hi

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        return [inputs[0].shape]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        return [self.quantization.dequantize(self.function(inputs[0].astype(np.float32)))]

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        if self.direct is None:
            raise InputError("a quantizer by thresholds must follow a layer")
        return self.direct.prepare(inputs, outputs, arithmetic)
