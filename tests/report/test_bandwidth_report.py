"""The bandwidth page covers every network, says which it has not got, and measures nothing twice."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwsim.models.catalog import BUNDLED

REPORTS = Path(__file__).resolve().parents[2] / "reports"

Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the script for a folder of the test's, with words behind it; return what it printed."""
    monkeypatch.syspath_prepend(REPORTS)

    def ran(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["bandwidth.py", *words, "--output", str(tmp_path)])
        capsys.readouterr()
        runpy.run_path(str(REPORTS / "bandwidth.py"), run_name="__main__")
        return capsys.readouterr().out

    return ran


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The networks that the script knows."""
    monkeypatch.syspath_prepend(REPORTS)
    found: list[Any] = list(runpy.run_path(str(REPORTS / "bandwidth_measure.py"))["SOURCES"])
    return found


def test_every_bundled_network_is_measured(networks: list[Any]) -> None:
    assert {model.name for model in BUNDLED} <= {source.name for source in networks}
    assert len({source.name for source in networks}) == len(networks)


def test_what_is_known_is_kept_and_what_is_missing_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HWSIM_DATA", raising=False)
    words = ("--networks", "digits_cnn", "cifar_lenet", "--images", "1")
    missing = "left out cifar_lenet: HWSIM_DATA is not set\n"
    assert run(*words) == f"digits_cnn: measured\n{missing}"
    first = (tmp_path / "bandwidth.md").read_text("utf-8")
    assert "Left out: cifar_lenet (HWSIM_DATA is not set)." in first
    assert (tmp_path / "bandwidth" / "reductions.svg").stat().st_size > 5000
    store = tmp_path / "bandwidth" / "found.json"
    kept = store.read_bytes()
    assert run(*words, "--resume") == f"digits_cnn: known\n{missing}"
    assert (tmp_path / "bandwidth.md").read_text("utf-8") == first
    assert store.read_bytes() == kept
    # Numbers of another file of that name are not this network's.
    other = json.loads(kept)
    other["found"]["digits_cnn"]["model"] = "0" * 64
    store.write_text(json.dumps(other))
    assert run(*words, "--resume").startswith("digits_cnn: measured\n")
    assert store.read_bytes() == kept
