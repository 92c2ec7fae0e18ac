# amaranth: UnusedElaboratable=no
"""DotProduct in Amaranth's simulator, against the kernel."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from dot_product_cases import CONFIGURATIONS, Case, Configuration, draw_case, groups_of, named
from dot_product_golden import Coverage, Result, golden
from rtl_mutation import put_mutant

from hwsim.rtl import DotProduct, adder_tree, register_add
from hwsim.spec import BiasAt, Format, InputError, Overflow, Reduction, Register

CASES = 600
PATIENCE_CYCLES = 2000
"""Without a result for so long a unit hangs: any case takes far fewer."""


def make(configuration: Configuration) -> DotProduct:
    return DotProduct(configuration.activation, configuration.weight, configuration.reduction, configuration.event_bits)


def payload(configuration: Configuration, case: Case, group: tuple[list[int], list[int], bool, bool]) -> dict[str, Any]:
    activations, weights, first, last = group
    fields: dict[str, Any] = {"activations": activations, "weights": weights, "first": first, "last": last}
    if configuration.reduction.bias_at is BiasAt.START:
        # Only the first group's bias counts; any other value must not matter.
        fields["bias"] = case.bias if first else ~case.bias
    return fields


def unpack(result: Any) -> Result:
    events = (result.events.tree, result.events.psum, result.events.acc)
    return Result(result.acc, tuple((register.positive, register.negative) for register in events))


def simulate(
    dut: DotProduct, configuration: Configuration, cases: list[Case], gap: float, stall: float
) -> list[Result]:
    """Send the cases one behind the other; return all that comes out, also what comes after the last of them."""
    results: list[Result] = []
    gaps, stalls = np.random.default_rng(1), np.random.default_rng(2)
    done = False

    async def drive(ctx: Any) -> None:
        nonlocal done
        for case in cases:
            for group in groups_of(case, configuration.reduction.lanes):
                while gaps.random() < gap:
                    await ctx.tick()
                ctx.set(dut.groups.payload, payload(configuration, case, group))
                ctx.set(dut.groups.valid, 1)
                await ctx.tick().until(dut.groups.ready)
                ctx.set(dut.groups.valid, 0)
        done = True

    async def drain(ctx: Any) -> None:
        quiet = after = 0
        while after < 8:
            ready = stalls.random() >= stall
            ctx.set(dut.results.ready, ready)
            _, _, valid, result = await ctx.tick().sample(dut.results.valid, dut.results.payload)
            if valid and ready:
                results.append(unpack(result))
            after = 0 if valid or not done else after + 1
            quiet = 0 if valid else quiet + 1
            assert quiet < PATIENCE_CYCLES

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.add_testbench(drain)
    simulator.run()
    return results


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda c: c.name)
def test_equals_kernel(configuration: Configuration) -> None:
    rng = np.random.default_rng(7)
    cases = [draw_case(rng, configuration) for _ in range(CASES)]
    expected = [golden(configuration, case) for case in cases]
    third = CASES // 3
    got = simulate(make(configuration), configuration, cases[:third], gap=0.0, stall=0.0)
    got += simulate(make(configuration), configuration, cases[third : 2 * third], gap=0.4, stall=0.1)
    got += simulate(make(configuration), configuration, cases[2 * third :], gap=0.1, stall=0.6)
    assert got == expected
    coverage = Coverage(configuration)
    for result in expected:
        coverage.sample(result)
    assert coverage.missing == []


def _shorter(register: Register) -> Register:
    return replace(register, bits=register.bits - 1)


def _other(register: Register) -> Register:
    return replace(register, overflow=Overflow.WRAP if register.overflow is Overflow.SATURATE else Overflow.SATURATE)


@pytest.mark.parametrize("change", [_shorter, _other])
@pytest.mark.parametrize(
    ("name", "register"),
    [
        ("acc16-saturate", "acc"),
        ("acc32-wrap-lanes4", "acc"),
        ("psum16-saturate-chain4", "psum"),
        ("psum33-wrap-chain4", "psum"),
        ("tree16-saturate-lanes8", "tree"),
        ("tree11-wrap-lanes3", "tree"),
    ],
)
def test_wrong_register_is_seen(name: str, register: str, change: Callable[[Register], Any]) -> None:
    configuration = named(name)
    dut = make(configuration)
    fields = {f: getattr(configuration.reduction, f) for f in Reduction.__dataclass_fields__}
    # The ports are those of the right reduction; only what is inside is wrong.
    dut.reduction = SimpleNamespace(**fields | {register: change(fields[register])})  # type: ignore[assignment]
    assert not _passes(dut, configuration)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("limits.hi, limits.lo)", "limits.hi - 1, limits.lo)"),
        ("~above.all()", "~above.any()"),
        ("len(exact)) - 1 :]", "len(exact)) - 2 :]"),
    ],
)
def test_wrong_register_add_is_seen(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    put_mutant(monkeypatch, register_add, old, new)
    configuration = named("psum16-saturate-chain4")
    assert not _passes(make(configuration), configuration)


@pytest.mark.parametrize("chain", [3, 5])
def test_wrong_chain_is_seen(chain: int) -> None:
    configuration = named("psum16-saturate-chain4")
    dut = make(configuration)
    dut.reduction = replace(configuration.reduction, chain=chain)
    assert not _passes(dut, configuration)


@pytest.mark.parametrize("name", ["tree16-saturate-lanes8", "tree9-saturate-lanes5"])
def test_wrong_tree_order_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adder_tree, "reduce_pairs", lambda nodes, add: functools.reduce(add, nodes))
    assert not _passes(make(named(name)), named(name))


def _passes(dut: DotProduct, configuration: Configuration) -> bool:
    rng = np.random.default_rng(7)
    cases = [draw_case(rng, configuration) for _ in range(100)]
    return simulate(dut, configuration, cases, gap=0.2, stall=0.2) == [golden(configuration, case) for case in cases]


@pytest.mark.parametrize("name", ["acc13-saturate-lanes3", "psum9-wrap-chain3"])
def test_latency_and_throughput(name: str) -> None:
    configuration = named(name)
    dut = make(configuration)
    rng = np.random.default_rng(3)
    cases = [draw_case(rng, configuration) for _ in range(40)]
    sent: list[int] = []
    seen: list[int] = []

    async def drive(ctx: Any) -> None:
        cycle = 0
        ctx.set(dut.results.ready, 1)
        groups = [(case, group) for case in cases for group in groups_of(case, configuration.reduction.lanes)]
        for case, group in groups:
            ctx.set(dut.groups.payload, payload(configuration, case, group))
            ctx.set(dut.groups.valid, 1)
            _, _, ready, valid = await ctx.tick().sample(dut.groups.ready, dut.results.valid)
            assert ready
            if group[3]:
                sent.append(cycle)
            if valid:
                seen.append(cycle)
            cycle += 1
        ctx.set(dut.groups.valid, 0)
        for _ in range(dut.latency_cycles):
            _, _, valid = await ctx.tick().sample(dut.results.valid)
            if valid:
                seen.append(cycle)
            cycle += 1

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()
    assert seen == [cycle + dut.latency_cycles for cycle in sent]
    assert dut.latency_cycles == (2 if configuration.reduction.chain is None else 3)


@pytest.mark.parametrize("name", ["acc16-saturate", "psum9-wrap-chain3"])
def test_first_starts_anew(name: str) -> None:
    configuration = named(name)
    rng = np.random.default_rng(5)
    cases = [draw_case(rng, configuration) for _ in range(30)]
    dut = make(configuration)
    results: list[Result] = []

    async def drive(ctx: Any) -> None:
        ctx.set(dut.groups.valid, 1)
        for case in cases:
            groups = groups_of(case, configuration.reduction.lanes)
            # The same dot product twice: broken off without its last group, then whole.
            for group in [*groups[:-1], *groups]:
                ctx.set(dut.groups.payload, payload(configuration, case, group))
                await ctx.tick()
        ctx.set(dut.groups.valid, 0)

    async def drain(ctx: Any) -> None:
        ctx.set(dut.results.ready, 1)
        for _ in range(PATIENCE_CYCLES):
            _, _, valid, result = await ctx.tick().sample(dut.results.valid, dut.results.payload)
            if valid:
                results.append(unpack(result))

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.add_testbench(drain)
    simulator.run()
    assert results == [golden(configuration, case) for case in cases]


def test_bias_at_end_has_no_bias_port() -> None:
    dut = make(named("acc12-bias-end"))
    assert not hasattr(dut.groups.payload, "bias")
    assert hasattr(make(named("acc8-wrap")).groups.payload, "bias")


@pytest.mark.parametrize(
    ("activation", "weight", "event_bits", "message"),
    [
        (Format(1), Format(8), 32, "activation bits must be an integer from 2 to 17, not 1"),
        (Format(8), Format(18), 32, "weight bits must be an integer from 2 to 17, not 18"),
        (Format(8), Format(8), 0, "event_bits must be an integer from 1 to 64, not 0"),
    ],
)
def test_errors(activation: Format, weight: Format, event_bits: int, message: str) -> None:
    with pytest.raises(InputError) as error:
        DotProduct(activation, weight, Reduction(), event_bits)
    assert str(error.value) == message
