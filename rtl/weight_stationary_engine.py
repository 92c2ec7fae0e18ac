"""The weight-stationary array as an engine: slots and weights in, rows of results and counts of overflows out."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import BiasAt, Core, Dataflow, require

from .accumulator_bank import READ_CYCLES, AccumulatorBank
from .adder_tree import reduce_pairs
from .delay import delay
from .outlier_unit import OutlierUnit, earliest_arrival
from .register_add import RegisterAdd
from .slots import biases_layout, events_layout, outliers_layout, row_layout, slot_layout, weights_layout
from .weight_stationary import WeightStationaryArray, array_latency, element_latency

SIGNS = ("positive", "negative")


class WeightStationaryEngine(wiring.Component):
    """Weight-stationary array and accumulator bank that take one slot per cycle, and yield one row of results per pixel.

    Equals `hwsim.kernels.reduce.reduce_panel`, its monitor's counts included; outliers are added after each K tile's dense
    sum, lane 0 first.

    Latency
        `latency` cycles from a slot with ``last`` to its row of results.
    Throughput
        One slot, and one row of weights, per cycle.
    Back-pressure
        None: slots are given only when there is room for the rows that they yield. Cycles without a slot may come
        anywhere.
    Reset
        Synchronous; what is under way is dropped. Weights and outliers are to be loaded anew.

    Parameters
    ----------
    core
        A weight-stationary configuration.

    Members
    -------
    slot : In(slot_layout)
        ``first`` and ``last`` with all slots of an output tile's first and last K tile, ``swap`` with each K tile's first
        one. A K tile has at least `minimum_slots`, some of which may not be ``real``.
    weights : In(weights_layout)
        A row that enters in cycle t is in effect for slots from the next one on that swaps, in t + 1 at the earliest.
    outliers : In(outliers_layout), with outlier lanes only
        Read with a slot that swaps, and in effect from it on.
    biases : In(biases_layout), with `BiasAt.START` only
        Per parameter set; stable from an output tile's first slot until its ``end`` row has left.
    rows : Out(row_layout)
        One for each slot that is ``real`` and ``last``.
    events : Out(events_layout), where events are counted
        Overflows of the whole array. Those of one slot spread over several cycles.

    Attributes
    ----------
    latency
        See above.
    minimum_slots
        The fewest slots of a K tile: with fewer a pixel's accumulator would be read before it is written.
    event_latency
        Cycles from a slot to the last cycle in which its overflows may be in `events`.

    Raises
    ------
    InputError
        If the core is not weight stationary.
    """

    def __init__(self, core: Core) -> None:
        require(
            core.dataflow is Dataflow.WEIGHT_STATIONARY,
            "dataflow",
            Dataflow.WEIGHT_STATIONARY.value,
            core.dataflow.value,
        )
        self.core = core
        self.reduction = reduction = core.arithmetic.reduction
        # Cycles from a slot to what happens to it in column 0: all else follows one cycle per column.
        chained = reduction.chain is not None
        self._start_at = array_latency(core) if chained else element_latency(reduction) - 1
        self._summed_at = array_latency(core) + chained
        self._complete_at = self._summed_at
        if core.outlier_lanes:
            self._complete_at = max(self._summed_at, earliest_arrival(core))
        self._written_at = self._complete_at + core.outlier_lanes
        self.latency = self._written_at + core.cols - 1
        self.minimum_slots = self._written_at - (self._start_at - READ_CYCLES) + 1
        members = {
            "slot": In(slot_layout(core)),
            "weights": In(weights_layout(core)),
            "rows": Out(row_layout(core)),
        }
        if core.outlier_lanes:
            members["outliers"] = In(outliers_layout(core))
        if reduction.bias_at is BiasAt.START:
            members["biases"] = In(biases_layout(core))
        if core.count_events:
            members["events"] = Out(events_layout(core))
        super().__init__(members)

    @property
    def event_latency(self) -> int:
        """See the class."""
        core = self.core
        elements = core.rows * core.cols
        additions = core.cols * core.outlier_lanes + (elements if self.reduction.chain is None else core.cols)
        corner = array_latency(core) + core.cols - 1
        return max(self.latency + _sum_cycles(additions), corner + _sum_cycles(elements))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        slot = self.slot
        go = Signal()
        m.d.comb += go.eq(slot.valid & slot.real)
        m.submodules.array = array = WeightStationaryArray(self.core)
        m.submodules.bank = bank = AccumulatorBank(self.core)
        m.d.comb += [
            array.activations.eq(slot.activations),
            array.tokens.go.eq(go),
            array.tokens.swap.eq(slot.valid & slot.swap),
            array.weights.eq(self.weights),
        ]
        events: dict[str, list[data.View]] = {"tree": [], "psum": [], "acc": []}
        if self.core.count_events:
            for element in array.events:
                for name in element.shape().members:
                    events[name].append(element[name])
        self._read(m, bank)
        sums: Sequence[Value] = list(array.sums)
        if self.reduction.chain is None:
            m.d.comb += array.starts.eq(bank.starts)
        else:
            sums = self._add_psums(m, sums, list(bank.starts), delay(m, go, self._start_at, "psum_go"), events["acc"])
        if self.core.outlier_lanes:
            sums = self._add_outliers(m, sums, go, events["acc"])
        self._write(m, bank, sums, go)
        self._send(m, sums, go)
        if self.core.count_events:
            self._sum_events(m, events)
        return m

    def _read(self, m: Module, bank: AccumulatorBank) -> None:
        """Ask for what the accumulators start from."""
        early = self._start_at - READ_CYCLES
        m.d.comb += [
            bank.read[name].eq(delay(m, self.slot[name], early, f"read_{name}")) for name in ("pixel", "first", "set")
        ]
        if self.reduction.bias_at is BiasAt.START:
            m.d.comb += bank.biases.eq(self.biases)

    def _add_psums(
        self, m: Module, psums: Sequence[Value], starts: Sequence[Value], go: Value, events: list[data.View]
    ) -> list[Value]:
        """Return the accumulators, one cycle after the partial sums."""
        register = self.reduction.acc
        sums = []
        for c, (psum, start) in enumerate(zip(psums, starts, strict=True)):
            go = delay(m, go, min(c, 1), f"psum_go_at_{c}")
            m.submodules[f"acc_{c}"] = add = RegisterAdd(register, register.bits, len(psum))
            m.d.comb += [add.a.eq(start), add.b.eq(psum)]
            sums.append(delay(m, add.sum, 1, f"acc_{c}"))
            seen = Signal(data.StructLayout(dict.fromkeys(SIGNS, 1)), name=f"acc_events_{c}")
            m.d.sync += [seen[sign].eq(go & getattr(add, f"overflow_{sign}")) for sign in SIGNS]
            events.append(seen)
        return sums

    def _add_outliers(self, m: Module, sums: Sequence[Value], go: Value, events: list[data.View]) -> list[Value]:
        m.submodules.outliers = unit = OutlierUnit(self.core, self._complete_at)
        m.d.comb += [
            unit.activations.eq(self.slot.activations),
            unit.go.eq(go),
            unit.swap.eq(self.slot.valid & self.slot.swap),
            unit.outliers.eq(self.outliers),
        ]
        wait = self._complete_at - self._summed_at
        m.d.comb += [unit.accs[c].eq(delay(m, acc, wait, f"waiting_{c}")) for c, acc in enumerate(sums)]
        if self.core.count_events:
            events += list(unit.events)
        return list(unit.sums)

    def _write(self, m: Module, bank: AccumulatorBank, accs: Sequence[Value], go: Value) -> None:
        m.d.comb += [
            bank.write.enable.eq(delay(m, go, self._written_at, "write_enable")),
            bank.write.pixel.eq(delay(m, self.slot.pixel, self._written_at, "write_pixel")),
        ]
        m.d.comb += [bank.accs[c].eq(acc) for c, acc in enumerate(accs)]

    def _send(self, m: Module, accs: Sequence[Value], go: Value) -> None:
        """Align the columns, and say whose row it is."""
        slot, rows = self.slot, self.rows
        tags = {"valid": go & slot.last, "set": slot.set, "end": slot.end, "final": slot.final}
        m.d.comb += [rows[name].eq(delay(m, tag, self.latency, f"row_{name}")) for name, tag in tags.items()]
        m.d.comb += [
            rows.acc[c].eq(delay(m, acc, self.core.cols - 1 - c, f"row_acc_{c}")) for c, acc in enumerate(accs)
        ]

    def _sum_events(self, m: Module, events: dict[str, list[data.View]]) -> None:
        """Sum in pairs, each sum registered; it does not matter that an odd one out is earlier."""

        def add(left: Value, right: Value) -> Value:
            total = Signal((left + right).shape(), name="events_sum")
            m.d.sync += total.eq(left + right)
            return total

        for name, counts in events.items():
            for sign in SIGNS if counts else ():
                m.d.comb += self.events[name][sign].eq(reduce_pairs([count[sign] for count in counts], add))


def _sum_cycles(counts: int) -> int:
    """Return the cycles that it takes to sum so many counts in pairs."""
    return (counts - 1).bit_length()
