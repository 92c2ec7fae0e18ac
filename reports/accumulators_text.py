"""The text and the figures of `reports/accumulators.py`, from its counts alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from accumulators_measure import CALIBRATION, CHAIN, SEQUENTIAL, TREE, Json

from hwsim.report.figures.narrow_accuracy import Curve, accuracy_by_width
from hwsim.report.figures.style import legend_above, new_figure, style
from hwsim.report.text import grouped, percent, plural, si
from hwsim.report.wilson import wilson

LOSS = 1.0
"""Percentage points that the text calls a small loss."""

NAMES = {
    SEQUENTIAL.text: "one product at a time",
    TREE.text: "trees of 8 products",
    CHAIN.text: "chains of 16 products",
}

A2Q = {16: (94.2, 94.2), 15: (94.2, 94.1), 14: (92.6, 94.1), 13: (89.8, 92.8), 12: (83.9, 90.6)}
"""A2Q's and A2Q+'s top-1 by accumulator bits: ResNet-18 on CIFAR-10, W4A4, Xilinx/brevitas, ``a2q/README``."""
A2Q_FLOAT = 95.0

INTRODUCTION = """# Accuracy and the width of accumulators

Made by `python reports/accumulators.py`; the numbers in the text come from `accumulators/counts.json`. Intervals are 95 % score
intervals (Wilson). The bias is added by the requantizer, exactly, so that every width can start. Orders:

- *one product at a time*: each product is added to the accumulator, k = (ky * KW + kx) * IC + ic;
- *trees of 8 products*: adder trees of 8 neighbours; every node and the accumulator have the width;
- *chains of 16 products*: partial sums of 16 products, as in a systolic column of 16 rows, have the width; the accumulator
  behind them has 40 bits; nothing here overflows it, nor would it overflow 32.

`hwsim narrow MODEL --down-to 10 --bias-at end --order sequential --order tree:8 --order chain:16` repeats a figure."""

ORDER_FREE = f"""- **{NAMES[TREE.text]}, wrap** is the same line as {NAMES[SEQUENTIAL.text]}, wrap: where every register wraps at
  one width, sums are right modulo 2^bits in any order, so only the count of events differs. Chains do not share it: the wide
  accumulator behind them keeps what a wrapped partial sum has lost."""

BOTH_WAYS = """A wrapped running sum that comes back does no harm, and one that does not has the wrong sign; a saturated one
is never right again, but stays large and of the right sign."""

INSIDE = """The accumulator's width moves no byte of weights or activations: it is inside the array. It costs adders and
registers, and the accuracy above."""

FITTED = """`hwsim run MODEL --accumulator-aware --acc 16:saturate --bias-at end`: every output channel is projected onto the
weights that no input can overflow the accumulator with (`hwsim/quant/accumulator_aware.py`), and every network below has been
certified by `hwsim/certify`. *Corrected*: with `correct-bias` behind it, which the bound does not see, for the bias is added
at the end. *Saturating*: the integers as they were, corrected too, in an accumulator of that width that saturates: overflow is
permitted. The figure has the corrected networks, fitted (lines) and saturating (dashed)."""

_SVG = {"Date": None, "Creator": None, "Format": None, "Type": None}


def write_text(counts: Json, folder: Path) -> None:
    """Write ``accumulators.md`` and ``accumulators/*.svg``."""
    parts = [INTRODUCTION]
    for name, found in counts.items():
        kind, _, key = name.partition(":")
        if kind == "curves":
            _draw(folder / "accumulators" / f"{key}.svg", list(_curves(found)))
            parts += _curve_text(key, found)
    for name, found in counts.items():
        if name.startswith("static:"):
            parts += _static_text(found)
    for name, found in counts.items():
        kind, _, key = name.partition(":")
        if kind == "fitting":
            _draw(folder / "accumulators" / f"{key}_fitted.svg", list(_fitted_curves(found)))
            parts += _fitted_text(key, found)
    (folder / "accumulators.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _draw(path: Path, curves: Sequence[Curve]) -> None:
    with style():
        figure = new_figure(3.4)
        axes = figure.add_subplot()
        accuracy_by_width(axes, curves)
        legend_above(figure, axes, 2)
        figure.savefig(path, format="svg", metadata=_SVG)


def _curves(found: Json) -> Iterator[Curve]:
    for order, rows in found["orders"].items():
        for overflow in ("wrap", "saturate"):
            points = [(int(bits), row["correct"], found["n"]) for bits, row in rows.get(overflow, {}).items()]
            if points:
                yield Curve(order, f"{NAMES[order]}, {overflow}", overflow == "wrap", sorted(points))


def _fitted_curves(found: Json) -> Iterator[Curve]:
    for name, rows in found["formats"].items():
        for label, field in (("fitted", "repaired"), ("saturating", "saturating")):
            known = {int(bits): row[field] for bits, row in rows["widths"].items() if row[field] is not None}
            points = [(bits, known[bits], found["n"]) for bits in sorted(known)]
            yield Curve(name, f"{name}, {label}", label == "saturating", points)


def _share(correct: int, n: int) -> str:
    return percent(correct / n, 1)


def _curve_text(key: str, found: Json) -> list[str]:
    rows = []
    columns = [(order, overflow) for order, data in found["orders"].items() for overflow in ("wrap", "saturate")
               if overflow in data]  # fmt: skip
    widths = sorted(
        {int(bits) for order, overflow in columns for bits in found["orders"][order][overflow]}, reverse=True
    )
    proven = max(max(data["proven"].values()) for data in found["orders"].values())
    for bits in (width for width in widths if width <= proven):
        cells = [f"{bits}"]
        for order, overflow in columns:
            row = found["orders"][order][overflow][str(bits)]
            text = _share(row["correct"], found["n"])
            cells.append(text if row["events"] else f"{text} (no event)")
        rows.append(f"| {' | '.join(cells)} |")
    header = " | ".join(f"{NAMES[order]}, {overflow}" for order, overflow in columns)
    table = "\n".join([f"| bits | {header} |", f"|{'---|' * (len(columns) + 1)}", *rows])
    low, high = wilson(found["exact"], found["n"])
    return [
        f"## {found['title']}",
        f"![Accuracy by width](accumulators/{key}.svg)",
        f"""Without overflow {_share(found["exact"], found["n"])} of {grouped(found["n"])} test images of {found["data"]} are
right ({percent(low)} to {percent(high)}). Widths above {proven} bits, which no input overflows in any order, are left out of the
table. Layers count those that sum products.""",
        table,
        "\n".join([*(f"- {_reading(found, order, overflow)}" for order, overflow in columns), ORDER_FREE]),
        _comparison(found),
    ]


def _reading(found: Json, order: str, overflow: str) -> str:
    """Say of one curve where overflow begins, where it costs, and whether it is monotone, from its counts."""
    data = found["orders"][order]
    rows = {int(bits): row for bits, row in data[overflow].items()}
    n, exact, proven = found["n"], found["exact"], max(data["proven"].values())
    quiet = min(bits for bits, row in rows.items() if not any(rows[w]["events"] for w in rows if w >= bits))
    text = f"**{NAMES[order]}, {overflow}**: proven from {proven} bits on, without an event on these images from {quiet} on."
    good = [b for b in rows if all(exact - rows[w]["correct"] <= LOSS / 100 * n for w in rows if w >= b)]
    narrowest = min(good)
    if narrowest < quiet:
        row = rows[narrowest]
        text += (
            f" {narrowest} bits lose no more than {LOSS:g} point ({_share(row['correct'], n)}) with "
            f"{grouped(row['events'])} events in {plural(row['layers'], 'layer')}; {row['changed']} of {n} predictions change."
        )
    if narrowest - 1 in rows:
        row = rows[narrowest - 1]
        text += (
            f" One bit less gives {_share(row['correct'], n)}: {grouped(row['events'])} events, "
            f"{percent(row['most_events'] / row['events'], 0)} of them in layer {list(data['proven']).index(row['most']) + 1}."
        )
    return text + _monotone(rows, n)


def _monotone(rows: dict[int, Json], n: int) -> str:
    """Say whether fewer bits ever get more images right, and whether that can be chance."""
    rises = [b for b in rows if b + 1 in rows and rows[b]["correct"] > rows[b + 1]["correct"]]
    real = [b for b in rises if wilson(rows[b]["correct"], n)[0] > wilson(rows[b + 1]["correct"], n)[1]]
    if real:
        shown = ", ".join(
            f"{b} ({rows[b]['correct']} against {rows[b + 1]['correct']} at {b + 1})" for b in sorted(real)
        )
        return f" Not monotone: fewer bits get more images right at {shown}."
    if rises:
        return f" Fewer bits get more images right at {_bits(rises)}, within the intervals."
    return " More bits never get fewer images right."


def _comparison(found: Json) -> str:
    """Compare wrapping with saturation at the widths where the intervals tell them apart."""
    lines = []
    for order, data in found["orders"].items():
        if not {"wrap", "saturate"} <= data.keys():
            continue
        both = [int(bits) for bits in data["wrap"]]
        ends = {
            (bits, kind): wilson(data[kind][str(bits)]["correct"], found["n"])
            for bits in both
            for kind in ("wrap", "saturate")
        }
        better = {
            "saturation": [bits for bits in both if ends[bits, "saturate"][0] > ends[bits, "wrap"][1]],
            "wrapping": [bits for bits in both if ends[bits, "wrap"][0] > ends[bits, "saturate"][1]],
        }
        lines.append(
            f"{NAMES[order]}: saturation is better at {_bits(better['saturation'])}, wrapping at {_bits(better['wrapping'])}"
        )
    return f"Saturation against wrapping, where the intervals do not overlap: {'; '.join(lines)}. {BOTH_WAYS}"


def _static_text(found: Json) -> list[str]:
    n, rows = found["n"], found["rows"]
    whole = rows[0]
    lines = []
    for row in rows:
        rate = "" if row["sums"] is None else "0" if not row["events"] else f"{row['events'] / row['sums']:.2%}"
        cells = [
            row["name"], _share(row["correct"], n), rate, f"{row['weight_bytes'] / 1000:.1f} kB",
            f"{whole['weight_bytes'] / row['weight_bytes']:.0f}x", f"{row['activation_bytes'] / 1000:.1f} kB",
            f"{whole['activation_bytes'] / row['activation_bytes']:.0f}x",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return [
        f"## Static quantization of {found['title']}, 32-bit and 16-bit accumulators",
        f"""{plural(n, "image")} of {found["data"]}; one product at a time, the bias added at the end. An overflow is a write of
a sum that does not fit; the rate is of all sums written. Bytes of an image where every layer reads and writes each operand once.
*As stored*: the makers' integers, or of a network of floats those of the default quantization; the others are quantized here
after training, on {CALIBRATION} images, and saturate. *Fitted*: no input can overflow, see below.""",
        "| | top-1 | overflow rate | weights | less | activations | less |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(lines),
        INSIDE,
    ]


def _fitted_text(key: str, found: Json) -> list[str]:
    parts = [
        f"## {found['title']}: weights fitted to the accumulator",
        f"![Accuracy of fitted weights](accumulators/{key}_fitted.svg)",
        FITTED,
    ]
    n = found["n"]
    for name, data in found["formats"].items():
        lines = []
        for bits, row in data["widths"].items():
            fitted = "refused" if row["correct"] is None else _share(row["correct"], n)
            zeros = "" if row["zeros"] is None else percent(row["zeros"] / row["weights"], 0)
            repaired = "" if row["repaired"] is None else _share(row["repaired"], n)
            lines.append(f"| {bits} | {fitted} | {repaired} | {_share(row['saturating'], n)} | {zeros} |")
        parts.append(
            f"**{name}**, {plural(n, 'image')}; float: {_share(data['float'], n)}.\n\n"
            "| bits | fitted | fitted, corrected | saturating, corrected | zero weights |\n|---|---|---|---|---|\n"
            + "\n".join(lines)
        )
        parts.append(_fitted_reading(name, data, n))
    parts += _beside_a2q(found)
    return parts


def _fitted_reading(name: str, data: Json, n: int) -> str:
    rows = {int(bits): row for bits, row in data["widths"].items()}
    ends = {
        (bits, field): wilson(row[field], n)
        for bits, row in rows.items() for field in ("repaired", "saturating") if row[field] is not None
    }  # fmt: skip
    both = [bits for bits in rows if (bits, "repaired") in ends]
    wins = [bits for bits in both if ends[bits, "repaired"][0] > ends[bits, "saturating"][1]]
    loses = [bits for bits in both if ends[bits, "saturating"][0] > ends[bits, "repaired"][1]]
    full = rows[max(rows)]["saturating"]
    within = {
        field: min(
            (b for b in both if all(full - rows[w][field] <= LOSS / 100 * n for w in both if w >= b)), default=None
        )
        for field in ("repaired", "saturating")
    }
    return (
        f"{name}: a guarantee costs no more than {LOSS:g} point down to {within['repaired']} bits, and letting sums saturate "
        f"down to {within['saturating']}. Where the intervals do not overlap, fitting is better at {_bits(wins)}, saturating at "
        f"{_bits(loses)}."
    )


def _bits(widths: Sequence[int]) -> str:
    return f"{', '.join(map(str, sorted(widths, reverse=True)))} bits" if widths else "no width"


def _beside_a2q(found: Json) -> list[str]:
    data = found["formats"].get("W4A4")
    if data is None:
        return []
    n, rows, weights = (
        found["n"],
        {int(bits): row for bits, row in data["widths"].items()},
        data["widths"]["32"]["weights"],
    )
    # Of each column its top-1 by width, in percent, and that of its float network.
    columns: dict[str, tuple[dict[int, float], float]] = {
        "A2Q": ({bits: plain for bits, (plain, _) in A2Q.items()}, A2Q_FLOAT),
        "A2Q+": ({bits: plus for bits, (_, plus) in A2Q.items()}, A2Q_FLOAT),
    }
    for name, field in (("ours, fitted", "repaired"), ("ours, saturating", "saturating")):
        known = {bits: 100 * rows[bits][field] / n for bits in A2Q if bits in rows and rows[bits][field] is not None}
        columns[name] = known, 100 * data["float"] / n
    lines = []
    for bits in A2Q:
        cells = [_relative(*column, bits) for column in columns.values()]
        lines.append(f"| {bits} | {' | '.join(cells)} |")
    falls = [f"{name} {_falls(known)}" for name, (known, _) in columns.items()]
    low, high = wilson(rows[max(rows)]["repaired"], n)
    header = (
        "Top-1, then in percent of the float network, then in percent of the same network at 16 bits. Theirs: ResNet-18 on "
        f"CIFAR-10, W4A4, float {A2Q_FLOAT} % (Xilinx/brevitas, `a2q/README`). Ours: {found['title']}, W4A4, "
        f"{plural(n, 'image')}, float {percent(data['float'] / n, 1)}, biases corrected."
    )
    table = "\n".join([f"| bits | {' | '.join(columns)} |", f"|{'---|' * (len(columns) + 1)}", *lines])
    reading = (
        f"Where a column first falls below {100 - LOSS:g} % of its 16 bits: {'; '.join(falls)}. Ours without a bound has a 95 % "
        f"interval of {percent(low)} to {percent(high)}, so that only large steps of it mean anything."
    )
    differs = f"""What differs, and why only the shape compares:

- *Training.* A2Q and A2Q+ train with the bound in the loss; without a bound their W4A4 is near float. Ours is projected after
  training and never trained again; W4A4 by itself, before any bound, costs it most of what it loses. What training with A2Q+'s
  projection wins back here is in [training.md](training.md), for smaller networks.
- *Network.* Theirs has 11 M parameters and sums of up to 4608 products; {found["title"]} has {si(weights)} weights and sums of
  up to 576. A bound on the sum of magnitudes is tighter, per weight, the longer the sum, and a large network has more to spare.
- *Edges.* Theirs has 8-bit weights in its first and last layer, 8-bit images, and no bound in the last layer
  (`last_layer_weight_quant`). Ours has 4 bits in every layer, images too, and the bound in every layer.
- *Bound.* A2Q bounds the L1 norm for a sign and a width of activations, A2Q+ for zero-centered weights. Here it is the exact
  condition for the layer's own activations and zero point, per channel, the step chosen again; each network is certified by a
  separate verifier.
- *The last column* is not a guarantee: the same integers as without a bound, in a register that saturates in the declared
  order."""
    return ["### Beside A2Q's published curve", header, table, reading, differs]


def _relative(known: dict[int, float], real: float, bits: int) -> str:
    """Return an accuracy, and what it is of the float network's and of the widest one's."""
    if bits not in known:
        return ""
    widest = known[max(known)]
    return f"{known[bits]:.1f} · {100 * known[bits] / real:.1f} · {100 * known[bits] / widest:.1f}"


def _falls(known: dict[int, float]) -> str:
    """Say at which width a column first loses more than a little of what it has at its widest."""
    widest = known[max(known)]
    below = [bits for bits in known if known[bits] < (1 - LOSS / 100) * widest]
    return f"at {max(below)} bits" if below else f"not down to {min(known)} bits"
