"""The text and the figure of `reports/bandwidth.py`, from its numbers alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from bandwidth_measure import (
    CALIBRATION,
    CODEBOOKS,
    FLOAT,
    MACHINES,
    MIXED,
    STATIC,
    STATIC_4,
    STATIC_16,
    WEIGHTS,
    WEIGHTS_4,
    Bytes,
    Found,
    Scheme,
)

from hwsim.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    drawable,
    legend_above,
    new_figure,
    style,
)
from hwsim.sim.time.bandwidth import DENSE, Shared, Sizes
from hwsim.spec import Accelerator
from hwsim.spec.requantization import MULTIPLIER_BITS, SHIFT_BITS

SLIDES = (
    ("weight-only int8", WEIGHTS, "4x", "1x"),
    ("dynamic int8", WEIGHTS, "4x", "1x"),
    (STATIC.name, STATIC, "4x", "4x"),
    (STATIC_16.name, STATIC_16, "4x", "4x"),
    ("weight-only int4", WEIGHTS_4, "", ""),
    ("dynamic int4", WEIGHTS_4, "", ""),
    (MIXED.name, MIXED, "", ""),
    (STATIC_4.name, STATIC_4, "", ""),
)
"""The four of the slides, in their order, with their reductions of weights and activations, and four of 4 bits."""

DRAWN = (
    (WEIGHTS, ORANGE, {"marker": "o", "markersize": 4}),
    (STATIC, BLUE, {"marker": "s", "markersize": 6.5, "fillstyle": "none"}),
    (MIXED, GREEN, {"marker": "^", "markersize": 4}),
    (STATIC_4, VERMILLION, {"marker": "D", "markersize": 6.5, "fillstyle": "none"}),
)
"""Schemes of the figure, with their looks: every second one is hollow, so that equal values show both."""


def kilobytes(count: float) -> str:
    """Return thousands of bytes."""
    return f"{count / 1000:,.1f}"


def times(before: int, after: int) -> str:
    """Return a reduction."""
    return f"{before / after:.2f}x"


def constants(moved: Bytes) -> int:
    """Return the bytes beside the weights."""
    return moved["biases"] + moved["scales"]


def parameters(moved: Bytes) -> int:
    """Return the bytes of weights and what comes with them."""
    return moved["weights"] + constants(moved)


def activations(moved: Bytes) -> int:
    """Return the bytes of activations, both ways."""
    return moved["activations_in"] + moved["activations_out"]


def total(moved: Bytes) -> int:
    """Return all bytes."""
    return sum(moved.values())


def percent(share: float) -> str:
    """Return a share."""
    return f"{100 * share:.1f} %"


_SVG = {"Date": None, "Creator": None, "Format": None, "Type": None}

PARTS = (lambda moved: moved["weights"], parameters, activations, total)


def span(pairs: Sequence[tuple[int, int]]) -> str:
    """Return the least and the largest reduction."""
    ratios = sorted(before / after for before, after in pairs)
    least, most = f"{ratios[0]:.2f}", f"{ratios[-1]:.2f}"
    return f"{least}x" if least == most else f"{least}x to {most}x"


def overview(found: Sequence[Found]) -> str:
    """Return the slides' table beside the networks'."""
    names = [
        "scheme",
        "weights, slides",
        "weights alone",
        "with biases and scales",
        "activations, slides",
        "activations",
    ]
    names += ["all together", *(f"all, on {machine.name}" for machine in MACHINES)]
    lines = table_head(names)
    for name, scheme, weights, inputs in SLIDES:
        pairs = [(each.once[FLOAT.name], each.once[scheme.name]) for each in found]
        spans = [span([(part(before), part(after)) for before, after in pairs]) for part in PARTS]
        machines = [span([reduced(each.moved[machine.name], scheme) for each in found]) for machine in MACHINES]
        lines.append(" | ".join(["| " + name, weights, *spans[:2], inputs, *spans[2:], *machines]) + " |")
    return "\n".join(lines)


def reduced(moved: Mapping[str, Bytes], scheme: Scheme) -> tuple[int, int]:
    """Return all bytes in float32 and under a scheme."""
    return total(moved[FLOAT.name]), total(moved[scheme.name])


def once_table(found: Sequence[Found]) -> str:
    """Return every network's bytes where each tensor of a layer crosses once."""
    names = ["network", "scheme", "weights", "biases, scales", "activations in", "out", "all"]
    lines = table_head([*names, "weights' reduction", "with biases, scales", "activations'", "all"])
    for each in found:
        for scheme, moved in each.once.items():
            sizes = [
                moved["weights"],
                constants(moved),
                moved["activations_in"],
                moved["activations_out"],
                total(moved),
            ]
            lines.append(row(each.name, scheme, sizes, [(part(each.once[FLOAT.name]), part(moved)) for part in PARTS]))
    return "\n".join(lines)


def machine_table(found: Sequence[Found], machine: Accelerator) -> str:
    """Return every network's bytes as a machine moves them."""
    names = ["network", "scheme", "weights, biases, scales", "activations in", "out", "all"]
    lines = table_head([*names, "weights' reduction", "activations'", "all"])
    for each in found:
        rows = each.moved[machine.name]
        for scheme, moved in rows.items():
            sizes = [parameters(moved), moved["activations_in"], moved["activations_out"], total(moved)]
            lines.append(row(each.name, scheme, sizes, [(part(rows[FLOAT.name]), part(moved)) for part in PARTS[1:]]))
    return "\n".join(lines)


def row(network: str, scheme: str, sizes: Sequence[int], pairs: Sequence[tuple[int, int]]) -> str:
    """Return a line of bytes and reductions; the first of a network has its name, and nothing to be compared with."""
    first = scheme == FLOAT.name
    gains = ["" if first else times(*pair) for pair in pairs]
    return " | ".join(["| " + network * first, scheme, *map(kilobytes, sizes), *gains]) + " |"


def table_head(names: Sequence[str]) -> list[str]:
    """Return the first two lines of a table."""
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def formats_table(found: Sequence[Found], which: Literal["weights", "activations"]) -> str:
    """Return the sizes of real tensors in every format, in parts of the plain one, which is stated per image."""
    names = [name for name in found[0].compressed[8].weights.bits if name != DENSE]
    books = which == "weights"
    lines = table_head(
        ["network", "bits", "plain kB", "zeros", *names, *["codebook", "with Huffman", "its SNR"] * books]
    )
    for each in found:
        for number, (bits, parts) in enumerate(each.compressed.items()):
            sizes = parts.weights if books else parts.activations
            plain, shared = sizes.bits[DENSE], parts.shared
            cells = [
                str(bits),
                kilobytes(plain / 8 / (1 if books else each.images)),
                zeros(sizes),
                *(f"{sizes.bits[name] / plain:.3f}" for name in names),
            ]
            if books:
                cells += [f"{CODEBOOKS[bits]}: {shared.index_bits / plain:.3f}", f"{shared.huffman_bits / plain:.3f}"]
                cells.append(noise(shared))
            lines.append(" | ".join(["| " + each.name * (number == 0), *cells]) + " |")
    return "\n".join(lines)


def zeros(sizes: Sizes) -> str:
    """Return the share of zeros."""
    return percent(sizes.zeros / sizes.elements)


def noise(shared: Shared) -> str:
    """Return how far shared values are from the weights."""
    return f"{10 * math.log10(shared.signal / shared.noise):.1f} dB" if shared.noise else "exact"


def why_not_four(found: Sequence[Found]) -> str:
    """Return what does not shrink, the share of the activations, and what 16-bit accumulators would meet, as a table."""
    names = ["network", "biases and scales, static int8", "per byte of weights", "activations in float32's traffic"]
    lines = table_head([*names, "layers that may overflow 16 bits", "layers with a bias beyond 16 bits"])
    for each in found:
        static, real = each.once[STATIC.name], each.once[FLOAT.name]
        lines.append(
            f"| {each.name} | {kilobytes(constants(static))} kB | {constants(static) / static['weights']:.3f} "
            f"| {percent(activations(real) / total(real))} | {each.narrow.may_overflow} of {each.narrow.layers} "
            f"| {each.narrow.large_biases} |"
        )
    return "\n".join(lines)


def write_text(found: Sequence[Found], left_out: Mapping[str, str], folder: Path) -> None:
    """Write ``bandwidth.md`` and ``bandwidth/reductions.svg``."""
    (folder / "bandwidth").mkdir(exist_ok=True)
    draw(folder / "bandwidth" / "reductions.svg", found)
    (folder / "bandwidth.md").write_text(page(found, left_out), "utf-8")


def draw(path: Path, found: Sequence[Found]) -> None:
    """Draw how many times fewer bytes an image takes, network by network: once through the memory, and on a machine."""
    machine = MACHINES[0].name
    with style():
        figure = new_figure(1.1 + 0.2 * len(found))
        panels = figure.subplots(1, 2, sharey=True)
        tables = ((panels[0], [each.once for each in found]), (panels[1], [each.moved[machine] for each in found]))
        for axes, moved in tables:
            for scheme, colour, look in DRAWN:
                ratios = [before / after for before, after in (reduced(one, scheme) for one in moved)]
                axes.plot(ratios, range(len(found)), linestyle="none", color=colour, label=scheme.name, **look)
            axes.axvline(1, color=GREY, linewidth=0.8)
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
            axes.set_ylim(len(found) - 0.5, -0.5)
        panels[0].set_yticks(range(len(found)), [drawable(each.name) for each in found])
        panels[0].set_xlabel("every tensor once")
        panels[1].set_xlabel(f"on {machine}")
        legend_above(figure, panels[0], 2)
        figure.savefig(path, format="svg", metadata=_SVG)


def sentences(found: Sequence[Found], left_out: Mapping[str, str]) -> Iterator[str]:
    """Say which networks are not here and why, and how many real inputs the others had."""
    images = sorted({each.images for each in found})
    yield f"Tensors are those of {' or '.join(map(str, images))} images."
    for name, reason in left_out.items():
        yield f"Left out: {name} ({reason})."


def page(found: Sequence[Found], left_out: Mapping[str, str]) -> str:
    """Return the report."""
    stated = "\n".join(
        f"- {each.name}: {each.rows} x {each.cols}, {each.dataflow.value}, {each.memory}, "
        f"{each.dram_bytes_per_cycle:g} B of DRAM per cycle"
        for each in MACHINES
    )
    images = found[0].images
    constant_bits = MULTIPLIER_BITS + SHIFT_BITS
    sparse = max(found, key=lambda each: each.compressed[8].weights.zeros / each.compressed[8].weights.elements)
    return f"""# What quantization saves of the memory's traffic

R. Krishnamoorthi's slides, "Quantizing Deep Convolutional Networks for Efficient Inference", have a table under "What to
quantize?": for four schemes, by how much the memory bandwidth of weights and that of activations fall against float32. Here it
is beside networks. Every number below is of real networks' shapes, and where tensors are compressed, of their real values; the
slides' own are marked as theirs. All for one image; kB = 1000 bytes; a reduction is float32's bytes over the scheme's.

Made by `python reports/bandwidth.py --images {images}`, from `bandwidth/found.json`. {" ".join(sentences(found, left_out))}

## The slides' table, and {len(found)} networks

From the least to the largest of the networks. Every layer reads each operand once and writes its results once; the last columns
are what `hwsim time` moves over the DRAM of two machines. Networks are quantized by one rule: a scale per channel of weights.

{overview(found)}

![Reduction of all bytes by network](bandwidth/reductions.svg)

All bytes of an image in float32 over those under a scheme, network by network; on the right with the buffers of
{MACHINES[0].name}.

**Weights: the slides' 4x is that of the weights alone.** With each channel come a bias as wide as the accumulator that it
enters, and a multiplier with its shift, {constant_bits} bits, which float32 does not have. Neither shrinks with the weights,
and they weigh most where a channel has few weights: depthwise layers have nine. Zero points are one per tensor, in the layer's
configuration. Elements are packed without gaps at any width, so that no more than the last byte of a tensor is lost. At 4 bits
the constants are as large as at 8, so the weights' 8x is missed by more than their 4x.

**Activations: 4x, to the byte.** A tensor has one scale and one zero point, and neither is in the memory. float32's image is
counted at 32 bits, though a camera gives a byte.

**16-bit accumulators** save two bytes of each bias, and nothing else of this traffic: hwsim's arrays keep their partial sums.
A saturating one cannot start at a bias beyond 16 bits, which is then added behind it, at 32 bits, and saves nothing; a wrapping
one starts at its low bits. Below: in how many layers of the 8-bit network some input can overflow 16 bits, and in how many the
bias alone does.
[resnet8_accumulators.md](resnet8_accumulators.md) shows what that does to results.

{why_not_four(found)}

## What the slides' table leaves out

- **Which of the two matters.** 4x and 1x together are anything between, by the share of the activations above. Weight-only and
  dynamic quantization save little of a convolutional network's traffic, as long as activations cross the DRAM.
- **The buffers.** A tensor of a quarter of the size stays on chip where the float one does not, and layers have fewer tiles and
  read less again: on a machine the reduction can be far more than 4x. Where float32's activations are on chip already, it is
  that of the weights. No single number holds for a network without its machine.
- **Dynamic ranges.** A dynamic tensor's scale is known once its last element is. Dynamic quantization moves what weight-only
  does where the layer before finds the range on its way, and it is counted so here; else such a tensor is read once more.
- **Bursts, halos and tiles.** Machines move whole bursts of neighbouring bytes; of short runs more is unused at fewer bits.
- **Values.** Zeros and frequent values can take fewer bits than the format has (last two tables).
- **Accuracy**, above all at 4 bits: `hwsim run MODEL --weight-bits 4 --activation-bits 4` says what is left of it.
- **Batches.** Weights that are read once for several images cost less of each, and activations are a larger share.

The slides' column of compute speedups is left out here: it is not about memory.

## Every tensor across the DRAM once

In kB. Element-wise layers and pooling read and write too; a reshape moves nothing; a tensor with two readers is read twice.

{once_table(found)}

## On a machine

What `hwsim time` moves for the same formats, with tiles and the tensors on chip searched anew for each
([time.md](../docs/time.md)); for float32 on the same buffers and an array of the same size:

{stated}

On {MACHINES[0].name}, in kB:

{machine_table(found, MACHINES[0])}

On {MACHINES[1].name}, in kB:

{machine_table(found, MACHINES[1])}

## Weights, compressed

Sizes of each layer's real weights in the formats of `hwsim.memory.compression`, in parts of the plain size; a layer that does
not shrink stays plain. At 8 bits these are the makers' integers where the model has them; else, and at 4 bits, hwsim's (a scale
per channel). A codebook has the given number of shared values per layer, the best there are by squared error; it is the only
format here that changes weights, by the noise beside it, against the integers. `hwsim time --compress` times a network with
such weights.

{formats_table(found, "weights")}

Trained weights have few zeros at 8 bits, so formats that leave out zeros gain nothing without pruning; Huffman codes gain from
the bell shape of the values, less in small layers, which pay for a table each. Zeros are more at 4 bits, but an index takes as
many bits as a value. The network with most zeros is {sparse.name}: {zeros(sparse.compressed[8].weights)}. Look at a model's own
values before counting on either: that one share decides the table's order.

## Activations, compressed

Zero-value compression of the tensors that {images} real images make in the integer network, each tensor by itself, counted each
time it crosses; `bitmask` has a bit per element. Zero is the tensor's zero point. VWW and the MobileNets of 128 and 224 pixels
see photographs of ImageNet, DS-CNN spoken words, ResNet-8 and the networks named `cifar_` CIFAR-10, those named `digits_`
digits. The makers' integer networks may have a pass at their input that changes its format, which is counted. At 4 bits ranges
are those of {CALIBRATION} images, and part of the zeros is what coarse steps make.

{formats_table(found, "activations")}

ReLU makes the zeros; images, linear bottlenecks and sums of residuals before their ReLU have few. Such sizes vary with the
image, and a memory needs room and time for the worst of them: `hwsim run --compress-activations` times a network with their mean.
"""
