"""Figures that SCALE-Sim 3.0.0 itself has reported, typed in here."""

from __future__ import annotations

import pytest
from scalesim_nets import layers

from hwsim.scalesim import Config, Layer, bandwidth_report, compute_report, detailed_access_report, simulate
from hwsim.scalesim.config import Dataflow


@pytest.mark.parametrize(
    ("net", "dataflow", "figures"),
    [
        ("alexnet", "os", (850960, 921373, 0.9240, 706990, 5124360, 549790)),
        ("alexnet", "ws", (1136239, 1212498, 0.6920, 1491108, 3745824, 25350683)),
        ("alexnet", "is", (1158205, 1234601, 0.6789, 397946, 22865952, 25350683)),
        ("mobilenet", "os", (1338519, 1703131, 0.4126, 8879008, 3749786, 3131684)),
        ("mobilenet", "ws", (1433453, 1814371, 0.3853, 17768998, 3185088, 17735638)),
        ("mobilenet", "is", (2314306, 2681268, 0.2386, 5266867, 13408704, 17735638)),
        ("resnet18", "os", (1718353, 2011122, 0.8361, 3569690, 13852964, 2304259)),
        ("resnet18", "ws", (2519815, 2834979, 0.5702, 16608019, 11678912, 46289644)),
        ("resnet18", "is", (2838997, 3153409, 0.5061, 1948906, 31126720, 46289644)),
    ],
)
def test_nine_networks(net: str, dataflow: Dataflow, figures: tuple[float, ...]) -> None:
    """32 x 32 elements, three buffers of 256 KiB, CALC; networks of `scalesim_nets`.

    Sums over the layers of cycles, cycles with prefetch, and DRAM words of the three operands; utilization is products over
    cycles of all elements. SCALE-Sim took 5568 s for these runs.
    """
    results = simulate(layers(net), Config(net, 32, 32, 256, 256, 256, dataflow))
    cycles = sum(result.cycles for result in results)
    with_prefetch = sum(result.cycles_with_prefetch for result in results)
    words = [sum(result.dram[operand].words for result in results) for operand in range(3)]
    utilization = sum(result.layer.macs for result in results) / (cycles * 1024)
    assert (cycles, with_prefetch, *words) == (*figures[:2], *figures[3:])
    # The stored figure has four digits, some of them cut and not rounded.
    assert abs(utilization - figures[2]) < 2e-4


ROWS = {
    "os": (
        "0, 2278, 2219, 0, 63.204146011716986, 70.12500000000001, 63.17567567567567,",
        (
            "0, 5.948625506985128, 3.8305543037404237, 0.36998648039657506, 6.168224299065421, 4.505558806319485, "
            "1.5892351274787535,"
        ),
        (
            "0, 1.0, 2209.0, 13200, 1.0, 2210.0, 8500, 99.0, 2216.0, 821, -50.0, 2089.0, 13200, -50.0, 1658.0, 7700, "
            "1876.0, 2228.0, 561,"
        ),
    ),
    "ws": (
        "0, 2777, 2703, 0, 51.886792452830186, 81.73076923076921, 48.162774725274694,",
        (
            "0, 4.8834628190899005, 0.6289308176100629, 2.69811320754717, 4.927211646136618, 0.8353808353808354, "
            "2.8577586206896552,"
        ),
        (
            "0, 9.0, 2696.0, 13200, 1.0, 2660.0, 1700, 15.0, 2700.0, 7293, -42.0, 2636.0, 13200, -50.0, 1984.0, 1700, "
            "176.0, 2727.0, 7293,"
        ),
    ),
    "is": (
        "0, 3349, 3275, 0, 42.82442748091603, 90.65934065934059, 38.530219780219845,",
        (
            "0, 1.0076335877862594, 3.633587786259542, 2.2268702290076337, 1.1656658424584951, 3.723404255319149, "
            "2.3771186440677967,"
        ),
        (
            "0, 1.0, 3248.0, 3300, 9.0, 3268.0, 11900, 15.0, 3273.0, 7293, -50.0, 2780.0, 3300, -42.0, 3153.0, 11900, "
            "232.0, 3299.0, 7293,"
        ),
    ),
}
HEADERS = (
    (
        "LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles, Overall Util %, Mapping Efficiency %, "
        "Compute Util %,"
    ),
    (
        "LayerID, Avg IFMAP SRAM BW, Avg FILTER SRAM BW, Avg OFMAP SRAM BW, Avg IFMAP DRAM BW, Avg FILTER DRAM BW, "
        "Avg OFMAP DRAM BW,"
    ),
    (
        "LayerID, SRAM IFMAP Start Cycle, SRAM IFMAP Stop Cycle, SRAM IFMAP Reads, SRAM Filter Start Cycle, "
        "SRAM Filter Stop Cycle, SRAM Filter Reads, SRAM OFMAP Start Cycle, SRAM OFMAP Stop Cycle, SRAM OFMAP Writes, "
        "DRAM IFMAP Start Cycle, DRAM IFMAP Stop Cycle, DRAM IFMAP Reads, DRAM Filter Start Cycle, DRAM Filter Stop Cycle, "
        "DRAM Filter Reads, DRAM OFMAP Start Cycle, DRAM OFMAP Stop Cycle, DRAM OFMAP Writes,"
    ),
)


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_reports_of_a_gemm(dataflow: Dataflow) -> None:
    """33 x 17 x 100 (M, N, K) on 8 x 5 elements, buffers of 1 KiB; the three files as they were written.

    Percents may differ in their last digit: Python 3.12 and newer add floats more exactly.
    """
    results = simulate([Layer.gemm("A", 33, 17, 100)], Config("x", 8, 5, 1, 1, 1, dataflow))
    for report, header, row in zip(
        (compute_report, bandwidth_report, detailed_access_report), HEADERS, ROWS[dataflow], strict=True
    ):
        lines = report(results).split("\n")
        assert (lines[0], lines[2:]) == (header, [""])
        assert lines[1].count(",") == row.count(",") and lines[1].endswith(",")
        found, wanted = ([part.strip() for part in line[:-1].split(",")] for line in (lines[1], row))
        assert ["." in part for part in found] == ["." in part for part in wanted]
        assert [float(part) for part in found] == pytest.approx([float(part) for part in wanted], rel=1e-12)


def test_windows_that_reach_beyond_the_image() -> None:
    """1 x 1 x 3, 1 x 1, stride 3: row 3 of a topology on 8 x 5 elements, os, 1 KiB, as SCALE-Sim has written it."""
    (result,) = simulate([Layer("L3", 1, 1, 1, 1, 3, 20, 3)], Config("x", 8, 5, 1, 1, 1, "os"))
    row = "0, 1.0, 45.0, 12, 1.0, 49.0, 60, 9.0, 55.0, 72, -1.0, -1.0, 3, -6.0, -1.0, 60, 55.0, 58.0, 20,"
    assert detailed_access_report([result]).splitlines()[1] == row


def test_equal_layers_have_equal_figures_and_their_own_names() -> None:
    first, second = simulate(
        [Layer.gemm("one", 9, 8, 7), Layer.gemm("other", 9, 8, 7)], Config("x", 4, 4, 1, 1, 1, "ws")
    )
    assert (first.layer.name, second.layer.name) == ("one", "other")
    assert first.dram == second.dram
