"""The time engine: bytes, compute cycles and stalls of a layer by hand arithmetic, and what must hold for every layer."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.dataflow import compute_cycles
from hwsim.graph import Quantization, Tensor
from hwsim.memory import dram_bytes, stall_cycles
from hwsim.ops import Add
from hwsim.sim.timing import time_layer
from hwsim.spec import PRESETS, ROLES, Accelerator, Arithmetic, Format, Operand, Workload

EDGE = PRESETS[0]


def convolution(weight_bits: int = 8, activation_bits: int = 8) -> Workload:
    """3 x 3 x 5 -> 7 on 11 x 13 pixels."""
    operands = (
        Operand("weights", 315, weight_bits), Operand("biases", 7, 32), Operand("scales", 7, 40),
        Operand("activations_in", 715, activation_bits), Operand("activations_out", 1001, activation_bits),
    )  # fmt: skip
    return Workload("conv", "conv2d", 143, 45, 7, 1, operands, weight_bits, activation_bits)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    """Draw a layer; sizes of operands need not fit its products for the rules to hold."""
    bits = st.integers(2, 16)
    operands = draw(
        st.lists(st.builds(Operand, st.sampled_from(ROLES), st.integers(0, 100_000), bits), min_size=1, max_size=6)
    )
    m, k, n, groups = (draw(st.integers(0, 50)) for _ in range(4))
    return Workload("layer", "conv2d", m, k, n, groups, tuple(operands), draw(bits), draw(bits))


machines = st.builds(
    Accelerator,
    rows=st.integers(1, 64),
    cols=st.integers(1, 64),
    dram_bytes_per_cycle=st.floats(0.01, 1e4),
)


def test_bytes_of_a_convolution_by_hand() -> None:
    """315 weights of 3 bits are 945 bits = 118.125 B, so 119; 7 scales of 40 bits 35 B; 715 of 5 bits 3575 bits, so 447 B."""
    found = dram_bytes(convolution(3, 5))
    assert found == {"weights": 119, "biases": 28, "scales": 35, "activations_in": 447, "activations_out": 626}
    assert list(found) == list(ROLES)


def test_two_inputs_of_one_role_are_packed_each() -> None:
    """Two tensors of 3 elements of 3 bits are 2 B each, not 18 bits in 3 B."""
    both = (Operand("activations_in", 3, 3), Operand("activations_in", 3, 3))
    assert dram_bytes(Workload("add", "add", 0, 0, 0, 0, both, 0, 3))["activations_in"] == 4


def test_cycles_of_a_convolution_by_hand() -> None:
    """143 * 45 * 7 = 45,045 MACs on 256 multipliers: 175.96, so 176 cycles; 1001 results on 16 columns only 63.

    315 + 28 + 35 + 715 + 1001 = 2094 B at 8 B per cycle take 262 cycles, 86 more.
    """
    work = convolution()
    assert compute_cycles(work, EDGE) == 176
    assert stall_cycles(2094, 176, EDGE) == 86
    time = time_layer(work, EDGE)
    assert (time.total_bytes, time.compute_cycles, time.stall_cycles, time.cycles) == (2094, 176, 86, 262)
    assert time.utilization == 45_045 / (262 * 256)


def test_a_layer_without_products_takes_the_time_of_its_results() -> None:
    """1001 results on 4 columns: 251 cycles."""
    pool = Workload("pool", "max_pool2d", 0, 0, 0, 0, (Operand("activations_out", 1001, 8),), 0, 8)
    assert compute_cycles(pool, PRESETS[1]) == 251
    assert time_layer(pool, EDGE).utilization == 0


def test_a_layer_that_moves_and_computes_nothing_takes_no_time() -> None:
    time = time_layer(Workload("none", "reshape", 0, 0, 0, 0, (), 0, 0), EDGE)
    assert (time.cycles, time.utilization, time.total_bytes) == (0, 0, 0)


@pytest.mark.parametrize("bits", range(2, 17))
def test_operands_are_packed_without_gaps_at_every_width(bits: int) -> None:
    """N elements are the smallest whole number of bytes that holds N * bits bits."""
    for elements in (0, 1, 2, 7, 8, 9, 1000, 1001):
        found = Operand("weights", elements, bits).packed_bytes
        assert 8 * (found - 1) < elements * bits <= 8 * found


@settings(max_examples=300, deadline=None, derandomize=True)
@given(workloads(), machines)
def test_a_layer_takes_at_least_its_computation_and_its_transfer(work: Workload, machine: Accelerator) -> None:
    time = time_layer(work, machine)
    moved = sum(math.ceil(Fraction(o.elements * o.element_bits, 8)) for o in work.operands)
    assert time.total_bytes == moved
    assert time.cycles == time.compute_cycles + time.stall_cycles
    assert time.cycles * machine.rows * machine.cols >= work.macs
    # Exact: a cycle moves no more than the machine says. The float division may lose less than a millionth of it.
    assert time.cycles * Fraction(machine.dram_bytes_per_cycle) * Fraction(1_000_001, 1_000_000) >= moved
    assert min(time.compute_cycles, time.stall_cycles) >= 0
    assert 0 <= time.utilization <= 1
    # And no more than the slower of the two, rounded up.
    results = sum(o.elements for o in work.operands if o.role == "activations_out")
    slots = max(math.ceil(work.macs / (machine.rows * machine.cols)), math.ceil(results / machine.cols))
    assert time.cycles <= max(slots, math.ceil(moved / machine.dram_bytes_per_cycle))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(workloads(), machines, st.floats(1, 100))
def test_more_bandwidth_never_costs_cycles(work: Workload, machine: Accelerator, factor: float) -> None:
    wider = replace(machine, dram_bytes_per_cycle=machine.dram_bytes_per_cycle * factor)
    slow, fast = time_layer(work, machine), time_layer(work, wider)
    assert fast.cycles <= slow.cycles
    assert fast.compute_cycles == slow.compute_cycles


@settings(max_examples=200, deadline=None, derandomize=True)
@given(workloads(), machines, st.integers(1, 4), st.integers(1, 4))
def test_a_larger_array_never_costs_cycles(work: Workload, machine: Accelerator, rows: int, cols: int) -> None:
    larger = replace(machine, rows=machine.rows * rows, cols=machine.cols * cols)
    assert time_layer(work, larger).cycles <= time_layer(work, machine).cycles


@settings(max_examples=200, deadline=None, derandomize=True)
@given(workloads())
def test_fewer_bits_never_move_more_bytes(work: Workload) -> None:
    narrow = replace(work, operands=tuple(replace(o, element_bits=max(2, o.element_bits - 1)) for o in work.operands))
    assert all(dram_bytes(narrow)[role] <= moved for role, moved in dram_bytes(work).items())


def test_a_constant_operand_of_an_element_wise_layer_is_traffic_too() -> None:
    """X [3, 5, 7] of 4 bits, a constant [7] of 6 bits, the sum of 8 bits: 105 * 4 / 8, 7 * 6 / 8, 105 bytes, rounded up."""

    def tensor(name: str, shape: tuple[int, ...], bits: int, data: np.ndarray | None = None) -> Tensor:
        return Tensor(name, shape, Quantization(Format(bits), np.array(0.5), np.array(0)), data)

    inputs = [tensor("x", (1, 3, 5, 7), 4), tensor("c", (7,), 6, np.arange(7, dtype=np.int8))]
    workload = Add().workload("sum", inputs, [tensor("y", (1, 3, 5, 7), 8)], Arithmetic())
    moved = {role: workload.role_bytes(role) for role in ("activations_in", "weights", "activations_out")}
    assert moved == {"activations_in": 53, "weights": 6, "activations_out": 105}
