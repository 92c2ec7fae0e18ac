"""Writing files that are read by other tools: each appears as a whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hwsim.spec import InputError


def write_files(folder: Path, files: Mapping[str, bytes], option: str = "--output") -> list[Path]:
    """Write files into a folder, which is made where it is missing; other files in it stay.

    All are written beside their places first and then renamed, so that a full disk leaves the old ones as they were.

    Parameters
    ----------
    folder, files
        Where, and the contents by name, which may be a path with ``/``.
    option
        What the folder is called in errors.

    Returns
    -------
    list of Path
        What was written, in the order of `files`.

    Raises
    ------
    InputError
        If the folder cannot be made or written.
    """
    with os_errors(folder, option):
        folder.mkdir(parents=True, exist_ok=True)
        staged: list[tuple[Path, Path]] = []
        try:
            for name, content in files.items():
                place = folder / name
                place.parent.mkdir(parents=True, exist_ok=True)
                staged.append((_stage(place, content), place))
            for temporary, place in staged:
                temporary.replace(place)
        finally:
            for temporary, _ in staged:
                temporary.unlink(missing_ok=True)
    return [folder / name for name in files]


@contextmanager
def os_errors(folder: Path, option: str) -> Iterator[None]:
    """Turn what the operating system refuses into one line about an option."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{option} must be a folder that can be written, not {folder} ({reason})") from None


def _stage(place: Path, content: bytes) -> Path:
    """Write a file beside its place, as readable as the user's umask says, and return it."""
    handle, path = tempfile.mkstemp(prefix=f".{place.name[:64]}.", dir=place.parent)
    temporary = Path(path)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        # mkstemp makes files that only their owner can read.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
