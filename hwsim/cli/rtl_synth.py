"""``hwsim rtl synth``: what a core takes of an FPGA, and how fast it is there."""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hwsim.cli.rtl_options import ConfigArgument
from hwsim.cli.terminal import check_parent, check_writable, console, errors, write_whole
from hwsim.sim.core_file import load_core
from hwsim.spec import InputError, require

PLACE = "Place and route"

EXIT_TOOL_FAILED = 1


def rtl_synth(
    config: ConfigArgument,
    target: Annotated[str, typer.Option("--target", help="ecp5 (routed), ice40 or xilinx.")] = "ecp5",
    unit: Annotated[
        str, typer.Option("--unit", help="core: all of it; array: array and accumulators, without ports.")
    ] = "core",
    no_dsp: Annotated[bool, typer.Option("--no-dsp", help="Multiply in LUTs only.")] = False,
    board: Annotated[
        str | None, typer.Option("--board", help="ulx3s-85f: a bitstream that tests itself; needs --output.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Where it begins.", rich_help_panel=PLACE)] = 1,
    freq: Annotated[float, typer.Option("--freq", help="MHz to aim at.", rich_help_panel=PLACE)] = 125.0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", "--out", help="Folder for netlist, logs and bitstream.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the result as JSON.")] = None,
) -> None:
    """Synthesize a core with Yosys, place and route it with nextpnr: parts, clock, and what limits it.

    The same core, options and tools give the same result, which is kept in the user's cache.
    """
    core = load_core(config)
    if json is not None:
        check_writable(json, "--json")
    if output is not None:
        check_parent(output, "--output")
    elif board is not None:
        raise InputError("--output must be a folder for the bitstream, not left out, with --board")
    # They import Amaranth.
    from hwsim.hardware import board as boards
    from hwsim.hardware.synthesis import UNITS, Options, harnessed, place_and_route, synthesize, tools_for
    from hwsim.hardware.synthesis_document import synthesis_document, synthesis_files
    from hwsim.hardware.synthesis_targets import target_of
    from hwsim.hardware.synthesis_tools import check_installed

    options = Options(target_of(target), seed, freq, dsp=not no_dsp)
    require(unit in UNITS, "--unit", " or ".join(UNITS), unit)
    if board is not None:
        boards.check_board(board, unit, options)
    check_installed(tools_for(options))
    try:
        with errors.status("synthesis takes a while the first time"):
            design = harnessed(core, unit) if board is None else boards.design(core)
            netlist = synthesize(design, options)
            routed = place_and_route(netlist, options, design.constraints)
            bitstream = None if board is None or routed is None else boards.bitstream(routed)
    except RuntimeError as error:
        errors.print(f"hwsim: {error}", style="red", highlight=False)
        sys.exit(EXIT_TOOL_FAILED)
    document = synthesis_document(core, board or unit, options, netlist, routed)
    _show(document)
    text = jsonlib.dumps(document, indent=2) + "\n"
    if json is not None:
        write_whole(json, text, "--json")
    if output is not None:
        from hwsim.cosim.files import write_files

        files = synthesis_files(netlist, routed) | {"synthesis.json": text.encode()}
        if bitstream is not None:
            files["self_test.bit"] = bitstream
        written = write_files(output, files)
        console.print(f"wrote {', '.join(path.name for path in written)} to {output}", highlight=False)


def _show(document: dict[str, Any]) -> None:
    from hwsim.hardware.synthesis_targets import target_of

    core = document["core"]
    title = f"{core['name']} ({core['rows']}x{core['cols']}, {document['unit']}) on {document['device']}"
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("part", no_wrap=True)
    for header in ("used", "of", ""):
        table.add_column(header, justify="right", no_wrap=True)
    words = {part.name: part.words for part in target_of(document["target"]).resources}
    for name, part in document["resources"].items():
        used, available = part["used"], part["available"]
        share = f"{100 * used / available:.1f} %" if available else ""
        table.add_row(words[name], f"{used:,}", f"{available:,}" if available else "", share)
    console.print(table)
    for made_of, sizes in document["multiplications"].items():
        for a, b, number in sizes:
            noun = "multiplication" if number == 1 else "multiplications"
            console.print(f"{number:,} {noun} {a} x {b} in {made_of.upper()}s", highlight=False)
    if document["clocks"] is None:
        console.print("not placed and routed, so nothing is known about its clock", highlight=False)
        return
    for clock, mhz in document["clocks"].items():
        console.print(f"{clock}: {mhz:.1f} MHz (seed {document['options']['seed']})", highlight=False)
    if document["critical_path"] is not None:
        console.print(f"slowest path: {document['critical_path']['words']}", highlight=False)
