"""Copies of a kernel's source with a mistake put in, to see that the checks find it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType


def mutant(module: ModuleType, old: str, new: str) -> ModuleType:
    """Return a copy of `module`, run as plain Python, in which `old`, found exactly once, reads `new`.

    Raises
    ------
    AssertionError
        Where `old` is not there once: the source was rewritten, and the mutant needs new words.
    """
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    assert source.count(old) == 1, f"{module.__name__} has {source.count(old)} places like {old!r}; rewrite this mutant"
    plain = source.replace(old, new).replace("from hwsim.kernels.jit import jit\n", "jit = lambda function: function\n")
    copy = ModuleType(module.__name__)
    copy.__file__ = module.__file__
    exec(compile(plain, f"<mutant of {module.__name__}>", "exec"), copy.__dict__)
    return copy
