"""Ranges of a float network's activations on real samples."""

from __future__ import annotations

import math
from collections.abc import Iterable

from hwsim.graph import Array, Graph
from hwsim.quant.float_network import evaluate
from hwsim.quant.ranges import RangeObserver
from hwsim.spec import require


def calibrate(graph: Graph, batches: Iterable[Array], ranges: type[RangeObserver]) -> dict[str, tuple[float, float]]:
    """Return the range of every activation, by tensor name.

    Parameters
    ----------
    graph
        A float network.
    batches
        Real inputs, float32 [batch, ...] each.
    ranges
        The method.

    Raises
    ------
    InputError
        Where an activation is infinite or not a number.
    """
    observers = {name: ranges() for name, tensor in graph.tensors.items() if not tensor.constant}
    for batch in batches:
        observers[graph.inputs[0]].see(batch)
        for node, outputs in evaluate(graph, batch):
            for name, values in zip(node.outputs, outputs, strict=True):
                observers[name].see(values)
    found = {name: observer.range() for name, observer in observers.items()}
    for name, (lo, hi) in found.items():
        finite = math.isfinite(lo) and math.isfinite(hi)
        require(finite, f"{graph.name}: activation {name!r}: values", "finite in float32", f"{lo}..{hi}")
    return found
