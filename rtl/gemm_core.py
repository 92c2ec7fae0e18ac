# amaranth: UnusedElaboratable=no
"""The whole GEMM core: streams in, results out, registers at the side."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwsim.spec import BiasAt, Core, Dataflow
from hwsim.spec.register_map import ADDRESS_BITS, COUNTERS

from .activation_loader import ActivationLoader
from .axi_lite import AxiLite, lite_ports, register_ports
from .counters import COUNT_CYCLES, Counters
from .delay import delay
from .outlier_loader import OutlierLoader
from .output_stationary_engine import OutputStationaryEngine
from .parameter_sets import ParameterSets
from .registers import READ_CYCLES, Registers
from .result_path import ResultPath
from .row_fifo import power_of_two
from .sequencer import WAITS, Sequencer, job_limits
from .weight_loader import WeightLoader
from .weight_stationary_engine import WeightStationaryEngine

SPARE_PLACES = 8
"""Places in the result FIFO beyond what the engine may have under way: what a credit needs for its way there and back."""


def core_ports(core: Core) -> dict[str, wiring.Member]:
    """Return the ports of a core, flat, under the names from which tools infer AXI interfaces."""
    inputs = {"weights": core.weight_packing.bus_bits, "activations": core.activation_packing.bus_bits}
    if core.outlier_lanes:
        inputs["outliers"] = core.outlier_bus_bits
    ports = {}
    for name, bits in inputs.items():
        ports[f"s_axis_{name}_tdata"] = In(bits)
        ports[f"s_axis_{name}_tvalid"] = In(1)
        ports[f"s_axis_{name}_tready"] = Out(1)
    ports |= {
        "m_axis_results_tdata": Out(core.result_packing.bus_bits),
        "m_axis_results_tlast": Out(1),
        "m_axis_results_tvalid": Out(1),
        "m_axis_results_tready": In(1),
    }
    return ports | {f"s_axil_{name}": member for name, member in lite_ports(ADDRESS_BITS).items()}


def present_counters(core: Core) -> tuple[str, ...]:
    """Return which of `COUNTERS` a core has; the others read as zero."""
    reduction = core.arithmetic.reduction
    absent = []
    if not core.outlier_lanes:
        absent += ["WAIT_OUTLIERS", "BEATS_OUTLIERS"]
    for name, exists in (("TREE", reduction.tree), ("PSUM", reduction.psum), ("ACC", reduction.acc)):
        if exists is None or not core.count_events:
            absent += [f"{name}_ABOVE", f"{name}_BELOW"]
    return tuple(name for name in COUNTERS if name not in absent)


class GemmCore(wiring.Component):
    """Equals `hwsim.kernels.reduce.reduce_panel`, `hwsim.kernels.requantize` and the monitor's counts, tile by tile.

    ``docs/rtl-core.md`` has the order of the streams, the registers, and when what happens.

    Latency
        Of a slot to its row `engine_latency`, of a row to its last beat `result_latency`.
    Throughput
        One slot per cycle while streams and results keep up.
    Back-pressure
        On every port. The array itself never stops: a slot is issued only if there is room for its results. No
        ``tvalid`` follows a ``tready`` within the cycle, no ``tready`` a ``tvalid``, and no port another.
    Reset
        Synchronous, one cycle; the job is dropped with all that is under way, and all registers are zero.
    Errors
        Answered on the AXI4-Lite port (SLVERR); streams are trusted.

    Parameters
    ----------
    core
        The configuration.

    Members
    -------
    See `core_ports`.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        engine = WeightStationaryEngine if core.dataflow is Dataflow.WEIGHT_STATIONARY else OutputStationaryEngine
        self.engine = engine(core)
        self.results = ResultPath(core, power_of_two(self.engine_latency + core.rows + SPARE_PLACES))
        super().__init__(core_ports(core))

    @property
    def engine_latency(self) -> int:
        """Cycles from a slot that enters the engine to its (output stationary: first) row: A."""
        return int(self.engine.latency)

    @property
    def event_latency(self) -> int:
        """Cycles from a slot that enters the engine to the last of its overflow events."""
        return int(self.engine.event_latency)

    @property
    def minimum_slots(self) -> int:
        """The fewest slots of a K tile (output stationary: of an output tile)."""
        if self.core.dataflow is Dataflow.WEIGHT_STATIONARY:
            return int(self.engine.minimum_slots)
        return self.core.rows + 1

    @property
    def fifo_depth(self) -> int:
        """Rows of results that find room behind the engine: F."""
        return self.results.depth

    @property
    def requantizer_latency(self) -> int:
        """Cycles of a result in its requantizer, 0 without: L."""
        return self.results.requantizer_latency

    @property
    def result_latency(self) -> int:
        """Cycles from a row that the engine gives to its last beat, if nothing waits."""
        return 2 + self.results.beat_cycles

    def elaborate(self, platform: object) -> Module:
        m = Module()
        core, engine, results = self.core, self.engine, self.results
        m.submodules.engine = engine
        m.submodules.results = results
        m.submodules.registers = registers = Registers(core, present_counters(core))
        m.submodules.sequencer = sequencer = Sequencer(core, self.minimum_slots, self.fifo_depth)
        self._connect_lite(m, registers)
        m.d.comb += [
            sequencer.start.eq(registers.start),
            sequencer.limits.eq(job_limits(m, core, self.minimum_slots, registers.settings)),
            sequencer.popped.eq(results.popped),
            results.row.eq(engine.rows),
        ]
        m.d.comb += [engine.slot[name].eq(sequencer.slot[name]) for name in sequencer.slot.shape().members]
        counted = {
            "CYCLES": self._follow_job(m, registers),
            "SLOTS": sequencer.issue,
            "BEATS_WEIGHTS": self._load_weights(m, registers, sequencer),
            "BEATS_ACTIVATIONS": self._load_activations(m, registers, sequencer),
            "BEATS_RESULTS": self._send_results(m),
        } | {f"WAIT_{name.upper()}": sequencer.waits[name] for name in WAITS}
        if core.outlier_lanes:
            counted["BEATS_OUTLIERS"] = self._load_outliers(m, registers, sequencer)
        if core.count_events:
            counted |= {
                f"{register.upper()}_{side}": engine.events[register][sign]
                for register in engine.events.shape().members
                for side, sign in (("ABOVE", "positive"), ("BELOW", "negative"))
            }
        self._count(m, registers, counted)
        return m

    def _connect_lite(self, m: Module, registers: Registers) -> None:
        m.submodules.port = port = AxiLite(ADDRESS_BITS, READ_CYCLES)
        for name, member in lite_ports(ADDRESS_BITS).items():
            inner, outer = getattr(port, name), getattr(self, f"s_axil_{name}")
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        for name, member in register_ports(ADDRESS_BITS).items():
            inner, outer = getattr(registers, name), getattr(port, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)

    def _connect_stream(self, m: Module, name: str, beats: stream.Interface) -> None:
        """Connect one of the input streams to the unit that takes its beats."""
        m.d.comb += [
            beats.payload.eq(getattr(self, f"s_axis_{name}_tdata")),
            beats.valid.eq(getattr(self, f"s_axis_{name}_tvalid")),
            getattr(self, f"s_axis_{name}_tready").eq(beats.ready),
        ]

    def _load_weights(self, m: Module, registers: Registers, sequencer: Sequencer) -> Value:
        """Return whether a beat is taken."""
        core, engine = self.core, self.engine
        m.submodules.weights = loader = WeightLoader(core)
        self._connect_stream(m, "weights", loader.beats)
        m.d.comb += [
            loader.start.eq(registers.start),
            loader.k_limit.eq(sequencer.limits.k),
            loader.tile_limit.eq(sequencer.limits.tile),
        ]
        if core.dataflow is Dataflow.WEIGHT_STATIONARY:
            m.d.comb += [
                sequencer.weights.eq(loader.loaded),
                loader.swap.eq(sequencer.swap),
                engine.weights.valid.eq(loader.whole),
                engine.weights.row.eq(loader.row),
                engine.weights["values"].eq(loader.vector),
            ]
        else:
            consumed = delay(m, loader.vector, 1, "weights")
            m.d.comb += [
                sequencer.weights.eq(loader.whole),
                loader.consume.eq(sequencer.consume),
                engine.slot.weights.eq(consumed),
            ]
        if core.record_bits:
            self._keep_parameters(m, registers, loader)
        return loader.taken

    def _keep_parameters(self, m: Module, registers: Registers, loader: WeightLoader) -> None:
        core, results = self.core, self.results
        m.submodules.parameters = sets = ParameterSets(core)
        m.d.comb += [
            sets.start.eq(registers.start),
            sets.take.eq(loader.record),
            sets.beat.eq(loader.beats.payload),
            loader.room.eq(sets.room),
            loader.complete.eq(sets.complete),
            sets.free.eq(results.popped_end),
        ]
        if core.arithmetic.reduction.bias_at is BiasAt.START:
            m.d.comb += self.engine.biases.eq(sets.biases)
        if core.output is not None:
            settings, constants = registers.settings, results.constants
            m.d.comb += [
                sets.select.eq(results.select),
                results.parameters.eq(sets.parameters),
                constants.zero_point.eq(settings.OUTPUT_ZERO_POINT),
                constants.lo.eq(settings.CLAMP_LO),
                constants.hi.eq(settings.CLAMP_HI),
                constants.single.eq(settings.ROUNDING),
            ]

    def _load_activations(self, m: Module, registers: Registers, sequencer: Sequencer) -> Value:
        """Return whether a beat is taken."""
        m.submodules.activations = loader = ActivationLoader(self.core, self.minimum_slots)
        self._connect_stream(m, "activations", loader.beats)
        m.d.comb += [
            loader.start.eq(registers.start),
            loader.limits.eq(sequencer.limits),
            loader.zero_point.eq(registers.settings.ACTIVATION_ZERO_POINT),
            loader.consume.eq(sequencer.consume),
            sequencer.activations.eq(loader.whole),
            self.engine.slot.activations.eq(loader.operands),
        ]
        return loader.taken

    def _load_outliers(self, m: Module, registers: Registers, sequencer: Sequencer) -> Value:
        """Return whether a beat is taken."""
        m.submodules.outliers = loader = OutlierLoader(self.core)
        self._connect_stream(m, "outliers", loader.entries)
        m.d.comb += [
            loader.start.eq(registers.start),
            loader.swap.eq(sequencer.swap),
            loader.finish.eq(sequencer.last_tile),
            sequencer.outliers.eq(loader.loaded),
            self.engine.outliers.eq(loader.outliers),
        ]
        return loader.taken

    def _send_results(self, m: Module) -> Value:
        """Return whether a beat is taken."""
        beats = self.results.beats
        m.d.comb += [
            self.m_axis_results_tdata.eq(beats.payload.data),
            self.m_axis_results_tlast.eq(beats.payload.last),
            self.m_axis_results_tvalid.eq(beats.valid),
            beats.ready.eq(self.m_axis_results_tready),
        ]
        return beats.valid & beats.ready

    def _follow_job(self, m: Module, registers: Registers) -> Value:
        """Return whether a job is running: from its start until its last result is taken."""
        beats = self.results.beats
        running, done = Signal(name="running"), Signal(name="done")
        # Long enough for the last events to be counted, and shown no earlier than the counters are final.
        settle_cycles = COUNT_CYCLES + max(0, self.event_latency - self.engine_latency)
        settling = Signal(range(settle_cycles + 1), init=0)
        with m.If(registers.start):
            m.d.sync += [running.eq(1), done.eq(0), settling.eq(settle_cycles)]
        with m.Elif(running), m.If(beats.valid & beats.ready & beats.payload.last):
            m.d.sync += running.eq(0)
        with m.Elif(settling != 0):
            m.d.sync += [settling.eq(settling - 1), done.eq(settling == 1)]
        m.d.comb += [registers.busy.eq(settling != 0), registers.done.eq(done)]
        return running

    def _count(self, m: Module, registers: Registers, increments: Mapping[str, Value]) -> None:
        names = registers.counters.shape().members
        m.submodules.counters = counters = Counters({name: len(increments[name]) for name in names})
        m.d.comb += [counters.clear.eq(registers.start), registers.counters.eq(counters.values)]
        m.d.comb += [counters.increments[name].eq(increments[name]) for name in names]
