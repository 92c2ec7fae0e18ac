# amaranth: UnusedElaboratable=no
"""RegisterAdd in Amaranth's simulator, against the kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwsim.kernels.monitor import Monitor
from hwsim.kernels.reduce import reduce_panel
from hwsim.rtl import RegisterAdd
from hwsim.spec import Format, InputError, Overflow, Reduction, Register

B_SPLIT = 16


def golden(register: Register, a: Any, b: Any) -> list[tuple[int, int, int]]:
    """Return (register, positive, negative) per pair: one channel each, `a` is the bias, `b` two exact lanes."""
    monitor = Monitor(len(a))
    panel = np.array([[1 << B_SPLIT, 1]])
    weights = np.array([b >> B_SPLIT, b & ((1 << B_SPLIT) - 1)])
    out = reduce_panel(panel, weights, a, Reduction(acc=register, lanes=2), monitor)
    return list(zip(out[0].tolist(), *monitor.counts[2].tolist(), strict=True))


def simulate(register: Register, b_bits: int, a: Any, b: Any) -> list[tuple[int, int, int]]:
    dut = RegisterAdd(register, register.bits, b_bits)
    results = []

    async def run(ctx: Any) -> None:
        for x, y in zip(a.tolist(), b.tolist(), strict=True):
            ctx.set(dut.a, x)
            ctx.set(dut.b, y)
            results.append((ctx.get(dut.sum), ctx.get(dut.overflow_positive), ctx.get(dut.overflow_negative)))

    simulator = Simulator(dut)
    simulator.add_testbench(run)
    simulator.run()
    return results


@pytest.mark.parametrize("overflow", Overflow)
def test_equals_kernel_everywhere(overflow: Overflow) -> None:
    register = Register(8, overflow)
    a, b = (axis.ravel() for axis in np.meshgrid(np.arange(-128, 128), np.arange(-32, 32)))
    assert simulate(register, 6, a, b) == golden(register, a, b)


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize(
    ("bits", "b_bits"), [(8, 33), (11, 11), (16, 16), (17, 5), (31, 32), (32, 33), (47, 2), (48, 33)]
)
def test_equals_kernel_at_the_edges(bits: int, b_bits: int, overflow: Overflow) -> None:
    rng = np.random.default_rng(bits)
    own, other = Format(bits), Format(b_bits)
    a = rng.integers(own.lo, own.hi, 400, endpoint=True)
    b = rng.integers(other.lo, other.hi, 400, endpoint=True)
    # Half of the sums land within one of an edge, as far as the addend reaches.
    edge = rng.choice([own.lo, own.hi], 200) + rng.integers(-1, 2, 200)
    a[:100] = np.clip(edge[:100] - b[:100], own.lo, own.hi)
    b[100:200] = np.clip(edge[100:] - a[100:200], other.lo, other.hi)
    a[200:220:2], a[201:220:2] = own.lo, own.hi
    b[200:210], b[210:220] = other.lo, other.hi
    register = Register(bits, overflow)
    expected = golden(register, a, b)
    assert simulate(register, b_bits, a, b) == expected
    assert {(p, n) for _, p, n in expected} == {(0, 0), (1, 0), (0, 1)}


@pytest.mark.parametrize("mutant", [Register(15, Overflow.SATURATE), Register(16, Overflow.WRAP)])
def test_wrong_register_is_seen(mutant: Register) -> None:
    a, b = np.array([16383, -16384, 32767, -32768]), np.array([1, -1, 1, -1])
    right = Register(16, Overflow.SATURATE)
    assert simulate(right, 8, a, b) == golden(right, a, b)
    assert simulate(right, 8, a, b) != golden(mutant, a, b)


@pytest.mark.parametrize(
    ("a_bits", "b_bits", "message"),
    [
        (0, 8, "a_bits must be an integer from 1 to 64, not 0"),
        (8, 65, "b_bits must be an integer from 1 to 64, not 65"),
    ],
)
def test_errors(a_bits: int, b_bits: int, message: str) -> None:
    with pytest.raises(InputError) as error:
        RegisterAdd(Register(8, Overflow.WRAP), a_bits, b_bits)
    assert str(error.value) == message
