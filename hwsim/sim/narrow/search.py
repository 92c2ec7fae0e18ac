"""The narrowest registers that a network can live with, in an order of summation, for a permitted loss of accuracy.

*No overflow for any input* is proven, layer by layer, by `hwsim.sim.analyze.extremes`; nothing runs.

*No overflow on the data*: as long as nothing overflows every register holds exact sums. So the widths at which a layer behind
exact layers has no event are all those from some width on, the same for wrapping and for saturating registers, and each layer is
searched by itself, by bisection. A saturating register must hold the bias that it starts at, which is one of the sums.

*Loss*: accuracy need not rise with the width, neither for wrapping registers (modulo 2**bits one bit less changes every
wrong sum) nor for saturating ones. So the widths of all layers are tried one after the other, downwards from the widest that can
overflow on the data; the result is the narrowest width such that it and every wider one meet the loss, and `LOOK` more widths are
tried below. Per layer the search starts at the widths without overflow and takes one bit at a time, round by round, layers of
most multiply-accumulates first, as long as the whole network meets the loss. It ends with a round in which no layer could give a
bit: no single layer can be one bit narrower. It is a local minimum, and not claimed to be more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from hwsim.sim.analyze.layers import prove
from hwsim.sim.narrow.document import KnownBy, LayerBits, Permitted, Point, Row
from hwsim.sim.narrow.order import LEAST_BITS, Order, proven_bits
from hwsim.sim.narrow.runs import EXACT, Outcome, Runs
from hwsim.spec import InputError, Overflow, Reduction, require
from hwsim.spec.number import REGISTER_BITS

NAME = 24
"""Characters of a layer's name that are told."""

LOOK = 2
"""Widths that are tried below the first that loses too much."""

WIDEST = REGISTER_BITS[-1]

Report = Callable[[str], None]
"""Told of every network that is tried."""


@dataclass(frozen=True)
class Wanted:
    """What to search for.

    Parameters
    ----------
    loss_points
        Permitted loss of accuracy, percentage points below the network without overflow.
    per_layer
        Also search widths by layer.
    down_to
        Also try all layers at every width down to this.
    loss
        Also search with overflow permitted.
    """

    loss_points: float = 1.0
    per_layer: bool = True
    down_to: int | None = None
    loss: bool = True

    def least_correct(self, exact: Outcome) -> int:
        """Return how many images must be right."""
        # Rounded up but for the noise of the decimal fraction.
        return max(0, math.ceil(exact.correct - self.loss_points / 100 * exact.n - 1e-9))


@dataclass(frozen=True)
class Choice:
    """A row, and its registers by layer."""

    row: Row
    machine: Reduction
    layers: Mapping[str, Reduction]


@dataclass
class OrderSearch:
    """The search in one order.

    Parameters
    ----------
    runs
        The network and the data.
    machine
        What is not searched: the accumulator behind chains, bias and zero points.
    order, wanted
        What to search for.
    tell
        Told of every network that is tried.
    """

    runs: Runs
    machine: Reduction
    order: Order
    wanted: Wanted
    tell: Report
    quiet: int = field(init=False, default=WIDEST)
    """Width of all layers from which on nothing overflows on the data."""
    choices: list[Choice] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)

    def __post_init__(self) -> None:
        exact, graph = self.runs.exact, self.runs.graph
        self.needed = self.wanted.least_correct(exact)
        self.macs = {}
        for node in graph.nodes:
            if node.name in self.runs.layers:
                m, k, n, groups = node.op.gemm(graph.inputs_of(node), graph.outputs_of(node))
                self.macs[node.name] = m * k * n * groups
        require(bool(self.macs), f"{graph.name}: layers", "some that sum products", "none")
        widest = self.order.of(replace(self.machine, acc=EXACT), WIDEST, Overflow.WRAP)
        proofs = [
            prove(graph, node, 0, self.runs.unit(node.name, widest)) for node in graph.nodes if node.name in self.macs
        ]
        self.proven = {proof.node.name: self.order.proven_bits(proof) for proof in proofs}
        behind = max(proven_bits(proof, ("acc",)) for proof in proofs)
        require(
            "acc" in self.order.registers or self.machine.acc.bits >= behind,
            "acc", f"{behind} bits or more behind {self.order.text}, so that only partial sums can overflow", self.machine.acc,
        )  # fmt: skip

    def search(self) -> None:
        """Find all rows, in `choices`, and the accuracies by width, in `points`."""
        self._both("nothing, proven", self.proven)
        quiet = {name: self.quiet_bits(name) for name in self.proven}
        self._both("nothing, observed", quiet)
        self.quiet = max(quiet.values())
        for overflow in Overflow:
            if self.wanted.loss:
                self._uniform(overflow)
                if self.wanted.per_layer:
                    self._per_layer(overflow, quiet)

    def reductions(self, bits: Mapping[str, int], overflow: Overflow) -> dict[str, Reduction]:
        """Return the layers with registers of these widths."""
        return {name: self.order.of(self.machine, width, overflow) for name, width in bits.items()}

    def _both(self, permitted: Permitted, bits: Mapping[str, int]) -> None:
        """Add the rows of widths that nothing overflows: one for all layers, and each its own."""
        most = max(bits.values())
        self._add(permitted, Overflow.SATURATE, dict.fromkeys(bits, most), most, self.runs.exact, either=True)
        if self.wanted.per_layer:
            self._add(permitted, Overflow.SATURATE, bits, None, self.runs.exact, either=True)

    def quiet_bits(self, name: str) -> int:
        """Return the smallest width of a layer, behind exact layers, that has no event on the data."""
        low, high = LEAST_BITS, self.proven[name]
        while low < high:
            middle = (low + high) // 2
            if self._quiet(name, middle):
                high = middle
            else:
                low = middle + 1
        self.tell(f"{self.order.text}: {shorten(name)} has no overflow on the data from {high} bits on")
        return high

    def _quiet(self, name: str, bits: int) -> bool:
        try:
            return self.runs.events(name, self.order.of(self.machine, bits, Overflow.SATURATE)) == 0
        except InputError:  # it cannot start from its bias
            return False

    def _try(self, bits: Mapping[str, int], overflow: Overflow, text: str) -> Outcome:
        found = self.runs.run(self.reductions(bits, overflow))
        self.tell(f"{self.order.text}, {overflow.value}, {text}: {found.correct} of {found.n} right")
        return found

    def _point(self, bits: int, overflow: Overflow) -> Outcome | None:
        """Try all layers at one width and note it; None where the network is refused."""
        safe = bits >= max(self.proven.values())
        known: KnownBy = "proven" if safe else "observed" if bits >= self.quiet else "run"
        found, refused = None, ""
        try:
            found = (
                self.runs.exact
                if known != "run"
                else self._try(dict.fromkeys(self.proven, bits), overflow, f"{bits} bits")
            )
        except InputError as error:
            known, refused = "refused", str(error)
        self.points.append(
            Point(
                order=self.order.text, overflow=overflow.value, bits=bits, correct=found.correct if found else None,
                events=found.total if found else 0, known_by=known, refused=refused,
            )
        )  # fmt: skip
        return found

    def _uniform(self, overflow: Overflow) -> None:
        self.runs.restart()
        top = max(self.proven.values())
        best = self._point(top, overflow)
        assert best is not None  # the bias is one of the sums that fit
        narrowest = top
        failed: list[int] = []
        also: list[int] = []
        for bits in range(top - 1, LEAST_BITS - 1, -1):
            if len(failed) + len(also) > LOOK and (self.wanted.down_to is None or bits < self.wanted.down_to):
                break
            found = self._point(bits, overflow)
            if found is None or found.correct < self.needed:
                failed.append(bits)
            elif failed:
                also.append(bits)
            else:
                narrowest, best = bits, found
        widths = dict.fromkeys(self.proven, narrowest)
        self._add("loss", overflow, widths, narrowest, best, also=tuple(also), failed=tuple(failed))

    def _per_layer(self, overflow: Overflow, start: Mapping[str, int]) -> None:
        self.runs.restart()
        bits, best = dict(start), self.runs.exact
        names = sorted(self.macs, key=lambda name: -self.macs[name])
        shrunk = True
        while shrunk:
            shrunk = False
            for name in names:
                if bits[name] == LEAST_BITS:
                    continue
                tried = bits | {name: bits[name] - 1}
                try:
                    found = self._try(tried, overflow, f"{shorten(name)} at {tried[name]} bits")
                except InputError:  # it cannot start from its bias
                    continue
                if found.correct >= self.needed:
                    self.runs.keep()
                    bits, best, shrunk = tried, found, True
        self._add("loss", overflow, bits, None, best)

    def _add(
        self, permitted: Permitted, overflow: Overflow, bits: Mapping[str, int], uniform: int | None, found: Outcome, *,
        either: bool = False, also: tuple[int, ...] = (), failed: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        total = sum(self.macs.values())
        row = Row(
            order=self.order.text,
            overflow="either" if either else overflow.value,
            permitted=permitted,
            bits=uniform,
            layers=tuple(LayerBits(name=name, macs=self.macs[name], bits=bits[name]) for name in bits),
            mean_bits=sum(bits[name] * self.macs[name] for name in bits) / total,
            correct=found.correct,
            top1=found.correct / found.n,
            events=found.total,
            changed=int((found.predictions != self.runs.exact.predictions).sum()),
            also=also,
            failed=failed,
            command="",
            registers="",
        )
        machine = self.order.of(self.machine, max(bits.values()), overflow)
        own = {} if uniform is not None else self.reductions(bits, overflow)
        self.choices.append(Choice(row, machine, own))


def shorten(name: str) -> str:
    """Return the end of a long name, which is where names differ."""
    return name if len(name) <= NAME else f"…{name[1 - NAME :]}"
