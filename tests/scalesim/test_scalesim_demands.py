"""Figures of `hwsim.scalesim` against demands written out word by word."""

from __future__ import annotations

import math

import pytest
import scalesim_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.scalesim import Config, Layer, LayerResult, simulate
from hwsim.scalesim.defects import stray_writes
from hwsim.spec import InputError


@st.composite
def shapes(draw: st.DrawFn) -> oracle.Shape:
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    return oracle.Shape(
        height, width, draw(st.integers(1, min(4, height))), draw(st.integers(1, min(4, width))), draw(st.integers(1, 9)),
        draw(st.integers(1, 12)), draw(st.integers(1, 3)), draw(st.integers(1, 9)), draw(st.integers(2, 9)),
        draw(st.sampled_from(["os", "ws", "is"])),
    )  # fmt: skip


def run(shape: oracle.Shape, kib: int = 1) -> LayerResult:
    layer = Layer(
        "layer",
        shape.height,
        shape.width,
        shape.kernel_height,
        shape.kernel_width,
        shape.channels,
        shape.filters,
        shape.stride,
    )
    return simulate([layer], Config("x", shape.rows, shape.cols, kib, kib, kib, shape.dataflow))[0]  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(shapes())
def test_every_figure(shape: oracle.Shape) -> None:
    activations, weights, writes, cycles = oracle.demands(shape)
    result = run(shape)
    assert result.cycles == cycles - 1
    for events, sram, dram in zip((activations, weights), result.sram[:2], result.dram[:2], strict=True):
        first, last = oracle.requests(events)
        assert sram.words == len(events)
        # A read is answered one cycle later.
        assert (sram.start_cycle, sram.stop_cycle) == (first + 1, last + 1)
        fetched, full = oracle.read_buffer(events, 1)
        assert dram.words == fetched
        # Sets of 10 words at 10 words per cycle; the first 50 have come one cycle before the first request.
        expected = (first - 50, full[-1] + 1) if full else (-math.ceil(fetched / 10), -1)
        assert (dram.start_cycle, dram.stop_cycle) == expected
    sram, dram = result.sram[2], result.dram[2]
    assert sram.words - stray_writes(result.folds) == len(writes)
    assert (sram.start_cycle, sram.stop_cycle) == (writes[0][0], writes[-1][0])
    assert (dram.start_cycle, dram.stop_cycle, dram.words) == oracle.write_buffer(writes, 1, shape.cols, cycles)


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_buffers_that_are_full_many_times(dataflow: str) -> None:
    """20 x 17 x 11, 3 x 2 x 11, 23 filters: 2,550 activations, 1,518 weights and 5,796 outputs in buffers of 1 KiB."""
    shape = oracle.Shape(20, 17, 3, 2, 11, 23, 1, 8, 6, dataflow)
    activations, weights, writes, cycles = oracle.demands(shape)
    result = run(shape)
    found = tuple(access.words for access in result.dram[:2])
    assert found == (oracle.read_buffer(activations, 1)[0], oracle.read_buffer(weights, 1)[0])
    assert max(found) > 5000
    drained = result.dram[2]
    assert (drained.start_cycle, drained.stop_cycle, drained.words) == oracle.write_buffer(writes, 1, 6, cycles)


def test_larger_buffers_are_filled_less_often_but_not_always_less() -> None:
    """A set-based buffer that drops everything has no inclusion property; what fits whole comes once."""
    shape = oracle.Shape(20, 17, 3, 2, 11, 23, 1, 8, 6, "os")
    reads = [run(shape, kib).dram[0].words for kib in (1, 2, 4, 8)]
    assert reads[-1] == 20 * 17 * 11
    assert reads[0] > reads[-1]


def test_a_buffer_that_is_full_twice_in_a_cycle_is_an_error() -> None:
    """1100 ports ask for 1100 words in a cycle, more than twice the 500 of 1 KiB: SCALE-Sim divides by zero there."""
    layer = Layer.gemm("wide", 1100, 1, 1200)
    with pytest.raises(InputError, match="IfmapSramSzkB must be larger"):
        simulate([layer], Config("x", 1100, 1, 1, 1, 1, "os"))


def test_layers_beyond_all_patience_are_errors() -> None:
    """A million x a million x a thousand; a million folds of one element, and more."""
    for layer, message in (
        (
            Layer.gemm("large", 1 << 20, 1 << 20, 1 << 10),
            "large: words of an operand must be at most 536870912, not 1073741824",
        ),
        (Layer.gemm("deep", 1 << 15, 1 << 15, 1 << 13), "deep: SRAM reads must be at most 100000000000, not"),
        (Layer.gemm("split", 1 << 12, 1 << 12, 1), "split: folds must be at most 4194304, not 16777216"),
    ):
        with pytest.raises(InputError, match=message):
            simulate([layer], Config("x", 1, 1, 1, 1, 1, "os"))


def test_one_element_is_an_error() -> None:
    with pytest.raises(InputError, match="dot: cycles must be 2 or more"):
        simulate([Layer.gemm("dot", 1, 1, 1)], Config("x", 1, 1, 1, 1, 1, "os"))
