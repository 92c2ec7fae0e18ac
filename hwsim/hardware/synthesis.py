"""From a core to what it takes of a device and how fast it is there: Yosys, then nextpnr where there is one.

Both run only once for the same hardware, options and versions of the tools: what they wrote is kept in the user's cache.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwsim.hardware import multiplier_registers, multipliers
from hwsim.hardware.build_cache import cached, key_of
from hwsim.hardware.multiplier_registers import absorb
from hwsim.hardware.multipliers import Mapped
from hwsim.hardware.synthesis_targets import Target
from hwsim.hardware.synthesis_tools import Tool, check_installed, run_tool
from hwsim.hardware.timing_report import TimingReport, failed, read_report, refusal
from hwsim.spec import Core, Dataflow, InputError, require
from hwsim.spec.errors import within

UNITS = ("core", "array")
"""What can be synthesized of a core: all of it, or its engine (array and accumulators, between registers)."""

TOP = "top"

PREPARE = (
    # Amaranth gives each element of an array a name such as x[0], which is what ABC9 calls the bits of x.
    f"read_rtlil {TOP}.il; rename -hide w:*]; hierarchy -top {TOP}; proc; flatten; opt_expr; opt_clean; "
    "opt -nodffe -nosdff; wreduce; peepopt; opt_clean; write_rtlil coarse.il"
)
"""What makes of the RTL one module in which every multiplication has the size that it needs."""

FINISH = "hierarchy -check; check -noinit; blackbox =A:whitebox; write_json netlist.json"
"""After synthesis; its own last part, without the names for registers that take a third of the time."""

CONFLICT = "Driver-driver conflict"
"""What Yosys only warns of."""

MOST_MHZ = 1000.0


@dataclass(frozen=True)
class Options:
    """What decides the result besides the hardware.

    Parameters
    ----------
    target
        Family and device.
    seed
        Where place and route begins, 0 to 2^31 - 1.
    mhz
        The clock that it aims at, 1..1000.
    dsp
        Whether hardware multipliers may be used.
    """

    target: Target
    seed: int = 1
    mhz: float = 125.0
    dsp: bool = True

    def __post_init__(self) -> None:
        require(within(self.seed, range(1 << 31)), "--seed", "an integer from 0 to 2^31 - 1", self.seed)
        require(1 <= self.mhz <= MOST_MHZ, "--freq", f"from 1 to {MOST_MHZ:g} MHz", self.mhz)


@dataclass(frozen=True)
class Design:
    """RTLIL with the top module `TOP`, and its pins and clocks (LPF), or None for pins anywhere."""

    rtlil: str
    constraints: str | None = None


@dataclass(frozen=True)
class Netlist:
    """What synthesis made.

    Parameters
    ----------
    cells
        How many, by type.
    mapped
        What became of the multiplications.
    files
        A ZIP file with the netlist and the logs.
    """

    cells: dict[str, int]
    mapped: Mapped
    files: Path


@dataclass(frozen=True)
class Routed:
    """What place and route made: its report, and a ZIP file with its logs and the device's configuration."""

    report: TimingReport
    files: Path


def harnessed(core: Core, unit: str) -> Design:
    """Return a core, or its engine (see `UNITS`), behind a `SerialHarness`."""
    from amaranth.back import rtlil

    from hwsim.rtl import GemmCore
    from hwsim.rtl.output_stationary_engine import OutputStationaryEngine
    from hwsim.rtl.serial_harness import SerialHarness
    from hwsim.rtl.weight_stationary_engine import WeightStationaryEngine

    stationary = core.dataflow is Dataflow.WEIGHT_STATIONARY
    engine = WeightStationaryEngine if stationary else OutputStationaryEngine
    text: str = rtlil.convert(SerialHarness((GemmCore if unit == "core" else engine)(core)), name=TOP, emit_src=False)
    return Design(text)


def tools_for(options: Options) -> list[Tool]:
    """Return the tools that a target needs; place and route for iCE40 is used where it is installed."""
    router = options.target.router
    if router is Tool.NEXTPNR_ICE40 and not router.installed:
        return [Tool.YOSYS]
    return [Tool.YOSYS, *([] if router is None else [router])]


def synthesize(design: Design, options: Options) -> Netlist:
    """Run Yosys.

    Raises
    ------
    InputError
        Where a tool is missing.
    RuntimeError
        Where Yosys fails.
    """
    check_installed(tools_for(options))
    target = options.target
    device = repr(
        (
            target.synthesis,
            target.without_dsp,
            target.map_multipliers,
            target.multiplier_bits,
            target.resource("dsp").capacity,
        )
    )
    choice = b"".join(Path(str(module.__file__)).read_bytes() for module in (multipliers, multiplier_registers))
    key = key_of(
        design.rtlil, PREPARE, FINISH, device, str(options.dsp), choice, multipliers.map_text(), Tool.YOSYS.version
    )
    files = cached(f"{key}.netlist.zip", lambda path: _run_yosys(design.rtlil, options, path))
    with zipfile.ZipFile(files) as archive:
        cells = json.loads(archive.read("cells.json"))
        mapped = Mapped.from_lists(json.loads(archive.read("multipliers.json")))
    return Netlist(cells, mapped, files)


def _run_yosys(rtlil: str, options: Options, path: Path) -> None:
    folder, target = path.parent, options.target
    (folder / f"{TOP}.il").write_text(rtlil, "utf-8")
    _yosys(folder, "prepare.log", PREPARE)
    sizes = multipliers.sizes_of((folder / "coarse.il").read_text("utf-8"))
    capacity = target.resource("dsp").capacity or 0
    mapped = multipliers.choose(sizes, capacity if options.dsp else 0, target.multiplier_bits)
    (folder / "multipliers.json").write_text(json.dumps(mapped.lists()), "utf-8")
    (folder / multipliers.MAP_FILE).write_text(multipliers.map_text(), "utf-8")
    command = f"{target.synthesis} {'' if options.dsp else target.without_dsp} -top {TOP} -run :check"
    multiply = multipliers.script(mapped.lut) + (target.map_multipliers if mapped.dsp else "")
    _yosys(folder, "yosys.log", f"read_rtlil coarse.il; {multiply}{command}; {FINISH}")
    netlist = json.loads((folder / "netlist.json").read_text("utf-8"))
    absorb(netlist)
    (folder / "netlist.json").write_text(json.dumps(netlist), "utf-8")
    types = Counter(cell["type"] for cell in netlist["modules"][TOP]["cells"].values() if cell["type"][0] != "$")
    (folder / "cells.json").write_text(json.dumps(types, sort_keys=True), "utf-8")
    _pack(path, ["netlist.json", "cells.json", "multipliers.json", "prepare.log", "yosys.log"])


def _yosys(folder: Path, log: str, script: str) -> None:
    # To a file by its own option: what it prints after ABC is lost otherwise.
    status = run_tool(Tool.YOSYS, ["-q", "-l", log, "-p", script], folder, "yosys.out")
    said = (folder / log).read_text("utf-8", "replace")
    if status:
        raise failed("Yosys", status, said)
    if CONFLICT in said:
        # It goes on, with a constant, and the netlist computes something else.
        raise failed(
            "Yosys", status, next(line for line in said.splitlines() if CONFLICT in line).replace("Warning", "ERROR")
        )


def place_and_route(netlist: Netlist, options: Options, constraints: str | None = None) -> Routed | None:
    """Run nextpnr, or return None where the target has none, or it is not installed.

    Parameters
    ----------
    constraints
        Those of the design.

    Raises
    ------
    InputError
        Where the design does not fit the device, with what it needs.
    RuntimeError
        Where nextpnr fails for another reason.
    """
    router = options.target.router
    if router not in tools_for(options) or router is None:
        return None
    check_fit(netlist, options.target)
    arguments = [
        *options.target.router_options, "--seed", str(options.seed), "--freq", f"{options.mhz:g}", "--timing-allow-fail",
        "--json", "netlist.json", "--report", "report.json", "--log", "route.log", "--quiet",
        "--textcfg" if router is Tool.NEXTPNR_ECP5 else "--asc", "configuration.txt",
        *([] if constraints is None else ["--lpf", "constraints.lpf"]),
    ]  # fmt: skip
    key = key_of(netlist.files.name, *arguments, constraints or "", router.version)
    files = cached(f"{key}.routed.zip", lambda path: _run_router(router, arguments, netlist, constraints, path))
    with zipfile.ZipFile(files) as archive:
        return Routed(read_report(json.loads(archive.read("report.json"))), files)


def _run_router(router: Tool, arguments: Sequence[str], netlist: Netlist, constraints: str | None, path: Path) -> None:
    folder = path.parent
    with zipfile.ZipFile(netlist.files) as archive:
        archive.extract("netlist.json", folder)
    if constraints is not None:
        (folder / "constraints.lpf").write_text(constraints, "utf-8")
    status = run_tool(router, arguments, folder, "route.out")
    if status:
        log = "".join((folder / name).read_text("utf-8", "replace") for name in ("route.log", "route.out"))
        reason = refusal(log)
        if reason is not None:
            raise InputError(f"core must fit the device, but there is no room: {reason}")
        raise failed("nextpnr", status, log)
    _pack(path, ["report.json", "route.log", "configuration.txt"])


def _pack(path: Path, names: Sequence[str]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(path.parent / name, name)


def check_fit(netlist: Netlist, target: Target) -> None:
    """Raise `InputError` with what is needed and what there is, where a netlist has more cells than the device has parts."""
    excess = [
        f"{needed:,} {part.words} of {part.capacity:,}"
        for part in target.resources
        if part.capacity is not None and (needed := part.count(netlist.cells)) > part.capacity
    ]
    if excess:
        raise InputError(f"core must fit {target.device}, but needs {', '.join(excess)}")


def used_parts(netlist: Netlist, routed: Routed | None, target: Target) -> dict[str, tuple[int, int | None]]:
    """Return how many parts are used, and how many there are, by resource; after place and route what that really took."""
    parts = {}
    for part in target.resources:
        used, available = part.count(netlist.cells), part.capacity
        if routed is not None and part.bels in routed.report.used:
            used, available = routed.report.used[part.bels], routed.report.available[part.bels]
        parts[part.name] = (used, available)
    return parts
