"""Mixed precision: bits for the weights and the outputs of each layer on their own, within a budget of bytes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwsim.graph import Array, Graph, Node, Quantization
from hwsim.ops import Softmax
from hwsim.quant.bit_search import Choice, Items, Option
from hwsim.quant.float_network import evaluate
from hwsim.quant.post_training import channel_axis
from hwsim.quant.repair.channels import constants_of, with_constants
from hwsim.quant.repair.guard import scores
from hwsim.quant.schemes import Scheme

BITS = (2, 4, 6, 8, 16)
"""Widths that are tried."""


@dataclass(frozen=True)
class Sensitivity:
    """What one tensor in few bits does to the scores of a network that is float otherwise.

    Parameters
    ----------
    error
        Mean squared change of the scores over the samples.
    sqnr_db
        The same against their mean square.
    agree
        Part of the samples whose class stays.
    noise
        Squared error of the tensor itself: of all weights, or of an output as the mean over samples.
    hessian
        By how much the loss is estimated to rise, see `with_curvatures`; None where that was not asked for.
    """

    error: float
    sqnr_db: float
    agree: float
    noise: float = 0.0
    hessian: float | None = None


Measured = Mapping[str, Mapping[int, Sensitivity]]
"""By item and width, as `sensitivities` returns it."""
Loss = Callable[[Sensitivity], float]


@dataclass(frozen=True, eq=False)
class Assignment:
    """Bits of their own for the layers of a network.

    Parameters
    ----------
    schemes
        By node; one that is not named has the network's.
    items
        What there was to choose from, with costs and losses.
    choice
        What was chosen.
    measured
        What the losses come from.
    """

    schemes: Mapping[str, Scheme]
    items: Items
    choice: Choice
    measured: Measured


def weight_item(node: str) -> str:
    """Name the weights of a node among `sensitivities`."""
    return f"{node}: weights"


def output_item(node: str) -> str:
    """Name the output of a node among `sensitivities`."""
    return f"{node}: output"


def sensitivities(
    graph: Graph, ranges: Mapping[str, tuple[float, float]], samples: Sequence[Array], scheme: Scheme,
    bits: Sequence[int] = BITS, *, outputs: bool = True,
) -> dict[str, dict[int, Sensitivity]]:  # fmt: skip
    """Measure every tensor that has bits of its own: weights, and outputs of nodes that do not merely move values.

    The outputs of the network are left out: nothing reads them but the user.

    Parameters
    ----------
    graph, ranges, samples
        A float network, its calibration, and batches of real inputs.
    scheme
        How tensors are quantized; its bit widths do not count.
    bits
        Widths to measure.
    outputs
        Whether outputs are measured, too, or weights alone.

    Returns
    -------
    dict
        By item (see `weight_item`, `output_item`) and width.
    """
    name = scores(graph)
    exact = [_run(graph, batch, name, {})[0].astype(np.float64) for batch in samples]
    found: dict[str, dict[int, Sensitivity]] = {}

    def measure(item: str, width: int, changed: Graph, rounded: Mapping[str, Quantization], noise: float = 0.0) -> None:
        runs = [_run(changed, batch, name, rounded) for batch in samples]
        noise += sum(lost for _, lost in runs) / sum(len(batch) for batch in exact)
        found.setdefault(item, {})[width] = replace(_compare(exact, [run for run, _ in runs]), noise=noise)

    for node in graph.nodes:
        for width in bits:
            own = replace(scheme, weight_bits=width, activation_bits=width)
            if node.op.weighted:
                made = _rounded(graph, node, own)
                noise = float(((made[0] - constants_of(graph, node)[0]).astype(np.float64) ** 2).sum())
                measure(weight_item(node.name), width, with_constants(graph, {node.name: made}), {}, noise)
            if outputs and has_output_bits(graph, node.name):
                output = node.outputs[0]
                measure(output_item(node.name), width, graph, {output: own.activations(*ranges[output])})
    return found


def has_output_bits(graph: Graph, name: str) -> bool:
    """Whether the bits of a node's output are free: it computes new values, which another node reads."""
    node = next(node for node in graph.nodes if node.name == name)
    final = node.outputs[0] in (*graph.outputs, scores(graph))
    return not (node.op.same_scale or isinstance(node.op, Softmax) or final)


def with_curvatures(measured: Measured, curvatures: Mapping[str, float]) -> dict[str, dict[int, Sensitivity]]:
    """Estimate the rise of a loss from its curvature in every tensor, as HAWQ-V2 does.

    ``mean second derivative * squared error / 2``: the second-order term of the loss, with the trace of its Hessian spread evenly
    over the tensor (Z. Dong et al., NeurIPS 2020, arXiv 1911.03852, equation 4, which leaves out the half). The first-order term
    is that of a trained network: none. Where rounding noise finds the loss bent downwards the estimate is 0.

    Parameters
    ----------
    measured
        By `sensitivities`.
    curvatures
        Mean second derivative of the loss by an element of every item: `hwsim.train.hessian.curvatures`.
    """
    return {
        item: {
            width: replace(seen, hessian=max(curvatures[item], 0.0) * seen.noise / 2) for width, seen in widths.items()
        }
        for item, widths in measured.items()
    }


def error_of(seen: Sensitivity) -> float:
    """The usual loss: the mean squared error of the scores, whose logarithm the SQNR is."""
    return seen.error


def classes_of(seen: Sensitivity) -> float:
    """Part of the samples whose class changes."""
    return 1 - seen.agree


def hessian_of(seen: Sensitivity) -> float:
    """The rise of the loss that its curvature predicts."""
    assert seen.hessian is not None
    return seen.hessian


def size_options(graph: Graph, measured: Measured, loss: Loss = error_of) -> dict[str, list[Option]]:
    """Return the options of all weights, with their bytes as costs."""
    found = {}
    for node in graph.nodes:
        widths = measured.get(weight_item(node.name))
        if widths is not None:
            elements = graph.tensors[node.inputs[1]].elements
            found[weight_item(node.name)] = [Option(b, _bytes(elements, b), loss(seen)) for b, seen in widths.items()]
    return found


def bandwidth_options(graph: Graph, measured: Measured, loss: Loss = error_of) -> dict[str, list[Option]]:
    """Return the options of weights and outputs, with the bytes that they move as costs.

    Weights are read once per image; an output is written once, and read once by every node that takes it, also by way of nodes
    that only move it. Nothing stays on chip: `hwsim time` knows what does.
    """
    found = size_options(graph, measured, loss)
    passes = _passes(graph)
    for node in graph.nodes:
        widths = measured.get(output_item(node.name))
        if widths is not None:
            output = node.outputs[0]
            found[output_item(node.name)] = [
                Option(b, sum(_bytes(elements, b) for elements in passes[output]), loss(seen))
                for b, seen in widths.items()
            ]
    return found


def schemes_of(graph: Graph, scheme: Scheme, choice: Choice) -> dict[str, Scheme]:
    """Return the scheme of each node, for `hwsim.quant.quantize`; what the choice does not name keeps the bits of `scheme`."""
    found = {}
    for node in graph.nodes:
        weights, output = choice.get(weight_item(node.name)), choice.get(output_item(node.name))
        found[node.name] = replace(
            scheme,
            weight_bits=scheme.weight_bits if weights is None else weights.bits,
            activation_bits=scheme.activation_bits if output is None else output.bits,
        )
    return found


def _rounded(graph: Graph, node: Node, scheme: Scheme) -> tuple[Array, Array | None]:
    """Return the real values of a layer's weights as a scheme rounds them, and its bias."""
    real, bias = constants_of(graph, node)
    axis = channel_axis(node.op)
    weights = scheme.weights(real, axis, np.zeros(real.shape[axis]))
    return weights.dequantize(scheme.weight_integers(node.inputs[1], real, weights)), bias


def _passes(graph: Graph) -> dict[str, list[int]]:
    """Return, by tensor with bits of its own, the elements of every write and read of it, moved copies included."""
    reads = Counter(name for node in graph.nodes for name in node.inputs)
    origin: dict[str, str] = {}
    found: dict[str, list[int]] = {}
    for node in graph.nodes:
        for name in node.outputs:
            origin[name] = origin.get(node.inputs[0], node.inputs[0]) if node.op.same_scale else name
            found.setdefault(origin[name], []).extend([graph.tensors[name].elements] * (1 + reads[name]))
    return found


def _bytes(elements: int, bits: int) -> int:
    return math.ceil(elements * bits / 8)


def _run(graph: Graph, batch: Array, name: str, rounded: Mapping[str, Quantization]) -> tuple[Array, float]:
    """Return tensor `name` of a float network in which some activations are rounded, and the squared error of these."""
    lost = 0.0

    def change(tensor: str, values: Array) -> Array:
        nonlocal lost
        quantization = rounded.get(tensor)
        if quantization is None:
            return values
        found = quantization.dequantize(quantization.quantize(values))
        lost += float(((found - values).astype(np.float64) ** 2).sum())
        return found

    return next(outputs[0] for node, outputs in evaluate(graph, batch, change) if name in node.outputs), lost


def _compare(exact: Sequence[Array], found: Sequence[Array]) -> Sensitivity:
    error = sum(float(((left - right) ** 2).sum()) for left, right in zip(exact, found, strict=True))
    power = sum(float((left**2).sum()) for left in exact)
    rows = [
        (left.reshape(len(left), -1), right.reshape(len(left), -1)) for left, right in zip(exact, found, strict=True)
    ]
    same = sum(int((left.argmax(axis=1) == right.argmax(axis=1)).sum()) for left, right in rows)
    ratio = math.inf if error == 0 else 10 * math.log10(power / error)
    return Sensitivity(error / sum(left.size for left in exact), ratio, same / sum(len(left) for left in exact))
