"""The weight-stationary array: each processing element keeps its weights, activations move right, sums run down the columns.

A slot is one step of the array: `lanes` activations for each row. Row r gets them r cycles after row 0, and they move on by
one column per cycle, so element (r, c) gets a slot that enters in cycle t in cycle t + r + c. What runs down a column
takes one cycle per row as well: rows of weights, tokens, and the sum that each element adds its products to. The array
never stops.
"""

from __future__ import annotations

import itertools

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Core, Reduction, Register

from .adder_tree import AdderTree
from .delay import delay, skew
from .register_add import RegisterAdd
from .shape import to_shape
from .slots import PRODUCT_CYCLES, weights_layout

TOKENS = data.StructLayout({"go": 1, "swap": 1})
"""What goes with a slot. ``go``: it has a pixel, without it its sums mean nothing; ``swap``: it is its K tile's first."""


def running_register(reduction: Reduction) -> tuple[str, Register]:
    """Return the name and the kind of the register that runs down a column."""
    return ("acc", reduction.acc) if reduction.psum is None else ("psum", reduction.psum)


def element_events_layout(reduction: Reduction) -> data.StructLayout:
    """Return how often each register of an element overflowed in one cycle, for the registers that there are."""
    bits = {running_register(reduction)[0]: 1}
    if reduction.tree is not None:
        bits["tree"] = (reduction.lanes - 1).bit_length()
    return data.StructLayout(
        {name: data.StructLayout({"positive": unsigned(n), "negative": unsigned(n)}) for name, n in bits.items()}
    )


def element_latency(reduction: Reduction) -> int:
    """Return the cycles from a slot at an element's inputs to its sum: operands, products, tree, sum."""
    return 2 + PRODUCT_CYCLES + (reduction.lanes > 1)


def array_latency(core: Core) -> int:
    """Return the cycles from a slot to the sum that leaves column 0."""
    return element_latency(core.arithmetic.reduction) + core.rows - 1


class WeightStationaryPE(wiring.Component):
    """One processing element: `lanes` weights, and their products with a slot's activations per cycle.

    Equals one group of `hwsim.kernels.reduce.reduce_panel`: its products, their tree, one write to the partial sum or the
    accumulator. The operands are registered, then the products, twice (`PRODUCT_CYCLES`), then their tree (``lanes > 1``),
    then the sum.

    Weights that are meant for this row wait in a second set of registers, and take effect with a slot that swaps: those
    that came before the slot, not those of the same cycle.

    Latency
        `element_latency` cycles from a slot to `below`.
    Throughput
        One slot per cycle.
    Back-pressure
        None. Slots without ``go`` count no events.
    Reset
        Synchronous; what is under way does not count. Operands, weights and sums stay as they are: a reset that reached
        each of them would be the slowest path of the array.

    Parameters
    ----------
    core
        A weight-stationary configuration.
    row
        Of the array: whose weights it takes.

    Members
    -------
    activations, activations_right : In, Out(ArrayLayout(operand, lanes))
        Of this slot, and one cycle later to the right.
    tokens, tokens_down : In, Out(TOKENS)
        They come with the activations; one cycle later to the row below.
    weights, weights_down : In, Out(weights_layout of one column)
        A row of weights, and one cycle later to the row below.
    above : In(signed(bits of `running_register`))
        The sum so far, ``element_latency - 1`` cycles after the slot.
    below : Out(signed(bits of `running_register`))
        The sum with this row's products.
    events : Out(element_events_layout), where events are counted
        Overflows, each one cycle after the sum was formed.
    """

    def __init__(self, core: Core, row: int) -> None:
        self.core = core
        self.row = row
        self.reduction = reduction = core.arithmetic.reduction
        activations = data.ArrayLayout(to_shape(core.operand), core.lanes)
        weights = weights_layout(core, cols=1)
        total = signed(running_register(reduction)[1].bits)
        members = {
            "activations": In(activations),
            "activations_right": Out(activations),
            "tokens": In(TOKENS),
            "tokens_down": Out(TOKENS),
            "weights": In(weights),
            "weights_down": Out(weights),
            "above": In(total),
            "below": Out(total),
        }
        if core.count_events:
            members["events"] = Out(element_events_layout(reduction))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        activations = Signal.like(self.activations, reset_less=True)
        m.d.sync += [
            activations.eq(self.activations),
            self.tokens_down.eq(self.tokens),
            self.weights_down.valid.eq(self.weights.valid),
        ]
        m.d.comb += self.activations_right.eq(activations)
        # The activations on their way to the right are in step with the weights that their slot has swapped in.
        operands = zip(activations, self._hold_weights(m), strict=True)
        products = Signal(data.ArrayLayout(signed(self.core.product_bits), self.core.lanes), reset_less=True)
        m.d.comb += [products[lane].eq(activation * weight) for lane, (activation, weight) in enumerate(operands)]
        products = delay(m, products, PRODUCT_CYCLES, "products")
        self._add(m, *self._sum_group(m, products, delay(m, self.tokens_down.go, PRODUCT_CYCLES, "go")))
        return m

    def _hold_weights(self, m: Module) -> data.View:
        """Return the weights of the slot of the cycle before."""
        passing, row = (Signal.like(self.weights[name], name=name, reset_less=True) for name in ("values", "row"))
        waiting, active = (Signal.like(passing, name=name, reset_less=True) for name in ("waiting", "active"))
        m.d.sync += [passing.eq(self.weights["values"]), row.eq(self.weights.row)]
        m.d.comb += [self.weights_down["values"].eq(passing), self.weights_down.row.eq(row)]
        with m.If(self.weights.valid & (self.weights.row == self.row)):
            m.d.sync += waiting.eq(self.weights["values"])
        with m.If(self.tokens.swap):
            m.d.sync += active.eq(waiting)
        return active

    def _sum_group(self, m: Module, products: data.View, go: Value) -> tuple[Value, Value]:
        """Return the sum of a slot's products, registered, and whether the slot counts, in the same cycle."""
        if len(products) == 1:
            return products[0], go
        m.submodules.tree = tree = AdderTree(self.core.product_bits, len(products), self.reduction.tree)
        group = Signal(signed(tree.sum_bits), reset_less=True)
        m.d.comb += tree.addends.eq(products)
        m.d.sync += group.eq(tree.sum)
        if self.reduction.tree is not None:
            self._report(m, "tree", go, tree)
        return group, delay(m, go, 1, "tree_go")

    def _add(self, m: Module, group: Value, go: Value) -> None:
        name, register = running_register(self.reduction)
        m.submodules.add = add = RegisterAdd(register, register.bits, len(group))
        total = Signal.like(add.sum, name="total", reset_less=True)
        m.d.comb += [add.a.eq(self.above), add.b.eq(group), self.below.eq(total)]
        m.d.sync += total.eq(add.sum)
        self._report(m, name, go, add)

    def _report(self, m: Module, register: str, go: Value, unit: AdderTree | RegisterAdd) -> None:
        """Register a unit's overflows of a slot."""
        if self.core.count_events:
            events = self.events[register]
            m.d.sync += [
                events.positive.eq(Mux(go, unit.overflow_positive, 0)),
                events.negative.eq(Mux(go, unit.overflow_negative, 0)),
            ]


class WeightStationaryArray(wiring.Component):
    """``rows`` x ``cols`` processing elements, with the skew of what enters at their edges.

    Equals the part of `hwsim.kernels.reduce.reduce_panel` that belongs to one K tile: with a chain its partial sum, without
    one the accumulator from its start on.

    Latency
        `array_latency` cycles from a slot to the sum of column 0; that of column c is c cycles later.
    Throughput
        One slot, and one row of weights, per cycle.
    Back-pressure
        None, the array runs freely. A slot that swaps uses the rows of weights that entered before it.
    Reset
        Synchronous; what is under way does not count, the weights are to be loaded anew.

    Parameters
    ----------
    core
        A weight-stationary configuration.

    Members
    -------
    activations : In(ArrayLayout(operand, rows * lanes))
    tokens : In(TOKENS)
        Of the slot that enters in this cycle; zero without one.
    weights : In(weights_layout)
    starts : In(ArrayLayout(signed(acc.bits), cols)), without a chain only
        What the accumulators start from: that of column c is read ``element_latency - 1 + c`` cycles after the slot.
    sums : Out(ArrayLayout(signed(bits of `running_register`), cols))
    events : Out(ArrayLayout(element_events_layout, rows * cols)), where events are counted
        Of each element, element ``c * rows + r`` being that of row r and column c.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.reduction = reduction = core.arithmetic.reduction
        sums = data.ArrayLayout(signed(running_register(reduction)[1].bits), core.cols)
        members = {
            "activations": In(data.ArrayLayout(to_shape(core.operand), core.rows * core.lanes)),
            "tokens": In(TOKENS),
            "weights": In(weights_layout(core)),
            "sums": Out(sums),
        }
        if reduction.chain is None:
            members["starts"] = In(sums)
        if core.count_events:
            members["events"] = Out(data.ArrayLayout(element_events_layout(reduction), core.rows * core.cols))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows, cols = range(self.core.rows), range(self.core.cols)
        columns = [[WeightStationaryPE(self.core, r) for r in rows] for _ in cols]
        for c, column in enumerate(columns):
            for r, element in enumerate(column):
                m.submodules[f"pe_{r}_{c}"] = element
                if self.core.count_events:
                    m.d.comb += self.events[c * self.core.rows + r].eq(element.events)
            m.d.comb += self.sums[c].eq(column[-1].below)
            self._connect_rows(m, column)
        self._feed_rows(m, columns)
        self._feed_columns(m, [column[0] for column in columns])
        return m

    def _connect_rows(self, m: Module, column: list[WeightStationaryPE]) -> None:
        for upper, lower in itertools.pairwise(column):
            m.d.comb += [
                lower.tokens.eq(upper.tokens_down),
                lower.weights.eq(upper.weights_down),
                lower.above.eq(upper.below),
            ]

    def _feed_rows(self, m: Module, columns: list[list[WeightStationaryPE]]) -> None:
        """Skew the activations by one cycle per row and connect the columns."""
        lanes = self.core.lanes
        for r, row in enumerate(zip(*columns, strict=True)):
            for lane in range(lanes):
                entering = delay(m, self.activations[r * lanes + lane], r, f"activation_{r}_{lane}")
                m.d.comb += row[0].activations[lane].eq(entering)
            for left, right in itertools.pairwise(row):
                m.d.comb += right.activations.eq(left.activations_right)

    def _feed_columns(self, m: Module, top: list[WeightStationaryPE]) -> None:
        """Skew what runs down the columns by one cycle per column."""
        lanes = self.core.lanes
        controls = Cat(self.tokens.as_value(), self.weights.valid, self.weights.row)
        for c, (element, entering) in enumerate(zip(top, skew(m, controls, len(top), "controls"), strict=True)):
            m.d.comb += Cat(element.tokens.as_value(), element.weights.valid, element.weights.row).eq(entering)
            for lane in range(lanes):
                weight = delay(m, self.weights["values"][c * lanes + lane], c, f"weight_{c}_{lane}")
                m.d.comb += element.weights["values"][lane].eq(weight)
            # With a chain the partial sum starts from zero.
            if self.reduction.chain is None:
                m.d.comb += element.above.eq(self.starts[c])
