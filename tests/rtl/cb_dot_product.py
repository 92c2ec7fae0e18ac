"""cocotb bench of the emitted DotProduct: input monitor -> kernel -> scoreboard <- output monitor.

Runs inside the simulator; `test_cocotb.py` starts it and names the configuration in DOT_PRODUCT_CONFIGURATION.
Payloads are packed by hand here, so the bit order that `to_verilog` promises is tested too.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge
from dot_product_cases import Case, Configuration, draw_case, groups_of, named
from dot_product_golden import Coverage, Result, golden

from hwsim.spec import BiasAt, Format

PHASES = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.6), (0.3, 0.3))
"""Probability of a gap between groups, and of a cycle in which no result is taken."""

CASES = 40
"""Dot products per phase."""

DRAIN_CYCLES = 200
BIT = Format(1, signed=False)


def pack(fields: Sequence[tuple[int, Format]]) -> int:
    """Put integers side by side, the first in the lowest bits."""
    word = at = 0
    for value, number in fields:
        word |= (value & ((1 << number.bits) - 1)) << at
        at += number.bits
    return word


def unpack(word: int, numbers: Sequence[Format]) -> list[int]:
    """Take integers out of a word, the first from the lowest bits."""
    values = []
    for number in numbers:
        value = word & ((1 << number.bits) - 1)
        values.append(value - (1 << number.bits) if value > number.hi else value)
        word >>= number.bits
    assert word == 0, "the payload is wider than documented"
    return values


class Bench:
    """Everything around one device under test."""

    def __init__(self, dut: Any, configuration: Configuration) -> None:
        self.dut = dut
        self.configuration = configuration
        self.lanes = configuration.reduction.lanes
        acc = configuration.reduction.acc.format
        self.group_fields = [configuration.activation] * self.lanes + [configuration.weight] * self.lanes + [BIT, BIT]
        if configuration.reduction.bias_at is BiasAt.START:
            self.group_fields.append(acc)
        self.result_fields = [acc] + [Format(configuration.event_bits, signed=False)] * 6
        self.expected: deque[Result] = deque()
        self.open_case: list[list[int]] = []
        self.coverage = Coverage(configuration)
        self.results = 0

    async def reset(self) -> None:
        """Start with every input known: an undriven one would be X."""
        self.dut.groups__valid.value = 0
        self.dut.groups__payload.value = 0
        self.dut.results__ready.value = 0
        self.dut.rst.value = 1
        for _ in range(2):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def drive(self, cases: Sequence[Case], rng: np.random.Generator, gap: float) -> None:
        """Send groups; while nothing is valid the payload is noise."""
        width = sum(number.bits for number in self.group_fields)
        for case in cases:
            for activations, weights, first, last in groups_of(case, self.lanes):
                while rng.random() < gap:
                    self.dut.groups__payload.value = int.from_bytes(rng.bytes(width)) & ((1 << width) - 1)
                    await RisingEdge(self.dut.clk)
                # Only the first group's bias counts.
                values = [*activations, *weights, first, last, case.bias if first else ~case.bias]
                self.dut.groups__payload.value = pack(list(zip(values, self.group_fields, strict=False)))
                self.dut.groups__valid.value = 1
                await RisingEdge(self.dut.clk)
                while not self.dut.groups__ready.value:
                    await RisingEdge(self.dut.clk)
                self.dut.groups__valid.value = 0

    async def take(self, rng: np.random.Generator, stall: float) -> None:
        """Be ready now and then, whether or not there is a result."""
        while True:
            self.dut.results__ready.value = int(rng.random() >= stall)
            await RisingEdge(self.dut.clk)

    async def watch_groups(self) -> None:
        """Feed the kernel with what the device accepts, not with what the test meant to send."""
        while True:
            await RisingEdge(self.dut.clk)
            if not (self.dut.groups__valid.value and self.dut.groups__ready.value):
                continue
            values = unpack(self.dut.groups__payload.value.to_unsigned(), self.group_fields)
            first, last = values[2 * self.lanes : 2 * self.lanes + 2]
            self.open_case = [values] if first else [*self.open_case, values]
            if last:
                self.expected.append(golden(self.configuration, self._case()))

    def _case(self) -> Case:
        groups = np.array(self.open_case, np.int64)
        self.open_case = []
        bias = int(groups[0, -1]) if self.configuration.reduction.bias_at is BiasAt.START else 0
        activations, weights = groups[:, : self.lanes], groups[:, self.lanes : 2 * self.lanes]
        return Case(activations.ravel(), weights.ravel(), bias)

    async def watch_results(self) -> None:
        """Compare what leaves the device, and hold it to the stream rules."""
        held = None
        while True:
            await RisingEdge(self.dut.clk)
            valid, payload = self.dut.results__valid.value, self.dut.results__payload.value
            assert valid.is_resolvable and payload.is_resolvable, f"undefined output: {valid} {payload}"
            assert held is None or (valid and payload == held), "protocol: a result changed before it was taken"
            held = payload if valid and not self.dut.results__ready.value else None
            if not valid or held is not None:
                continue
            acc, *counts = unpack(payload.to_unsigned(), self.result_fields)
            got = Result(acc, tuple(zip(counts[::2], counts[1::2], strict=True)))
            assert self.expected, f"mismatch: unexpected result {got}"
            want = self.expected.popleft()
            assert got == want, f"mismatch: result {self.results} is {got}, the kernel has {want}"
            self.coverage.sample(got)
            self.results += 1


def start(dut: Any) -> Bench:
    """Start the clock; return the bench of the configuration under test."""
    Clock(dut.clk, 10, unit="ns").start()
    return Bench(dut, named(os.environ["DOT_PRODUCT_CONFIGURATION"]))


@cocotb.test(timeout_time=500, timeout_unit="us")
async def equals_kernel(dut: Any) -> None:
    """Random and edge cases under four loads; nothing is left over and every coverage bin is hit."""
    bench = start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await bench.reset()
    cocotb.start_soon(bench.watch_groups())
    cocotb.start_soon(bench.watch_results())
    for gap, stall in PHASES:
        cases = [draw_case(rng, bench.configuration) for _ in range(CASES)]
        taker = cocotb.start_soon(bench.take(np.random.default_rng(1), stall))
        await bench.drive(cases, np.random.default_rng(2), gap)
        # Also long enough to see a result that should not be there.
        for _ in range(DRAIN_CYCLES if stall else 20):
            await RisingEdge(dut.clk)
        taker.cancel()
        assert not bench.expected and not bench.open_case, f"left over: {bench.expected} {bench.open_case}"
    assert bench.results == CASES * len(PHASES)
    assert bench.coverage.missing == [], f"coverage: {bench.coverage.bins}"


@cocotb.test(timeout_time=50, timeout_unit="us")
async def reset_drops_what_is_under_way(dut: Any) -> None:
    """Reset in the middle of dot products, with none to many groups under way; nothing is left behind."""
    bench = start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    for filled in range(1, 8):
        await bench.reset()
        # Nobody takes results: groups pile up behind the first one until the unit stops.
        driver = cocotb.start_soon(bench.drive([draw_case(rng, bench.configuration) for _ in range(9)], rng, 0.0))
        for _ in range(filled):
            await RisingEdge(dut.clk)
        driver.cancel()
    await bench.reset()
    monitors = [cocotb.start_soon(bench.watch_groups()), cocotb.start_soon(bench.watch_results())]
    taker = cocotb.start_soon(bench.take(rng, 0.0))
    await bench.drive([draw_case(rng, bench.configuration) for _ in range(5)], rng, 0.0)
    for _ in range(20):
        await RisingEdge(dut.clk)
    assert not bench.expected and bench.results == 5
    for task in (taker, *monitors):
        task.cancel()
