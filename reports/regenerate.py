"""Write everything under ``reports/`` again, and the figures that the README quotes: ``make reports``.

    python reports/regenerate.py [PART ...]              (make reports REPORTS="PART ...")

Without arguments all parts are made, which takes hours of one core, most of them for ``time_speed`` and ``rtl_synthesis``.
``digits`` is the example report, ``resnet8_accumulators`` and ``speed`` are pages of this file, ``sweep`` is two commands of
hwsim, ``readme`` writes what those two pages found into the README. Every other part is a script of its own (`SCRIPTS`), run
in a process of its own, with a docstring that says what it takes and needs. Most need the data pack in the folder that
HWSIM_DATA names; ``speed`` and ``kernel_speed`` also need LiteRT (``pip install 'hwsim[compare]'``) and a machine that does
nothing else, ``training`` PyTorch. A part that fails is named at the end; the others are made.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hwsim.data import open_dataset
from hwsim.load import load_model
from hwsim.ops.products import ProductsUnit
from hwsim.report.write import write_report
from hwsim.sim.compare import hwsim_sides, litert_sides, measure, ratio
from hwsim.sim.execute import Execution, execute
from hwsim.sim.feed import Feed
from hwsim.sim.program import Program
from hwsim.sim.run import Settings, run
from hwsim.spec import Arithmetic, BiasAt, InputError, Reduction, Register

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
THREADS = os.cpu_count() or 1

ACCUMULATORS = (
    ("32:wrap", BiasAt.START),
    ("24:saturate", BiasAt.START),
    ("20:saturate", BiasAt.START),
    ("18:saturate", BiasAt.START),
    ("18:wrap", BiasAt.START),
    ("16:saturate", BiasAt.START),
    ("16:saturate", BiasAt.END),
    ("16:wrap", BiasAt.START),
    ("16:wrap", BiasAt.END),
)
"""The machines of the accumulator report; the first is the reference."""


def data_path(*parts: str) -> Path:
    """Return a file of the data pack."""
    root = os.environ.get("HWSIM_DATA")
    if root is None:
        raise InputError("HWSIM_DATA must name the folder of the data pack for this part")
    return Path(root, *parts)


def digits() -> None:
    """The report that ``make demo`` makes, as an example to look at without installing anything."""
    document = run(
        load_model("digits_cnn"), open_dataset("digits"), Settings(threads=THREADS), command="hwsim run digits_cnn"
    )
    page = write_report(document, HERE / "digits_cnn")
    print(f"wrote {page.relative_to(HERE.parent)}")


def explanation(program: Program, execution: Execution, reference: Execution) -> str:
    """Say why an accuracy is what it is, from the counts and the bounds of the run."""
    units = {name: unit for name, unit in program.units.items() if isinstance(unit, ProductsUnit)}
    needed = max(unit.bounds.safe_bits() for unit in units.values())
    ordered = [unit for unit in units.values() if unit.plan.kernel == "ordered"]
    if not ordered:
        return f"No input can overflow: {needed} bits hold every subset of any layer's products, in any order."
    counts = {name: monitor.events for name, monitor in execution.monitors.items()}
    total = sum(counts.values())
    if total == 0:
        return (
            f"Not provable for {len(ordered)} of {len(units)} layers ({needed} bits would be), but not one of their sums "
            "overflowed, so every result equals the reference's."
        )
    worst = max(counts, key=lambda name: counts[name])
    layer = list(units).index(worst) + 1
    changed = int((execution.predictions != reference.predictions).sum())
    return (
        f"{sum(count > 0 for count in counts.values())} of {len(units)} layers overflow, layer {layer} with "
        f"{100 * counts[worst] / total:.0f} % of the events; {changed:,} predictions differ from the reference's."
    )


def resnet8_accumulators() -> None:
    """ResNet-8 on the full CIFAR-10 test set under several accumulators."""
    graph = load_model(data_path("mlperf_tiny", "resnet8_int8.tflite")).graph
    feed = Feed(graph, open_dataset("cifar10"))
    rows: list[str] = []
    figures: dict[str, dict[str, int]] = {}
    reference: Execution | None = None
    for register, bias_at in ACCUMULATORS:
        name = f"{register}, bias at {bias_at.value}"
        try:
            program = Program(graph, Arithmetic(Reduction(Register.parse(register), bias_at=bias_at)))
        except InputError as error:
            reason = str(error).partition("(conv2d): ")[2] or str(error)
            rows.append(f"| {name} | refused | | {reason} |")
            continue
        execution = execute(program, feed, len(feed.dataset), threads=THREADS)
        reference = reference or execution
        total = sum(monitor.events for monitor in execution.monitors.values())
        figures[name] = {"correct": execution.correct, "n": execution.n, "events": total}
        why = explanation(program, execution, reference)
        if execution is reference:
            why = f"The reference, equal to LiteRT's reference kernels. {why}"
        rows.append(
            f"| {name} | {100 * execution.correct / execution.n:.2f} % ({execution.correct}) | {total:,} | {why} |"
        )
        print(f"{name}: {execution.correct} of {execution.n}, {total:,} events")
    assert reference is not None
    text = f"""# ResNet-8 and the width of its accumulators

MLPerf Tiny's int8 ResNet-8 on all {reference.n:,} CIFAR-10 test images, each product added in the declared order (one at a
time, k = (ky * KW + kx) * IC + ic). Made by `python reports/regenerate.py resnet8_accumulators`.

| accumulator | top-1 (correct) | overflow events | why |
|---|---|---|---|
{chr(10).join(rows)}

An event is one sum that the register could not represent. Layers count those that sum products, from the input on.

A saturating accumulator that starts at a bias it cannot hold would start from a wrong number, so that is refused; with the bias
added afterwards, by the requantizer, the same width runs. A wrapping one starts at the bias modulo its width.

Wrapping forgives a running sum that leaves the range and comes back: modulo 2^bits only the final value counts, so events need
not change a result. Saturation does not forgive, but what it leaves behind is large and of the right sign, where a wrapped final
value has the wrong one: compare the two 16-bit rows with the bias at the end. Where the bias enters moves every running sum, and
with it the events.
"""
    (HERE / "resnet8_accumulators.md").write_text(text, encoding="utf-8")
    _remember("accumulators", figures)


def speed() -> None:
    """Speed and equality against LiteRT's reference kernels, model by model."""
    found: dict[str, dict[str, float]] = {}
    rows = []
    for parts in (
        ("mlperf_tiny", "resnet8_int8"),
        ("mlperf_tiny", "kws_dscnn_int8"),
        ("mlperf_tiny", "vww_mobilenet_v1_0.25_int8"),
        ("tflite_imagenet", "mobilenet_v1_0.25_128_quant"),
        ("tflite_imagenet", "tf2_mobilenet_v2_1.0_224_ptq"),
    ):
        model = load_model(data_path(parts[0], f"{parts[1]}.tflite"))
        timings = measure([*litert_sides(model.path, model.graph)[:1], *hwsim_sides(Program(model.graph))], 7)
        times = ratio(timings[-1], timings[0])
        found[parts[1]] = {"litert": timings[0].median, "hwsim": timings[-1].median, "ratio": times}
        rows.append(f"| {parts[1]} | {timings[0].median:,.0f} | {timings[-1].median:,.0f} | {times:.1f} |")
        print(rows[-1])
    text = f"""# Speed beside LiteRT's reference kernels

One thread each, in turns within one process, medians of 7 measurements in CPU time; hwsim at the batch that `hwsim run` uses,
LiteRT's reference kernels at their only batch, 1. Both compute the same bits: `tests/litert` compares every tensor.
Absolute rates belong to the machine that made this table; ratios carry over better. Made by
`python reports/regenerate.py speed`; `hwsim bench MODEL` prints one row of it.

| model | LiteRT reference, images/s | hwsim, images/s | times |
|---|---|---|---|
{chr(10).join(rows)}
"""
    (HERE / "speed.md").write_text(text, encoding="utf-8")
    _remember("speed", found)


def _remember(part: str, figures: object) -> None:
    """Keep figures for the README beside the reports."""
    path = HERE / "figures.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known[part] = figures
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def readme() -> None:
    """Write the README's figures between their markers, from ``reports/figures.json``."""
    known = json.loads((HERE / "figures.json").read_text("utf-8"))
    rows = "\n".join(
        f"| {name} | {100 * row['correct'] / row['n']:.2f} % | {row['events']:,} |"
        for name, row in known["accumulators"].items()
    )
    speed = known["speed"]["resnet8_int8"]
    block = f"""MLPerf Tiny's ResNet-8, all 10,000 CIFAR-10 test images ([with the reasons](reports/resnet8_accumulators.md)):

| accumulator | top-1 | overflow events |
|---|---|---|
{rows}

The first row equals LiteRT's reference kernels bit for bit, at {speed["ratio"]:.0f} times their speed on the same core
([all models](reports/speed.md))."""
    start, end = "<!-- figures: make reports -->", "<!-- end of figures -->"
    text = README.read_text("utf-8")
    head, rest = text.split(start)
    tail = rest.split(end)[1]
    README.write_text(f"{head}{start}\n{block}\n{end}{tail}", encoding="utf-8")


SCRIPTS = {
    "accumulators": "accumulators.py",
    "bandwidth": "bandwidth.py",
    "kernel_speed": "kernel_speed.py",
    "outliers": "outliers.py",
    "quantization": "quantization.py",
    "rtl_memory": "rtl_memory.py",
    "rtl_resnet8": "rtl_resnet8.py",
    "rtl_synthesis": "rtl_synthesis.py",
    "sources": "sources/make.py",
    "sweep_costs": "sweep_costs.py",
    "sweep_cost_model": "sweep_cost_model.py --synthesize",
    "time_speed": "time_speed.py --networks resnet8_int8 tf2_mobilenet_v2_1.0_224_ptq --runs 3 --limit 390",
    "training": "training.py",
}
"""Scripts beside this file, with the arguments of the pages in the repository where those are not the defaults."""


SWEEP = ("sweep examples/resnet8_sweep/SPACE.toml -o out/resnet8", "report out/resnet8 -o reports/sweep")
"""The commands of hwsim that make ``reports/sweep``; the first continues what an earlier call did not finish."""


def script(command: str) -> None:
    """Run a script of this folder."""
    name, *arguments = command.split()
    _process(command, str(HERE / name), *arguments)


def sweep() -> None:
    """The report of a sweep of a thousand points."""
    for command in SWEEP:
        _process(command, "-m", "hwsim", *command.split())


def _process(command: str, *arguments: str) -> None:
    if subprocess.run([sys.executable, *arguments], cwd=HERE.parent, check=False).returncode:
        raise InputError(f"{command} failed")


PARTS: dict[str, Callable[[], None]] = {
    "digits": digits,
    "resnet8_accumulators": resnet8_accumulators,
    "speed": speed,
    **{name: partial(script, command) for name, command in SCRIPTS.items()},
    "sweep": sweep,
    "readme": readme,
}


def main(names: list[str]) -> None:
    """Make the named parts, or all; go on behind one that fails."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise InputError(f"part must be one of {', '.join(PARTS)}, not {unknown[0]}")
    failed = []
    for name in names or PARTS:
        try:
            PARTS[name]()
        except InputError as problem:
            print(f"{name}: {problem}")
            failed.append(name)
    if failed:
        raise InputError(f"{', '.join(failed)} could not be made")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as problem:
        sys.exit(f"reports: {problem}")
