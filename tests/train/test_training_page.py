"""The page of measurements follows from what is stored beside it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

REPORTS = Path(__file__).resolve().parents[2] / "reports"


def test_the_page_is_that_of_the_stored_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No PyTorch, and nothing measured: ``python reports/training.py --text`` would change nothing."""
    monkeypatch.syspath_prepend(str(REPORTS))
    text = importlib.import_module("training_text")
    stored = json.loads((REPORTS / "training.json").read_text("utf-8"))
    assert text.page(stored) == (REPORTS / "training.md").read_text("utf-8")
    assert set(stored) <= {text.KEY, *(case.key for case in text.CASES)}
