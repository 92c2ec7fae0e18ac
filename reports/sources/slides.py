"""Krishnamoorthi's slides: weights only, weights and activations, 4 bits, precision against width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from trade_offs import section as trade_offs
from zoo import Bench, Score, bullets, fraction, listed, measured_on, signed, table

from hwsim.quant import Mode, Scheme

Row = tuple[float, ...]

ASYMMETRIC, CHANNEL, BOTH, ACTIVATIONS = (
    "Asymmetric, per layer", "Symmetric, per channel", "Asymmetric, per channel", "Activation only",
)  # fmt: skip

WEIGHT_ONLY: dict[str, Row] = {
    "Mobilenet-v2-1-224": (0.001, 0.698, 0.698, 0.719),
    "Mobilenet-v1-1-224": (0.001, 0.591, 0.704, 0.709),
    "Nasnet-Mobile": (0.72, 0.72, 0.74, 0.74),
    "Mobilenet-v2-1.4-224": (0.004, 0.74, 0.74, 0.749),
    "Inception-v3": (0.78, 0.78, 0.78, 0.78),
    "Resnet-v1-50": (0.75, 0.75, 0.75, 0.752),
    "Resnet-v2-50": (0.75, 0.75, 0.75, 0.756),
    "Resnet-v1-152": (0.766, 0.763, 0.762, 0.768),
    "Resnet-v2-152": (0.761, 0.76, 0.77, 0.778),
}
"""Slide "Weight only quantization: Results"."""

POST_TRAINING: dict[str, Row] = {
    "Mobilenet-v2-1-224": (0.001, 0.698, 0.697, 0.7, 0.719),
    "Mobilenet-v1-1-224": (0.001, 0.591, 0.703, 0.708, 0.709),
    "Nasnet-Mobile": (0.72, 0.72, 0.74, 0.74, 0.74),
    "Mobilenet-v2-1.4-224": (0.004, 0.74, 0.74, 0.742, 0.749),
    "Inception-v3": (0.78, 0.78, 0.78, 0.78, 0.78),
    "Resnet-v1-50": (0.75, 0.75, 0.75, 0.751, 0.752),
    "Resnet-v2-50": (0.75, 0.75, 0.75, 0.75, 0.756),
    "Resnet-v1-152": (0.766, 0.762, 0.767, 0.761, 0.768),
    "Resnet-v2-152": (0.766, 0.762, 0.767, 0.761, 0.778),
}
"""Slide "Post training quantization: Results"."""

FOUR_BIT_WEIGHTS: dict[str, Row] = {
    "Mobilenet_v1_1_224": (0.02, 0.001, 0.65, 0.709),
    "Mobilenet_v2_1_224": (0.001, 0.001, 0.62, 0.719),
    "Nasnet Mobile": (0.001, 0.36, 0.7, 0.74),
    "Mobilenet_v2_1.4_224": (0.001, 0.001, 0.704, 0.749),
    "Inception-v3": (0.5, 0.71, 0.76, 0.78),
    "Resnet.v1.50": (0.002, 0.54, 0.732, 0.752),
    "Resnet_v1_152": (0.001, 0.64, 0.725, 0.768),
    "Resnet-v2-50": (0.18, 0.72, 0.73, 0.756),
    "Resnet_v2_152": (0.18, 0.74, 0.74, 0.778),
}
"""Slide "Lower precision inference: Quantizing weights": two after training, one with it, float."""

FOUR_BIT_ACTIVATIONS: dict[str, Row] = {
    "Mobilenet_v1_1_224": (0.48, 0.64, 0.65, 0.709),
    "Mobilenet_v2_1_224": (0.07, 0.58, 0.62, 0.719),
    "Resnet_v1_50": (0.36, 0.58, 0.732, 0.752),
    "Nasnet_Mobile": (0.04, 0.4, 0.7, 0.74),
    "Inception_v3": (0.59, 0.74, 0.76, 0.78),
}
"""Slide "Lower precision inference: Quantizing activations": (8, 4) after training, (8, 4) and (4, 8) with it, float."""

ALIAS = {"Resnet_v1_50": "Resnet.v1.50", "Inception_v3": "Inception-v3", "Nasnet_Mobile": "Nasnet Mobile"}
"""Networks that the two slides on 4 bits spell differently."""

DEPTHWISE = ("mobilenet", "nasnet")
"""How names of networks with depthwise layers begin."""

SCHEMES = {
    ASYMMETRIC: Scheme(per_channel=False, affine_weights=True),
    CHANNEL: Scheme(per_channel=True, affine_weights=False),
    BOTH: Scheme(per_channel=True, affine_weights=True),
}
"""By the slides' names; activations are affine, per layer, in all of them."""

ALMOST = 0.005
"""What "almost no loss" is taken for, as a fraction of the images."""

Scores = Mapping[str, Score]


def measured(bench: Bench, weight_bits: int, mode: Mode = Mode.STATIC) -> dict[str, Score]:
    """Run a network under the slides' schemes."""
    return {name: bench.score(replace(scheme, weight_bits=weight_bits, mode=mode)) for name, scheme in SCHEMES.items()}


def both(head: Sequence[str], source: Mapping[str, Row], ours: Mapping[str, Sequence[Score | None]]) -> str:
    """Return a table of the slides with our networks below."""
    rows = [[name, *map(str, row)] for name, row in source.items()]
    rows += [
        [f"**`{name}`**", *("" if score is None else fraction(score) for score in row)] for name, row in ours.items()
    ]
    return table(["network", *head], rows)


def peers(bench: Bench, source: Mapping[str, Row]) -> list[Row]:
    """Return the slides' rows of networks with depthwise layers, or without, whichever a network is."""
    return [row for name, row in source.items() if name.lower().startswith(DEPTHWISE) is bench.depthwise]


def lost(bench: Bench, source: Mapping[str, Row], column: int) -> str:
    """Return the least and the most that a network's peers in the slides lose, in points."""
    losses = [100 * (row[column] - row[-1]) for row in peers(bench, source)]
    return f"{signed(max(losses))} to {signed(min(losses))}"


def scheme_findings(bench: Bench, scores: Scores, source: Mapping[str, Row], what: str) -> str:
    """Say what schemes lose on one network, and whether channels gain what they do in the slides."""
    parts = [
        f"{name} {bench.gap(scores[name])} (slides {lost(bench, source, column)})"
        for column, name in enumerate(SCHEMES) if name in scores
    ]  # fmt: skip
    return f"`{bench.name}`, {what}, points from float: {'; '.join(parts)}. {channel_gain(bench, scores, source)}"


def channel_gain(bench: Bench, scores: Scores, source: Mapping[str, Row]) -> str:
    """Compare what scales per channel gain over affine ones per layer."""
    gains = [100 * (row[1] - row[0]) for row in peers(bench, source)]
    gap = bench.gap(scores[CHANNEL], scores[ASYMMETRIC])
    if gap.points + gap.half < min(gains):
        verdict = "**less** than in the slides"
    elif gap.points - gap.half > max(gains):
        verdict = "**more** than in the slides"
    else:
        verdict = "**agrees**"
    return f"{CHANNEL} over {ASYMMETRIC}: {gap}, in the slides {signed(min(gains))} to {signed(max(gains))}: {verdict}."


def activation_findings(bench: Bench, score: Score) -> str:
    """Say whether 8-bit activations cost anything."""
    gap = bench.gap(score)
    holds = gap.points > -100 * ALMOST
    return (
        f"`{bench.name}`, activations alone: {gap} points (slides {lost(bench, POST_TRAINING, 3)}); that 8 bits cost almost "
        f"nothing "
        f"(less than {100 * ALMOST:g} points) **{'agrees' if holds else 'does not agree'}**."
    )


def four_bit_findings(bench: Bench, weights: Scores, activations: Score) -> list[str]:
    """Say what 4 bits do to one network."""
    ours = {name: weights[name] for name in (ASYMMETRIC, CHANNEL)}
    order = bench.gap(activations, weights[CHANNEL])
    pairs = [(row[0], FOUR_BIT_WEIGHTS[ALIAS.get(name, name)][1]) for name, row in FOUR_BIT_ACTIVATIONS.items()]
    more = sum(left < right for left, right in pairs)
    words = f"{'activations' if order.points < 0 else 'weights'} lose more" if order.clear else "cannot be told apart"
    return [
        scheme_findings(bench, ours, FOUR_BIT_WEIGHTS, "4-bit weights"),
        (
            f"`{bench.name}`, 4-bit activations: {bench.gap(activations)} points (slides "
            f"{lost(bench, FOUR_BIT_ACTIVATIONS, 0)}). Against 4-bit weights, per channel: {order}: {words}; in the slides, "
            f"after "
            f"training, activations lose more on {more} of {len(pairs)} networks."
        ),
    ]


def collapse(benches: Sequence[Bench]) -> str:
    """Say which networks lose most, and which of ours are like them."""
    mobile = [name for name, row in POST_TRAINING.items() if row[0] < row[-1] / 2]
    deep = [f"`{bench.name}`" for bench in benches if bench.depthwise]
    return (
        f"In the slides a scale per layer collapses (below half of float) on {listed(mobile)}: networks of depthwise layers, "
        f"whose "
        f"folded batch norms make channels differ widely. Of the networks measured here, those with such layers: "
        f"{listed(deep)}. "
        "The slides' figures in the text are of their networks with depthwise layers, or of those without, as ours has them "
        f"or not."
    )


def page(benches: Sequence[Bench]) -> str:
    """Return the page."""
    light = {bench.name: measured(bench, 8, Mode.WEIGHT_ONLY) for bench in benches}
    eight = {bench.name: measured(bench, 8) for bench in benches}
    four = {bench.name: measured(bench, 4) for bench in benches}
    alone = {bench.name: bench.score(Scheme(weight_bits=16)) for bench in benches}
    narrow = {bench.name: bench.score(Scheme(activation_bits=4)) for bench in benches}
    lines = [scheme_findings(bench, light[bench.name], WEIGHT_ONLY, "weights only") for bench in benches]
    lines_8 = [scheme_findings(bench, eight[bench.name], POST_TRAINING, "weights and activations") for bench in benches]
    lines_8 += [activation_findings(bench, alone[bench.name]) for bench in benches]
    lines_4 = [line for bench in benches for line in four_bit_findings(bench, four[bench.name], narrow[bench.name])]
    return f"""# Krishnamoorthi's slides

The source is Raghuraman Krishnamoorthi, *Quantizing Deep Convolutional Networks for Efficient Inference* (slides; whitepaper
arXiv 1806.08342): top-1 on ImageNet, of networks that are not in our zoo, as fractions. Each table has the slides' rows with
their figures, and below them ours, in bold.
{measured_on(benches)}
The slides quantize by simulation ("fake quantized") where our networks run in integers; weights only means float arithmetic in
both. They do not give the ranges of activations; ours are min-max.

## Weights only, 8 bits

{both([*SCHEMES, "Floating point"], WEIGHT_ONLY, {b.name: [*light[b.name].values(), b.real] for b in benches})}

{bullets(lines)}

## Weights and activations, 8 bits, after training

{
        both(
            [*SCHEMES, ACTIVATIONS, "Floating point"],
            POST_TRAINING,
            {b.name: [*eight[b.name].values(), alone[b.name], b.real] for b in benches},
        )
    }

"{ACTIVATIONS}" has weights of 16 bits here in the place of float ones.

{bullets([*lines_8, collapse(benches)])}

## 4-bit weights, 8-bit activations

{
        both(
            [ASYMMETRIC, CHANNEL, f"{CHANNEL}, trained so", "Floating point"],
            FOUR_BIT_WEIGHTS,
            {b.name: [four[b.name][ASYMMETRIC], four[b.name][CHANNEL], None, b.real] for b in benches},
        )
    }

## 8-bit weights, 4-bit activations

{
        both(
            ["(8, 4) after training", "(8, 4), trained so", "(4, 8), trained so", "Floating point"],
            FOUR_BIT_ACTIVATIONS,
            {b.name: [narrow[b.name], None, None, b.real] for b in benches},
        )
    }

Columns "trained so" are the slides' quantization-aware training; this page trains nothing, so ours are empty. The slides do
not name the scheme of their (8, 4) columns; ours is {
        CHANNEL.lower()
    }. Their first convolution and last layer are not said to
keep more bits; ours do not.

{bullets(lines_4)}

{trade_offs(benches)}
"""
