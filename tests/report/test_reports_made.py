"""Every page of reports/ says which command makes it, and that command is there."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "reports"
PAGES = sorted(REPORTS.rglob("*.md"))


Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a script of reports/ in this process, with words behind it; return the line that it ends with, or nothing."""

    def ran(script: str, *words: str) -> str:
        monkeypatch.syspath_prepend(REPORTS)
        monkeypatch.setattr(sys, "argv", [script, *words])
        try:
            runpy.run_path(str(REPORTS / script), run_name="__main__")
        except SystemExit as end:
            return str(end.code)
        return ""

    return ran


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    """What reports/regenerate.py defines."""
    return runpy.run_path(str(REPORTS / "regenerate.py"))


def makers(page: Path) -> list[str]:
    """Return the commands of a page: scripts in text or in marks, hwsim's own in a block of console input."""
    text = page.read_text("utf-8")
    scripts = re.findall(r"(?:`|<!-- \w+: )python (reports/[^`]*?)(?:`| -->)", text)
    return scripts + re.findall(r"^\$ (hwsim .*)$", text, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPORTS)))
def test_a_page_names_the_command_that_makes_it(page: Path, parts: dict[str, Any]) -> None:
    """It is a part of `make reports`: a script, a page of regenerate.py by the page's own name, or commands of hwsim."""
    scripts = {f"reports/{command.split()[0]}" for command in parts["SCRIPTS"].values()}
    commands = makers(page)
    assert commands
    for command in commands:
        name, *words = command.split()
        if name == "hwsim":
            assert " ".join(words) in parts["SWEEP"]
            assert all((ROOT / word).exists() for word in words if word.endswith(".toml"))
        elif name == "reports/regenerate.py":
            assert words == [page.stem]
            assert page.stem in parts["PARTS"]
        else:
            assert (ROOT / name).is_file()
            assert name in scripts


@pytest.mark.parametrize(("script", "stored"), [
    ("quantization.py", "quantization.json"), ("accumulators.py", "accumulators/counts.json"),
    ("bandwidth.py", "bandwidth/found.json"), ("rtl_memory.py", "rtl_memory.json"),
])  # fmt: skip
def test_text_follows_from_what_is_stored(tmp_path: Path, run: Run, script: str, stored: str) -> None:
    """The pages in the repository are those of the numbers beside them, whatever this machine has measured or not."""
    (tmp_path / stored).parent.mkdir(exist_ok=True)
    shutil.copy(REPORTS / stored, tmp_path / stored)
    assert run(script, "--only", "text", "--output", str(tmp_path)) == ""
    page = Path(script).with_suffix(".md")
    assert (tmp_path / page).read_text("utf-8") == (REPORTS / page).read_text("utf-8")


@pytest.mark.parametrize(("words", "line"), [
    (("regenerate.py", "nothing"), "reports: part must be one of digits, "),
    (("quantization.py", "--only", "nothing"), "quantization: --only must be one of targets, "),
    (("quantization.py", "--images", "0"), "quantization: --images must be 1 or more, not 0"),
    (("bandwidth.py", "--networks", "nothing"), "bandwidth: --networks must be one of digits_cnn, "),
    (("bandwidth.py", "--images", "0"), "bandwidth: --images must be from 1 to 16, not 0"),
    (("accumulators.py", "--only", "curves:nothing"), "accumulators: part must be one of curves:"),
])  # fmt: skip
def test_wrong_words_are_one_line(run: Run, words: tuple[str, ...], line: str) -> None:
    """Nothing is measured or written."""
    said = run(*words)
    assert said.startswith(line)
    assert "\n" not in said
