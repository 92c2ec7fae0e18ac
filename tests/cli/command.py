"""Calling the command line as a user does, in this process or in one of its own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hwsim.cli.main import main

QUICK = ("--images", "5", "--calibration-images", "8", "--observe", "2")
"""Options of a run that should be over soon."""


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


class Command:
    """Runs ``hwsim`` in this process, in a folder of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._monkeypatch, self._capsys, self.folder = monkeypatch, capsys, folder
        monkeypatch.chdir(folder)

    def __call__(self, *arguments: str | Path) -> Answer:
        """Run and return what was said; any exception but an exit is the test's to see."""
        self._monkeypatch.setattr(sys, "argv", ["hwsim", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        said = self._capsys.readouterr()
        return Answer(code if isinstance(code, int) else int(code is not None), said.out, said.err)

    def refused(self, *arguments: str | Path) -> str:
        """Run a command that must be refused: exit code 2, one line, and not a file more or less than before."""
        before = snapshot(self.folder)
        answer = self(*arguments)
        assert answer.code == 2, answer
        assert answer.err.startswith("hwsim: "), answer.err
        assert answer.err.count("\n") == 1 and answer.err.endswith("\n"), answer.err
        assert "Traceback" not in answer.err + answer.out
        assert snapshot(self.folder) == before
        return answer.err.removeprefix("hwsim: ").rstrip("\n")


def snapshot(folder: Path) -> dict[str, str]:
    """Return every file and folder below `folder`, hidden ones too, with a digest of its contents."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def shell(folder: Path, *arguments: str, code: str = "from hwsim.cli.main import main; main()") -> Answer:
    """Run ``hwsim`` in a process of its own."""
    command: Sequence[str] = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)
