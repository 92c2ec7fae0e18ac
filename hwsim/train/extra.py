"""PyTorch, of the extra ``train``: imported where it is used, on one thread and with the same sums every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hwsim.spec import InputError

Value = Any
"""A ``torch.Tensor``; PyTorch is not installed everywhere that this is read."""


def require_torch(what: str = "training") -> None:
    """Raise `InputError`, which names the extra and `what` needs it, where PyTorch is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise InputError(f"{what} needs PyTorch: pip install 'hwsim[train]'") from None


@contextmanager
def low_precision(wanted: bool) -> Iterator[None]:
    """Compute products, and later their gradients, of bfloat16 operands in float32 sums."""
    import torch

    with torch.autocast("cpu", torch.bfloat16, enabled=wanted):
        yield


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Compute on one thread with deterministic algorithms; what they were before comes back afterwards."""
    import torch

    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
