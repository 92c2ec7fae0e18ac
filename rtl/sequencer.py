"""Which slot goes into the array, and when: the order of a job's slots, what each waits for, and what it says to the engine."""

from __future__ import annotations

from amaranth.hdl import C, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import Core, Dataflow

from .loop_nest import LoopNest
from .row_fifo import Credits
from .slots import slot_layout
from .weight_loader import COUNT

WAITS = ("weights", "outliers", "activations", "results")
"""What a slot can wait for; the first one that is missing is counted."""

OPERANDS = ("activations", "weights")
"""Fields of a slot that do not come from the sequencer."""


def limits_layout(core: Core, minimum_slots: int) -> data.StructLayout:
    """Return the layout of a job's size, all less one.

    ``real``, ``slot``: slots with a pixel (output stationary: with a K tile), and all slots, of a K tile (an output tile);
    ``k``, ``tile``: K tiles of an output tile, output tiles.
    """
    real, slot = range(_most(core)), range(_slots(core, minimum_slots))
    return data.StructLayout({"real": real, "slot": slot, "k": 16, "tile": 16})


def job_loops(core: Core) -> dict[str, int]:
    """Return the loops over the slots of a job that have a pixel (a K tile): the sizes of a `LoopNest`."""
    return {"real": _most(core), "k": COUNT if core.dataflow is Dataflow.WEIGHT_STATIONARY else 1, "tile": COUNT}


def _most(core: Core) -> int:
    """The most slots with a pixel of a K tile, or with a K tile of an output tile."""
    return core.pixels if core.dataflow is Dataflow.WEIGHT_STATIONARY else COUNT


def _slots(core: Core, minimum_slots: int) -> int:
    return max(_most(core), minimum_slots)


def job_limits(m: Module, core: Core, minimum_slots: int, settings: data.View) -> data.View:
    """Return `limits_layout` of a job that the registers describe; itself a register, one cycle behind them.

    Parameters
    ----------
    settings
        With ``PIXELS``, ``K_TILES`` and ``OUTPUT_TILES``; 32 bits each and in the range that a start needs.
    """
    limits = Signal(limits_layout(core, minimum_slots), name="limits")
    count = settings.PIXELS if core.dataflow is Dataflow.WEIGHT_STATIONARY else settings.K_TILES
    few = Signal(name="few_slots")
    m.d.comb += few.eq(count[: _most(core).bit_length()] < minimum_slots)
    m.d.sync += [
        limits.real.eq(count - 1),
        limits.slot.eq(Mux(few, minimum_slots, count) - 1),
        limits.k.eq(settings.K_TILES - 1),
        limits.tile.eq(settings.OUTPUT_TILES - 1),
    ]
    return limits


class Sequencer(wiring.Component):
    """Issues the slots of a job, one per cycle as long as nothing is missing.

    Latency
        A slot that is issued in cycle s leaves in `slot` in s + 1.
    Throughput
        One slot per cycle.
    Back-pressure
        `issue` depends on registers only, provided that its inputs are.
    Reset
        Synchronous; no job, parameter set 0 is next.

    Parameters
    ----------
    core
        The configuration.
    minimum_slots
        Slots of a K tile (output stationary: of an output tile), if the job has fewer pixels (K tiles).
    places
        Rows that the result FIFO has room for.

    Members
    -------
    start : In(1)
        A job begins; its first slot can be issued in the next cycle.
    limits : In(limits_layout(core, minimum_slots))
        The job's size; stable from `start` on.
    weights, outliers, activations : In(1)
        What the next slot needs is there: weight stationary the loaded K tile, else a vector of weights; the K tile's outliers
        (only with outlier lanes); a vector of activations.
    popped : In(1)
        A row leaves the result FIFO.
    issue : Out(1)
        A slot is issued.
    consume : Out(1)
        It takes a vector of activations, and in output stationary one of weights.
    swap : Out(1)
        Weight stationary: it is a K tile's first.
    last_tile : Out(1)
        It belongs to the job's last K tile. A register.
    waits : Out(StructLayout)
        By name of `WAITS`: a slot waits for it in this cycle.
    slot : Out(slot_layout(core) without operands)
    """

    def __init__(self, core: Core, minimum_slots: int, places: int) -> None:
        self.core = core
        self.minimum_slots = minimum_slots
        self.places = places
        self.stationary = core.dataflow is Dataflow.WEIGHT_STATIONARY
        fields = {name: shape for name, shape in slot_layout(core).members.items() if name not in OPERANDS}
        members = {
            "start": In(1),
            "limits": In(limits_layout(core, minimum_slots)),
            "weights": In(1),
            "activations": In(1),
            "popped": In(1),
            "issue": Out(1),
            "consume": Out(1),
            "swap": Out(1),
            "last_tile": Out(1),
            "waits": Out(data.StructLayout(dict.fromkeys(WAITS, 1))),
            "slot": Out(data.StructLayout(fields)),
        }
        if core.outlier_lanes:
            members["outliers"] = In(1)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sizes = {"slot": _slots(self.core, self.minimum_slots), "k": COUNT if self.stationary else 1, "tile": COUNT}
        m.submodules.position = position = LoopNest(sizes)
        m.submodules.places = places = Credits(self.places, 1 if self.stationary else self.core.rows)
        running = Signal()
        real, last_real = self._reality(m, position)
        last = position.last.k if self.stationary else last_real
        yields = real & last
        first = position.first.slot
        missing = {
            "weights": (first if self.stationary else real) & ~self.weights,
            "outliers": first & ~self.outliers if self.core.outlier_lanes else C(0),
            "activations": real & ~self.activations,
            "results": yields & ~places.room,
        }
        held: Value = C(0)
        for name in WAITS:
            m.d.comb += self.waits[name].eq(running & missing[name] & ~held)
            held = held | missing[name]
        m.d.comb += [
            position.start.eq(self.start),
            position.step.eq(self.issue),
            self.issue.eq(running & ~held),
            # Only a running job has a real slot, and what hangs on this is large and far away.
            self.consume.eq(real & ~held),
            self.swap.eq(self.issue & first),
            self.last_tile.eq(position.last.k & position.last.tile),
            places.take.eq(self.issue & yields),
            places.give.eq(self.popped),
        ]
        m.d.comb += [position.limits[name].eq(self.limits[name]) for name in sizes]
        with m.If(self.start):
            m.d.sync += running.eq(1)
        with m.Elif(self.issue & position.finish):
            m.d.sync += running.eq(0)
        m.d.sync += [
            self.slot.valid.eq(self.issue),
            self.slot.real.eq(real),
            self.slot.last.eq(last),
            self.slot.end.eq(yields & last_real),
            self.slot.final.eq(yields & last_real & position.last.tile),
            # The set of the tile that is running: it changes behind the tile's last slot.
            self.slot.set.eq(self._parity(m, self.issue & position.last.slot & position.last.k)),
        ]
        if self.stationary:
            m.d.sync += [
                self.slot.first.eq(position.first.k),
                self.slot.swap.eq(first),
                self.slot.pixel.eq(position.index.slot),
            ]
        else:
            m.d.sync += [self.slot.first.eq(first), self.slot.commit.eq(self._commit(m, last_real))]
        return m

    def _reality(self, m: Module, position: LoopNest) -> tuple[Signal, Signal]:
        """Return whether there is a next slot with a pixel (a K tile), and whether it is the last one: registers."""
        real, last_real = Signal(), Signal()
        with m.If(self.start | self.issue & position.last.slot):
            m.d.sync += [real.eq(self.start | ~position.finish), last_real.eq(self.limits.real == 0)]
        with m.Elif(self.issue):
            m.d.sync += [real.eq(real & ~last_real), last_real.eq(position.index.slot + 1 == self.limits.real)]
        return real, last_real

    def _parity(self, m: Module, tile_ends: Value) -> Signal:
        parity = Signal(name="parity")
        m.d.sync += parity.eq(parity ^ tile_ends)
        return parity

    def _commit(self, m: Module, last_real: Signal) -> Value:
        """Whether this slot's partial sum is complete: the chain's last group, or the output tile's."""
        chain = self.core.arithmetic.reduction.chain or 1
        link, last_link = Signal(range(chain)), Signal(init=chain == 1)
        commit = last_link | last_real
        if chain > 1:
            with m.If(self.start | self.consume & commit):
                m.d.sync += [link.eq(0), last_link.eq(0)]
            with m.Elif(self.consume):
                m.d.sync += [link.eq(link + 1), last_link.eq(link == chain - 2)]
        return commit
