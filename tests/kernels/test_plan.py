"""The planner's proofs: what it calls exact never overflows, and where it sends a layer to the SIMD kernels it may."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reduction_cases import reductions

from hwsim.kernels.bounds import bound
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.monitor import Monitor
from hwsim.kernels.plan import Plan, plan_products
from hwsim.kernels.reduce import reduce_panel
from hwsim.kernels.targets import host
from hwsim.spec import BiasAt, Overflow, Reduction, Register


def planned(weights: Any, bias: Any, low: int, high: int, reduction: Reduction, **kind: Any) -> Plan:
    """Plan one group."""
    return plan_products(weights, bias, low, high, bound(weights, bias, low, high, reduction), reduction, **kind)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(2, 16), st.integers(2, 16), reductions(20), st.booleans())
def test_an_exact_plan_counts_no_event_and_every_plan_bounds_what_leaves(
    seed: int, weight_bits: int, activation_bits: int, reduction: Reduction, signed: bool
) -> None:
    rng = np.random.default_rng(seed)
    low = -(2 ** (activation_bits - 1)) if signed else 0
    high = low + 2**activation_bits - 1
    depth, channels = int(rng.integers(1, 30)), int(rng.integers(1, 4))
    weights = rng.integers(-(2 ** (weight_bits - 1)), 2 ** (weight_bits - 1), (depth, channels))
    bias = rng.integers(reduction.acc.format.lo, reduction.acc.format.hi + 1, channels) >> int(rng.integers(0, 20))
    plan = planned(weights, bias, low, high, reduction)
    inputs = [rng.integers(low, high + 1, (4, depth)), rng.choice([low, high], (4, depth))]
    inputs += [np.where(sign * weights.T > 0, high, low) for sign in (1, -1)]
    monitor = Monitor(channels)
    out = reduce_panel(np.concatenate(inputs), weights, bias, reduction, monitor)
    assert np.abs(out).max() <= plan.largest
    if plan.kernel == "exact":
        assert monitor.events == 0
        # Any order gives the same sums: that of a plain matrix product.
        assert np.array_equal(out, np.concatenate(inputs) @ weights + bias)
        assert plan.operation is None or plan.largest < 2**31


def simple(bits: int, overflow: Overflow = Overflow.SATURATE, **fields: Any) -> Reduction:
    """Return one accumulator, one product at a time."""
    return Reduction(Register(bits, overflow), **fields)


BYTES = "words" if host().byte_products is None else "bytes"


@pytest.mark.skipif(not ENABLED, reason="the SIMD kernels need the JIT")
@pytest.mark.parametrize(
    ("weight", "low", "high", "reduction", "kind", "operation"),
    [
        # 9 products of 127 * 128 = 146304 > 2**17 need 19 bits.
        (127, -128, 127, simple(19), {}, "words"),
        (127, -128, 127, simple(18), {}, "ordered-32"),
        (127, -128, 127, simple(17, Overflow.WRAP), {}, "ordered-32"),
        (127, -128, 127, simple(16), {}, "ordered-16"),
        (127, -128, 127, simple(12, Overflow.WRAP, bias_at=BiasAt.END), {}, "ordered-16"),
        # Products of 127 * 258 and 127 * 259: below and above 2**15.
        (127, 0, 258, simple(16), {}, "ordered-16"),
        (127, 0, 259, simple(16), {}, "ordered-32"),
        # Trees: two products of 129 * 128 do not fit 16 bits together; each by itself, into a register, they do.
        (127, -128, 127, simple(16, lanes=2), {}, "ordered-16"),
        (129, -128, 127, simple(16, lanes=2), {}, "ordered-32"),
        (127, -128, 127, simple(16, lanes=2, tree=Register(16, Overflow.WRAP)), {}, "ordered-16"),
        (127, -128, 127, simple(16, lanes=2, tree=Register(17, Overflow.WRAP)), {}, "ordered-32"),
        (127, -128, 127, simple(17, lanes=64), {}, "ordered-32"),
        (127, -128, 127, simple(17, lanes=65), {}, None),
        (127, -128, 127, simple(16, lanes=16, tree=Register(16, Overflow.WRAP)), {}, "ordered-16"),
        (127, -128, 127, simple(17, lanes=17, tree=Register(16, Overflow.WRAP)), {}, None),
        # Chains.
        (127, -128, 127, simple(32, chain=3, psum=Register(16, Overflow.WRAP)), {}, "ordered-16"),
        (127, -128, 127, simple(32, chain=9, psum=Register(17, Overflow.WRAP)), {}, "ordered-32"),
        (127, -128, 127, simple(48, chain=3, psum=Register(16, Overflow.WRAP)), {}, "ordered-16"),
        (127, -128, 127, simple(32, chain=3, psum=Register(16, Overflow.WRAP), bias_at=BiasAt.END), {}, "ordered-16"),
        # Three partial sums of 31 bits may reach 3 * 2**30 in a wider accumulator.
        (32767, -32768, 32767, simple(48, chain=3, psum=Register(31, Overflow.WRAP)), {}, None),
        (127, -128, 127, simple(16), {"depthwise": True}, "ordered-16"),
        (127, -128, 127, simple(19), {"depthwise": True}, "words"),
        (127, -128, 127, simple(19), {"depthwise": True, "repeat": 2}, None),
        # Bytes: what is stored, the weights, and for depthwise layers the output.
        (127, -128, 127, simple(19), {"stored_bits": 8}, BYTES),
        (255, -128, 127, simple(20), {"stored_bits": 8}, BYTES),
        (127, -128, 127, simple(19), {"stored_bits": 8, "depthwise": True}, BYTES),
        (128, -128, 127, simple(19), {"stored_bits": 8, "depthwise": True}, "words"),
        (127, -128, 127, simple(19), {"stored_bits": 8, "depthwise": True, "output_bits": 16}, "words"),
        # Operands beyond int16 have no kernel.
        (32767, -4, 3, simple(40), {}, "words"),
        (32768, -4, 3, simple(40), {}, None),
        (1, -32768, 32767, simple(40), {}, "words"),
        (1, -32769, 0, simple(40), {}, None),
        (1, 0, 32768, simple(40), {}, None),
        # 9 * 16383 * 14564 = 2147433066 < 2**31; a little more does not fit the lanes.
        (16383, 0, 14564, simple(48), {}, "words"),
        (16384, 0, 14564, simple(48), {}, None),
        # A register of 31 bits plus a product of 2**30 - 1 stays within int32; one of 32 bits has its own addition.
        (32767, -32768, 32767, simple(31), {}, "ordered-32"),
        (32767, -32768, 32767, simple(32), {}, "ordered-32"),
        (32767, -32768, 32767, simple(33), {}, None),
    ],
)
def test_what_the_simd_kernels_may_compute(
    weight: int, low: int, high: int, reduction: Reduction, kind: dict[str, Any], operation: str | None
) -> None:
    plan = planned(np.full((9, 1), weight), np.zeros(1, np.int64), low, high, reduction, **kind)
    assert plan.operation == operation
    assert (plan.kernel == "exact") == plan.proof.startswith("no input can overflow")


@pytest.mark.skipif(not ENABLED, reason="the SIMD kernels need the JIT")
def test_a_register_plus_a_product_must_fit_int32() -> None:
    """A register of 31 bits holds -2**30: with a product of 2**30 - 2**15 the sum fits int32, with one of 2**30 it need not."""
    for activation, operation in ((-32767, "ordered-32"), (-32768, "ordered-32"), (-32769, None)):
        assert planned(np.full((9, 1), 32767), np.zeros(1, np.int64), activation, 1, simple(31)).operation == operation
    assert planned(np.full((9, 1), 2**14), np.zeros(1, np.int64), 0, 2**15 - 1, simple(31)).operation == "ordered-32"
    assert planned(np.full((9, 1), 2**15), np.zeros(1, np.int64), 0, 2**15 - 1, simple(31)).operation is None


@pytest.mark.skipif(not ENABLED, reason="the SIMD kernels need the JIT")
@pytest.mark.parametrize("sign", [1, -1])
def test_an_accumulator_and_a_late_bias_must_fit_int32_together(sign: int) -> None:
    for bias, operation in ((2**31 - 2**16 - 1, "ordered-32"), (2**31 - 2**16, None)):
        plan = planned(np.full((9, 1), 127), np.array([sign * bias]), -128, 127, simple(17, bias_at=BiasAt.END))
        assert plan.operation == operation
        assert plan.largest == 2**16 + bias


@pytest.mark.skipif(not ENABLED, reason="the SIMD kernels need the JIT")
@pytest.mark.parametrize("bits", [32, 40])
def test_partial_sums_bound_a_wide_accumulator_before_a_late_bias(bits: int) -> None:
    """Three chains of three products leave at most 3 * 2**15; with the bias it must stay below 2**31."""
    reduction = simple(bits, chain=3, psum=Register(16, Overflow.WRAP), bias_at=BiasAt.END)
    for bias, operation in ((2**31 - 3 * 2**15 - 1, "ordered-16"), (2**31 - 3 * 2**15, None)):
        plan = planned(np.full((9, 1), 127), np.array([bias]), -128, 127, reduction)
        assert plan.operation == operation
        assert plan.largest == 3 * 2**15 + bias


def test_the_proof_names_the_bits_needed_and_the_bits_there_are() -> None:
    ordered = planned(np.full((9, 1), 127), np.zeros(1, np.int64), -128, 127, simple(17))
    assert ordered.proof == "overflow is possible: 19 accumulator bits would rule it out and it has 17"
    reduction = simple(32, chain=9, psum=Register(17, Overflow.WRAP))
    partial = planned(np.full((9, 1), 127), np.zeros(1, np.int64), -128, 127, reduction)
    assert partial.proof == "overflow is possible in the partial sum or the tree, not in the accumulator"
