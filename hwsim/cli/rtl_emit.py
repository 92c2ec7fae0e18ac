"""``hwsim rtl emit``: a core's Verilog and what belongs to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.rtl_options import ConfigArgument
from hwsim.cli.terminal import check_parent, console
from hwsim.sim.core_file import load_core


def rtl_emit(
    config: ConfigArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")],
) -> None:
    """Write a core as Verilog, with a JSON sidecar that rebuilds it, a FuseSoC description and a list of its ports."""
    core = load_core(config)
    check_parent(output, "--output")
    # Amaranth belongs to an extra and takes a while to import.
    from hwsim.hardware.simulators import check_packages

    check_packages("amaranth")
    from hwsim.hardware.emit import emit

    for path in emit(core, output):
        console.print(str(path), highlight=False)
