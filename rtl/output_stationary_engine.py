"""The output-stationary array as an engine: slots in, rows of results and counts of overflows out."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import BiasAt, Core, Dataflow, require

from .adder_tree import reduce_pairs
from .delay import delay
from .output_stationary import OutputStationaryArray, array_latency
from .slots import biases_layout, events_layout, row_layout, slot_layout


class OutputStationaryEngine(wiring.Component):
    """Output-stationary array that takes one slot per cycle and yields `rows` rows of results per output tile.

    Equals `hwsim.kernels.reduce.reduce_panel`, its monitor's counts included, with the pixels of an output tile in
    ascending order from the bottom row of the array to the top one.

    Latency
        `latency` cycles from the slot with ``last`` to the first row of results; the others follow in consecutive cycles.
    Throughput
        One slot per cycle. Slots with ``last`` have to be at least ``rows + 1`` cycles apart: where an output tile has
        fewer K tiles, slots that are not ``real`` or no slots follow.
    Back-pressure
        None: slots are given only when there is room for the rows that they yield. Cycles without a slot may come
        anywhere.
    Reset
        Synchronous; what is under way is dropped.

    Parameters
    ----------
    core
        An output-stationary configuration.

    Members
    -------
    slot : In(slot_layout)
        ``first`` and ``last`` with exactly one slot of an output tile each.
    biases : In(biases_layout), with `BiasAt.START` only
        Per parameter set; stable from an output tile's first slot until its ``end`` row has left.
    rows : Out(row_layout)
        ``end`` and ``final``, as given with ``last``, with an output tile's last row only.
    events : Out(events_layout), where events are counted
        Overflows of the whole array. Those of one slot spread over several cycles.

    Attributes
    ----------
    latency
        See above.
    event_latency
        Cycles from a slot to the last cycle in which its overflows may be in `events`.

    Raises
    ------
    InputError
        If the core is not output stationary.
    """

    def __init__(self, core: Core) -> None:
        require(
            core.dataflow is Dataflow.OUTPUT_STATIONARY,
            "dataflow",
            Dataflow.OUTPUT_STATIONARY.value,
            core.dataflow.value,
        )
        self.core = core
        self.latency = array_latency(core)
        # The far corner reports its overflow one cycle before its column begins to drain; one cycle more on the way.
        self.event_latency = self.latency + (core.rows * core.cols - 1).bit_length()
        members = {"slot": In(slot_layout(core)), "rows": Out(row_layout(core))}
        if core.arithmetic.reduction.bias_at is BiasAt.START:
            members["biases"] = In(biases_layout(core))
        if core.count_events:
            members["events"] = Out(events_layout(core))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.array = array = OutputStationaryArray(self.core)
        reduction = self.core.arithmetic.reduction
        slot, tokens = self.slot, array.tokens
        m.d.comb += [
            array.activations.as_value().eq(slot.activations.as_value()),
            array.weights.as_value().eq(slot.weights.as_value()),
            tokens.go.eq(slot.valid & slot.real),
            tokens.first.eq(slot.first),
            tokens.last.eq(slot.last),
        ]
        if reduction.chain is not None:
            m.d.comb += tokens.commit.eq(slot.commit)
        if reduction.bias_at is BiasAt.START:
            m.d.comb += [array.set.eq(slot.set), array.biases.eq(self.biases)]
        self._tag_rows(m, array.results)
        if self.core.count_events:
            self._sum_events(m, array.events)
        return m

    def _tag_rows(self, m: Module, results: data.View) -> None:
        """Say which of the array's results are rows, and whose."""
        slot, rows = self.slot, self.rows
        tags = Signal(data.StructLayout({"valid": 1, "set": 1, "end": 1, "final": 1}))
        m.d.comb += [
            tags.valid.eq(slot.valid & slot.real & slot.last),
            tags.set.eq(slot.set),
            tags.end.eq(slot.end),
            tags.final.eq(slot.final),
        ]
        arriving = delay(m, tags, self.latency - 1, "tags")
        current = Signal.like(tags)
        following = Signal(range(self.core.rows))
        with m.If(arriving.valid):
            m.d.sync += [current.eq(arriving), following.eq(self.core.rows - 1)]
        with m.Elif(following == 0):
            m.d.sync += current.valid.eq(0)
        with m.Else():
            m.d.sync += following.eq(following - 1)
        m.d.comb += [
            rows.valid.eq(current.valid),
            rows.acc.eq(results),
            rows.set.eq(current.set),
            rows.end.eq(current.end & (following == 0)),
            rows.final.eq(current.final & (following == 0)),
        ]

    def _sum_events(self, m: Module, events: data.View) -> None:
        """Sum the elements' counts in pairs, each sum registered; it does not matter that an odd one out is earlier."""

        def add(left: Value, right: Value) -> Value:
            total = Signal((left + right).shape(), name="events_sum")
            m.d.sync += total.eq(left + right)
            return total

        # A register of their own for the way from each element, so that the sums do not pull at the elements' logic.
        elements = [delay(m, element, 1, "events_way") for element in events]
        for name in elements[0].shape().members:
            for sign in ("positive", "negative"):
                m.d.comb += self.events[name][sign].eq(reduce_pairs([element[name][sign] for element in elements], add))
