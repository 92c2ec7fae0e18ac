"""What would help a layer, and by how much, computed from its own values. `REMEDIES` lists what is tried."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hwsim.graph import Array, Node, Quantization
from hwsim.quant import Mode, Scheme
from hwsim.quant.post_training import channel_axis
from hwsim.quant.ranges import MeanSquaredError, MinMax
from hwsim.quant.ranges.mean_squared_error import SquaredError
from hwsim.quant.seen import Seen
from hwsim.sim.quantize.analysis import LayerNoise

LEAST_DB = 1.0
"""A gain worth a sentence."""


@dataclass(frozen=True, eq=False)
class Activation:
    """A tensor of activations: what was seen of it, and its integers; None where it has none of its own."""

    seen: Seen
    quantization: Quantization | None


@dataclass(frozen=True, eq=False)
class Evidence:
    """A layer, as quantized and as observed."""

    scheme: Scheme
    noise: LayerNoise
    weights: Array
    """Real weights that were quantized."""
    quantized: Array
    """Real values of their integers."""
    equalized: Array | None
    """Real weights after equalization."""
    equalization: str
    """The repairs that equalized them, as the command line has them."""
    input: Activation
    output: Activation

    @property
    def node(self) -> Node:
        """The layer in the float network."""
        return self.noise.node

    @property
    def powers(self) -> dict[str, float]:
        """Squared error of the layer's output by cause."""
        return {
            "input": self.noise.input.noise,
            "weights": self.noise.weights.noise,
            "output": self.noise.output.noise,
        }

    def gain(self, cause: str, factor: float) -> float:
        """Return by how many dB the layer's own noise falls where that of one cause becomes `factor` times what it is."""
        total = sum(self.powers.values())
        left = total - self.powers[cause] * (1 - factor)
        return 10 * math.log10(total / left) if left > 0 else 0.0


@dataclass(frozen=True)
class Remedy:
    """What to do and why, and the dB that it takes off the layer's own noise."""

    gain_db: float
    text: str


def per_channel(evidence: Evidence) -> Remedy | None:
    """Scales per output channel, where several share one."""
    if evidence.scheme.per_channel and evidence.scheme.group == 1:
        return None
    largest = np.sort(np.abs(_channels(evidence.node, evidence.weights)).max(axis=1))
    ratio = float(largest[-1] / max(float(np.median(largest)), 1e-30))
    gain = _weights_gain(evidence, replace(evidence.scheme, per_channel=True, group=1))
    return Remedy(
        gain, f"the widest output channel of the weights reaches {ratio:.3g} times the median one: per-channel scales "
        "(--scheme per-channel)",
    )  # fmt: skip


def equalize(evidence: Evidence) -> Remedy | None:
    """Cross-layer equalization, where it was tried."""
    if evidence.equalized is None or evidence.equalized.shape != evidence.weights.shape:
        return None
    now, then = (
        _relative_error(evidence, evidence.scheme, weights) for weights in (evidence.weights, evidence.equalized)
    )
    largest = [
        np.abs(_channels(evidence.node, weights)).max(axis=1) for weights in (evidence.weights, evidence.equalized)
    ]
    spread = [float(channels.max() / max(float(np.median(channels)), 1e-30)) for channels in largest]
    return Remedy(
        evidence.gain("weights", then / now) if now else 0.0,
        f"equalization takes the widest output channel from {spread[0]:.3g} to {spread[1]:.3g} times the median one "
        f"(--repair {evidence.equalization})",
    )


def clip_weights(evidence: Evidence) -> Remedy | None:
    """Weight ranges of the least squared error."""
    if isinstance(evidence.scheme.weight_ranges, MeanSquaredError):
        return None
    crest = float(np.abs(evidence.weights).max() / math.sqrt(max(float(np.square(evidence.weights).mean()), 1e-60)))
    gain = _weights_gain(evidence, replace(evidence.scheme, weight_ranges=MeanSquaredError()))
    return Remedy(
        gain, f"the largest weight is {crest:.3g} times their rms: clip it (--weight-ranges mse)"
    )  # fmt: skip


def input_range(evidence: Evidence) -> Remedy | None:
    """Another range of the input."""
    return _range(evidence, "input", evidence.input)


def output_range(evidence: Evidence) -> Remedy | None:
    """Another range of the output."""
    return _range(evidence, "output", evidence.output)


def correct_bias(evidence: Evidence) -> Remedy | None:
    """Take the constant part of the error off by the bias; integer networks have it repaired."""
    if evidence.scheme.mode is not Mode.STATIC:
        return None
    shift = evidence.noise.channels.shift()
    gain = -10 * math.log10(max(1 - shift, 1e-3))
    return Remedy(
        gain, f"{100 * shift:.0f} % of its error is a constant per channel: correct the bias (--repair correct-bias)"
    )


def more_bits(evidence: Evidence) -> Remedy | None:
    """Two more bits for whatever makes most of the error: the last resort."""
    cause = max(evidence.powers, key=lambda name: evidence.powers[name])
    weights = cause == "weights"
    bits = evidence.scheme.weight_bits if weights else evidence.scheme.activation_bits
    if bits > 14:
        return None
    option = "--weight-bits" if weights else "--activation-bits"
    share = evidence.powers[cause] / (sum(evidence.powers.values()) or 1.0)
    return Remedy(
        evidence.gain(cause, 1 / 16),
        f"{100 * share:.0f} % of its error is the rounding of its {cause} to {bits} bits: two more ({option} {bits + 2})",
    )


REMEDIES: tuple[Callable[[Evidence], Remedy | None], ...] = (
    per_channel, equalize, clip_weights, input_range, output_range, correct_bias,
)  # fmt: skip
"""Tried on every layer; the one of the largest gain is advised, and `more_bits` where none is worth it."""


def advise(evidence: Evidence) -> str:
    """Return a sentence: what to do for a layer, why, and by how much it helps."""
    if sum(evidence.powers.values()) == 0:
        return "Nothing is lost here."
    found = [remedy for make in REMEDIES if (remedy := make(evidence)) is not None]
    best = max(found, key=lambda remedy: remedy.gain_db, default=None)
    if best is None or best.gain_db < LEAST_DB:
        best = more_bits(evidence)
    if best is None:
        return "No remedy known here helps by 1 dB."
    return f"{best.text[0].upper()}{best.text[1:]}; about {best.gain_db:.1f} dB less noise of this layer."


def _channels(node: Node, weights: Array) -> Array:
    axis = channel_axis(node.op)
    return np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)


def _relative_error(evidence: Evidence, scheme: Scheme, weights: Array) -> float:
    """Return squared error over signal of weights, as a scheme would round them to the nearest."""
    axis = channel_axis(evidence.node.op)
    quantization = scheme.weights(weights, axis, np.zeros(weights.shape[axis]))
    error = quantization.dequantize(quantization.quantize(weights)).astype(np.float64) - weights
    return float(np.square(error).sum() / np.square(weights.astype(np.float64)).sum())


def _weights_gain(evidence: Evidence, scheme: Scheme) -> float:
    """Return the gain of another scheme of the weights, taking the output's error for proportional to theirs."""
    now = float(
        np.square(evidence.quantized.astype(np.float64) - evidence.weights).sum()
        / np.square(evidence.weights.astype(np.float64)).sum()
    )
    return evidence.gain("weights", _relative_error(evidence, scheme, evidence.weights) / now) if now else 0.0


def _range(evidence: Evidence, cause: str, tensor: Activation) -> Remedy | None:
    """Compare the range of an activation with min-max and with the one of the least squared error."""
    known, seen, grid = tensor.quantization, tensor.seen, evidence.scheme.activation_grid
    if known is None or known.axis is not None or seen.histogram is None:
        return None
    error = SquaredError.over(seen, grid)
    scale, zero_point = float(known.scale), int(known.zero_point)
    ends = (scale * (known.lo - zero_point), scale * (known.hi - zero_point))
    now = error(*ends)
    tried = {method.name: method.choose(seen, grid) for method in (MinMax(), MeanSquaredError())}
    name, best = min(tried.items(), key=lambda item: error(*item[1]))
    if now == 0 or name == evidence.scheme.activation_ranges.name:
        return None
    return Remedy(
        evidence.gain(cause, error(*best) / now),
        f"its {cause} is quantized over {ends[0]:.3g}..{ends[1]:.3g}, and {best[0]:.3g}..{best[1]:.3g} has the least squared "
        f"error (--ranges {name})",
    )
