"""Thresholds of accumulators: the kernel against counting, tables against their function, layers on both paths."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.graph import Quantization, Tensor
from hwsim.kernels.thresholds import apply_thresholds
from hwsim.load.onnx_thresholds import FARTHEST, NEVER, threshold_table
from hwsim.ops import Conv2D, FullyConnected, Window
from hwsim.spec import Arithmetic, Format, InputError, Overflow, Reduction, Register


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 20), st.sampled_from(["int32", "int64"]))
def test_the_kernel_counts(seed: int, channels: int, levels: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    acc = rng.integers(-40, 40, (7, channels)).astype(dtype)
    sign = rng.choice([-1, 1], channels)
    table = np.concatenate([sign[:, None], np.sort(rng.integers(-40, 40, (channels, levels)), axis=1)], axis=1)
    out = np.empty(acc.shape, np.int8)
    apply_thresholds(acc, table, 0, -9, 2, out)
    for m, n in np.ndindex(*acc.shape):
        reached = sum(int(sign[n]) * int(acc[m, n]) >= int(threshold) for threshold in table[n, 1:])
        assert out[m, n] == -9 + 2 * reached


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_tables_are_the_function_at_every_accumulator(seed: int) -> None:
    """Exact fractions beside the search: a line of either slope, rounded down, between 0 and 5."""
    rng = np.random.default_rng(seed)
    slopes = [Fraction(int(rng.integers(-9, 10)), int(rng.integers(1, 40))) for _ in range(4)]
    terms = [Fraction(int(rng.integers(-60, 60)), 8) for _ in range(4)]

    def exact(acc: int, channel: int) -> int:
        return min(max((slopes[channel] * acc + terms[channel]).__floor__(), 0), 5)

    def level(acc: Any) -> Any:
        return np.array([[exact(int(value), n) for n, value in enumerate(row)] for row in acc])

    table = threshold_table(level, 4, 5)
    acc = np.repeat(np.arange(-60, 60)[:, None], 4, axis=1)
    out = np.empty(acc.shape, np.int8)
    apply_thresholds(acc, table, 0, 0, 1, out)
    assert np.array_equal(out, level(acc))


def test_levels_that_all_or_none_reach() -> None:
    table = threshold_table(lambda acc: np.full(acc.shape, 2), 1, 4)
    assert table.tolist() == [[1, -FARTHEST, -FARTHEST, NEVER, NEVER]]


@pytest.mark.parametrize("acc", ["32:wrap", "10:saturate", "9:wrap"])
@pytest.mark.parametrize("kind", ["conv2d", "fully_connected"])
def test_layers_compare_what_leaves_their_accumulators(acc: str, kind: str) -> None:
    """The SIMD kernels and the golden one, narrow registers and wide."""
    rng = np.random.default_rng(3)
    source, weights = (
        Quantization(Format(4), np.array(0.5), np.array(0)),
        Quantization(Format(3), np.array(0.5), np.array(0)),
    )
    result = Quantization(Format(2), np.array(1.0), np.array(0))
    conv = kind == "conv2d"
    shape = (5, 3, 3, 4) if conv else (5, 24)
    op = Conv2D(Window((3, 3))) if conv else FullyConnected()
    stored = rng.integers(-4, 4, shape).astype(np.int8)
    table = np.concatenate([rng.choice([-1, 1], (5, 1)), np.sort(rng.integers(-30, 30, (5, 3)), axis=1)], axis=1)
    inputs = [
        Tensor("x", (1, 6, 5, 4) if conv else (1, 24), source), Tensor("w", shape, weights, stored),
        Tensor("b", (5,), data=rng.integers(-9, 9, 5)), Tensor("t", table.shape, data=table),
    ]  # fmt: skip
    (size,) = op.infer(inputs)
    arithmetic = Arithmetic(Reduction(Register.parse(acc)))
    arrays = [rng.integers(-8, 8, (3, *inputs[0].shape[1:])).astype(np.int8), *(tensor.data for tensor in inputs[1:])]
    (out,) = op.prepare(inputs, [Tensor("y", size, result)], arithmetic).run(arrays)
    sums = Quantization(Format(32), np.array(1.0), np.array(0))
    (left,) = op.prepare(inputs[:3], [Tensor("y", size, sums)], arithmetic).run(arrays[:3])
    assert left.dtype == np.int32
    # A tree of lanes would be golden only; here a monitor that observes is.
    unit = op.prepare(inputs, [Tensor("y", size, result)], arithmetic)
    from hwsim.kernels.monitor import Monitor

    (golden,) = unit.run(arrays, Monitor(5, observe=True))
    reached = (table[:, :1].T * left.reshape(-1, 5))[:, :, None] >= table[None, :, 1:]
    assert np.array_equal(out.reshape(-1, 5), -2 + reached.sum(axis=2))
    assert np.array_equal(out, golden)
    assert len(np.unique(out)) == 4


def test_sums_beyond_32_bits_do_not_leave_a_layer() -> None:
    wide = Quantization(Format(16), np.array(1.0), np.array(0))
    stored = np.full((1, 9), 2**15 - 1, np.int16)
    inputs = [Tensor("x", (1, 9), wide), Tensor("w", (1, 9), wide, stored)]
    sums = Quantization(Format(32), np.array(1.0), np.array(0))
    arithmetic = Arithmetic(Reduction(Register(48, Overflow.WRAP)))
    with pytest.raises(InputError, match="sums that leave the layer must be within 32 bits, not 9663"):
        FullyConnected().prepare(inputs, [Tensor("y", (1, 1), sums)], arithmetic)


def test_sums_of_a_32_bit_register_leave_a_layer_as_they_are() -> None:
    """9 * (2**15 - 1) * -2**15 + ... wraps into the lowest numbers of 32 bits: the low bits of the exact sum."""
    wide = Quantization(Format(16), np.array(1.0), np.array(0))
    stored = np.full((1, 9), 2**15 - 1, np.int16)
    inputs = [Tensor("x", (1, 9), wide), Tensor("w", (1, 9), wide, stored)]
    sums = Quantization(Format(32), np.array(1.0), np.array(0))
    rows = np.random.default_rng(4).integers(-(2**15), 2**15, (40, 9)).astype(np.int16)
    (out,) = FullyConnected().prepare(inputs, [Tensor("y", (1, 1), sums)], Arithmetic()).run([rows, stored])
    exact = rows.astype(np.int64).sum(axis=1, keepdims=True) * (2**15 - 1)
    assert np.array_equal(out, exact.astype(np.int32))
    assert (np.abs(exact) > 2**31).any()
