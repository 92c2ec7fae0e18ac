"""Texts from files that a user names, and whole numbers from texts; both in one line where they cannot be had."""

from __future__ import annotations

from pathlib import Path

from hwsim.spec import InputError, require

MAX_FILE_BYTES = 1 << 24


def read_text(path: Path) -> str:
    """Return a file's text, without a byte order mark.

    Raises
    ------
    InputError
        For a file that is missing, is not UTF-8, or is absurdly large.
    """
    try:
        size = path.stat().st_size
        require(size <= MAX_FILE_BYTES, f"{path}: file size", f"at most {MAX_FILE_BYTES} bytes", size)
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: text must be UTF-8, not other bytes") from None
    except OSError as error:
        raise InputError(f"{path}: file must be readable, not {str(error.strerror).lower()}") from None


def whole_number(where: str, field: str, text: str, least: int, most: int = 1 << 30) -> int:
    """Return what a text means to Python's `int`, which is what SCALE-Sim reads with; `where` is a file and line."""
    try:
        value = int(text.strip())
    except ValueError:
        value = least - 1
    require(least <= value <= most, f"{where}: {field}", f"an integer from {least} to {most}", repr(text.strip()))
    return value
