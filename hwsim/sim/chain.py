"""Consecutive layers of a network as one compiled call: their activations lie in one piece of memory per thread."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.graph import Array, Graph, Node, Unit
from hwsim.kernels.layer import scratch
from hwsim.kernels.monitor import Monitor
from hwsim.kernels.table import Entry, Step, Table, View

LINE = 64
"""Bytes that activations are aligned to: those of a cache line and of the widest vector."""


Fields = Sequence[tuple[npt.NDArray[np.int64], int]]
"""Where an address goes."""


@dataclass(frozen=True)
class _Prepared:
    """A chain for one batch and one thread; it lasts as long as the thread's scratch stays put.

    Parameters
    ----------
    table
        What is called.
    counting
        Those of the entries that count, by node.
    sources, results
        By tensor that enters, and that leaves: where its address goes, and of the latter shape and dtype.
    grown
        Of the scratch memory, when it was made.
    """

    table: Table
    counting: Sequence[tuple[str, Callable[[Monitor | None], None]]]
    sources: Sequence[tuple[str, Fields]]
    results: Sequence[tuple[str, tuple[int, ...], np.dtype[np.generic], Fields]]
    grown: int


class _Local(threading.local):
    def __init__(self) -> None:
        self.known: dict[int, _Prepared] = {}


class Chain:
    """Nodes ``first..last - 1``, each with a unit that has a step.

    Parameters
    ----------
    graph, units
        The network, and its units by node name.
    first, last
        Numbers of nodes.

    Attributes
    ----------
    entering, leaving
        Tensors that it reads from elsewhere, and that are read elsewhere.
    """

    def __init__(self, graph: Graph, units: Mapping[str, Unit], first: int, last: int) -> None:
        self.graph, self.first, self.last = graph, first, last
        self.nodes = graph.nodes[first:last]
        self.steps: dict[str, Step] = {}
        self._same: dict[str, str] = {}
        for node in self.nodes:
            step = units[node.name].step
            assert step is not None
            self.steps[node.name] = step
            if isinstance(step, View):
                self._same[node.outputs[0]] = self._root(node.inputs[0])
        made = {name for node in self.nodes for name in node.outputs}
        read = {name for node in graph.nodes[last:] for name in node.inputs}
        used = [name for node in self.nodes for name in self._read(node)]
        self.entering = [name for name in dict.fromkeys(used) if name not in made]
        self.leaving = [name for name in graph.tensors if name in made and (name in read or name in graph.outputs)]
        self._leaving = [(name, self._root(name)) for name in self.leaving]
        self._local = _Local()

    def run(self, values: Mapping[str, Array], monitors: Mapping[str, Monitor] | None) -> dict[str, Array]:
        """Return the tensors that leave, from those that enter: [batch, ...] each, in their storage dtype."""
        batch = len(values[self.entering[0]])
        prepared = self._local.known.get(batch)
        if prepared is None or prepared.grown != scratch.grown:
            prepared = self._local.known[batch] = self._prepare(batch)
        roots = {}
        for name, fields in prepared.sources:
            roots[name] = _placed(np.ascontiguousarray(values[name]), fields)
        for name, shape, dtype, fields in prepared.results:
            roots[name] = _placed(np.empty(shape, dtype), fields)
        prepared.table.run()
        for name, settle in prepared.counting:
            settle(None if monitors is None else monitors.get(name))
        return {
            name: roots[root] if root == name else roots[root].reshape(self._shape(name, batch))
            for name, root in self._leaving
        }

    def _prepare(self, batch: int) -> _Prepared:
        ends = {self._root(name) for name in (*self.entering, *self.leaving)}
        places, size = self.places(ends, batch)
        grown = -1
        # Layers share the scratch: what a later one needs may move what an earlier one was given.
        while grown != scratch.grown:
            grown = scratch.grown
            arena = int(scratch.take("arena", size, "uint8").ctypes.data)
            entries = {node.name: self._entry(node, batch) for node in self.nodes if self._has_entry(node)}
        fields: dict[str, list[tuple[npt.NDArray[np.int64], int]]] = {name: [] for name in ends}
        for node in self.nodes:
            if not self._has_entry(node):
                continue
            entry = entries[node.name]
            for name, field in zip(
                (*self._read(node)[: len(entry.inputs)], node.outputs[0]), (*entry.inputs, entry.output), strict=True
            ):
                root = self._root(name)
                if root in ends:
                    fields[root].append((entry.fields, field))
                else:
                    entry.fields[field] = arena + places[root]
        return _Prepared(
            Table(list(entries.values())),
            [(name, entry.settle) for name, entry in entries.items() if entry.settle is not None],
            [(name, fields[name]) for name in self.entering],
            [
                (name, self._shape(name, batch), _dtype(self.graph, name), fields[name])
                for name in fields
                if name not in self.entering
            ],
            grown,
        )

    def _entry(self, node: Node, batch: int) -> Entry:
        return self.steps[node.name].entry([self._shape(name, batch) for name in self._read(node)])

    def _has_entry(self, node: Node) -> bool:
        return not isinstance(self.steps[node.name], View)

    def places(self, ends: set[str], batch: int) -> tuple[dict[str, int], int]:
        """Return where activations that stay inside lie, and the bytes that they need: each as low as others allow."""
        last = {self._root(name): index for index, node in enumerate(self.nodes) for name in self._read(node)}
        places: dict[str, int] = {}
        live: list[tuple[int, int, str]] = []
        size = 0
        for index, node in enumerate(self.nodes):
            root = self._root(node.outputs[0])
            if root not in ends and root not in places:
                tensor = self.graph.tensors[root]
                needed = -(-batch * tensor.elements * _dtype(self.graph, root).itemsize // LINE) * LINE
                start = _gap(live, needed)
                places[root] = start
                live.append((start, start + needed, root))
                size = max(size, start + needed)
            live = [part for part in live if last.get(part[2], index) > index]
        return places, size

    def _read(self, node: Node) -> list[str]:
        return [name for name in node.inputs if not self.graph.tensors[name].constant]

    def _root(self, name: str) -> str:
        """Return the tensor whose memory a tensor has."""
        return self._same.get(name, name)

    def _shape(self, name: str, batch: int) -> tuple[int, ...]:
        return batch, *self.graph.tensors[name].shape[1:]


def _placed(array: Array, fields: Fields) -> Array:
    """Write an array's address to its places."""
    try:
        # A quarter of the time that NumPy takes to say where an array lies.
        address = ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    except (TypeError, ValueError):  # read-only, or without elements
        address = array.ctypes.data
    for numbers, field in fields:
        numbers[field] = address
    return array


def _gap(live: Sequence[tuple[int, int, str]], needed: int) -> int:
    """Return the lowest place for so many bytes beside those that are taken."""
    start = 0
    for begin, end, _ in sorted(live):
        if begin - start >= needed:
            break
        start = max(start, end)
    return start


def _dtype(graph: Graph, name: str) -> np.dtype[np.generic]:
    quantization = graph.tensors[name].quantization
    assert quantization is not None
    return np.dtype(quantization.format.storage)


def stages(graph: Graph, units: Mapping[str, Unit]) -> Iterator[Chain | int]:
    """Split a network into chains, as long as they can be, and the numbers of the nodes between them."""
    first = 0
    for index in range(len(graph.nodes) + 1):
        if index < len(graph.nodes) and units[graph.nodes[index].name].step is not None:
            continue
        if index > first:
            yield Chain(graph, units, first, index)
        if index < len(graph.nodes):
            yield index
        first = index + 1
