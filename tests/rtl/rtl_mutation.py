"""Hardware with a mistake put into its source, to see that the benches find it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest


def put_mutant(monkeypatch: pytest.MonkeyPatch, module: ModuleType, old: str, new: str) -> None:
    """For this test, let all of `hwsim.rtl` use a copy of `module` in which `old`, found exactly once, reads `new`.

    Raises
    ------
    AssertionError
        Where `old` is not there once: the source was rewritten, and the mutant needs new words.
    """
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    assert source.count(old) == 1, f"{module.__name__} has {source.count(old)} places like {old!r}; rewrite this mutant"
    copy = ModuleType(module.__name__)
    copy.__file__ = module.__file__
    copy.__package__ = module.__name__.rpartition(".")[0]
    exec(compile(source.replace(old, new), f"<mutant of {module.__name__}>", "exec"), copy.__dict__)
    own = {name: value for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__}
    for user in [found for name, found in sys.modules.items() if name.startswith("hwsim.rtl")]:
        for name, value in own.items():
            if getattr(user, name, None) is value:
                monkeypatch.setattr(user, name, getattr(copy, name))
