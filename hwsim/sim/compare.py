"""Speed against an outside reference: both sides in one process, in turns, so that a ratio survives a noisy machine."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwsim.graph import Graph
from hwsim.sim.execute import batch_size
from hwsim.sim.program import Program
from hwsim.spec import InputError

WINDOW_SECONDS = 0.25
"""Shortest measurement: long against the clock and short against the machine's moods."""


@dataclass(frozen=True)
class Side:
    """One way of running a network.

    Parameters
    ----------
    name
        What the table calls it.
    run
        Computes a batch once.
    images
        Images per call.
    """

    name: str
    run: Callable[[], object]
    images: int


@dataclass(frozen=True)
class Timing:
    """Images per CPU second of one side, a value per round."""

    name: str
    rates: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle rate."""
        return statistics.median(self.rates)


def ratio(ours: Timing, theirs: Timing) -> float:
    """Return the median over rounds of ours to theirs: neighbours in time are compared with each other."""
    return statistics.median(a / b for a, b in zip(ours.rates, theirs.rates, strict=True))


def measure(sides: list[Side], rounds: int) -> list[Timing]:
    """Time every side in turns, `rounds` times, in CPU time of this thread (all sides run single-threaded)."""
    calls = []
    for side in sides:
        side.run()
        started = time.thread_time()
        side.run()
        calls.append(max(1, int(WINDOW_SECONDS / max(time.thread_time() - started, 1e-6))))
    rates: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, count, found in zip(sides, calls, rates, strict=True):
            started = time.thread_time()
            for _ in range(count):
                side.run()
            found.append(side.images * count / (time.thread_time() - started))
    return [Timing(side.name, tuple(found)) for side, found in zip(sides, rates, strict=True)]


def random_batch(graph: Graph, images: int) -> np.ndarray:
    """Return uniformly random integers for a network's input; the seed is fixed."""
    quantization = graph.input.quantization
    if quantization is None:
        raise InputError(f"{graph.name}: input {graph.input.name!r} must be quantized, not float")
    form = quantization.format
    values = np.random.default_rng(0).integers(form.lo, form.hi + 1, (images, *graph.input.shape[1:]))
    return values.astype(form.storage)


def hwsim_sides(program: Program) -> list[Side]:
    """Return hwsim at batch 1 and at the batch that `hwsim run` uses."""
    sides = []
    for images in dict.fromkeys((1, batch_size(program.graph))):
        batch = random_batch(program.graph, images)
        sides.append(Side(f"hwsim, batch {images}", functools.partial(program.run, batch), images))
    return sides


def litert_side(path: Path, graph: Graph) -> Side:
    """Return LiteRT's reference kernels (BUILTIN_REF, one thread); they know only batch 1.

    Raises
    ------
    InputError
        Where LiteRT is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError:
        raise InputError("the comparison needs LiteRT: pip install 'hwsim[compare]'") from None
    interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], random_batch(graph, 1))
    return Side("LiteRT reference kernels, batch 1", interpreter.invoke, 1)
