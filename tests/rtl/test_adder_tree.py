# amaranth: UnusedElaboratable=no
"""AdderTree in Amaranth's simulator, against the kernel."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwsim.kernels.monitor import Monitor
from hwsim.kernels.reduce import reduce_panel
from hwsim.rtl import AdderTree, adder_tree, shape
from hwsim.spec import Format, InputError, Overflow, Reduction, Register

WIDE = Register(48, Overflow.WRAP)


@pytest.mark.parametrize("register", [None, Register(12, Overflow.SATURATE), Register(11, Overflow.WRAP)])
@pytest.mark.parametrize("lanes", [2, 3, 5, 7, 16, 33, 256])
def test_equals_kernel(lanes: int, register: Register | None) -> None:
    addend = Format(12)
    cases = 60 if lanes < 100 else 12
    rng = np.random.default_rng(lanes)
    addends = rng.integers(addend.lo, addend.hi, (cases, lanes), endpoint=True)
    addends[::4] //= lanes
    addends[1::4] = rng.choice([addend.lo, addend.hi], (len(addends[1::4]), lanes))
    monitor = Monitor(cases)
    reduction = Reduction(acc=WIDE, lanes=lanes, tree=register)
    out = reduce_panel(np.ones((1, lanes), np.int64), np.ascontiguousarray(addends.T), None, reduction, monitor)
    results = []
    dut = AdderTree(addend.bits, lanes, register)

    async def run(ctx: Any) -> None:
        for values in addends.tolist():
            ctx.set(dut.addends, values)
            results.append((ctx.get(dut.sum), ctx.get(dut.overflow_positive), ctx.get(dut.overflow_negative)))

    simulator = Simulator(dut)
    simulator.add_testbench(run)
    simulator.run()
    assert results == list(zip(out[0].tolist(), *monitor.counts[0].tolist(), strict=True))
    assert (monitor.counts[0].sum(axis=1) > 0).all() == (register is not None)


def test_one_lane_is_a_wire() -> None:
    assert AdderTree(9, 1).sum_bits == 9


def test_examples() -> None:
    for module in (adder_tree, shape):
        failures, attempted = doctest.testmod(module)
        assert attempted > 0
        assert failures == 0


@pytest.mark.parametrize(
    ("addend_bits", "lanes", "register", "message"),
    [
        (57, 4, None, "addend_bits must be an integer from 1 to 56, not 57"),
        (8, 257, None, "lanes must be an integer from 1 to 256, not 257"),
        (8, 1, WIDE, "lanes must be at least 2 when register is given, not 1"),
    ],
)
def test_errors(addend_bits: int, lanes: int, register: Register | None, message: str) -> None:
    with pytest.raises(InputError) as error:
        AdderTree(addend_bits, lanes, register)
    assert str(error.value) == message
