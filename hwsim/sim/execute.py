"""A network over a whole data set: batches on threads, memory bounded by the batches in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hwsim.graph import Graph
from hwsim.kernels.monitor import Monitor
from hwsim.quant import evaluate
from hwsim.sim.feed import Feed, spans
from hwsim.sim.program import Program

BATCH_BYTES = 32 << 20
"""Activations of a batch, about."""

FLOAT_BATCH = 8
"""Most images per batch of a float network, whose windows are written out one by one: they should stay in the cache."""

T = TypeVar("T")
Progress = Callable[[int], None]
"""Told how many images were finished since the last call."""


@dataclass(frozen=True)
class Execution:
    """What an integer network did on a data set."""

    predictions: np.ndarray
    correct: int
    n: int
    monitors: dict[str, Monitor]


def batch_size(graph: Graph) -> int:
    """Return images per batch, 1..64, so that a batch's activations stay near `BATCH_BYTES`."""
    widest = max(
        sum(t.elements for t in graph.inputs_of(n) + graph.outputs_of(n) if not t.constant) for n in graph.nodes
    )
    return int(min(max(BATCH_BYTES // (4 * widest), 1), 64))


def in_order(work: Callable[[int, int], T], count: int, size: int, threads: int) -> Iterator[T]:
    """Run `work(start, stop)` for batches on threads; yield results in order, with few batches in flight."""
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[T]] = deque()
        try:
            for start, stop in spans(count, size):
                pending.append(pool.submit(work, start, stop))
                if len(pending) > 2 * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # An error or an interrupt must not wait for batches that nobody will look at.
            for future in pending:
                future.cancel()


def execute(program: Program, feed: Feed, count: int, *, threads: int, progress: Progress | None = None) -> Execution:
    """Run the first `count` samples in integers.

    Returns
    -------
    Execution
        Top-1 predictions int64 [count] (the first of equal scores), and the counters of all batches together.
    """
    graph = program.graph

    def work(start: int, stop: int) -> tuple[np.ndarray, dict[str, Monitor]]:
        monitors = program.monitors(base=start)
        scores = program.run(feed.integers(start, stop), monitors=monitors)[graph.outputs[0]]
        return scores.reshape(stop - start, -1).argmax(axis=1), monitors

    total = program.monitors()
    predictions: list[np.ndarray] = []
    for predicted, monitors in in_order(work, count, batch_size(graph), threads):
        predictions.append(predicted)
        for name, monitor in monitors.items():
            total[name].merge(monitor)
        if progress is not None:
            progress(len(predicted))
    found = np.concatenate(predictions)
    _locate_first_events(program, feed, total)
    return Execution(found, int((found == feed.labels(graph, 0, count)).sum()), count, total)


def _locate_first_events(program: Program, feed: Feed, total: dict[str, Monitor]) -> None:
    """Find pixel, channel and register of first events of which only the image is known: run those images again, in order."""
    images = {monitor.first_image for monitor in total.values() if monitor.first_image is not None}
    for image in sorted(images):
        monitors = program.monitors(observe=True, base=image)
        program.run(feed.integers(image, image + 1), monitors=monitors)
        for name, monitor in total.items():
            if monitor.first_image == image:
                monitor.first[:] = monitors[name].first


def execute_float(
    graph: Graph, feed: Feed, count: int, *, threads: int, progress: Progress | None = None
) -> tuple[np.ndarray, int]:
    """Run the first `count` samples in float32; return the predictions and how many are right."""

    def work(start: int, stop: int) -> np.ndarray:
        scores: np.ndarray | None = None
        for node, outputs in evaluate(graph, feed.real(start, stop)):
            if graph.outputs[0] in node.outputs:
                scores = outputs[node.outputs.index(graph.outputs[0])]
        assert scores is not None
        found: np.ndarray = scores.reshape(stop - start, -1).argmax(axis=1)
        return found

    predictions: list[np.ndarray] = []
    for predicted in in_order(work, count, min(batch_size(graph), FLOAT_BATCH), threads):
        predictions.append(predicted)
        if progress is not None:
            progress(len(predicted))
    found = np.concatenate(predictions)
    return found, int((found == feed.labels(graph, 0, count)).sum())
