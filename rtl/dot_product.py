"""A processing element that sums one dot product, group by group, in the order that a reduction declares."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import BiasAt, Format, Reduction, require

from .adder_tree import AdderTree
from .register_add import RegisterAdd
from .shape import product_bits, to_shape

REGISTERS = ("tree", "psum", "acc")
"""The registers whose overflow is counted; the order of `Monitor.counts`."""

_OPERAND_BITS = range(2, 18)


class DotProduct(wiring.Component):
    """Sequential dot product, output stationary: one group of `lanes` products per cycle.

    Equals `hwsim.kernels.reduce.reduce_panel` of one row and one channel, its monitor's counts included. A depth that
    is not a multiple of `lanes` is padded by the driver, with zeros in the last group. With `BiasAt.END` there is no
    bias port and the accumulator starts at 0.

    Latency
        `latency_cycles` (2, or 3 with a partial sum) from the cycle in which the last group is transferred to the
        first one in which the result is valid, while nothing is held back.
    Throughput
        One group per cycle, across dot products too: the next one may start in the cycle after the last group.
    Back-pressure
        A result that is not taken stops the whole unit (``groups.ready`` is low) and stays as it is. Gaps between
        groups change nothing. ``groups.ready`` follows ``results.ready`` within the cycle; ``results.valid`` does not.
    Reset
        Synchronous; what is under way is dropped.

    Parameters
    ----------
    activation, weight
        What the multipliers see: 2..17 bits, for operands of up to 16 bits whose zero point is already subtracted.
    reduction
        Order and registers.
    event_bits
        Width of each event counter, 1..64. A counter that reaches its largest value stays there.

    Members
    -------
    groups : In(stream)
        ``activations`` and ``weights`` (arrays of `lanes`); ``first`` and ``last`` group of a dot product; ``bias``
        (in the accumulator's format, read with ``first``; absent with `BiasAt.END`). ``first`` starts anew whatever
        came before: a dot product without its ``last`` leaves no result. After a ``last`` must come a ``first``.
    results : Out(stream)
        ``acc`` and ``events``: per register (`REGISTERS`) the number of sums above its largest value (``positive``)
        and below its smallest (``negative``) since ``first``; 0 for a register that the reduction does not have.
    """

    def __init__(self, activation: Format, weight: Format, reduction: Reduction, event_bits: int = 32) -> None:
        for name, operand in (("activation bits", activation), ("weight bits", weight)):
            require(operand.bits in _OPERAND_BITS, name, "an integer from 2 to 17", operand.bits)
        require(event_bits in range(1, 65), "event_bits", "an integer from 1 to 64", event_bits)
        self.activation = activation
        self.weight = weight
        self.reduction = reduction
        self.event_bits = event_bits
        group = {
            "activations": data.ArrayLayout(to_shape(activation), reduction.lanes),
            "weights": data.ArrayLayout(to_shape(weight), reduction.lanes),
            "first": unsigned(1),
            "last": unsigned(1),
        }
        if reduction.bias_at is BiasAt.START:
            group["bias"] = signed(reduction.acc.bits)
        events = data.StructLayout({name: _signs(event_bits) for name in REGISTERS})
        result = data.StructLayout({"acc": signed(reduction.acc.bits), "events": events})
        super().__init__(
            {
                "groups": In(stream.Signature(data.StructLayout(group))),
                "results": Out(stream.Signature(result)),
            }
        )

    @property
    def latency_cycles(self) -> int:
        """Cycles from the transfer of the last group to the result."""
        return 2 if self.reduction.chain is None else 3

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The only thing that can hold the pipeline is a result nobody takes, so one enable moves all of its stages.
        advance = Signal()
        m.d.comb += [
            advance.eq(~self.results.valid | self.results.ready),
            self.groups.ready.eq(advance),
        ]
        stage = self._sum_group(m, advance)
        if self.reduction.chain is not None:
            stage = self._sum_chain(m, advance, stage)
        self._accumulate(m, advance, stage)
        return m

    def _stage(self, addend_bits: int, name: str) -> data.View:
        """Return the registers between two stages: an addend on its way to the accumulator, and what belongs to it."""
        layout = data.StructLayout(
            {
                "valid": 1,
                "first": 1,
                "last": 1,
                "bias": signed(self.reduction.acc.bits),
                "addend": signed(addend_bits),
                "commit": 1,  # Whether the addend goes to the accumulator, or is a partial sum that still grows.
                "tree": _signs((self.reduction.lanes - 1).bit_length()),
                "psum": _signs(1),
            }
        )
        return Signal(layout, name=name)

    def _sum_group(self, m: Module, advance: Value) -> data.View:
        """Stage 1: products and their tree."""
        group = self.groups.payload
        lanes = self.reduction.lanes
        m.submodules.tree = tree = AdderTree(product_bits(self.activation, self.weight), lanes, self.reduction.tree)
        for lane in range(lanes):
            m.d.comb += tree.addends[lane].eq(group.activations[lane] * group.weights[lane])
        stage = self._stage(tree.sum_bits, "group")
        with m.If(advance):
            m.d.sync += [
                stage.valid.eq(self.groups.valid),
                stage.first.eq(group.first),
                stage.last.eq(group.last),
                stage.addend.eq(tree.sum),
                stage.commit.eq(1),
                stage.tree.positive.eq(tree.overflow_positive),
                stage.tree.negative.eq(tree.overflow_negative),
            ]
            if self.reduction.bias_at is BiasAt.START:
                m.d.sync += stage.bias.eq(group.bias)
        return stage

    def _sum_chain(self, m: Module, advance: Value, group: data.View) -> data.View:
        """Stage 2, with a partial sum only: `chain` groups in a row."""
        chain, register = self.reduction.chain, self.reduction.psum
        assert chain is not None and register is not None
        m.submodules.psum = add = RegisterAdd(register, register.bits, len(group.addend))
        stage = self._stage(register.bits, "chain")
        following = Signal(range(chain))
        link = Signal(range(chain))
        commit = Signal()
        m.d.comb += [
            link.eq(Mux(group.first, 0, following)),
            commit.eq((link == chain - 1) | group.last),
            add.a.eq(Mux(link == 0, 0, stage.addend)),
            add.b.eq(group.addend),
        ]
        with m.If(advance):
            m.d.sync += stage.valid.eq(group.valid)
        # A gap must leave the partial sum and the position in the chain alone.
        with m.If(advance & group.valid):
            m.d.sync += [
                following.eq(Mux(commit, 0, link + 1)),
                stage.first.eq(group.first),
                stage.last.eq(group.last),
                stage.bias.eq(group.bias),
                stage.addend.eq(add.sum),
                stage.commit.eq(commit),
                stage.tree.eq(group.tree),
                stage.psum.positive.eq(add.overflow_positive),
                stage.psum.negative.eq(add.overflow_negative),
            ]
        return stage

    def _accumulate(self, m: Module, advance: Value, stage: data.View) -> None:
        """Last stage: the accumulator and the counters are the result's own registers."""
        register, result = self.reduction.acc, self.results.payload
        m.submodules.acc = add = RegisterAdd(register, register.bits, len(stage.addend))
        start = Signal(signed(register.bits))
        m.d.comb += [
            start.eq(Mux(stage.first, stage.bias, result.acc)),
            add.a.eq(start),
            add.b.eq(stage.addend),
        ]
        events = {
            "tree": (stage.tree.positive, stage.tree.negative),
            "psum": (stage.psum.positive, stage.psum.negative),
            "acc": (add.overflow_positive & stage.commit, add.overflow_negative & stage.commit),
        }
        with m.If(advance):
            m.d.sync += self.results.valid.eq(stage.valid & stage.last)
        with m.If(advance & stage.valid):
            m.d.sync += result.acc.eq(Mux(stage.commit, add.sum, start))
            for name in REGISTERS:
                positive, negative = events[name]
                m.d.sync += [
                    result.events[name].positive.eq(self._count(stage.first, result.events[name].positive, positive)),
                    result.events[name].negative.eq(self._count(stage.first, result.events[name].negative, negative)),
                ]

    def _count(self, first: Value, counter: Value, increment: Value) -> Value:
        largest = (1 << self.event_bits) - 1
        count = Mux(first, 0, counter) + increment
        return Mux(count > largest, largest, count)


def _signs(bits: int) -> data.StructLayout:
    return data.StructLayout({"positive": unsigned(bits), "negative": unsigned(bits)})
