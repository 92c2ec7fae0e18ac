"""The text of `reports/quantization.py`, from its counts alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from quantization_measure import (
    CHANNEL_REPAIRS,
    NETWORKS,
    PARTS,
    RANGE_ROWS,
    RANGES,
    REPAIR_BITS,
    REPAIRS,
    SCHEME_BITS,
    SCHEMES,
    TARGETS,
    WANTED,
    Json,
    Network,
    Options,
    Target,
)
from zoo import Gap, bullets, listed, table

from hwsim.report.text import grouped


@dataclass(frozen=True)
class Measured:
    """A network's document of one part; a way that was not measured has an empty cell."""

    network: Network
    found: Json

    @property
    def n(self) -> int:
        """Test images."""
        return int(self.found["n"])

    @property
    def real(self) -> float:
        """Top-1 of the float network in percent."""
        return 100 * float(self.found["float"]) / self.n

    @property
    def error(self) -> float:
        """One standard error of `real`."""
        return math.sqrt(self.real * (100 - self.real) / self.n)

    def point(self, options: Options) -> Json | None:
        """Return what was measured; of networks with ReLU6, with it opened before channels are equalized."""
        points: Mapping[str, Any] = self.found["points"]
        return points.get(str(options)) or points.get(str(replace(options, repair=f"relu6-to-relu,{options.repair}")))

    def gap(self, options: Options) -> Gap | None:
        """Return the points over float."""
        row = self.point(options)
        return None if row is None else Gap(row["points"], row["half"])

    def top1(self, options: Options) -> str:
        """Return a cell."""
        row = self.point(options)
        return "" if row is None else f"{100 * row['correct'] / self.n:.2f}"

    def equal(self, row: Sequence[Options], names: Sequence[str]) -> str:
        """Name the ways that the images cannot tell from the float network."""
        gaps = [(name, self.gap(options)) for name, options in zip(names, row, strict=True)]
        return listed([f"`{name}`" for name, gap in gaps if gap is not None and not gap.clear])

    @property
    def heading(self) -> str:
        """Of a section, with what the float network has."""
        return (
            f"### {self.network.name}\n\nFloat: {self.real:.2f} % of the first {grouped(self.n)} test images (one standard error "
            f"is {self.error:.2f} points)."
        )


def measured(counts: Json, part: str) -> list[Measured]:
    """Return the networks of a part, in the report's order."""
    known = counts.get(part, {})
    return [Measured(network, known[network.name]) for network in NETWORKS if network.name in known]


def target_section(target: Target, networks: Sequence[Measured]) -> str:
    """Return the candidates of a target, which of them was chosen, and whether that reaches it."""
    asked = [one for one in networks if target.asks(one.network)]
    rows = [[_short(way), *(_candidate(one, way, _chosen(one, target)) for one in asked)] for way in target.candidates]
    return f"""### W{target.weight_bits}A8 within {target.loss:g} points of float{", ResNets" if target.residual else ""}

{table(["`hwsim quantize` with", *(one.network.name for one in asked)], rows)}

{bullets(_verdict(target, one) for one in asked)}"""


def _short(options: Options) -> str:
    return f"`{options}`" if str(options) else "(defaults)"


def _candidate(one: Measured, options: Options, chosen: Options | None) -> str:
    gap = one.gap(options)
    text = "" if gap is None else f"{one.top1(options)} ({gap})"
    return f"**{text}**" if options == chosen else text


def _chosen(one: Measured, target: Target) -> Options | None:
    known = [(point["agreeing"], options) for options in target.candidates if (point := one.point(options))]
    return max(known, key=lambda pair: pair[0])[1] if len(known) == len(target.candidates) else None


def _verdict(target: Target, one: Measured) -> str:
    gaps = [found for options in target.candidates if (found := one.gap(options))]
    inside = f"{sum(found.points >= -target.loss for found in gaps)} of {len(gaps)} ways are within"
    chosen = _chosen(one, target)
    gap = None if chosen is None else one.gap(chosen)
    if chosen is None or gap is None:
        return f"{one.network.name} (float {one.real:.2f} %): {inside}; {len(target.candidates) - len(gaps)} were not measured."
    word = "reached" if gap.points >= -target.loss else "**not reached**"
    if abs(gap.points + target.loss) < gap.half:
        word += ", though the interval holds the limit"
    return f"{one.network.name} (float {one.real:.2f} %): {_short(chosen)} {one.top1(chosen)} %, {gap} points: {word}. {inside}."


def ranges_section(one: Measured) -> str:
    """Return a network's table of ranges."""
    names = [name or "min-max" for name in RANGES]
    rows, readings = [], []
    for weights, activations, clipped in RANGE_ROWS:
        row = [Options(weights, activations, ranges=name, weight_ranges=clipped) for name in RANGES]
        label = f"{weights}{f' (`--weight-ranges {clipped}`)' if clipped else ''}, {activations}"
        rows.append([label, *(one.top1(options) for options in row)])
        readings.append(f"{label}: {one.equal(row, names)}")
    return f"""{one.heading}

{table(["weights, activations", *names], rows)}

Cannot be told from the float network: {"; ".join(readings)}."""


def schemes_section(one: Measured) -> str:
    """Return a network's table of schemes."""
    rows = [
        [f"`{scheme}`" if scheme else "(default)", *(one.top1(Options(bits, scheme=scheme)) for bits in SCHEME_BITS)]
        for scheme in SCHEMES
    ]
    names = [scheme or "(default)" for scheme in SCHEMES]
    readings = [
        f"{bits}, 8: {one.equal([Options(bits, scheme=scheme) for scheme in SCHEMES], names)}" for bits in SCHEME_BITS
    ]
    return f"""{one.heading}

{table(["`--scheme`", *(f"{bits}, 8" for bits in SCHEME_BITS)], rows)}

Cannot be told from the float network: {"; ".join(readings)}."""


def repairs_section(one: Measured) -> str:
    """Return a network's table of repairs, and what those cost that cost anything."""
    rows = [
        [
            f"`{repair}`" if repair else "none",
            *(one.top1(Options(bits, scheme="per-tensor", repair=repair)) for bits in REPAIR_BITS),
            *(one.top1(Options(bits, repair=repair)) if repair in CHANNEL_REPAIRS else "" for bits in REPAIR_BITS),
        ]
        for repair in REPAIRS
    ]
    head = [f"{kind}, W{bits}" for kind in ("tensor", "channel") for bits in REPAIR_BITS]
    costs = list(_costs(one))
    text = f"{one.heading}\n\n{table(['repair', *head], rows)}"
    if len(costs) > 1:
        text += (
            f"\n\nWhat they cost for one image at W4, a scale per tensor; the others: nothing.\n\n{table(COSTS, costs)}"
        )
    return text


COSTS = ("repair", "MACs", "parameters, bytes", "activations, bytes")


def _costs(one: Measured) -> Iterator[list[str]]:
    plain = one.point(Options(4, scheme="per-tensor"))
    for repair in REPAIRS:
        point = one.point(Options(4, scheme="per-tensor", repair=repair))
        if point is None or plain is None:
            continue
        own, base = ([row[field] for field in ("macs", "parameters", "activations")] for row in (point, plain))
        if own != base or not repair:
            yield [f"`{repair}`" if repair else "none", *map(grouped, own)]


def _part(counts: Json, part: str, text: str, section: Callable[[Measured], str]) -> list[str]:
    networks = measured(counts, part)
    return [f"## {part.capitalize()}", text, *map(section, networks)] if networks else []


def page(counts: Json) -> str:
    """Return the report."""
    targets = measured(counts, TARGETS)
    sets = "; ".join(f"{one.network.name} {grouped(one.n)}" for one in targets)
    choice = max((point["of"] for one in targets for point in one.found["points"].values()), default=0)
    tables = [
        *_part(counts, "ranges", "`--ranges` of activations, by bits of weights and activations:", ranges_section),
        *_part(counts, "schemes", "With min-max ranges, by bits of weights and activations:", schemes_section),
        *_part(counts, "repairs", REPAIRS_TEXT, repairs_section),
    ]
    waiting = [part for part in PARTS if not measured(counts, part)]
    if waiting:
        tables.append(
            f"Not measured yet: {', '.join(waiting)}. `python reports/quantization.py --resume` goes on with them."
        )
    return f"""# Quantization after training, measured

Made by `python reports/quantization.py`; the numbers come from `quantization.json`. [quantize.md](../docs/quantize.md) and
[repairs.md](../docs/repairs.md) say what the words mean. Top-1 in %; training images (256, where there are as many) set ranges
and are what repairs look at; nothing is trained again. Weights have a scale per channel and activations 8 bits where nothing else
is said. Static networks run bit by bit, with sums that nothing overflows. Differences to float are of the same images, with half
of their 95 % interval. `hwsim quantize NETWORK --images N` and the options of a cell repeat it (MLPerf Tiny's float network takes
pixels as they are: `--input-mean 0 --input-std 1`). An empty cell was not measured.

## Targets

On all test images: {sets}.
The bold way of each network is chosen without them: of {grouped(choice)} training images (or as many as there are) that set no
ranges, it classifies the most as the float network does; of equals the first. None of these ways costs anything when the network
runs.

{(chr(10) * 2).join(target_section(target, targets) for target in WANTED)}

{(chr(10) * 2).join(tables)}
"""


REPAIRS_TEXT = """`--repair`, with one scale per tensor or per channel, by bits of weights. `equalize` follows `relu6-to-relu`
where a network has ReLU6."""
