"""Claims of certificates confirmed by inputs constructed to reach them, on the golden kernel."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from hwsim.certify.document import LayerClaim
from hwsim.graph import Graph
from hwsim.kernels.monitor import REGISTERS, Monitor
from hwsim.kernels.outliers import Sparse
from hwsim.kernels.reduce import reduce_panel
from hwsim.ops.products import ProductsUnit
from hwsim.sim import Program
from hwsim.sim.analyze.layers import claims, prove
from hwsim.spec import Arithmetic, Overflow, Reduction, Register


def confirm(graph: Graph, reduction: Reduction, outlier_tile: int | None = None) -> int:
    """Confirm the claims of every layer and register; return how many were."""
    program = Program(graph, Arithmetic(reduction, graph.profile), outlier_tile=outlier_tile)
    confirmed = 0
    for index, node in enumerate(graph.nodes, start=1):
        unit = program.units[node.name]
        if isinstance(unit, ProductsUnit):
            claim = claims(prove(graph, node, index, unit), graph)
            for register in claim.registers:
                confirm_register(unit, claim, register.name, reduction)
                confirmed += 1
    return confirmed


def confirm_register(unit: ProductsUnit, claim: LayerClaim, name: str, reduction: Reduction) -> None:
    """Run the worst inputs of the channels that a claim names: no event at the safe width, and some with a bit less."""
    register = next(part for part in claim.registers if part.name == name)
    broken = []
    for reached, largest in ((register.high, True), (register.low, False)):
        group, column = divmod(reached.channel, unit.group_channels)
        weights = np.ascontiguousarray(unit.weights[group][:, [column]])
        sparse = None
        if unit.outliers is not None:
            sparse = Sparse.of(unit.outliers.sparse[group][:, [column]], unit.outliers.tile)
        bias = unit.bias[[reached.channel]]
        ends = (claim.activations.high, claim.activations.low)
        row = np.where((unit.whole[group][:, [column]].T > 0) == largest, *ends).astype(np.int64)
        for bits in (register.safe_bits, register.safe_bits - 1):
            if bits < 8:
                continue
            for overflow in Overflow:
                part: dict[str, Any] = {name: Register(bits, overflow)}
                monitor = Monitor(1, observe=True)
                reduce_panel(row, weights, bias, dataclasses.replace(reduction, **part), monitor, sparse=sparse)
                if bits == register.safe_bits:
                    assert monitor.events == 0
                    if name == "acc":
                        assert int((monitor.high if largest else monitor.low)[0]) == reached.value
                else:
                    broken.append(int(monitor.counts[REGISTERS.index(name)].sum()) > 0)
    assert register.safe_bits <= 8 or any(broken), (claim.name, name)
