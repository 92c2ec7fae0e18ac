# amaranth: UnusedElaboratable=no
"""WideMultiplier in Amaranth's simulator, against Python's integers."""

from __future__ import annotations

import doctest
import itertools
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwsim.rtl import wide_multiplier
from hwsim.rtl.wide_multiplier import WideMultiplier
from hwsim.spec import Format, InputError


def test_examples() -> None:
    failures, attempted = doctest.testmod(wide_multiplier)
    assert attempted > 0
    assert failures == 0


@pytest.mark.parametrize(("b_bits", "nudge_bits"), [(31, 0), (31, 15), (34, 18), (17, 0), (5, 3)])
@pytest.mark.parametrize("a_bits", [1, 2, 17, 18, 19, 35, 36, 52, 64])
def test_is_exact(a_bits: int, b_bits: int, nudge_bits: int) -> None:
    dut = WideMultiplier(a_bits, b_bits, nudge_bits)
    rng = np.random.default_rng(a_bits)
    values = [
        [number.lo, number.hi, 0, *(number.lo + int(part * (number.hi - number.lo)) for part in rng.random(4))]
        for number in (Format(a_bits), Format(b_bits, signed=False), Format(nudge_bits or 1))
    ]
    operands = list(itertools.product(*values))[: None if nudge_bits else -1]
    found = []

    async def run(ctx: Any) -> None:
        for a, b, nudge in operands + operands[: dut.latency]:
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            if nudge_bits:
                ctx.set(dut.nudge, nudge)
            await ctx.tick()
            found.append(ctx.get(dut.product))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(run)
    simulator.run()
    expected = [a * b + (nudge << 17 if nudge_bits else 0) for a, b, nudge in operands]
    assert found[dut.latency - 1 :][: len(operands)] == expected


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 31), "a_bits must be an integer from 1 to 64, not 0"),
        ((8, 35), "b_bits must be an integer from 1 to 34, not 35"),
        ((8, 31, 19), "nudge_bits must be an integer from 0 to 18, not 19"),
        ((8, 3, 0, 1), "limb_bits must be an integer from 2 to 17, not 1"),
    ],
)
def test_errors(sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError) as error:
        WideMultiplier(*sizes)
    assert str(error.value) == message
