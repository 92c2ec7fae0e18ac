"""The emitted Verilog in Icarus, driven by cocotb: builds, runs `cb_dot_product.py` and judges the result."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cocotb_tools.runner import get_runner
from dot_product_cases import CONFIGURATIONS, Configuration, named

from hwsim.rtl import DotProduct, to_verilog
from hwsim.spec import Overflow

pytestmark = pytest.mark.skipif(
    shutil.which("iverilog") is None, reason="Icarus Verilog (iverilog) is not installed: apt install iverilog"
)

TOP = "dot_product"


def make(configuration: Configuration) -> DotProduct:
    return DotProduct(configuration.activation, configuration.weight, configuration.reduction, configuration.event_bits)


def run(dut: DotProduct, configuration: Configuration, folder: Path) -> str | None:
    """Run the bench on a unit; return None if it passed, else the simulator's log."""
    source, log = folder / f"{TOP}.v", folder / "test.log"
    source.write_text(to_verilog(dut, TOP))
    runner = get_runner("icarus")
    runner.build(
        sources=[source],
        hdl_toplevel=TOP,
        build_dir=folder,
        timescale=("1ns", "1ps"),
        log_file=folder / "build.log",
    )
    environment = {
        "DOT_PRODUCT_CONFIGURATION": configuration.name,
        # By default cocotb rewrites the assertions of every imported module, which costs seconds in numba.
        "COCOTB_REWRITE_ASSERTION_FILES": "cb_*.py",
    }
    try:
        runner.test(hdl_toplevel=TOP, test_module="cb_dot_product", seed=1234, log_file=log, extra_env=environment)
    except SystemExit:  # What the runner raises when a bench fails.
        return log.read_text()
    return None


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda c: c.name)
def test_dot_product(configuration: Configuration, tmp_path: Path) -> None:
    failure = run(make(configuration), configuration, tmp_path)
    assert failure is None, failure


@pytest.mark.parametrize(
    ("name", "register"),
    [("acc16-saturate", "acc"), ("psum16-saturate-chain4", "psum"), ("tree16-saturate-lanes8", "tree")],
)
def test_register_one_bit_short_is_seen(name: str, register: str, tmp_path: Path) -> None:
    configuration = named(name)
    right = getattr(configuration.reduction, register)
    dut = make(configuration)
    # The ports are those of the right reduction; only what is inside is wrong.
    dut.reduction = replace(configuration.reduction, **{register: replace(right, bits=right.bits - 1)})
    failure = run(dut, configuration, tmp_path)
    assert failure is not None
    assert "AssertionError: mismatch: result" in failure, failure


def test_wrap_instead_of_saturate_is_seen(tmp_path: Path) -> None:
    configuration = named("acc13-saturate-lanes3")
    dut = make(configuration)
    wrapping = replace(configuration.reduction.acc, overflow=Overflow.WRAP)
    dut.reduction = replace(configuration.reduction, acc=wrapping)
    failure = run(dut, configuration, tmp_path)
    assert failure is not None
    assert "AssertionError: mismatch: result" in failure, failure
