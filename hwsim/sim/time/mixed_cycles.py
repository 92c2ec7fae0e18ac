"""Cycles as the budget of mixed precision: what each layer takes with its weights in so many bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hwsim.graph import Graph
from hwsim.quant import Scheme, quantize
from hwsim.quant.bit_search import Option
from hwsim.quant.mixed_precision import Loss, Measured, error_of, weight_item
from hwsim.sim.time.network import time_network
from hwsim.spec import Accelerator

REST = "nodes without weights"
"""The item of what no choice changes."""


def cycle_options(
    graph: Graph, ranges: Mapping[str, tuple[float, float]], scheme: Scheme, measured: Measured, accelerator: Accelerator,
    loss: Loss = error_of,
) -> dict[str, list[Option]]:  # fmt: skip
    """Return the options of all weights, with their layers' cycles on a machine as costs, and one for all other nodes together.

    Each width is timed in a network whose layers all have it. Where a tensor stays on chip with some widths and not with
    others, the cycles of the mixed network differ from the sum: `time_network` has the final word. Activations keep the bits
    of `scheme`, because the cycles of a layer depend on those of its inputs and of its output together.

    Parameters
    ----------
    graph, ranges, scheme
        As for `hwsim.quant.quantize`.
    measured
        By `hwsim.quant.mixed_precision.sensitivities`.
    accelerator
        The machine.
    loss
        What is minimized.
    """
    items = {weight_item(node.name): node for node in graph.nodes if weight_item(node.name) in measured}
    found: dict[str, list[Option]] = {item: [] for item in items}
    widths = sorted({width for item in items for width in measured[item]})
    rest = 0
    for width in widths:
        timed = time_network(quantize(graph, ranges, replace(scheme, weight_bits=width)), accelerator)
        cycles = {weight_item(node.name): layer.time.cycles for node, layer in zip(graph.nodes, timed, strict=True)}
        rest = max(rest, sum(taken for item, taken in cycles.items() if item not in items))
        for item in items:
            if width in measured[item]:
                found[item].append(Option(width, cycles[item], loss(measured[item][width])))
    return {**found, REST: [Option(0, rest, 0.0)]}
