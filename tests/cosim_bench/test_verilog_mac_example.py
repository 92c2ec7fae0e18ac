"""The example of one's own Verilog: its bench passes on it, and sees what is broken in it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "verilog_mac"

pytestmark = pytest.mark.rtl


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The example's own script, imported from where it lies."""
    spec = importlib.util.spec_from_file_location("verilog_mac_run", EXAMPLE / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(example: ModuleType, text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, str]:
    monkeypatch.setattr(sys, "path", [str(EXAMPLE), *sys.path])
    path = folder / "mac.v"
    path.write_text(text, "utf-8")
    passed, log = example.run(path, folder)
    return passed, log


def test_the_example_is_right(example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed, log = run(example, (EXAMPLE / "mac.v").read_text("utf-8"), tmp_path, monkeypatch)
    assert passed, log


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        ("sum > HIGHEST ? HIGHEST", "sum > HIGHEST ? HIGHEST - 1", "mismatch: results"),
        ("sum < LOWEST ? LOWEST : sum", "sum", "mismatch: results"),
        ("fresh <= s_axis_tlast", "fresh <= 0", "mismatch: results"),
        ("!m_axis_tvalid || m_axis_tready", "1'b1", " before "),
        ("m_axis_tvalid <= s_axis_tvalid && s_axis_tlast", "m_axis_tvalid <= s_axis_tlast", "X"),
    ],
)
def test_a_broken_mac_is_seen(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, seen: str
) -> None:
    text = (EXAMPLE / "mac.v").read_text("utf-8")
    assert text.count(old) == 1
    passed, log = run(example, text.replace(old, new), tmp_path, monkeypatch)
    assert not passed
    assert seen in log, log
