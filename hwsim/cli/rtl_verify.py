"""``hwsim rtl verify``: a core's Verilog in a simulator, held to the kernels."""

from __future__ import annotations

import json as jsonlib
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hwsim.cli.rtl_options import ConfigArgument
from hwsim.cli.terminal import check_parent, check_writable, console, write_whole
from hwsim.report.text import grouped
from hwsim.sim.core_file import load_core
from hwsim.spec import require

if TYPE_CHECKING:
    from hwsim.hardware.verify import Verification

EXIT_MISMATCH = 1


def rtl_verify(
    config: ConfigArgument,
    simulator: Annotated[str, typer.Option("--simulator", help="icarus or verilator.")] = "icarus",
    seed: Annotated[int, typer.Option("--seed", help="Of the random stimulus.")] = 1,
    jobs: Annotated[int, typer.Option("--jobs", help="Random jobs beside the constructed ones.")] = 8,
    waves: Annotated[bool, typer.Option("--waves", help="Record all signals; needs --output.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Keep Verilog, logs, JUnit XML and waves in this folder.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the findings as JSON.")] = None,
) -> None:
    """Run a core's Verilog in Icarus or Verilator and hold results, counters and protocols to the kernels.

    Exits with code 1 on a mismatch, or where a reachable corner case was not met.
    """
    core = load_core(config)
    require(not waves or output is not None, "--output", "given with --waves", "left out")
    if output is not None:
        check_parent(output, "--output")
    if json is not None:
        check_writable(json, "--json")
    # Amaranth and cocotb belong to an extra and take a while to import.
    from hwsim.hardware.simulators import check_simulator

    check_simulator(simulator)
    from hwsim.hardware.verify import verify

    with tempfile.TemporaryDirectory(prefix="hwsim-verify-") as temporary:
        folder = Path(temporary) if output is None else output
        found = verify(core, folder, simulator=simulator, seed=seed, jobs=jobs, waves=waves)
    _print(found)
    if json is not None:
        write_whole(json, jsonlib.dumps(found.document(), indent=2) + "\n", "--json")
        console.print(f"JSON: {json}", highlight=False)
    if output is not None:
        console.print(f"logs, JUnit XML{' and waves' if waves else ''}: {output}", highlight=False)
    if not found.passed:
        command = ["hwsim", "rtl", "verify", config, "--simulator", simulator, "--seed", str(seed), "--jobs", str(jobs)]
        console.print(f"first          {found.first_problem}", highlight=False)
        console.print(f"replay         {shlex.join(command)} --waves -o FOLDER", highlight=False)
        raise typer.Exit(EXIT_MISMATCH)


def _print(found: Verification) -> None:
    core = found.core
    title = f"{core.name}: {core.rows} x {core.cols} {core.dataflow.value} in {found.simulator}, seed {found.seed}"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("test", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for test in found.tests:
        table.add_row(test.name.replace("_", " "), "passed" if test.passed else "FAILED")
    console.print(table)
    beats = ", ".join(f"{name} {grouped(count)}" for name, count in found.beats.items())
    lines = (
        ("cases", f"{found.cases} GEMMs in {found.jobs} jobs"),
        ("beats", beats),
        ("rows compared", f"{grouped(found.compared)}, mismatched {grouped(found.mismatched)}"),
        ("coverage", f"{found.hit} of {found.reachable} reachable bins"),
        ("not met", ", ".join(found.missing)),
        ("simulated", f"{grouped(found.cycles)} cycles"),
    )
    for name, text in lines:
        if text:
            console.print(f"{name:14} {text}", highlight=False)
