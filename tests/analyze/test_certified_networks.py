"""Certificates of whole networks, confirmed register by register: reached exactly by an input, and broken by a bit less."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.certify.document import LayerClaim
from hwsim.graph import Graph
from hwsim.kernels.monitor import REGISTERS, Monitor
from hwsim.kernels.reduce import reduce_panel
from hwsim.load import load_model
from hwsim.ops.products import ProductsUnit
from hwsim.sim import Program
from hwsim.sim.analyze.layers import claims, prove
from hwsim.spec import Arithmetic, BiasAt, Overflow, Reduction, Register, ZeroPoints
from sim.digits_runs import network

WIDE = Register(48, Overflow.WRAP)

ORDERS = {
    "one by one": Reduction(WIDE),
    "bias at the end": Reduction(WIDE, bias_at=BiasAt.END, zero_points=ZeroPoints.FOLD),
    "chains that spill": Reduction(WIDE, chain=16, psum=WIDE, zero_points=ZeroPoints.FOLD),
    "an adder tree": Reduction(WIDE, lanes=8, tree=WIDE),
    "all of it": Reduction(WIDE, 5, WIDE, 3, WIDE),
}


def confirm(graph: Graph, reduction: Reduction) -> int:
    """Confirm the claims of every layer and register; return how many were."""
    program = Program(graph, Arithmetic(reduction, graph.profile))
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
    """Run the worst inputs of the channels that a claim names through the golden kernel."""
    register = next(part for part in claim.registers if part.name == name)
    broken = []
    for reached, largest in ((register.high, True), (register.low, False)):
        group, column = divmod(reached.channel, unit.group_channels)
        weights = np.ascontiguousarray(unit.weights[group][:, [column]])
        bias = unit.bias[[reached.channel]]
        ends = (claim.activations.high, claim.activations.low)
        row = np.where((weights.T > 0) == largest, *ends).astype(np.int64)
        for bits in (register.safe_bits, register.safe_bits - 1):
            if bits < 8:
                continue
            for overflow in Overflow:
                part: dict[str, Any] = {name: Register(bits, overflow)}
                monitor = Monitor(1, observe=True)
                reduce_panel(row, weights, bias, dataclasses.replace(reduction, **part), monitor)
                if bits == register.safe_bits:
                    assert monitor.events == 0
                    if name == "acc":
                        assert int((monitor.high if largest else monitor.low)[0]) == reached.value
                else:
                    broken.append(int(monitor.counts[REGISTERS.index(name)].sum()) > 0)
    assert register.safe_bits <= 8 or any(broken), (claim.name, name)


@pytest.mark.parametrize("order", ORDERS)
def test_every_register_of_the_bundled_network(order: str) -> None:
    """4 layers that sum products, one to three registers."""
    reduction = ORDERS[order]
    registers = 1 + (reduction.tree is not None) + (reduction.psum is not None)
    assert confirm(network("digits_cnn").integer, reduction) == 4 * registers


@pytest.mark.parametrize("order", ORDERS)
def test_every_register_of_resnet8(order: str, data_root: Path) -> None:
    """10 layers that sum products."""
    path = data_root / "mlperf_tiny" / "resnet8_int8.tflite"
    if not path.exists():
        pytest.skip("resnet8_int8.tflite is not in the data pack")
    reduction = ORDERS[order]
    registers = 1 + (reduction.tree is not None) + (reduction.psum is not None)
    assert confirm(load_model(path).graph, reduction) == 10 * registers
