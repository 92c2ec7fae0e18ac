"""Extremes of registers in the declared order: equal to those of all inputs, and reached by the constructed worst one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from hwsim.kernels.bounds import bound
from hwsim.kernels.monitor import REGISTERS, Monitor
from hwsim.kernels.reduce import reduce_panel
from hwsim.sim.analyze.extremes import extremes, intervals
from hwsim.spec import BiasAt, Overflow, Reduction, Register, bits_for
from kernels.reduction_cases import reductions

WIDE = Register(48, Overflow.WRAP)
SMALL_RANGES = ((0, 1), (-1, 1), (0, 2), (2, 3), (-3, -1), (-1, 0), (1, 1))
"""Also those that leave out 0, where a prefix can be worse than the whole."""


def exact(reduction: Reduction) -> Reduction:
    """Return the order with registers that hold everything."""
    return dataclasses.replace(
        reduction, acc=WIDE, tree=reduction.tree and WIDE, psum=None if reduction.chain is None else WIDE
    )


def narrowed(reduction: Reduction, place: str, bits: int, overflow: Overflow) -> Reduction:
    """Return the order with one narrow register."""
    return dataclasses.replace(exact(reduction), **{place: Register(bits, overflow)})  # type: ignore[arg-type]


@st.composite
def tiny(draw: Any) -> tuple[list[int], int, tuple[int, int], Reduction]:
    """Draw one channel whose inputs can all be tried."""
    weights = draw(st.lists(st.integers(-9, 9), min_size=1, max_size=6))
    return weights, draw(st.integers(-30, 30)), draw(st.sampled_from(SMALL_RANGES)), draw(reductions())


def recorded(bias: int, reduction: Reduction, run: Callable[[], object]) -> list[tuple[str, int]]:
    """Return what a run of the oracle writes to each register that the reduction has, the start of its accumulator first."""
    seen = [("acc", bias if reduction.bias_at is BiasAt.START else 0)]

    class Recorder(oracle.Registers):
        def write(self, name: str, register: Register | None, total: int) -> int:
            if register is not None:
                seen.append((name, total))
            return super().write(name, register, total)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oracle, "Registers", Recorder)
        run()
    return seen


def written(weights: list[int], bias: int, activations: tuple[int, ...], reduction: Reduction) -> list[tuple[str, int]]:
    """Return what the oracle writes to each register."""
    return recorded(bias, reduction, lambda: oracle.reduce(list(activations), weights, bias, exact(reduction)))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(tiny())
def test_extremes_are_those_of_all_inputs(case: tuple[list[int], int, tuple[int, int], Reduction]) -> None:
    weights, bias, (low, high), reduction = case
    found = extremes(np.array(weights)[:, None], np.array([bias]), low, high, reduction)
    least: dict[str, int] = {}
    most: dict[str, int] = {}
    for activations in itertools.product(range(low, high + 1), repeat=len(weights)):
        for name, total in written(weights, bias, activations, reduction):
            least[name] = min(total, least.get(name, total))
            most[name] = max(total, most.get(name, total))
    assert {name: (int(ends.low[0]), int(ends.high[0])) for name, ends in found.items()} == {
        name: (least[name], most[name]) for name in REGISTERS if name in least
    }


@st.composite
def layers(draw: Any) -> tuple[Any, Any, int, int, Reduction]:
    """Draw weights [K, N], bias [N], an activation range and an order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bits = draw(st.integers(4, 16))
    weights = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (draw(st.integers(1, 60)), draw(st.integers(1, 3))))
    ranges = ((-128, 127), (0, 255), (-255, 0), (3, 17), (-90, -5), (-32768, 32767))
    return weights, rng.integers(-(2**20), 2**20, weights.shape[1]), *draw(st.sampled_from(ranges)), draw(reductions())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(layers(), st.sampled_from(Overflow))
def test_the_worst_input_reaches_the_bound_and_one_bit_less_overflows(layer: Any, overflow: Overflow) -> None:
    weights, bias, low, high, reduction = layer
    for place, ends in extremes(weights, bias, low, high, reduction).items():
        for n in range(weights.shape[1]):
            column, start = np.ascontiguousarray(weights[:, [n]]), bias[[n]]
            safe = bits_for(int(ends.low[n]), int(ends.high[n]))
            # The register's smallest width is 8: what needs less fits there.
            wide = narrowed(reduction, place, max(safe, 8), overflow)
            largest = np.where(column.T > 0, high, low)
            events = [run(row, column, start, wide) for row in (largest, high + low - largest)]
            assert events == [0, 0], (place, n)
            if safe > 8:
                narrow = narrowed(reduction, place, safe - 1, overflow)
                form = Register(safe - 1, overflow).format
                rows = []
                for value, at, row in (
                    (int(ends.high[n]), ends.high_at[n].tolist(), largest),
                    (int(ends.low[n]), ends.low_at[n].tolist(), high + low - largest),
                ):
                    if not form.lo <= value <= form.hi:
                        # What the accumulator only starts at does not fit before any sum is formed.
                        started = place == "acc" and reduction.bias_at is BiasAt.START
                        unfit_start = started and not form.lo <= int(start[0]) <= form.hi
                        rows.append(unfit_start or run(row, column, start, narrow) > 0)
                        assert at != [0, 0, 0] or unfit_start
                assert rows and all(rows), (place, n)


def run(row: Any, column: Any, bias: Any, reduction: Reduction) -> int:
    """Return the events of one output."""
    monitor = Monitor(1)
    reduce_panel(np.ascontiguousarray(row), column, bias, reduction, monitor)
    return monitor.events


@settings(max_examples=100, deadline=None, derandomize=True)
@given(layers())
def test_any_order_is_never_better_and_equals_the_planners_bound(layer: Any) -> None:
    weights, bias, low, high, reduction = layer
    found, planned = extremes(weights, bias, low, high, reduction), bound(weights, bias, low, high, reduction)
    for name, ends in found.items():
        assert np.all(ends.any_low <= ends.low) and np.all(ends.any_high >= ends.high), name
        assert np.all(ends.low >= getattr(planned, f"{name}_low"))
        assert np.all(ends.high <= getattr(planned, f"{name}_high"))
        if low <= 0 <= high:
            # Then a subset is a prefix whose other activations are 0.
            assert np.array_equal(
                getattr(planned, f"{name}_low"), np.minimum(ends.low, 0) if name != "acc" else ends.low
            )
            assert np.array_equal(
                getattr(planned, f"{name}_high"), np.maximum(ends.high, 0) if name != "acc" else ends.high
            )
    assert np.array_equal(found["acc"].any_low, planned.acc_low)
    assert np.array_equal(found["acc"].any_high, planned.acc_high)


def test_the_order_matters_where_a_chain_can_be_filled_better() -> None:
    """Terms up to 10, 10, 1, 1 in chains of 2: in order 20 at most; the planner's other order is no worse than any two."""
    reduction = Reduction(chain=2, psum=Register(16, Overflow.WRAP))
    split = extremes(np.array([[10], [1], [10], [1]]), np.array([0]), 0, 1, reduction)["psum"]
    assert (int(split.high[0]), split.high_at[0].tolist(), int(split.any_high[0])) == (11, [0, 2, 0], 20)


def test_a_range_without_zero_makes_the_declared_order_tighter_for_the_accumulator() -> None:
    """Products 3 * 5..6, -4 * 5..6: prefixes are 15..18 and -9..-2; a subset of the products could be -24."""
    ends = extremes(np.array([[3], [-4]]), np.array([0]), 5, 6, Reduction())["acc"]
    assert (int(ends.low[0]), int(ends.high[0])) == (-9, 18)
    assert (ends.low_at[0].tolist(), ends.high_at[0].tolist()) == ([0, 2, 0], [0, 1, 0])
    assert (int(ends.any_low[0]), int(ends.any_high[0])) == (-24, 18)


def test_intervals_of_a_tree_with_an_odd_lane_and_a_short_last_group() -> None:
    """3 lanes: (0, 1), then that with 2. 4 products: the second group is p[3] and two paddings."""
    found = intervals(Reduction(lanes=3, tree=WIDE, chain=1, psum=WIDE), 4)
    assert found["tree"].tolist() == [[0, 2], [0, 3], [3, 4], [3, 4]]
    assert found["psum"].tolist() == [[0, 3], [3, 4]]
    assert found["acc"].tolist() == [[0, 0], [0, 3], [0, 4]]


def test_channels_in_blocks_are_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    weights, bias = rng.integers(-9, 9, (20, 7)), rng.integers(-9, 9, 7)
    reduction = Reduction(lanes=2, chain=3, psum=WIDE)
    whole = extremes(weights, bias, -4, 3, reduction)
    monkeypatch.setattr("hwsim.sim.analyze.extremes._ELEMENTS", 30)
    parts = extremes(weights, bias, -4, 3, reduction)
    for name in whole:
        for part in dataclasses.fields(whole[name]):
            assert np.array_equal(getattr(whole[name], part.name), getattr(parts[name], part.name))
