"""Write ``reports/time_speed.md`` again: how long `hwsim time` takes for a machine, beside SCALE-Sim and ZigZag.

    python reports/time_speed.py [--networks resnet8_int8 ...] [--tools scalesim zigzag] [--limit SECONDS] [--runs N]

A network is a file, a bundled model, or one of the data pack's (HWSIM_DATA). Each tool is installed on first use, in an
environment of its own in pytest's cache, where the tests' are. Minutes to hours, nearly all of them the tools'.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from hwsim.load import LoadedModel, load_model
from hwsim.scalesim import read_config, read_topology, simulate
from hwsim.scalesim.reports import REPORTS
from hwsim.sim.accelerator_file import load_accelerator
from hwsim.sim.time.run import evaluation_seconds, time_model
from hwsim.spec import Accelerator, InputError

HERE = Path(__file__).resolve().parent

MACHINE = """name = "tpu_like"
rows = 32
cols = 32
dataflow = "weight_stationary"
dram_bytes_per_cycle = 8.0
[reduction]
acc = "16:wrap"
[memory]
sram_bytes = 2097152
"""
"""What ZigZag's own ``tpu_like`` is: 32 x 32 weights that stay, 2 MiB, 64 bits of DRAM per cycle, sums of 16 bits."""

TIMED = """
import contextlib, io, json, resource, sys, time

def processor():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)

def timed(work):
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet):
        start = processor()
        cycles = work()
        seconds = processor() - start
    print(json.dumps({"seconds": seconds, "cycles": cycles}))
"""
"""Its imports and the start of Python are not the tool's time."""

SCALESIM = """
import csv
from scalesim.scale_sim import scalesim

topology, config = sys.argv[1:]

def work():
    run = scalesim(save_disk_space=True, verbose=False, config=config, topology=topology, layout="layout.csv")
    run.run_scale(top_path="out")
    (report,) = __import__("pathlib").Path("out").rglob("COMPUTE_REPORT.csv")
    rows = list(csv.DictReader(report.open(), skipinitialspace=True))
    return sum(int(float(row["Total Cycles"])) for row in rows)

timed(work)
"""
"""Its command line writes gigabytes of traces, whatever it is told."""

ZIGZAG = """
import logging
from pathlib import Path
import zigzag
from zigzag.api import get_hardware_performance_zigzag

logging.disable(logging.CRITICAL)
inputs = Path(zigzag.__file__).parent / "inputs"

def work():
    answer = get_hardware_performance_zigzag(
        workload=sys.argv[1], accelerator=str(inputs / "hardware" / "tpu_like.yaml"),
        mapping=str(inputs / "mapping" / "tpu_like.yaml"), opt="latency", dump_folder="out",
        loma_show_progress_bar=False,
    )
    return int(answer[1])

timed(work)
"""


@dataclass(frozen=True)
class Tool:
    """A tool, and how it is called on the files of ``hwsim export``: a script, and patterns of its arguments."""

    title: str
    folder: str
    packages: tuple[str, ...]
    script: str
    arguments: tuple[str, ...]


TOOLS = {
    # With newer versions of NumPy that release dies in any run; it states no bound.
    "scalesim": Tool(
        "SCALE-Sim 3.0.0", "scalesim-3.0.0", ("scalesim==3.0.0", "numpy==2.1.3"), SCALESIM,
        ("scalesim/*.csv", "scalesim/*.cfg"),
    ),
    # It imports six and does not ask for it.
    "zigzag": Tool("ZigZag 3.9.1", "zigzag-3.9.1", ("zigzag-dse==3.9.1", "six"), ZIGZAG, ("zigzag/*.yaml",)),
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Seconds of the processor, of every run, and the cycles that were found: none where it was stopped, or failed in no time."""

    seconds: tuple[float, ...]
    cycles: int | None
    note: str = ""


def environment(tool: Tool) -> Path:
    """Return the Python of an environment with a tool in it, made on first use."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = HERE.parent / ".pytest_cache" / "d" / tool.folder / version
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *tool.packages]
        subprocess.run(command, check=True)
        (folder / "complete").touch()
    return python


def run_tool(tool: Tool, files: Path, limit: float, runs: int) -> Measured:
    """Return what a tool takes for a network; all runs together may take the limit, by the clock."""
    python, cycles, note = environment(tool), None, ""
    found: list[float] = []
    arguments = [str(next(files.glob(pattern))) for pattern in tool.arguments]
    end = time.monotonic() + limit
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "layout.csv").write_text("unused,\n", "utf-8")
            before = children()
            try:
                answer = subprocess.run(
                    [str(python), "-c", TIMED + tool.script, *arguments], cwd=folder, check=False, text=True,
                    capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=end - time.monotonic(),
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                return Measured(tuple(found), cycles, note) if found else Measured((children() - before,), None)
            if answer.returncode:
                return Measured((), None, f"{tool.title} failed: {answer.stderr.strip().splitlines()[-1]}")
            document = json.loads(answer.stdout.splitlines()[-1])
            found.append(float(document["seconds"]))
            cycles = int(document["cycles"])
            note = compatible(files, Path(folder)) if tool is TOOLS["scalesim"] else ""
    return Measured(tuple(found), cycles, note)


def compatible(files: Path, folder: Path) -> str:
    """Say how long `hwsim scalesim` takes for the same files, and whether its reports equal the tool's."""
    layers = read_topology(next(files.glob("scalesim/*.csv")))
    config = read_config(next(files.glob("scalesim/*.cfg")))
    start = time.process_time()
    results = simulate(layers, config)
    seconds = time.process_time() - start
    written = folder / "out" / config.run_name
    equal = [report(results) == (written / name).read_text("utf-8") for name, report in REPORTS.items()]
    return (
        f"`hwsim scalesim` takes {seconds:.2g} s for the same files; {sum(equal)} of its {len(equal)} reports equal SCALE-Sim's, "
        "to the character"
    )


def children() -> float:
    """Return the processor's time of all processes that were started and ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def find(name: str) -> LoadedModel:
    """Load a network: a file, a bundled model, or one of the data pack."""
    root = os.environ.get("HWSIM_DATA")
    packed = sorted(Path(root).glob(f"*/{name}.tflite")) if root else []
    return load_model(packed[0] if packed else name)


def export(model: LoadedModel, folder: Path) -> Accelerator:
    """Write a network for all tools, as a user does; return the machine."""
    folder.mkdir()
    machine = folder / "machine.toml"
    machine.write_text(MACHINE, "utf-8")
    hwsim = str(Path(sys.executable).with_name("hwsim"))
    command = [hwsim, "export", str(model.path), "-o", str(folder / "files"), "--accelerator", str(machine)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return load_accelerator(str(machine))


def compare(
    model: LoadedModel, machine: Accelerator, files: Path, tools: Sequence[str], limit: float, runs: int, repeat: int
) -> tuple[list[str], list[str]]:
    """Measure a network; return the rows of the table and the remarks below it."""
    name = model.graph.name
    cycles = time_model(model, machine).total.cycles
    own = evaluation_seconds(model.graph, machine, repeat)
    rows, remarks, others = [], [], {}
    for round_, tool in enumerate(tools, 1):
        print(f"{name}: {TOOLS[tool].title} ...", flush=True)
        others[tool] = run_tool(TOOLS[tool], files, limit, runs)
        # In turns, so that what else the computer does meets both.
        own += evaluation_seconds(model.graph, machine, repeat, first=1 + round_ * repeat)
    least, most, typical = min(own), max(own), median(own)
    rows.append(
        f"| {name} | `hwsim time` | {typical:.4f} ({least:.4f} to {most:.4f}, {len(own)} machines) | {cycles:,} | |"
    )
    for tool, other in others.items():
        rows.append(f"| | {TOOLS[tool].title} | {' | '.join(cells(other, typical))} |")
        if other.note:
            remarks.append(f"- {name}: {other.note}.")
    print("\n".join(rows), flush=True)
    return rows, remarks


def cells(other: Measured, own: float) -> tuple[str, str, str]:
    """Return the seconds, cycles and ratio of a tool."""
    if not other.seconds:
        return "failed", "", ""
    than = "" if other.cycles is not None else "more than "
    runs = f" ({len(other.seconds)} runs)" if len(other.seconds) > 1 else ""
    found = "did not end" if other.cycles is None else f"{other.cycles:,}"
    typical = median(other.seconds)
    return f"{than}{typical:,.1f}{runs}", found, f"{than}{typical / own:,.0f}"


def main() -> None:
    """Measure what was asked for and write the report."""
    parser = argparse.ArgumentParser(description="Time hwsim beside other tools.")
    parser.add_argument("--networks", nargs="+", default=["resnet8_int8"])
    parser.add_argument("--tools", nargs="*", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--limit", type=float, default=600.0, help="seconds by the clock for a tool and a network")
    parser.add_argument("--runs", type=int, default=1, help="of a tool on a network")
    parser.add_argument("--repeat", type=int, default=20, help="machines for hwsim, before the tools and after each")
    given = parser.parse_args()
    rows, remarks = [], []
    with tempfile.TemporaryDirectory() as folder:
        models = [find(name) for name in given.networks]
        folders = [Path(folder, str(number)) for number in range(len(models))]
        machines = [export(model, files) for model, files in zip(models, folders, strict=True)]
        for model, machine, files in zip(models, machines, folders, strict=True):
            new, said = compare(model, machine, files / "files", given.tools, given.limit, given.runs, given.repeat)
            rows += new
            remarks += said
    command = " ".join(["python", "reports/time_speed.py", *sys.argv[1:]])
    text = f"""# Time of `hwsim time` beside other tools

The same network, written by `hwsim export`, on the machine that ZigZag brings as `tpu_like` and its counterparts: 32 x 32
weights that stay, 2 MiB of buffers (in SCALE-Sim, which has no common one, three thirds of it), 8 bytes of DRAM per cycle.
Seconds of one processor core for one machine, side by side in one run, at the median where repeated. Starting Python, imports and
loading the model are counted for nobody; writing its reports is part of a tool's run. `hwsim time` is measured on an array of
another size each time: the search of tiles, of the placement on chip and every layer's cycles are done anew, for all layers, also
those without products, which the others leave out; only what follows from the network alone is kept, as in any search.

| network | tool | seconds per machine | cycles found | times `hwsim time` |
|---|---|---|---|---|
{chr(10).join(rows)}

{chr(10).join(remarks)}

The tools answer different questions, so cycles differ; [scalesim.md](../docs/scalesim.md) says where and why. SCALE-Sim replays
each address and searches nothing: its time grows with the cycles of the network, so that a small network on a large array is
soon done. ZigZag searches loop orders layer by layer (its default search, for latency) and prices them by formulas. hwsim
searches tiles, orders and placements, and prices them by formulas that equal its RTL: its time grows with the number of layers
and of their tilings. "More than" stands where a tool was stopped after {given.limit:,.0f} s by the clock, its runs together; the
figure is the processor's time until then. Where a run had ended before, the one that was stopped is not counted.

Made by `{command}`,
with Python {platform.python_version()} and NumPy {importlib.metadata.version("numpy")} for hwsim.
The computer had other work at the same time, which the processor's time does not count but for shared caches; absolute times
belong to it, ratios carry over better.
"""
    (HERE / "time_speed.md").write_text(text, "utf-8")


if __name__ == "__main__":
    try:
        main()
    except InputError as problem:
        sys.exit(f"reports: {problem}")
