"""What operators ask of their tensors, with one message form."""

from __future__ import annotations

from hwsim.graph import Quantization, Tensor
from hwsim.spec import InputError, require


def activation_quantization(tensor: Tensor) -> Quantization:
    """Return a tensor's per-tensor quantization; raise `InputError` where it has none."""
    quantization = tensor.quantization
    if quantization is None:
        raise InputError(f"tensor {tensor.name!r} must be quantized, not float")
    require(
        quantization.axis is None,
        f"tensor {tensor.name!r}: quantization",
        "per tensor",
        f"per channel of axis {quantization.axis}",
    )
    return quantization


def same_quantization(source: Tensor, result: Tensor) -> Quantization:
    """Return the quantization that a move keeps; raise `InputError` where input and output differ."""
    first, second = activation_quantization(source), activation_quantization(result)
    require(
        (float(first.scale), int(first.zero_point), first.format)
        == (float(second.scale), int(second.zero_point), second.format),
        f"tensor {result.name!r}: scale, zero point and format",
        f"those of {source.name!r} ({float(first.scale)}, {int(first.zero_point)}, {first.format})",
        f"({float(second.scale)}, {int(second.zero_point)}, {second.format})",
    )
    return first


def require_rank(tensor: Tensor, rank: int) -> None:
    """Raise `InputError` unless the tensor has `rank` axes."""
    require(
        len(tensor.shape) == rank, f"tensor {tensor.name!r}: rank", str(rank), f"{len(tensor.shape)} {tensor.shape}"
    )
