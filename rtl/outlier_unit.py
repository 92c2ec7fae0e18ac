"""The sparse part of a K tile: a few weights that are too large for the array, each anywhere in the K tile."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Array, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Core, require

from .delay import delay
from .register_add import RegisterAdd
from .shape import to_shape
from .slots import outliers_layout

SELECT_BITS = 3
"""Of an outlier's index that choose an activation per cycle: one out of eight."""


def select_cycles(core: Core) -> int:
    """Return the cycles that it takes to choose a slot's activation for an outlier."""
    return -(-core.outlier_index_bits // SELECT_BITS)


def earliest_arrival(core: Core) -> int:
    """Return the cycles from a slot to when its products can be added: hold, choose, multiply, mask."""
    return 3 + select_cycles(core)


class OutlierUnit(wiring.Component):
    """Adds `outlier_lanes` products to the accumulators of a slot, lane 0 first, each to the accumulator of one column.

    Equals one write of `hwsim.kernels.reduce` (with ``lanes = 1`` and no chain) per outlier. To the other columns it adds
    zero, which changes nothing and never overflows.

    What is per column is that of column 0; what belongs to column c is c cycles later.

    Latency
        `outlier_lanes` cycles from `accs` to `sums`.
    Throughput
        One slot per cycle.
    Back-pressure
        None.
    Reset
        Synchronous; what is under way is dropped, and there are no outliers.

    Parameters
    ----------
    core
        A weight-stationary configuration with outlier lanes.
    arrival
        Cycles from a slot to its accumulators, at least `earliest_arrival`.

    Members
    -------
    activations : In(ArrayLayout(operand, rows * lanes))
        Of the slot that enters in this cycle.
    go, swap : In(1)
        The slot has a pixel; from it on `outliers` are in effect.
    outliers : In(outliers_layout)
        Read with `swap`. The index must be that of an activation, the column one of the array.
    accs : In(ArrayLayout(signed(acc.bits), cols))
    sums : Out(ArrayLayout(signed(acc.bits), cols))
    events : Out(ArrayLayout({positive, negative}, cols * outlier_lanes)), where events are counted
        Overflows, each one cycle after the sum was formed.
    """

    def __init__(self, core: Core, arrival: int) -> None:
        require(arrival >= earliest_arrival(core), "arrival", f"at least {earliest_arrival(core)}", arrival)
        self.core = core
        self.arrival = arrival
        columns = data.ArrayLayout(signed(core.arithmetic.reduction.acc.bits), core.cols)
        members = {
            "activations": In(data.ArrayLayout(to_shape(core.operand), core.rows * core.lanes)),
            "go": In(1),
            "swap": In(1),
            "outliers": In(outliers_layout(core)),
            "accs": In(columns),
            "sums": Out(columns),
        }
        if core.count_events:
            events = data.StructLayout({"positive": 1, "negative": 1})
            members["events"] = Out(data.ArrayLayout(events, core.cols * core.outlier_lanes))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal.like(self.outliers)
        with m.If(self.swap):
            m.d.sync += held.eq(self.outliers)
        activations = list(delay(m, self.activations, 1, "activations"))
        accs: list[Value] = list(self.accs)
        go = delay(m, self.go, self.arrival, "go")
        for lane, outlier in enumerate(held):
            product, column = self._multiply(m, activations, outlier, lane)
            # Masked one cycle before it is added.
            early = self.arrival + lane - earliest_arrival(self.core)
            product = delay(m, product, early, f"product_{lane}")
            column = delay(m, column, early, f"column_{lane}")
            accs = self._add(m, lane, product, column, accs, delay(m, go, lane, f"go_{lane}"))
        m.d.comb += [self.sums[c].eq(acc) for c, acc in enumerate(accs)]
        return m

    def _multiply(self, m: Module, activations: Sequence[Value], outlier: data.View, lane: int) -> tuple[Value, Value]:
        """Return an outlier's product and its column, two cycles and `select_cycles` after the slot."""
        cycles = select_cycles(self.core)
        chosen = self._select(m, activations, outlier.index, f"chosen_{lane}")
        value = delay(m, outlier.value, cycles, f"value_{lane}")
        product = delay(m, chosen * value, 1, f"multiplied_{lane}")
        return product, delay(m, outlier.column, cycles + 1, f"of_column_{lane}")

    def _select(self, m: Module, values: Sequence[Value], index: Value, name: str) -> Value:
        fan_in = 1 << SELECT_BITS
        for cycle in range(select_cycles(self.core)):
            groups = [Array(values[first : first + fan_in]) for first in range(0, len(values), fan_in)]
            bits = index[:SELECT_BITS]
            values = [delay(m, group[bits], 1, f"{name}_{cycle}_{i}") for i, group in enumerate(groups)]
            index = delay(m, index[SELECT_BITS:], 1, f"{name}_{cycle}_index")
        return values[0]

    def _add(
        self, m: Module, lane: int, product: Value, column: Value, accs: Sequence[Value], go: Value
    ) -> list[Value]:
        """Add one lane's product; it moves on by one column per cycle, as the accumulators of a slot do."""
        register = self.core.arithmetic.reduction.acc
        sums = []
        for c, acc in enumerate(accs):
            product, column, go = (
                delay(m, value, min(c, 1), f"{name}_{lane}_at_{c}")
                for name, value in (("product", product), ("column", column), ("go", go))
            )
            m.submodules[f"add_{lane}_{c}"] = add = RegisterAdd(register, register.bits, len(product))
            m.d.comb += [add.a.eq(acc), add.b.eq(delay(m, Mux(column == c, product, 0), 1, f"addend_{lane}_{c}"))]
            sums.append(delay(m, add.sum, 1, f"sum_{lane}_{c}"))
            if self.core.count_events:
                events = self.events[c * self.core.outlier_lanes + lane]
                m.d.sync += [
                    events.positive.eq(go & add.overflow_positive),
                    events.negative.eq(go & add.overflow_negative),
                ]
        return sums
