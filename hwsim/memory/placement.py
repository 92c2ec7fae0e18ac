"""Which tensors stay on chip between layers, so that the network moves the fewest bytes.

Every tensor between layers either stays on chip from its writing to its last reading, or is written to the DRAM and read back
by each reader. All combinations are weighed, layer by layer: what may follow depends only on which of the tensors that are
still needed are on chip, so for each such set the cheapest way to it is enough (dynamic programming, exact).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from types import MappingProxyType

MOST_SETS = 512
"""Sets of tensors on chip that are followed at a time. Networks with more that cost about the same lose the dearest ones."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A layer: names of the activations that it reads and writes."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """What is on chip during a layer.

    Parameters
    ----------
    kept_reads, kept_writes
        Of its own tensors.
    occupied_bytes
        Bytes of all tensors that are kept, others' too.
    stack
        The layers that are executed together, and whose placement this is; None for a layer by itself.
    """

    kept_reads: frozenset[str]
    kept_writes: frozenset[str]
    occupied_bytes: int
    stack: range | None = None


Traffic = Callable[[int, Placement], int | None]
"""DRAM bytes of a layer, or None where it finds no room."""


def place(
    stages: Sequence[Stage], sizes: Mapping[str, int], fixed: Iterable[str], traffic: Traffic,
    stacks: Mapping[int, Sequence[int]] = MappingProxyType({}),
) -> list[Placement] | None:  # fmt: skip
    """Return the placement of each layer, or None where some layer finds no room even with nothing kept.

    Parameters
    ----------
    stages
        In order of execution.
    sizes
        Bytes on chip of every tensor that may stay.
    fixed
        Tensors that must be in the DRAM: what enters and leaves the network.
    traffic
        See above. Less room never makes it smaller. Of layers that are executed together it is asked once, with the first.
    stacks
        By the first of them, where layers that may be executed together end (the one after the last). What they write is
        read by the next of them alone, apart from what the last writes. They are taken where that moves fewer bytes.
    """
    last = {name: index for index, stage in enumerate(stages) for name in (*stage.writes, *stage.reads)}
    free = set(sizes) - set(fixed)
    # By the layers done, then the set of tensors on chip: the cost so far, and the placements up to there as a linked list.
    ways: list[dict[frozenset[str], tuple[_Cost, _Link | None]]] = [{} for _ in range(len(stages) + 1)]
    ways[0][frozenset()] = (0, 0), None
    occupied: dict[frozenset[str], int] = {}
    for index in range(len(stages)):
        followed = _cheapest(ways[index])
        for end in (index + 1, *stacks.get(index, ())):
            own = range(index, end)
            reads = {name for layer in own for name in stages[layer].reads}
            for kept, ((moved, number), link) in followed:
                for writes in _subsets([name for name in stages[end - 1].writes if name in free]):
                    held = kept | writes
                    stack = own if len(own) > 1 else None
                    if held not in occupied:
                        occupied[held] = sum(sizes[name] for name in held)
                    placement = Placement(kept & reads, writes, occupied[held], stack)
                    more = traffic(index, placement)
                    if more is None:
                        continue
                    cost = moved + more, number + (stack is not None)
                    after = frozenset(name for name in held if last[name] >= end)
                    if after not in ways[end] or cost < ways[end][after][0]:
                        ways[end][after] = cost, _Link(placement, link)
    if not ways[-1]:
        return None
    best = min(_cheapest(ways[-1]), key=lambda way: way[1][0])[1][1]
    return [placement for placement in _Link.unroll(best) for _ in placement.stack or range(1)]


_Cost = tuple[int, int]
"""Bytes, and of equal ones the number of stacks."""


def _cheapest(
    ways: Mapping[frozenset[str], tuple[_Cost, _Link | None]],
) -> list[tuple[frozenset[str], tuple[_Cost, _Link | None]]]:
    """Return the ways to be followed, the cheapest first."""
    return sorted(ways.items(), key=lambda way: (way[1][0], sorted(way[0])))[:MOST_SETS]


@dataclass(frozen=True, slots=True)
class _Link:
    placement: Placement
    before: _Link | None

    @staticmethod
    def unroll(link: _Link | None) -> Iterator[Placement]:
        found = []
        while link is not None:
            found.append(link.placement)
            link = link.before
        return reversed(found)


def _subsets(names: Sequence[str]) -> Iterator[frozenset[str]]:
    """Yield all subsets, the empty one first."""
    for number in range(len(names) + 1):
        yield from map(frozenset, combinations(names, number))
