"""Numba's flags and compile cache, in one place.

The cache lives in a folder named after a hash of the kernels' own sources: numba itself does not see a change in an
``@intrinsic`` or an inlined function of another file and would run the stale machine code.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config

ENABLED = not config.DISABLE_JIT
"""False with NUMBA_DISABLE_JIT=1: kernels then run as plain Python, and the SIMD kernels are not available."""


def _cache_folder() -> Path:
    sources = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwsim"
    folder = base / f"numba-{sources.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    # A read-only home still gets compiled code, just not across processes.
    return Path(tempfile.mkdtemp(prefix="hwsim-numba-"))


if ENABLED and not os.environ.get("NUMBA_CACHE_DIR"):
    config.CACHE_DIR = str(_cache_folder())


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first use; cached on disk, releasing the GIL, with wrapping integers and no bounds checks."""
    compiled: Callable[..., Any] = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled
