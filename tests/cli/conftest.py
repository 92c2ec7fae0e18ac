"""The command, as a fixture."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.command import Command


@pytest.fixture
def hwsim(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """``hwsim`` in an empty folder, without downloaded data."""
    monkeypatch.delenv("HWSIM_DATA", raising=False)
    return Command(monkeypatch, capsys, tmp_path)
