"""Measure what sweeps cost again: ``reports/sweep_costs.json``, and the tables of ``reports/sweep.md`` between its marks.

    python reports/sweep_costs.py [--runs N] [--whole] [--only text]

Needs the data pack (HWSIM_DATA). Processor time, each run in a process of its own that has begun with one point of the sweep, so
that starting and loading are not counted; the median of the runs and their range. About five minutes with three runs.
``--whole`` measures the example that the report is of, from nothing, with one worker and two: some minutes on two free cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from hwsim.spec import InputError
from hwsim.sweep.api import read_space, sweep_rows

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parent / "examples" / "resnet8_sweep" / "SPACE.toml"
STORED, PAGE = "sweep_costs.json", "sweep.md"
BEGIN, END = "<!-- costs: python reports/sweep_costs.py -->", "<!-- end of costs -->"

FOLDER = "$HWSIM_DATA/mlperf_tiny"
TIMED = {
    "ResNet-8": {"model": f"{FOLDER}/resnet8_int8.tflite"},
    "MobileNetV1 0.25": {"model": f"{FOLDER}/vww_mobilenet_v1_0.25_int8.tflite"},
}
BUFFERS = {"sram_bytes": [32768, 65536, 131072, 262144]}
SPEEDS = {"dram_bytes_per_cycle": [1.0, 2.0, 3.0, 4.0, 8.0]}
MACHINES: dict[str, dict[str, Any]] = {
    "9 arrays, 4 buffers, 5 speeds of the DRAM": {"rows": [8, 16, 32], "cols": [8, 16, 32], **BUFFERS, **SPEEDS},
    "45 arrays, 4 buffers": {"rows": [4, 6, 8, 10, 12, 16, 20, 24, 32], "cols": [4, 8, 16, 24, 32], **BUFFERS},
    "180 speeds of the DRAM": {"dram_bytes_per_cycle": {"from": 0.25, "to": 45.0, "step": 0.25}},
}
"""180 machines each, times only."""

EXECUTED = {"model": f"{FOLDER}/resnet8_int8.tflite", "data": "cifar10"}
QUANTIZED = {"model": f"{FOLDER}/resnet8_float.tflite", "data": "cifar10", "input_mean": [0], "input_std": [1]}
WIDE = ["48:wrap", "32:wrap", "32:saturate", "24:saturate"]
"""No input of ResNet-8 tells them apart."""


SHARED = {
    "quantizations": "widths of weights, quantized with 256 calibration images",
    "arithmetics": "arithmetics that no input tells apart, on 2,000 images",
}


def points(network: str, machines: str) -> float:
    """Return the milliseconds of a machine more, all other work of the sweep done."""
    first = {"models": [TIMED[network]], "accelerator": "edge-16x16", "parameters": {"rows": [5]}}
    added = {**first, "parameters": MACHINES[machines]}
    rows, seconds = swept(first, added)
    return 1e3 * seconds / rows


def quantizations(number: int) -> float:
    """Return the seconds of so many quantizations of ResNet-8 on few images."""
    first = {"models": [QUANTIZED], "images": 1, "accelerator": "edge-16x16", "parameters": {"calibration_images": 8}}
    widths = [8, 7, 6, 5][:number]
    return swept(first, {**first, "parameters": {"weight_bits": widths, "ranges": "percentile:99.9"}})[1]


def arithmetics(number: int) -> float:
    """Return the seconds of so many arithmetics that are the same for ResNet-8, on 2000 images."""
    first = {"models": [EXECUTED], "images": 10, "accelerator": "edge-16x16", "parameters": {"acc": "32:wrap"}}
    return swept(first, {**first, "images": 2000, "parameters": {"acc": WIDE[:number]}})[1]


def whole(workers: int) -> dict[str, float]:
    """Return what the example of ResNet-8 and MobileNetV1 costs from nothing: seconds by the clock, and of all processes."""
    before, start = _processor_seconds(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rows = sweep_rows(read_space(EXAMPLE), Path(folder, "results"), workers=workers)
    seconds, used = time.monotonic() - start, _processor_seconds() - before
    return {"points": len(rows), "seconds": round(seconds, 1), "processor_seconds": round(used, 1)}


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def swept(first: dict[str, Any], added: dict[str, Any]) -> tuple[int, float]:
    """Return the rows of a sweep and its processor time, after another one in the same folder and process."""
    with tempfile.TemporaryDirectory() as folder:
        sweep_rows(read_space(first), Path(folder, "results"), workers=0)
        start = time.process_time()
        rows = sweep_rows(read_space(added), Path(folder, "results"), workers=0)
        seconds = time.process_time() - start
    if {row["status"] for row in rows} != {"ok"}:
        raise InputError(f"a point failed: {next(row['reason'] for row in rows if row['reason'])}")
    return len(rows), seconds


MEASURED: dict[str, Callable[[], float]] = {
    **{f"point|{network}|{machines}": partial(points, network, machines) for machines in MACHINES for network in TIMED},
    **{f"quantizations|{number}": partial(quantizations, number) for number in (1, 4)},
    **{f"arithmetics|{number}": partial(arithmetics, number) for number in (1, 4)},
}
"""By name; points in milliseconds, all else in seconds."""


def measure(runs: int) -> dict[str, list[float]]:
    """Return the figures of all runs, one process each, interleaved: what else the machine does falls on all alike."""
    found: dict[str, list[float]] = {name: [] for name in MEASURED}
    for _ in range(runs):
        for name, figures in found.items():
            done = subprocess.run([sys.executable, __file__, "--one", name], check=True, capture_output=True, text=True)
            figures.append(round(float(done.stdout.split()[-1]), 3))
            print(f"{name}: {figures[-1]}", flush=True)
    return found


def span(figures: list[float], unit: str) -> str:
    """Return the median, and the range."""
    return f"{median(figures):.1f} {unit} ({min(figures):.1f} to {max(figures):.1f})"


def text(found: dict[str, list[float]]) -> str:
    """Return the tables."""
    lines = ["| 180 machines more, processor time of each | " + " | ".join(TIMED) + " |", "|---|" + "---|" * len(TIMED)]
    for machines in MACHINES:
        cells = [span(found[f"point|{network}|{machines}"], "ms") for network in TIMED]
        lines.append(f"| {machines} | {' | '.join(cells)} |")
    lines += ["", "| ResNet-8, processor time | of 1 | of 4 |", "|---|---|---|"]
    for name, words in SHARED.items():
        lines.append(f"| {words} | {' | '.join(span(found[f'{name}|{number}'], 's') for number in (1, 4))} |")
    return "\n".join(lines)


def whole_text(found: dict[str, dict[str, float]]) -> str:
    """Return the table of the whole example; nothing where it was not measured."""
    if not found:
        return ""
    lines = [
        "",
        "",
        "| whole example, workers | points | seconds by the clock | processor seconds |",
        "|---|---|---|---|",
    ]
    for workers, figures in found.items():
        lines.append(
            f"| {workers} | {figures['points']:,} | {figures['seconds']:,} | {figures['processor_seconds']:,} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, store, and write the tables."""
    parser = argparse.ArgumentParser(description="What sweeps cost.")
    parser.add_argument("--runs", type=int, default=3, help="processes per figure")
    parser.add_argument("--whole", action="store_true", help="measure only the whole example, with one and two workers")
    parser.add_argument("--only", choices=["text"], help="from the stored figures")
    parser.add_argument("--one", choices=MEASURED, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=HERE, help="folder of the figures and the page")
    given = parser.parse_args()
    figures, page = given.output / STORED, given.output / PAGE
    if given.one is not None:
        print(MEASURED[given.one]())
        return
    if given.only is None and "HWSIM_DATA" not in os.environ:
        raise InputError("HWSIM_DATA must name the folder of the data pack")
    stored: dict[str, Any] = json.loads(figures.read_text("utf-8")) if figures.exists() else {"schema_version": 1}
    if given.whole:
        stored["whole"] = {str(workers): whole(workers) for workers in (1, 2)}
    elif given.only is None:
        stored |= {"cores": os.cpu_count(), "runs": measure(given.runs)}
    figures.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")
    before, _, rest = (HERE / PAGE).read_text("utf-8").partition(BEGIN)
    tables = (text(stored["runs"]) if "runs" in stored else "") + whole_text(stored.get("whole", {}))
    page.write_text(f"{before}{BEGIN}\n{tables}\n{END}{rest.partition(END)[2]}", "utf-8")


if __name__ == "__main__":
    try:
        main()
    except InputError as problem:
        sys.exit(f"reports: {problem}")
