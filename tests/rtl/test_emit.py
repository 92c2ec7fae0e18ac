# amaranth: UnusedElaboratable=no
"""Emitted Verilog as text; `test_cocotb.py` simulates it."""

from __future__ import annotations

import re

import pytest

from hwsim.rtl import DotProduct, RegisterAdd, to_verilog
from hwsim.spec import Format, InputError, Overflow, Reduction, Register


def make() -> DotProduct:
    return DotProduct(Format(8), Format(4), Reduction(lanes=3))


def test_same_unit_same_text() -> None:
    text = to_verilog(make(), "pe")
    assert text == to_verilog(make(), "pe")
    assert "/" not in re.sub(r"/\*.*?\*/", "", text), "a path of this machine is in the text"


def test_ports() -> None:
    text = to_verilog(make(), "pe")
    top = text[text.index("module pe(") :]
    ports = re.search(r"\((.*?)\);", top, re.DOTALL)
    assert ports is not None
    assert set(ports.group(1).replace("\n", " ").split(", ")) == {
        "clk",
        "rst",
        *(f"{stream}__{port}" for stream in ("groups", "results") for port in ("payload", "valid", "ready")),
    }
    combinational = to_verilog(RegisterAdd(Register(16, Overflow.SATURATE), 16, 9), "add")
    assert "clk" not in combinational
    assert re.search(r"output \[15:0\] sum;", combinational)


def test_blocks_are_evaluated_at_time_0() -> None:
    """Every flag that Yosys declares with a value is set by an initial block instead."""
    text = to_verilog(make(), "pe")
    flags = re.findall(r"^ *reg (\\\$auto\$verilog_backend\S+) ;$", text, re.MULTILINE)
    assert flags
    for flag in flags:
        assert f"initial {flag} = 0;\n" in text
    assert not re.search(r"verilog_backend\S+ *= 0;", re.sub("initial .*", "", text))


@pytest.mark.parametrize("name", ["", "1st", "dot product", "naïve", "pe\n"])
def test_name_must_be_an_identifier(name: str) -> None:
    with pytest.raises(InputError, match="name must be a Verilog identifier, not"):
        to_verilog(make(), name)
