"""Write ``reports/rtl_synthesis.md`` and ``.json`` again: cores on FPGAs, with pip-installed tools (the extra ``synth``).

    python reports/rtl_synthesis.py [NAME ...]

With names only these designs are synthesized; what the JSON file has of the others stays. All of it takes an hour or two the
first time; results are kept in the user's cache.
"""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hwsim.hardware.synthesis import Options, harnessed, place_and_route, synthesize
from hwsim.hardware.synthesis_document import SCHEMA_VERSION, synthesis_document
from hwsim.hardware.synthesis_targets import ECP5, ICE40, XILINX, Target
from hwsim.spec import Arithmetic, Core, Dataflow, InputError, Reduction, Register

HERE = Path(__file__).resolve().parent
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Design:
    """One line of the report."""

    name: str
    what: str
    core: Core
    unit: str = "core"
    target: Target = ECP5
    dsp: bool = True

    several: bool = False
    """Whether it is routed with all of `SEEDS`, or with the first one only."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of place and route."""
        return SEEDS if self.several else SEEDS[:1]


WIDE = Register.parse("32:wrap")
CORE = Core(name="8x8", rows=8, cols=8, arithmetic=Arithmetic(Reduction(WIDE)))
CHAIN = replace(CORE, arithmetic=Arithmetic(Reduction(WIDE, psum=WIDE, chain=8)))
SATURATING = replace(CORE, arithmetic=Arithmetic(Reduction(Register.parse("16:saturate"))))
LARGE = Core(name="16x16", rows=16, cols=16, arithmetic=Arithmetic(Reduction(WIDE)))

DESIGNS = (
    Design("core-8x8", "8x8, 8-bit weights, acc 32:wrap, whole core", CORE, several=True),
    Design("core-8x8-chain", "the same with psum 32:wrap over 8", CHAIN),
    Design("core-8x8-saturate", "the same with acc 16:saturate", SATURATING),
    Design("core-8x8-os", "the same, output stationary", replace(CORE, dataflow=Dataflow.OUTPUT_STATIONARY)),
    Design("array-8x8", "8x8, 8-bit weights, array and bank", CORE, "array"),
    Design("array-16x16-w4", "16x16, 4-bit weights, array and bank", replace(LARGE, weight_bits=4), "array"),
    Design("array-16x16-w2", "16x16, 2-bit weights, array and bank", replace(LARGE, weight_bits=2), "array"),
    Design("core-8x8-no-dsp", "8x8, 8-bit weights, whole core, no DSPs", CORE, dsp=False),
    Design("core-8x8-xilinx", "8x8, 8-bit weights, whole core", CORE, target=XILINX),
    Design("core-2x2-ice40", "2x2, 8-bit weights, whole core", replace(CORE, rows=2, cols=2), target=ICE40),
)


def measure(design: Design) -> list[dict[str, Any]]:
    """Return the documents of a design, one per seed."""
    harness = harnessed(design.core, design.unit)
    documents = []
    for seed in design.seeds:
        options = Options(design.target, seed=seed, dsp=design.dsp)
        netlist = synthesize(harness, options)
        routed = place_and_route(netlist, options)
        documents.append(synthesis_document(design.core, design.unit, options, netlist, routed))
        print(f"{design.name}, seed {seed}: {documents[-1]['clocks']}", flush=True)
    return documents


def clock(document: dict[str, Any]) -> float:
    """Return the slowest clock, MHz."""
    return float(min(document["clocks"].values()))


def median(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the document with the median clock."""
    return sorted(documents, key=clock)[len(documents) // 2] if documents[0]["clocks"] else documents[0]


def table(results: dict[str, list[dict[str, Any]]], designs: list[Design]) -> str:
    """Return the table of some designs."""
    lines = [
        "| design | LUTs | of them in carry chains | flip-flops | DSPs | block RAMs | MHz: median (best) |",
        "|---|---|---|---|---|---|---|",
    ]
    for design in designs:
        documents = results[design.name]
        used = {name: part["used"] for name, part in median(documents)["resources"].items()}
        mhz = [clock(document) for document in documents if document["clocks"]]
        speed = f"{statistics.median(mhz):.1f}" if mhz else "not routed"
        speed += f" ({max(mhz):.1f})" if len(mhz) > 1 else ""
        carry = 2 * used["carry"] if design.target is ECP5 else used["carry"]
        cells = (used["lut"], carry, used["ff"], used["dsp"], used["bram"])
        lines.append(f"| {design.what} | {' | '.join(f'{number:,}' for number in cells)} | {speed} |")
    return "\n".join(lines)


def paths(results: dict[str, list[dict[str, Any]]], designs: list[Design]) -> str:
    """Return what limits the clock of some designs."""
    return "\n".join(
        f"- {design.what}: {median(results[design.name])['critical_path']['words']}." for design in designs
    )


def text(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the report of the designs that have results."""
    designs = [design for design in DESIGNS if design.name in results]
    routed = [design for design in designs if design.target is ECP5]
    others = [design for design in designs if design.target is not ECP5]
    tools = ", ".join(f"{name} {version}" for name, version in results[routed[0].name][0]["tools"].items())
    return f"""# Cores on FPGAs

Made by `python reports/rtl_synthesis.py` with {tools}; `hwsim rtl synth` gives one line of it. The clock is nextpnr's after
routing: of the seeds {", ".join(map(str, SEEDS))} the median (and the best), or of seed {SEEDS[0]} alone; parts are those of the
median. All details are in `rtl_synthesis.json`. [docs/synthesis.md](../docs/synthesis.md) says what is measured and how
multiplications are mapped.

## ECP5: LFE5U-85F, speed grade 6 (83,640 LUTs, as many flip-flops, 156 DSPs, 208 block RAMs)

{table(results, routed)}

Weights are signed, activations 8 bits with a zero point that is subtracted (9 bits at the multiplier), results 8 bits by TFLite's
profile with as many requantizers as columns, events are counted.

**What the DSPs do.** One per element with weights of 5 bits and more, none with fewer: its two factors fill half of a DSP at
best, and its adder is not used. A requantizer takes four: a 32-bit accumulator times 31 bits in limbs of 17. Product registers
are the DSP's own, and those of the requantizers' factors.

**What limits the clock.** The slowest path of the median seed, from register to register:

{paths(results, routed)}

The array itself has one step per cycle everywhere: operands, product, the way to the adder, (tree,) sum, each between
registers, and no signal that stops it. Through a DSP without its registers it is 3.9 ns and some 3 ns there and back each, since
DSPs stand in fixed rows; with them, a 32-bit sum (a carry chain of 16 cells, about 3 ns with its routing) is the longest step
of the array. What is left are the sequencer's decision whether a slot can be issued, which reaches every register of the held
activations, and block RAMs, which give their data 5.6 ns after the clock.

## Other devices, synthesis only

{table(results, others)}
"""


def main(names: list[str]) -> None:
    """Synthesize the named designs, or all, and write both files."""
    known = {design.name: design for design in DESIGNS}
    for name in names:
        if name not in known:
            raise InputError(f"design must be one of {', '.join(known)}, not {name}")
    path = HERE / "rtl_synthesis.json"
    results = json.loads(path.read_text("utf-8"))["designs"] if path.exists() else {}
    for design in DESIGNS:
        if not names or design.name in names:
            results[design.name] = measure(design)
    results = {name: results[name] for name in known if name in results}
    path.write_text(json.dumps({"schema_version": SCHEMA_VERSION, "designs": results}, indent=1) + "\n", "utf-8")
    (HERE / "rtl_synthesis.md").write_text(text(results), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as problem:
        sys.exit(f"reports: {problem}")
