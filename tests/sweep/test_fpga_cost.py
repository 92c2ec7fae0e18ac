"""LUTs and DSPs of sweeps: the model is what its fit says, with the stated error, and does not speak of what it does not know."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hwsim.hardware.synthesis_targets import ECP5
from hwsim.spec import PRESETS, Accelerator, Arithmetic, Datapath, Reduction, Register
from hwsim.sweep.api import read_space, sweep_rows
from hwsim.sweep.fpga_cost import LARGEST_ERROR, LUTS, TYPICAL_ERROR, fpga_cost

REPORTS = Path(__file__).parents[2] / "reports"
DESIGNS: list[dict[str, Any]] = json.loads((REPORTS / "sweep_cost_model.json").read_text())["designs"]
MICRO = next(preset for preset in PRESETS if preset.name == "micro-4x4")


def machine(**fields: Any) -> Accelerator:
    reduction = Reduction(Register.parse(fields.pop("acc", "32:wrap")), **fields.pop("reduction", {}))
    return replace(MICRO, arithmetic=Arithmetic(reduction), **fields)


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: f"{design['rows']}x{design['cols']}-{design['acc']}")
def test_fitted_cores_are_what_yosys_made_of_them(design: dict[str, Any]) -> None:
    """The DSPs of every netlist exactly, its LUTs within the error."""
    found = fpga_cost(machine(rows=design["rows"], cols=design["cols"], acc=design["acc"]), design["weight_bits"], 8)
    luts, dsps = (ECP5.resource(name).count(design["cells"]) for name in ("lut", "dsp"))
    assert found.dsps == dsps
    assert found.luts is not None
    assert abs(found.luts / luts - 1) <= LARGEST_ERROR
    assert found.extrapolated is None


def test_the_numbers_and_their_error_are_those_of_the_fit() -> None:
    fit = runpy.run_path(str(REPORTS / "sweep_cost_model.py"))["fit"](DESIGNS)
    assert fit.costs == pytest.approx(LUTS, rel=1e-3)
    assert fit.largest == pytest.approx(LARGEST_ERROR, abs=0.01)
    assert fit.typical == pytest.approx(TYPICAL_ERROR, abs=0.01)


def test_dsps_of_a_synthesized_array_without_them() -> None:
    """``reports/rtl_synthesis.json`` has a 16x16 array of 4-bit weights that takes none; requantizers, 4 each, are not in it."""
    stored = json.loads((REPORTS / "rtl_synthesis.json").read_text())["designs"]["array-16x16-w4"][0]
    assert stored["resources"]["dsp"]["used"] == 0
    found = fpga_cost(machine(rows=16, cols=16), 4, 8)
    assert found.dsps == 16 * 4
    assert found.extrapolated == "rows 16, fitted 2 to 8; cols 16, fitted 2 to 8"


@pytest.mark.parametrize(
    ("fields", "luts", "dsps", "reason"),
    [
        ({"rows": 64, "cols": 64}, False, True, "rows 64, fitted 2 to 8; cols 64, fitted 2 to 8"),
        ({"rows": 128}, False, False, "rows must be an integer from 1 to 64, not 128"),
        ({"reduction": {"lanes": 2}}, False, True, "no fitted core has lanes = 2"),
        ({"datapath": Datapath(requantizers=1)}, False, True, "no fitted core has requantizers = 1"),
        ({"acc": "40:wrap"}, True, True, "acc_bits 40, fitted 16 to 32"),
    ],
)
def test_what_is_not_known_is_said(fields: dict[str, Any], luts: bool, dsps: bool, reason: str) -> None:
    found = fpga_cost(machine(**fields), 4, 8)
    assert (found.luts is not None, found.dsps is not None) == (luts, dsps)
    assert found.extrapolated is not None
    assert found.extrapolated.startswith(reason)


def test_a_sweep_has_them_as_columns_and_goals(tmp_path: Path) -> None:
    """A quantized model's own bits, those that are asked for, and what saturates: rows say what `fpga_cost` does of them."""
    space = {
        "models": [{"model": "digits_cnn"}],
        "accelerator": "micro-4x4",
        "parameters": {"rows": [4, 128], "weight_bits": ["none", 4], "acc": ["16:saturate", "32:wrap"]},
        "objectives": {"luts": "min", "dsps": "min"},
        "constraints": {"dsps": {"most": 40}},
    }
    rows = sweep_rows(read_space(space), tmp_path / "results", workers=0)
    assert len(rows) == 8
    for row in rows:
        own = fpga_cost(machine(rows=row["rows"], acc=row["acc"]), row["weight_bits"] or 8, 8)
        assert (row["luts"], row["dsps"], row["extrapolated"]) == (own.luts, own.dsps, own.extrapolated)
        assert (row["luts"] is None) == (row["rows"] == 128)
