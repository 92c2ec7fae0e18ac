"""Which tensors stay on chip between layers, so that the network moves the fewest bytes.

Every tensor between layers either stays on chip from its writing to its last reading, or is written to the DRAM and read back
by each reader. All combinations are weighed, layer by layer: what may follow depends only on which of the tensors that are
still needed are on chip, so for each such set the cheapest way to it is enough (dynamic programming, exact).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

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
    """

    kept_reads: frozenset[str]
    kept_writes: frozenset[str]
    occupied_bytes: int


Traffic = Callable[[int, Placement], int | None]
"""DRAM bytes of a layer, or None where it finds no room."""


def place(
    stages: Sequence[Stage], sizes: Mapping[str, int], fixed: Iterable[str], traffic: Traffic
) -> list[Placement] | None:
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
        See above. Less room never makes it smaller.
    """
    last = {name: index for index, stage in enumerate(stages) for name in (*stage.writes, *stage.reads)}
    free = set(sizes) - set(fixed)
    # By the set of tensors on chip: bytes so far, and the placements of all layers up to here as a linked list.
    ways: dict[frozenset[str], tuple[int, _Link | None]] = {frozenset(): (0, None)}
    for index, stage in enumerate(stages):
        reached: dict[frozenset[str], tuple[int, _Link | None]] = {}
        for kept, (cost, link) in ways.items():
            for writes in _subsets([name for name in stage.writes if name in free]):
                held = kept | writes
                placement = Placement(kept.intersection(stage.reads), writes, sum(sizes[name] for name in held))
                moved = traffic(index, placement)
                if moved is None:
                    continue
                after = frozenset(name for name in held if last[name] > index)
                if after not in reached or cost + moved < reached[after][0]:
                    reached[after] = cost + moved, _Link(placement, link)
        if not reached:
            return None
        cheapest = sorted(reached.items(), key=lambda way: (way[1][0], sorted(way[0])))
        ways = dict(cheapest[:MOST_SETS])
    best = min(ways.values(), key=lambda way: way[0])[1]
    return list(_Link.unroll(best))


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
