"""Write ``reports/rtl_memory.md`` again: what the RTL counts behind a memory, beside what is predicted, network by network.

    python reports/rtl_memory.py [--networks NAME ...] [--resume] [--only text] [--output FOLDER]

Needs the data pack (HWSIM_DATA) for all but the digits networks, the extra ``rtl`` and a C++ compiler. Numbers are kept in
``reports/rtl_memory.json``, run by run as they come; ``--resume`` makes only runs that are not there, and ``--only text`` writes
the page from there. About five minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandwidth_measure import SOURCES, Source

from hwsim.cli.rtl_run import EXIT_DIFFERENT
from hwsim.dataflow import Counters
from hwsim.report.text import grouped, percent
from hwsim.spec import InputError, require

HERE = Path(__file__).resolve().parent

HWSIM = str(Path(sys.executable).with_name("hwsim"))

Json = dict[str, Any]

FIELDS = tuple(vars(Counters()))
"""Counters of the core that do not depend on values, in their order."""

LAYERED = "cifar_mobilenet_v1_025"
"""The network whose layers the page has."""


@dataclass(frozen=True)
class Machine:
    """A core behind a memory: the bandwidth in bytes per cycle, and the latency in cycles."""

    bandwidth: float
    latency: int

    @property
    def name(self) -> str:
        """What tables call the memory."""
        return f"{self.bandwidth:g} B/cycle, {self.latency} cycles"

    def text(self) -> str:
        """Return it as an accelerator file."""
        return (
            f'name = "8x8"\nrows = 8\ncols = 8\ndram_bytes_per_cycle = {self.bandwidth}\n'
            f"[memory]\ndirect = true\ndram_latency_cycles = {self.latency}\n"
        )


MACHINES = (Machine(1.5, 30), Machine(6.0, 100))
"""An array of 8 x 8 asks for eight bytes of weights and eight of activations per cycle."""


def networks() -> tuple[Source, ...]:
    """Return the bundled networks and MLPerf Tiny's ResNet-8."""
    return tuple(source for source in SOURCES if source.name == "ResNet-8" or not source.model.endswith(".tflite"))


def measure(source: Source, machine: Machine) -> Json:
    """Return by layer what the RTL counted, what was predicted, and the cycles of `hwsim time`: one image.

    Raises
    ------
    InputError
        Where a command failed; where RTL and prediction differ, that is what it returns.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "8x8.toml").write_text(machine.text(), "utf-8")
        model = str(source.load().path) if source.model.endswith(".tflite") else source.model
        run = ["rtl", "run", model, "--data", source.data, "--images", "1", "--threads", "1"]
        for name, words in (("run", run), ("time", ["time", model])):
            command = [HWSIM, *words, "--accelerator", f"{folder}/8x8.toml", "--json", f"{folder}/{name}.json"]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode not in (0, EXIT_DIFFERENT):
                raise InputError(f"{source.name} behind {machine.name}: hwsim {words[0]} ended with {done.returncode}")
        ran, timed = (json.loads(Path(folder, f"{name}.json").read_text("utf-8")) for name in ("run", "time"))
    cycles = {layer["name"]: layer["cycles"] for layer in timed["layers"]}
    return {
        node["name"]: {
            "kind": node["kind"],
            "jobs": node["jobs"],
            "elements": node["elements"],
            "differing": node["differing"],
            "measured": [node["counters"][name] for name in FIELDS],
            "predicted": [node["predicted"][name] for name in FIELDS],
            "time": cycles[node["name"]],
        }
        for node in ran["nodes"]
        if node["runs_on"] == "rtl"
    }


def summed(layers: Mapping[str, Json], which: str) -> Counters:
    """Return the counters of all layers together."""
    return sum((Counters(*layer[which]) for layer in layers.values()), Counters())


def waits(counted: Counters) -> int:
    """Return the cycles in which a slot waited."""
    return sum(count for name, count in vars(counted).items() if name.startswith("wait_"))


def both(measured: int, predicted: int) -> str:
    """Return a count and its prediction, in one where they are equal."""
    return f"= {grouped(measured)}" if measured == predicted else f"{grouped(measured)}, not {grouped(predicted)}"


def head(names: Sequence[str]) -> list[str]:
    """Return the first two lines of a table."""
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


SHOWN = ("wait_weights", "wait_activations", "wait_results", "beats_weights", "beats_activations", "beats_results")


def summary(runs: Mapping[str, Mapping[str, Json]]) -> str:
    """Return a row for each run."""
    names = ["network", "memory", "layers", "jobs", "cycles, RTL", "cycles, predicted", "of them waiting"]
    lines = head([*names, *(name.replace("_", " ") for name in SHOWN)])
    for network, memories in runs.items():
        for number, (memory, layers) in enumerate(memories.items()):
            measured, predicted = (summed(layers, which) for which in ("measured", "predicted"))
            jobs = sum(layer["jobs"] for layer in layers.values())
            cells = [network if number == 0 else "", memory, str(len(layers)), grouped(jobs)]
            cells += [grouped(measured.cycles), grouped(predicted.cycles), percent(waits(measured) / measured.cycles)]
            cells += [both(getattr(measured, name), getattr(predicted, name)) for name in SHOWN]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def by_layer(layers: Mapping[str, Json]) -> str:
    """Return a row for each layer of a run."""
    lines = head(
        ["layer", "kind", "cycles, RTL", "predicted", "`hwsim time`", *(name.replace("_", " ") for name in SHOWN)]
    )
    for name, layer in layers.items():
        measured, predicted = (Counters(*layer[which]) for which in ("measured", "predicted"))
        cells = [name, layer["kind"], *map(grouped, (measured.cycles, predicted.cycles, layer["time"]))]
        cells += [both(getattr(measured, field), getattr(predicted, field)) for field in SHOWN]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def verdict(runs: Mapping[str, Mapping[str, Json]]) -> str:
    """Say how many counters were compared, and how many differ."""
    layers = [layer for memories in runs.values() for named in memories.values() for layer in named.values()]
    pairs = [pair for layer in layers for pair in zip(layer["measured"], layer["predicted"], strict=True)]
    counters = sum(measured != predicted for measured, predicted in pairs)
    elements, wrong = (sum(layer[which] for layer in layers) for which in ("elements", "differing"))
    return (
        f"Of {grouped(len(pairs))} counters of layers {grouped(counters)} are not those predicted; of {grouped(elements)} "
        f"results {grouped(wrong)} are not those of the kernels."
    )


def page(runs: Mapping[str, Mapping[str, Json]], left_out: Sequence[str]) -> str:
    """Return the report of some runs; `left_out` names the networks that were not run."""
    lacking = f" Not run: {', '.join(left_out)}." if left_out else ""
    layered = next((name for name in (LAYERED, *runs) if name in runs), "")
    memory, layers = next(iter(runs[layered].items()))
    ends = [layer["time"] - layer["measured"][0] for layer in layers.values()]
    return f"""# The RTL behind a memory, and what is predicted of it

One image of each network on a weight-stationary core of 8 x 8 whose ports are at the DRAM (`direct = true`): every counter of the
RTL that does not depend on values, beside `hwsim.dataflow.predict`. A job is a GEMM; a channel of a depthwise layer is one.
Made by `python reports/rtl_memory.py`, from `rtl_memory.json`; each row is one `hwsim rtl run`, which also holds every tensor
to the kernels.{lacking}

**{verdict(runs)}** `=` stands before a count that is the predicted one.

{summary(runs)}

The memory is a bus that all ports share, with a latency and a FIFO for each port
([rtl-core.md](../docs/rtl-core.md#memory-in-front-of-the-ports)).

## {layered} behind {memory}, layer by layer

`hwsim time` ends a layer when its last byte has crossed the bus, the core when its last beat is in the buffer before it: together
{grouped(sum(ends))} cycles later here, at most {grouped(max(ends))} in a layer and at least {grouped(min(ends))}.

{by_layer(layers)}
"""


def main() -> None:
    """Run what is asked for, keep it, and write."""
    names = [source.name for source in networks()]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--resume", action="store_true", help="keep runs that are there")
    parser.add_argument("--only", choices=["text"], help="write the page from the numbers that are there")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of rtl_memory.md and rtl_memory.json")
    given = parser.parse_args()
    for name in given.networks:
        require(name in names, "--networks", f"one of {', '.join(names)}", repr(name))
    store = given.output / "rtl_memory.json"
    stored: Json = json.loads(store.read_text("utf-8")) if store.exists() else {}
    runs: dict[str, dict[str, Json]] = stored.get("runs", {})
    for source in networks() if given.only is None else ():
        if source.name in given.networks and source.missing():
            print(f"left out {source.name}: {source.missing()}", flush=True)
        elif source.name in given.networks:
            for machine in MACHINES:
                if not (given.resume and machine.name in runs.get(source.name, {})):
                    runs.setdefault(source.name, {})[machine.name] = measure(source, machine)
                    print(f"{source.name}, {machine.name}: run", flush=True)
                runs = {name: runs[name] for name in names if name in runs}
                stored = {"left_out": [name for name in names if name not in runs], "runs": runs}
                store.write_text(json.dumps(stored) + "\n", encoding="utf-8")
    require(bool(runs), "--only", "left out as long as nothing is measured", "text")
    (given.output / "rtl_memory.md").write_text(page(runs, stored["left_out"]), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except InputError as problem:
        sys.exit(f"rtl_memory: {problem}")
