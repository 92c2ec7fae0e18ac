"""``hwsim vectors``: stimulus and expected results of a core as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwsim.cli.rtl_options import ConfigArgument
from hwsim.cli.terminal import check_parent, console
from hwsim.cosim.vectors import MANIFEST, write_vectors
from hwsim.sim.core_file import load_core


def vectors(
    config: ConfigArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder: new, empty, or with earlier vectors.")],
    cases: Annotated[int, typer.Option("--cases", help="GEMMs, constructed and random ones in turn.")] = 8,
    seed: Annotated[int, typer.Option("--seed", help="Of the random ones.")] = 1,
) -> None:
    """Write GEMMs for a core: operands and expected results as .npy, the beats of every port for $readmemh."""
    core = load_core(config)
    check_parent(output, "--output")
    written = write_vectors(core, output, cases=cases, seed=seed)
    console.print(f"{cases} cases in {len(written)} files, listed in {output / MANIFEST}", highlight=False)
