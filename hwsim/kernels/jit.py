"""Numba's flags and compile cache, in one place.

The cache lives in a folder named after a hash of the kernels' own sources: numba itself does not see a change in an
``@intrinsic`` or an inlined function of another file and would run the stale machine code.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        base = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(cache) / "hwsim")
        folder = base / f"numba-{sources.hexdigest()[:16]}"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):
        pass
    # Without a home, or one that can be written, there still is compiled code, just not across processes.
    return Path(tempfile.mkdtemp(prefix="hwsim-numba-"))


if ENABLED:
    config.CACHE_DIR = str(_cache_folder())


_natives: list[Any] = []
"""They own the machine code of `native`, which lives as long as the process."""


_here = threading.local()
"""`writing`: whether this thread is inside of `_one_writer`."""


@contextmanager
def _one_writer() -> Iterator[None]:
    """Keep other processes, and other threads, from writing to the cache."""
    if sys.platform == "win32" or getattr(_here, "writing", False):
        # It has no fcntl; or what is compiled calls what must be compiled too.
        yield
        return
    import fcntl

    with (Path(config.CACHE_DIR) / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        _here.writing = True
        try:
            yield
        finally:
            _here.writing = False


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first use; cached on disk, releasing the GIL, with wrapping integers and no bounds checks.

    Numba picks the name of a new cache file from an index that it writes before the file. Two processes that do so at once
    can leave one's index with the other's code, of another signature: so a lock goes around it.
    """
    compiled: Callable[..., Any] = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    if ENABLED:
        index = compiled._cache._cache_file  # type: ignore[attr-defined]  # noqa: SLF001 (numba has no public hook)
        save = index.save

        def save_alone(key: Any, data: Any) -> None:
            with _one_writer():
                save(key, data)

        index.save = save_alone
    return compiled


def native(function: Callable[[Any], None]) -> int:
    """Compile a function of one 64-bit integer, which may call jitted ones; return its address, for code that knows no Python."""
    signature = numba.types.void(numba.types.int64)
    # It looks into the cache, compiles and saves all in one.
    with _one_writer():
        made = numba.cfunc(signature, nopython=True, cache=True, error_model="numpy")(function)
    _natives.append(made)
    address: int = made.address
    return address
