"""Whether the tensors of one operator of a TFLite file fit each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwsim.graph import Tensor
from hwsim.load.tflite_file import StoredTensor
from hwsim.spec import InputError, require

BIAS_SCALE_TOLERANCE = 0.02
"""How far, in output steps, a bias scale may be from input scale times weight scale (as LiteRT's Prepare has it)."""

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
"""Operators between types."""


def check_channel_axis(weight: Tensor, channel_axis: int | None) -> None:
    """Refuse scales per slice of another axis than that of the output channels."""
    axis = None if weight.quantization is None else weight.quantization.axis
    require(
        axis in (None, channel_axis),
        f"tensor {weight.name!r}: quantized dimension",
        f"{channel_axis} (output channels)",
        axis,
    )


def check_types(code: str, inputs: Sequence[Tensor], output: Tensor) -> None:
    """Refuse what mixes floats and integers, or integer formats of activations, outside of conversions."""
    if code in CONVERSIONS:
        return

    def kind(tensor: Tensor) -> str:
        if tensor.quantization is not None:
            return str(tensor.quantization.format)
        return str(tensor.data.dtype) if tensor.data is not None else "float32"

    kinds = [kind(tensor) for tensor in (*inputs, output)]
    mixed = len({name == "float32" for name in kinds}) > 1
    if mixed or len({kind(tensor) for tensor in (*inputs, output) if not tensor.constant}) > 1:
        raise InputError(
            f"tensors must be all float32, or integers with activations of one type, not {', '.join(kinds)} "
            "(inputs, then output)"
        )


def check_bias(stored: StoredTensor, inputs: Sequence[Tensor], output: Tensor) -> None:
    """Refuse a bias whose stored scale is not input scale times weight scale; a file may leave that scale out."""
    if output.quantization is None:
        return
    source, weight = inputs[0].quantization, inputs[1].quantization
    assert source is not None and weight is not None
    product = source.scale * np.atleast_1d(weight.scale)
    shifted = stored.zero_point[stored.zero_point != 0]
    require(shifted.size == 0, f"{stored}: zero point", "0 for a bias", shifted[:1].tolist())
    if stored.scale.size not in (1, product.size):
        require(stored.scale.size == 0, f"{stored}: scales", f"1 or {product.size}", stored.scale.size)
        return
    scale = stored.scale.astype(np.float64)
    # Written so that a NaN fails.
    wrong = ~(np.abs(product - scale) / output.quantization.scale <= BIAS_SCALE_TOLERANCE)
    if wrong.any():
        channel = int(np.argmax(wrong))
        raise InputError(
            f"{stored}: scale must be input scale times weight scale, {product[channel]:.6g} in channel "
            f"{channel}, not {np.broadcast_to(scale, product.shape)[channel]:.6g}"
        )
