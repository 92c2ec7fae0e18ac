"""What `reports/training.py` measures of bits by layer: the choices of three measures, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from hwsim.api.inputs import open_inputs
from hwsim.graph import Graph
from hwsim.quant import Scheme, calibrate, quantize
from hwsim.quant.bit_search import exact, total
from hwsim.quant.mixed_precision import schemes_of, sensitivities, size_options, weight_item, with_curvatures
from hwsim.sim.execute import execute
from hwsim.sim.feed import Feed, spans
from hwsim.sim.network import calibration_samples
from hwsim.sim.program import Program
from hwsim.sim.quantize.engines import WIDE
from hwsim.sim.quantize.mixed import Measure
from hwsim.spec import Arithmetic
from hwsim.train.hessian import curvatures

KEY = "bits-by-layer"
MODEL, WIDTHS, UNIFORM = "cifar_resnet8", (2, 3, 4, 6, 8), 3
"""The budget is what `UNIFORM` bits everywhere take."""
CALIBRATED, LOOKED, BATCH = 256, 64, 32
"""Training images that set ranges, that measures look at, and in a batch of these."""

Json = dict[str, Any]


def measure_bits(count: int, say: Callable[[str], None]) -> Json:
    """Measure every layer's sensitivities once, search with each measure, and count right classes of `count` test images."""
    loaded, dataset = open_inputs(MODEL, None)
    graph, scheme = loaded.graph, Scheme()
    ranges = calibrate(graph, calibration_samples(loaded, graph, dataset, CALIBRATED), scheme.ranges)
    feed = Feed(graph, dataset.calibration_split())
    looked = [(feed.real(*span), feed.labels(graph, *span)) for span in spans(LOOKED, BATCH)]
    curved = curvatures(graph, looked, outputs=False)
    say("second derivatives done")
    seen = sensitivities(graph, ranges, [batch for batch, _ in looked], scheme, WIDTHS, outputs=False)
    measured = with_curvatures(seen, curved)
    say("sensitivities done")

    def correct(network: Graph) -> int:
        return execute(
            Program(network, Arithmetic(WIDE, network.profile)), Feed(network, dataset), count, threads=1
        ).correct

    names = [node.name for node in graph.nodes if node.op.weighted]
    sizes = {node.name: graph.tensors[node.inputs[1]].elements for node in graph.nodes if node.op.weighted}
    budget = sum(-(-size * UNIFORM // 8) for size in sizes.values())
    found: Json = {
        "model": MODEL, "widths": WIDTHS, "images": LOOKED, "n": count, "budget": budget, "sizes": sizes,
        "curvatures": {name: curved[weight_item(name)] for name in names},
        "uniform": {"bits": UNIFORM, "correct": correct(quantize(graph, ranges, replace(scheme, weight_bits=UNIFORM)))},
        "measures": {},
    }  # fmt: skip
    for by in Measure:
        choice = exact(size_options(graph, measured, by.loss), budget)
        made = quantize(graph, ranges, scheme, schemes_of(graph, scheme, choice))
        cost, loss = total(choice)
        found["measures"][by.value] = {
            "bits": {name: choice[weight_item(name)].bits for name in names}, "cost": cost, "loss": loss,
            "correct": correct(made),
        }  # fmt: skip
        say(f"{by.value}: {found['measures'][by.value]}")
    return found


def bits_section(found: Json) -> Iterator[str]:
    """Yield the page's lines."""
    count, uniform, measures = found["n"], found["uniform"], found["measures"]
    yield "## Bits by layer\n"
    yield (
        f"Weights of {found['model']} in {', '.join(map(str, found['widths']))} bits within the {found['budget']:,} bytes that "
        f"{uniform['bits']} bits everywhere take; activations of 8 bits. Each measure of `hwsim quantize --mixed-by` on the same "
        f"{found['images']} training images; the search is exact. `curvature` is the mean second derivative of the loss by a "
        "weight (the trace of its Hessian over the number of weights).\n"
    )
    yield f"| layer | weights | curvature | {' | '.join(measures)} |"
    yield f"|---|---|---|{'---|' * len(measures)}"
    for name, size in found["sizes"].items():
        bits = " | ".join(str(each["bits"][name]) for each in measures.values())
        yield f"| {name} | {size:,} | {found['curvatures'][name]:.3g} | {bits} |"
    yield f"| bytes | | | {' | '.join(format(each['cost'], ',') for each in measures.values())} |"
    right = " | ".join(f"{100 * each['correct'] / count:.2f}" for each in measures.values())
    yield f"| right, % of {count:,} | | | {right} |"
    yield f"\n{uniform['bits']} bits in every layer: {100 * uniform['correct'] / count:.2f} %.\n"
