"""Write ``reports/rtl_resnet8.md`` again: ResNet-8 with every multiplication, sum and requantization done by the RTL.

    python reports/rtl_resnet8.py

Needs the data pack (HWSIM_DATA), the extra ``rtl`` and a C++ compiler; about ten minutes on two processor cores.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

ACCELERATOR = """name = "8x8"
rows = 8
cols = 8
"""

RUNS = (("32:wrap", ()), ("16:wrap", ()), ("16:saturate", ("--bias-at", "end")))
"""Accumulators, and the options that they need besides."""


def measure(model: Path, folder: Path, acc: str, options: tuple[str, ...]) -> dict[str, Any]:
    """Return the document of one run of ``hwsim rtl run``, which fails where RTL and kernels differ."""
    (folder / "8x8.toml").write_text(ACCELERATOR, "utf-8")
    command = [
        str(Path(sys.executable).with_name("hwsim")), "rtl", "run", str(model), "--data", "mlperf_tiny_ic",
        "--accelerator", str(folder / "8x8.toml"), "--acc", acc, *options, "--json", str(folder / "run.json"),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    document: dict[str, Any] = json.loads((folder / "run.json").read_text("utf-8"))
    return document


def layers(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes that ran on the RTL."""
    return [node for node in document["nodes"] if node["runs_on"] == "rtl"]


def events(node: dict[str, Any]) -> int:
    """Return the overflows that the hardware counted in a layer."""
    return sum(count for name, count in node["counters"].items() if name.endswith(("_above", "_below")))


def summary(documents: dict[str, dict[str, Any]]) -> str:
    """Return the table of runs."""
    lines = ["| accumulator | top-1 (correct) | overflow events | tensor elements that differ | cycles | predicted |"]
    lines.append("|---|---|---|---|---|---|")
    for name, document in documents.items():
        accuracy, nodes = document["accuracy"], layers(document)
        differing = sum(node["differing"] for node in document["nodes"])
        elements = sum(node["elements"] for node in document["nodes"])
        lines.append(
            f"| {name} | {100 * accuracy['top1']:.2f} % ({accuracy['correct']}) | {sum(map(events, nodes)):,} "
            f"| {differing} of {elements:,} | {sum(node['counters']['cycles'] for node in nodes):,} "
            f"| {sum(node['predicted_cycles'] for node in nodes):,} |"
        )
    return "\n".join(lines)


def by_layer(document: dict[str, Any]) -> str:
    """Return the table of layers of one run."""
    n = document["images"]
    lines = ["| layer | MACs per image | cycles per image | utilization | waits per image |", "|---|---|---|---|---|"]
    for number, node in enumerate(layers(document), 1):
        counters = node["counters"]
        waits = sum(count for name, count in counters.items() if name.startswith("wait_"))
        lines.append(
            f"| {number} ({node['kind']}) | {node['macs'] // n:,} | {counters['cycles'] / n:,.1f} "
            f"| {100 * node['utilization']:.1f} % | {waits / n:,.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all and write the report."""
    model = Path(os.environ["HWSIM_DATA"], "mlperf_tiny", "resnet8_int8.tflite")
    documents = {}
    with tempfile.TemporaryDirectory() as folder:
        for acc, options in RUNS:
            name = acc + ("" if not options else f", {' '.join(options).removeprefix('--').replace('-', ' ')}")
            documents[name] = measure(model, Path(folder), acc, options)
    first = next(iter(documents.values()))
    cycles = sum(node["counters"]["cycles"] for node in layers(first))
    text = f"""# ResNet-8 on the RTL

MLPerf Tiny's int8 ResNet-8 on its {first["images"]} official CIFAR-10 images, on a weight-stationary core of 8 x 8 with 8-bit
weights: every product, sum and requantization is formed by the RTL, compiled to machine code, clock cycle by clock cycle.
Made by `python reports/rtl_resnet8.py`; each row is one `hwsim rtl run`, which compares every element of every tensor with the
kernels', and every layer's busy cycles with `hwsim.dataflow.predict`.

{summary(documents)}

The accuracy is that of the hardware: the class with the largest logit among those that left it. Overflow events are those
that the hardware counted; they equal the kernels', by layer, register and sign.

One image takes {cycles / first["images"]:,.0f} cycles on the core (32-bit accumulators):

{by_layer(first)}
"""
    (HERE / "rtl_resnet8.md").write_text(text, "utf-8")


if __name__ == "__main__":
    if "HWSIM_DATA" not in os.environ:
        sys.exit("reports: HWSIM_DATA must name the folder of the data pack")
    main()
