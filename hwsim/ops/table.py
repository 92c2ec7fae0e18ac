"""Any function of one quantized value, written out: one entry per integer, for all channels or for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwsim.graph import Array, Operator, Tensor, Unit
from hwsim.ops.checks import activation_quantization
from hwsim.ops.simple_unit import SimpleUnit
from hwsim.spec import Arithmetic, InputError, require


@dataclass(frozen=True)
class Table(Operator):
    """Replace every integer by an entry of a table, whatever the rounding profile.

    Inputs: x [batch, ..., C]; entries [1 or C, 2**bits] in the output's integers, those of the smallest x first.
    """

    kind: ClassVar[str] = "table"

    def infer(self, inputs: Sequence[Tensor]) -> list[tuple[int, ...]]:
        entries = inputs[1].shape
        require(
            len(entries) == 2 and entries[0] in (1, inputs[0].shape[-1]),
            "table",
            f"[1 or {inputs[0].shape[-1]} channels, entries]",
            entries,
        )
        return [inputs[0].shape]

    def evaluate(self, inputs: Sequence[Array]) -> list[Array]:
        raise InputError("a table maps integers: its network keeps a float one beside it (Graph.real)")

    def prepare(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], arithmetic: Arithmetic) -> Unit:
        form, entries = activation_quantization(inputs[0]).format, inputs[1].data
        assert entries is not None
        require(entries.shape[1] == form.hi - form.lo + 1, "table", f"of an entry per {form}", entries.shape[1])
        channel = np.arange(entries.shape[0]) if entries.shape[0] > 1 else 0

        def run(values: Array, _entries: Array) -> Array:
            found: Array = entries[channel, values.astype(np.int32) - form.lo]
            return found

        return SimpleUnit(run)
