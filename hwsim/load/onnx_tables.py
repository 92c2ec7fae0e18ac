"""Functions of one quantized value, written out as tables: what no other integer operator computes as exactly."""

from __future__ import annotations

import numpy as np

from hwsim.graph import Node, Quantization, Tensor
from hwsim.load.onnx_build import unique
from hwsim.load.onnx_chain import Chain, NotIntegerError, Tensors
from hwsim.load.onnx_quantizer import Quantizer
from hwsim.ops import Table
from hwsim.ops.float_steps import to_real

MAX_ENTRIES = 2**21
"""Most entries of one table, or thresholds of one layer."""

ALL_ENTRIES = 2**23
"""Most of a network: a small file may ask for many."""


class Entries:
    """Counts what tables and thresholds of a network hold."""

    def __init__(self) -> None:
        self._left = ALL_ENTRIES

    def spend(self, entries: int, what: str) -> None:
        """Count entries before they are computed; raise `NotIntegerError` for too many."""
        self._left -= entries
        if entries > MAX_ENTRIES or self._left < 0:
            most = f"at most {MAX_ENTRIES} entries, {ALL_ENTRIES} in all"
            raise NotIntegerError(
                f"{what} may have {most}: fold factors and terms into the layer before, or use fewer bits"
            )


def table(tensors: Tensors, entries: Entries, chain: Chain, name: str, node: Node, op: Quantizer) -> Node:
    """Return the table of a chain on integers, by computing it in float32 for each of them."""
    source = tensors[chain.source]
    assert source.quantization is not None
    form = source.quantization.format
    per_channel = op.per_channel or any(tensors[name].constant for step in chain.steps for name in step.inputs)
    columns = source.shape[-1] if per_channel else 1
    entries.spend(columns << form.bits, f"a table for {columns} channels of {form}")
    real = to_real(source.quantization, np.arange(form.lo, form.hi + 1))
    middle = [1] * (len(source.shape) - 2)
    values = np.broadcast_to(real.reshape(-1, *middle, 1), (real.size, *middle, columns))
    with np.errstate(over="ignore", invalid="ignore"):
        reals = chain.apply(tensors, values)
    if np.isnan(reals).any():
        raise NotIntegerError("factors and terms between it and its quantizer must not leave float32")
    found = op.function(reals)
    if found.size != real.size * columns:
        raise NotIntegerError("factors and terms must be the same at every pixel")
    data = np.ascontiguousarray(found.reshape(real.size, columns).T).astype(op.quantization.format.storage)
    constant = unique(f"{node.name}/table", tensors)
    # Integers as they are: a scale of one.
    plain = Quantization(op.quantization.format, np.ones(()), np.zeros((), np.int64))
    tensors[constant] = Tensor(constant, data.shape, plain, data)
    return Node(name, Table(), (chain.source, constant), node.outputs)
