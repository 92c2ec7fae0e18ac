"""One network on the same images in several arithmetics: what no register of theirs can tell apart is computed once.

The first of them is run with its activations kept (`hwsim.sim.narrow.runs.Runs`); of the others only the layers from the first
one on that can differ. Layers whose registers no input can overflow are the same in all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hwsim.graph import Graph
from hwsim.kernels.monitor import REGISTERS
from hwsim.ops.products import ProductsUnit
from hwsim.sim.execute import execute
from hwsim.sim.feed import Feed
from hwsim.sim.narrow.runs import Runs, decisive
from hwsim.sim.program import Program
from hwsim.spec import Accelerator, InputError, Reduction

LEAST_SHARE = 0.25
"""Of a network's multiply-accumulates: as many as have to be shared, so that keeping activations costs less than it saves."""


@dataclass(frozen=True)
class Counted:
    """Images that are right, and events by register as `hwsim.kernels.monitor.REGISTERS`."""

    correct: int
    events: tuple[int, ...]


def count(
    program: Program, feed: Feed, images: int, own: Accelerator, group: Sequence[Accelerator], first: Callable[[], Runs]
) -> Counted:
    """Run a network on the first images.

    Parameters
    ----------
    program
        The network in its own arithmetic.
    feed, images
        As for `hwsim.sim.execute.execute`.
    own, group
        Its machine, and those of all networks that are run on these images, its own too, in an order that is the same for all of
        them; empty for one that is alone.
    first
        Returns the runs that begin with the first of them, see `runs_from`.
    """
    if group and _pays(program, own, group):
        # The first one may be impossible, which is its own affair.
        with suppress(InputError):
            runs = first()
            outcome = runs.run(dict.fromkeys(runs.layers, own.arithmetic.reduction))
            return Counted(outcome.correct, _sums(outcome.counts.values()))
    execution = execute(program, feed, images, threads=1)
    counts = [monitor.counts.sum(axis=(1, 2)).tolist() for monitor in execution.monitors.values()]
    return Counted(execution.correct, _sums(counts))


def runs_from(graph: Graph, machine: Accelerator, feed: Feed, images: int) -> Runs:
    """Return the runs of a network that begin with it on a machine."""
    arithmetic = machine.arithmetic
    layers = {node.name: arithmetic.reduction for node in graph.nodes if node.op.weighted}
    return Runs(graph, arithmetic, feed, images, start=layers)


def in_order(machines: Iterable[Accelerator]) -> tuple[Accelerator, ...]:
    """Return machines with the widest accumulator first: where that is exact, most has most in common with it."""
    return tuple(sorted(machines, key=lambda machine: (-machine.arithmetic.reduction.acc.bits, str(machine))))


def _pays(program: Program, own: Accelerator, group: Sequence[Accelerator]) -> bool:
    """Whether a network has enough in common with the first one; the first one, with any other."""
    first, *others = (machine.arithmetic.reduction for machine in group)
    reductions = others if own == group[0] else [own.arithmetic.reduction]
    return max((shared_part(program, first, other) for other in reductions), default=0.0) >= LEAST_SHARE


def shared_part(program: Program, one: Reduction, other: Reduction) -> float:
    """Return which part of the multiply-accumulates comes before the first layer that two reductions can tell apart."""
    units = [(node, program.units[node.name]) for node in program.graph.nodes]
    work = {node.name: _macs(program, index) for index, (node, _) in enumerate(units)}
    same = itertools.takewhile(
        lambda pair: not isinstance(pair[1], ProductsUnit) or decisive(pair[1], one) == decisive(pair[1], other), units
    )
    return sum(work[node.name] for node, _ in same) / max(sum(work.values()), 1)


def _macs(program: Program, index: int) -> int:
    node = program.graph.nodes[index]
    m, k, n, groups = node.op.gemm(program.graph.inputs_of(node), program.graph.outputs_of(node))
    return m * k * n * groups


def _sums(counts: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """Return the events of all layers, by register."""
    return tuple(map(sum, zip([0] * len(REGISTERS), *counts, strict=True)))
