"""What SCALE-Sim 3.0.0 gets wrong, one by one: the compatible mode has it, with the figure that shows it."""

from __future__ import annotations

import pytest

from hwsim.scalesim import Config, Layer, defects, simulate
from hwsim.scalesim.config import Dataflow
from hwsim.scalesim.folds import Folds

ALEXNET_CONV4 = Layer("conv4", 13, 13, 3, 3, 384, 384)


def folds(dataflow: Dataflow, rows: int, cols: int, time: int, mapped: tuple[int, int] | None = None) -> Folds:
    return Folds(dataflow, rows, cols, *(mapped or (rows, cols)), time)


def test_the_total_is_one_cycle_short() -> None:
    """256 x 128 x 256 on 32 x 32, os: 8 * 4 folds of 32 + 32 + 256 - 2 cycles are 10176; the golden report has 10175."""
    (result,) = simulate([Layer.gemm("Test 1", 256, 128, 256)], Config("x", 32, 32, 64, 64, 64, "os"))
    assert result.folds.cycles == 10176
    assert result.cycles == 10175


@pytest.mark.parametrize(("dataflow", "cycles"), [("ws", 11199), ("is", 14207)])
def test_so_are_the_others(dataflow: Dataflow, cycles: int) -> None:
    """The same GEMM in SCALE-Sim's golden reports."""
    (result,) = simulate([Layer.gemm("Test 1", 256, 128, 256)], Config("x", 32, 32, 64, 64, 64, dataflow))
    assert result.cycles == cycles


def test_outputs_leave_before_their_operands_have_come() -> None:
    """Its golden trace, 32 rows and K = 256: row 31 leaves in cycle 255, its last operand is read in 255 + 31."""
    assert defects.output_before_operand(folds("os", 32, 32, 256)) == 31
    assert defects.output_before_operand(folds("ws", 32, 32, 256)) == 0


def test_stray_writes_are_counted_per_fold() -> None:
    """33 x 17 on 8 x 5 elements, os: 5 * 4 folds of 8 + 5 each beyond 561 outputs; reported: 821."""
    (result,) = simulate([Layer.gemm("A", 33, 17, 100)], Config("x", 8, 5, 1, 1, 1, "os"))
    assert defects.stray_writes(result.folds) == 260
    assert result.sram[2].words == 821 == 33 * 17 + 260


def test_partial_sums_are_written_to_dram_and_never_read_back() -> None:
    """AlexNet's conv4 on 32 x 32, ws: K = 3456 in 108 folds, so 108 times the 11 * 11 * 384 outputs; 31 words of padding."""
    (result,) = simulate([ALEXNET_CONV4], Config("x", 32, 32, 256, 256, 256, "ws"))
    outputs = 11 * 11 * 384
    assert result.dram[2].words == 108 * outputs + 31
    assert defects.unread_partial_sums(result.folds) == 107 * outputs


@pytest.mark.parametrize(
    ("dataflow", "rows", "cols", "time", "simulated", "rtl"),
    [
        ("os", 8, 8, 16, 30, 39), ("os", 4, 8, 32, 42, 47), ("os", 8, 4, 5, 15, 24),
        ("ws", 8, 8, 16, 38, 47), ("ws", 4, 8, 32, 46, 51),
    ],
)  # fmt: skip
def test_its_own_rtl_takes_more_cycles(
    dataflow: Dataflow, rows: int, cols: int, time: int, simulated: int, rtl: int
) -> None:
    """Cycles of one fold of SCALE-Sim's RTL example in Icarus Verilog, from the first operand to the last output."""
    one = folds(dataflow, rows, cols, time)
    assert (one.fold_cycles, defects.rtl_fold_cycles(one)) == (simulated, rtl)


def test_half_of_a_buffer_and_a_little_more_is_never_hit() -> None:
    """256 KiB: sets of 2621 words, 50 of them: 131,050 words of 262,144."""
    assert defects.wasted_bytes(256) == 262144 - 131050


def test_partial_windows_count_as_whole_ones() -> None:
    """AlexNet's conv1, 224 / 11 / 4: 55 x 55 outputs, where a convolution without padding has 54 x 54."""
    layer = Layer("conv1", 224, 224, 11, 11, 3, 96, 4)
    assert (layer.ofmap_height, layer.ofmap_width) == (55, 55)
    assert layer.macs == 55 * 55 * 363 * 96


def test_what_fits_is_read_again() -> None:
    """AlexNet's conv3 on 32 x 32, os: a column fold's weights (2304 * 32 words) fit in 256 KiB; yet 1.71 times all are read."""
    (result,) = simulate([Layer("conv3", 13, 13, 3, 3, 256, 384)], Config("x", 32, 32, 256, 256, 256, "os"))
    assert 2304 * 32 < 256 * 1024
    assert abs(result.dram[1].words / (2304 * 384) - 1.71) < 0.005
