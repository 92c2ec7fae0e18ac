"""Whole layers on the SIMD kernels against the golden ones, bit for bit and count for count."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layer_cases import OPERATIONS, Layer, check_simd_against_golden, layers

from hwsim.kernels.jit import ENABLED
from hwsim.spec import Overflow, Reduction, Register, ZeroPoints

pytestmark = pytest.mark.skipif(not ENABLED, reason="the SIMD kernels need the JIT")

CHANNELS = {"channels": (1, 3, 7, 16, 17), "outputs": (1, 7, 16, 17, 31, 33, 67)}
WIDE = Reduction(Register(48, Overflow.WRAP))


@st.composite
def exact_layers(draw: Any, **limits: Any) -> Layer:
    """Draw layers whose accumulators hold everything."""
    fold = draw(st.sampled_from(ZeroPoints))
    reduction = dataclasses.replace(WIDE, zero_points=fold)
    return draw(layers(reduction=reduction, bits=draw(st.sampled_from((8, 10, 16))), repeats=(1,), **limits))


@st.composite
def ordered_layers(draw: Any, overflow: Overflow, **limits: Any) -> Layer:
    """Draw layers whose accumulator is a few bits too narrow to be proven safe."""
    wide = Reduction(Register(48, overflow), zero_points=ZeroPoints.SUBTRACT)
    layer = draw(layers(("conv", "fully_connected"), reduction=wide, bits=draw(st.sampled_from((8, 11))), **limits))
    safe = layer.prepare().bounds.safe_bits()
    assume(safe > 8)
    bits = draw(st.integers(max(8, safe - 6), min(31, safe - 1)))
    narrow = layer.with_acc(Register(bits, overflow))
    if len(layer.inputs) > 2 and overflow is Overflow.SATURATE:
        bias = layer.inputs[2]
        form = narrow.arithmetic.reduction.acc.format
        assert bias.data is not None
        clipped = dataclasses.replace(bias, data=bias.data.clip(form.lo, form.hi))
        narrow = dataclasses.replace(narrow, inputs=(*layer.inputs[:2], clipped))
    return narrow


@settings(max_examples=250, deadline=None, derandomize=True)
@given(exact_layers(**CHANNELS))
def test_exact_layers_of_every_kind_equal_the_golden(layer: Layer) -> None:
    unit = layer.prepare()
    assert unit.plan.kernel == "exact"
    if unit.plan.operation is None:
        assert unit.plan.largest >= 2**31 or layer.inputs[0].quantization.format.bits == 16 or unit.plan.largest > 0
    assert check_simd_against_golden(layer, unit) == 0


@pytest.mark.parametrize("overflow", Overflow)
def test_ordered_layers_equal_the_golden_and_count_the_same_events(overflow: Overflow) -> None:
    with_events = []

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(ordered_layers(overflow, **CHANNELS))
    def run(layer: Layer) -> None:
        unit = layer.prepare()
        if unit.plan.kernel == "ordered":
            assert unit.plan.operation == OPERATIONS[overflow.value]
        with_events.append(check_simd_against_golden(layer, unit) > 0)

    run()
    assert sum(with_events) > 60


@settings(max_examples=150, deadline=None, derandomize=True)
@given(layers(outputs=(1, 5, 17)))
def test_whatever_is_planned_gives_the_golden_result(layer: Layer) -> None:
    check_simd_against_golden(layer)
