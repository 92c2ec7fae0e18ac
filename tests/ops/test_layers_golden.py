"""Whole layers with weights on the golden kernels against the oracle: windows, groups, zero points, every profile."""

from __future__ import annotations

from hypothesis import given, settings
from layer_cases import Layer, check_against_oracle, layers

from hwsim.kernels.jit import ENABLED

EXAMPLES = 120 if ENABLED else 25


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(layers(("conv",)))
def test_convolutions_equal_the_oracle(layer: Layer) -> None:
    check_against_oracle(layer)


@settings(max_examples=EXAMPLES // 2, deadline=None, derandomize=True)
@given(layers(("depthwise",)))
def test_depthwise_convolutions_equal_the_oracle(layer: Layer) -> None:
    check_against_oracle(layer)


@settings(max_examples=EXAMPLES // 2, deadline=None, derandomize=True)
@given(layers(("fully_connected",), channels=(1, 5, 17, 41)))
def test_fully_connected_layers_equal_the_oracle(layer: Layer) -> None:
    check_against_oracle(layer)
