"""Files that are expensive to make, made once: in the user's cache, under the hash of everything they are made from.

A file is written beside its place and renamed, under a lock: several processes that want the same one wait for the first, and
nobody reads half of one. Nothing in the cache is ever out of date, so it can be deleted at any time and never must be.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hwsim.spec import InputError

COMPILERS = ("c++", "g++", "clang++")
"""Tried in this order where the environment variable CXX names none."""

FLAGS = ("-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", "-fno-exceptions", "-fwrapv", "-w")
"""For every library. Less optimization takes no less time: what CXXRTL writes must be inlined. The text is generated, so that its
warnings are nobody's concern."""


def key_of(*parts: str | bytes) -> str:
    """Return a name for what is made of `parts`; where one part ends and the next begins makes a difference."""
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else part.encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:32]


@functools.cache
def cache_folder() -> Path:
    """Return the folder of built files: ``hwsim/rtl`` in the user's cache, or a temporary one where that cannot be written."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwsim" / "rtl"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):
        pass
    return Path(tempfile.mkdtemp(prefix="hwsim-rtl-"))


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """Return the file `name` of the cache.

    Parameters
    ----------
    name
        With the key of everything that decides the content, see `key_of`.
    make
        Called where there is no such file yet, with the path to write to.
    """
    path = cache_folder() / name
    if path.exists():
        return path
    with _locked(path.with_name(f"{name}.lock")):
        if not path.exists():
            with tempfile.TemporaryDirectory(prefix=".making-", dir=path.parent) as folder:
                part = Path(folder) / name
                make(part)
                part.replace(path)
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    if sys.platform == "win32":
        # It has no fcntl; the rename keeps files whole there too.
        yield
        return
    import fcntl

    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@functools.cache
def compiler() -> tuple[str, ...]:
    """Return the C++ compiler's command.

    Raises
    ------
    InputError
        Where there is none.
    """
    named = os.environ.get("CXX")
    if named:
        command = tuple(shlex.split(named))
        if command and shutil.which(command[0]):
            return command
        raise InputError(f"CXX must be the command of a C++ compiler, not {named!r}")
    for name in COMPILERS:
        if shutil.which(name):
            return (name,)
    raise InputError(
        "compiled RTL needs a C++ compiler (c++, g++ or clang++ on the PATH, or its command in CXX), not none; "
        "on Debian or Ubuntu: apt install g++"
    )


@functools.cache
def _compiler_identity() -> str:
    """Return what the compiler says of itself and of this processor, whose instructions it will use."""
    command = compiler()
    version = _output([*command, "--version"])
    processor = _output([*command, "-march=native", "-dM", "-E", "-x", "c++", os.devnull])
    return "\n".join([shlex.join(command), version, processor])


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{shlex.join(command)} failed: {_first_error(done.stderr)}")
    return done.stdout


def _first_error(text: str) -> str:
    lines = [line for line in text.splitlines() if "error" in line] or text.splitlines() or ["no message"]
    return lines[0]


def shared_library(source: str, includes: Sequence[Path]) -> Path:
    """Compile C++ into a shared library.

    Parameters
    ----------
    source
        The whole text but for what it includes from `includes`, folders whose content belongs to a version that the text
        states.

    Raises
    ------
    InputError
        Where there is no compiler, or it refuses the text.
    """

    def make(path: Path) -> None:
        text = path.with_suffix(".cc")
        text.write_text(source, "utf-8")
        _output([*compiler(), *FLAGS, *(f"-I{folder}" for folder in includes), str(text), "-o", str(path)])

    return cached(f"{key_of(source, _compiler_identity(), *FLAGS)}.so", make)
