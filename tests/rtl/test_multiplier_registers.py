# amaranth: UnusedElaboratable=no
"""Registers that move into ECP5 multipliers: which do, and that nothing else changes."""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwsim.hardware import build_cache, synthesis
from hwsim.hardware.multiplier_registers import absorb
from hwsim.hardware.synthesis import TOP, Design, Options, synthesize
from hwsim.hardware.synthesis_targets import ECP5
from hwsim.hardware.synthesis_tools import Tool, run_tool

needs_yosys = pytest.mark.skipif(not Tool.YOSYS.installed, reason="needs the extra synth")

CLOCK, RESET = 2, 3
LAST_CYCLE = 6
"""All of `Unit` is written in each cycle and read at most 3 cycles later, so no later cycle can do what this one cannot."""


def _model() -> str:
    """Return the registers of MULT18X18D as Lattice's sysDSP guide (FPGA-TN-02205) describes what is used of them.

    What it computes of its factors does not matter to what moves, so here it is something in which any bit of either is seen.
    """
    a, b, p = ([f"{port}{i}" for i in range(bits)] for port, bits in (("A", 18), ("B", 18), ("P", 36)))
    stages = (
        ("INPUTA", "a", "factor_a", "{" + ", ".join(reversed(a)) + "}", 18),
        ("INPUTB", "b", "factor_b", "{" + ", ".join(reversed(b)) + "}", 18),
        ("OUTPUT", "p", "product", "product_now", 36),
    )
    text = [f"module MULT18X18D (input {', '.join([*a, *b, *(f'C{i}' for i in range(18))])},"]
    text += [f"  input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, RST0, output {', '.join(p)});"]
    text += ['parameter RESETMODE = "SYNC";']
    for stage, short, name, value, bits in stages:
        text += [f'parameter REG_{stage}_{line} = "NONE";' for line in ("CLK", "CE", "RST")]
        text += [f"reg [{bits - 1}:0] {short} = 0; wire [{bits - 1}:0] {name}, {short}_next = {value};"]
        text += [f"always @(posedge CLK0) if (RST0) {short} <= 0; else if (CE0) {short} <= {short}_next;"]
        text += [f'assign {name} = REG_{stage}_CLK == "NONE" ? {short}_next : {short};']
    text += ["wire [35:0] product_now = {18'b0, factor_a} ^ {14'b0, factor_b, 4'b0} ^ {SIGNEDA, SIGNEDB};"]
    text += [f"assign {{{', '.join(reversed(p))}}} = product;", "endmodule", ""]
    return "\n".join(text)


class Unit(wiring.Component):
    """Every kind of register beside multipliers: plain, shared, reset, read in between, too late."""

    def __init__(self) -> None:
        outputs = ("plain", "reset", "shared", "seen")
        super().__init__(
            {"a": In(signed(5)), "b": In(signed(6)), "passed": Out(signed(5))} | dict.fromkeys(outputs, Out(signed(11)))
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, b = Signal(signed(5), reset_less=True), Signal(signed(6), reset_less=True)
        cleared, late = Signal(signed(5)), Signal(signed(6))
        plain = Signal(signed(11), reset_less=True)
        product = Signal(signed(11))
        m.d.comb += product.eq((a + 1)[:5].as_signed() * self.b)
        m.d.sync += [
            a.eq(self.a), b.eq(self.b), cleared.eq(self.a), plain.eq(a * b), self.plain.eq(plain),
            self.reset.eq(cleared * late), late.eq(self.b), self.passed.eq(a), self.seen.eq(product ^ self.b),
            self.shared.eq(product),
        ]  # fmt: skip
        return m


def _netlists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what Yosys wrote, and that after `absorb`."""
    monkeypatch.setattr(build_cache, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(synthesis, "absorb", lambda netlist: 0)
    netlist = synthesize(Design(rtlil.convert(Unit(), name=TOP, emit_src=False)), Options(ECP5))
    with zipfile.ZipFile(netlist.files) as archive:
        before = json.loads(archive.read("netlist.json"))
    after = copy.deepcopy(before)
    assert absorb(after) == 2
    return before, after


def _proof(folder: Path, before: dict[str, Any], after: dict[str, Any]) -> int:
    """Return Yosys' status for a proof that both do the same from the start on, whatever the inputs are."""
    (folder / "model.v").write_text(_model())
    commands = []
    for name, netlist in (("before", before), ("after", after)):
        # Without the models of cells that Yosys leaves in it as black boxes.
        (folder / f"{name}.json").write_text(json.dumps({"modules": {TOP: netlist["modules"][TOP]}}))
        commands += [
            f"design -reset; read_json {name}.json; read_verilog -overwrite +/ecp5/cells_sim.v model.v",
            f"hierarchy -top {TOP}; proc; flatten; opt -nodffe; rename {TOP} {name}; async2sync; opt_clean",
            f"design -stash {name}",
        ]
    commands += [f"design -copy-from {name} -as {name} {name}" for name in ("before", "after")]
    commands += ["miter -equiv -flatten -make_outputs before after both; hierarchy -top both; opt -full"]
    commands += [f"sat -verify -prove trigger 0 -seq {LAST_CYCLE} -set-init-zero both"]
    return run_tool(Tool.YOSYS, ["-q", "-p", "; ".join(commands)], folder, "log")


@needs_yosys
def test_what_moved_does_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = _netlists(tmp_path, monkeypatch)
    assert _proof(tmp_path, before, after) == 0, (tmp_path / "log").read_text()[-2000:]


@needs_yosys
def test_a_register_that_does_not_belong_to_the_product_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof finds registers without their reset, and one too few."""
    before, after = _netlists(tmp_path, monkeypatch)
    for change in ({"RST0": ["0"]}, None):
        wrong = copy.deepcopy(after)
        multipliers = [cell for cell in wrong["modules"][TOP]["cells"].values() if cell["type"] == "MULT18X18D"]
        for cell in multipliers:
            if change is None:
                cell["parameters"]["REG_INPUTB_CLK"] = "NONE"
            elif "CLK0" in cell["connections"]:
                cell["connections"] |= change
        assert _proof(tmp_path, before, wrong) != 0
        assert "proof did fail" in (tmp_path / "log").read_text()


# Netlists by hand: nets 10.. are factor A, 30.. factor B, 50.. the product, 100.. what registers hold


def _cell(kind: str, inputs: dict[str, Any], outputs: dict[str, Any], **parameters: str) -> dict[str, Any]:
    directions = dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output")
    wires = {port: [bit] for port, bit in (inputs | outputs).items()}
    return {"type": kind, "parameters": parameters, "port_directions": directions, "connections": wires}


def _register(bit: Any, held: int, *, reset: Any = "0", **parameters: str) -> dict[str, Any]:
    plain = {"CEMUX": "1 ", "CLKMUX": "CLK", "GSR": "DISABLED", "LSRMUX": "LSR", "REGSET": "RESET"}
    return _cell("TRELLIS_FF", {"CLK": CLOCK, "DI": bit, "LSR": reset}, {"Q": held}, **plain | parameters)


def _multiplier() -> dict[str, Any]:
    factors = {f"A{i}": 10 + min(i, 3) for i in range(18)} | {f"B{i}": 30 + i if i < 3 else "0" for i in range(18)}
    return _cell("MULT18X18D", factors, {f"P{i}": 50 + i for i in range(36)})


def _netlist(cells: dict[str, Any], outputs: list[int]) -> dict[str, Any]:
    ports = {"out": {"direction": "output", "bits": outputs}}
    return {"modules": {TOP: {"cells": {"mul": _multiplier()} | cells, "ports": ports}}}


def _products(number: int = 6, **fields: Any) -> dict[str, Any]:
    return {f"p{i}": _register(50 + i, 100 + i, **fields) for i in range(number)}


def _cells(netlist: dict[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = netlist["modules"][TOP]["cells"]
    return cells


def test_a_product_takes_its_registers_in() -> None:
    netlist = _netlist(_products(reset=RESET), [100 + i for i in range(6)])
    assert absorb(netlist) == 1
    assert list(_cells(netlist)) == ["mul"]
    mul = _cells(netlist)["mul"]
    assert [mul["connections"][f"P{i}"] for i in range(7)] == [[100], [101], [102], [103], [104], [105], [56]]
    assert {port: mul["connections"][port] for port in ("CLK0", "RST0", "CE0")} == {
        "CLK0": [CLOCK], "RST0": [RESET], "CE0": ["1"],
    }  # fmt: skip
    assert mul["parameters"] == {
        "REG_OUTPUT_CLK": "CLK0", "REG_OUTPUT_CE": "CE0", "REG_OUTPUT_RST": "RST0", "RESETMODE": "SYNC",
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"p2": _register(52, 102, CEMUX="CE")}, id="one has an enable"),
        pytest.param({"p2": _register(52, 102, REGSET="SET")}, id="one starts at 1"),
        pytest.param({"p2": _register(52, 102, SRMODE="ASYNC", reset=RESET)}, id="one is reset at any time"),
        pytest.param({"p2": _register(52, 102, reset=RESET)}, id="one is reset"),
        pytest.param({"p2": _register(52, 102, CLKMUX="INV")}, id="one has the other edge"),
        pytest.param({"lut": _cell("LUT4", {"A": 51}, {"Z": 300})}, id="something else reads the product"),
        pytest.param({"p2": _cell("LUT4", {"A": 52}, {"Z": 102})}, id="one bit is not registered"),
        pytest.param({"p2": _register(9, 102, reset=52)}, id="a bit resets"),
    ],
)
def test_registers_stay_unless_all_of_the_product_is_theirs(change: dict[str, Any]) -> None:
    netlist = _netlist(_products() | change, [*range(100, 106), 300])
    before = copy.deepcopy(netlist)
    assert absorb(netlist) == 0
    assert netlist == before


def test_a_product_that_leaves_by_a_port_stays() -> None:
    netlist = _netlist(_products(), [*range(100, 106), 52])
    assert absorb(netlist) == 0


def _factors(*, reset: Any = "0") -> dict[str, Any]:
    registers = {f"a{i}": _register(200 + i, 10 + i, reset=reset) for i in range(4)}
    return registers | {f"b{i}": _register(210 + i, 30 + i, reset=reset) for i in range(3)}


def test_factors_are_registered_inside_and_their_registers_stay_for_others() -> None:
    """One of the registers is read by something else as well."""
    netlist = _netlist(_factors() | {"lut": _cell("LUT4", {"A": 12}, {"Z": 301})}, [301])
    assert absorb(netlist) == 1
    assert set(_cells(netlist)) == {"mul", "lut", "a2"}
    mul = _cells(netlist)["mul"]
    assert [mul["connections"][f"A{i}"] for i in range(6)] == [[200], [201], [202], [203], [203], [203]]
    assert [mul["connections"][f"B{i}"] for i in range(4)] == [[210], [211], [212], ["0"]]
    assert set(mul["parameters"]) == {
        *(f"REG_INPUT{factor}_{line}" for factor in "AB" for line in ("CLK", "CE", "RST")), "RESETMODE",
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"b1": _cell("LUT4", {"A": 211}, {"Z": 31})}, id="a bit of one factor is not registered"),
        pytest.param({"b1": _register(211, 31, CEMUX="CE")}, id="one has an enable"),
        pytest.param({"b1": _register(211, 31, reset=RESET)}, id="one is reset"),
    ],
)
def test_one_factor_alone_stays(change: dict[str, Any]) -> None:
    netlist = _netlist(_factors() | change, [])
    before = copy.deepcopy(_cells(netlist)["mul"])
    assert absorb(netlist) == 0
    assert _cells(netlist)["mul"] == before


def test_registers_with_another_reset_than_the_product_stay() -> None:
    netlist = _netlist(_products() | _factors(reset=RESET), list(range(100, 106)))
    assert absorb(netlist) == 1
    assert set(_cells(netlist)) == {"mul", *_factors()}
    assert "REG_INPUTA_CLK" not in _cells(netlist)["mul"]["parameters"]


def test_of_two_registers_in_a_row_one_moves() -> None:
    chain = _factors() | {f"z{i}": _register(220 + i, 200 + i) for i in range(4)}
    netlist = _netlist(chain | _products(), list(range(100, 106)))
    assert absorb(netlist) == 1
    assert set(_cells(netlist)) == {"mul", "z0", "z1", "z2", "z3"}


def test_a_product_that_is_the_next_factor_has_its_register_once() -> None:
    """p0..p5 become the first multiplier's; the second one reads them and must not take them again."""
    second = _cell(
        "MULT18X18D",
        {f"A{i}": 100 + i if i < 6 else "0" for i in range(18)}
        | {f"B{i}": 30 + i if i < 3 else "0" for i in range(18)},
        {f"P{i}": 400 + i for i in range(36)},
    )
    factor = {f"b{i}": _register(210 + i, 30 + i) for i in range(3)}
    netlist = _netlist(_products() | factor | {"next": second}, [400])
    assert absorb(netlist) == 1
    assert [_cells(netlist)["mul"]["connections"][f"P{i}"] for i in range(6)] == [[100 + i] for i in range(6)]
    assert [_cells(netlist)["next"]["connections"][f"A{i}"] for i in range(6)] == [[100 + i] for i in range(6)]
    assert not _cells(netlist)["next"]["parameters"]


def test_a_netlist_without_multipliers_stays() -> None:
    netlist: dict[str, Any] = {"modules": {TOP: {"cells": {"r": _register(5, 6)}, "ports": {"q": {"bits": [6]}}}}}
    before = copy.deepcopy(netlist)
    assert absorb(netlist) == 0
    assert netlist == before
