"""A GEMM core in hardware: array, registers, ports and requantizer. What the RTL, its time model and its packing share.

``docs/rtl-core.md`` explains the streams, the registers and the order of sums; the properties here are their sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hwsim.spec.accelerator import OUTLIER_LANES, PIXELS, Arithmetic
from hwsim.spec.errors import require, within
from hwsim.spec.memory import BUILT_DATAFLOWS, Dataflow
from hwsim.spec.number import OPERAND_BITS, Format, bits_for
from hwsim.spec.reduction import BiasAt, ZeroPoints
from hwsim.spec.requantization import MULTIPLIER_BITS, SHIFT_BITS, Profile

BUS_BITS = range(8, 4097)
"""Widths that the data of a stream may have."""

INT8 = Format(8)
"""What an activation and a result are, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How a vector of integers travels over a bus: elements side by side from the lowest bit, none across a beat.

    Parameters
    ----------
    elements, element_bits
        The vector.
    bus_bits
        Width of a beat: a multiple of 8 (a stream's data are whole bytes) and of `element_bits`.
    """

    elements: int
    element_bits: int
    bus_bits: int

    @classmethod
    def of(cls, elements: int, element_bits: int, bus_bits: int | None, name: str) -> Packing:
        """Return a packing on a bus of that width, by default the narrowest that carries a vector in one beat."""
        unit = math.lcm(8, element_bits)
        bus = -(-elements * element_bits // unit) * unit if bus_bits is None else bus_bits
        allowed = f"a multiple of 8 and of the element's {element_bits} bits, from {BUS_BITS[0]} to {BUS_BITS[-1]}"
        require(within(bus, BUS_BITS) and bus % unit == 0, name, allowed, bus)
        return cls(elements, element_bits, bus)

    @property
    def per_beat(self) -> int:
        """Elements that fit into a beat."""
        return self.bus_bits // self.element_bits

    @property
    def beats(self) -> int:
        """Beats of one vector; what the last one does not need is zero."""
        return -(-self.elements // self.per_beat)


@dataclass(frozen=True, slots=True)
class Core:
    """A `GemmCore`: what its Verilog is generated from and its cycles are predicted from.

    Parameters
    ----------
    name
        Shown in reports; the Verilog's file name is made of it.
    dataflow
        Weight stationary: the array holds ``rows * lanes`` x `cols` weights, sums run down its columns into a bank of
        accumulators. Output stationary: it holds ``rows`` x `cols` accumulators.
    rows, cols
        Of the array, 1..64 each.
    activation
        Integers on the activation port, 2..16 bits.
    weight_bits
        Signed weights, 2..16 bits.
    arithmetic
        Reduction and requantization. A weight-stationary array has ``chain`` None (the accumulator itself runs down the
        column) or equal to `rows` (a partial sum does). The profile ``ort-float32`` has no hardware.
    output
        What the requantizer writes, 2..16 bits, or None: the accumulators leave as they are.
    pixels
        Accumulators per column in the bank, 2..65536. Output stationary: not used, an output tile has `rows` pixels.
    weight_bus_bits, activation_bus_bits, result_bus_bits
        Data width of the ports, or None for one vector per beat.
    requantizers
        Results that are requantized per cycle, a divisor of `cols`, or None for `cols`.
    max_left_shift
        The largest ``shift`` of a multiplier, 0..30; the shifter behind the multiplier is that much wider.
    outlier_lanes
        Sparse products per row of results and K tile, 0..8; weight stationary only.
    outlier_bits
        Signed width of an outlier's value, 2..16.
    count_events
        Whether the hardware counts overflows.
    """

    name: str = "gemm_core"
    dataflow: Dataflow = Dataflow.WEIGHT_STATIONARY
    rows: int = 8
    cols: int = 8
    activation: Format = INT8
    weight_bits: int = 8
    arithmetic: Arithmetic = field(default_factory=Arithmetic)
    output: Format | None = INT8
    pixels: int = 256
    weight_bus_bits: int | None = None
    activation_bus_bits: int | None = None
    result_bus_bits: int | None = None
    requantizers: int | None = None
    max_left_shift: int = 1
    outlier_lanes: int = 0
    outlier_bits: int = 16
    count_events: bool = True

    def __post_init__(self) -> None:
        require(
            self.dataflow in BUILT_DATAFLOWS, "dataflow",
            f"{' or '.join(built.value for built in BUILT_DATAFLOWS)} in hardware", self.dataflow.value,
        )  # fmt: skip
        for name, value, allowed in (
            ("rows", self.rows, range(1, 65)),
            ("cols", self.cols, range(1, 65)),
            ("activation_bits", self.activation.bits, OPERAND_BITS),
            ("weight_bits", self.weight_bits, OPERAND_BITS),
            ("pixels", self.pixels, PIXELS),
            ("max_left_shift", self.max_left_shift, range(31)),
            ("outlier_lanes", self.outlier_lanes, OUTLIER_LANES),
            ("outlier_bits", self.outlier_bits, OPERAND_BITS),
        ):
            require(within(value, allowed), name, f"an integer from {allowed[0]} to {allowed[-1]}", value)
        if self.output is not None:
            require(within(self.output.bits, OPERAND_BITS), "output_bits", "an integer from 2 to 16", self.output.bits)
            require(
                self.arithmetic.profile is not Profile.ORT_FLOAT32, "requantize",
                "tflite, tflite-single or power-of-two in hardware", self.arithmetic.profile.value,
            )  # fmt: skip
        require(
            self.requantizers is None or (within(self.requantizers, range(1, 65)) and not self.cols % self.requantizers),
            "requantizers", f"a divisor of cols ({self.cols})", self.requantizers,
        )  # fmt: skip
        self._check_reduction()
        # Their constructors refuse impossible buses.
        _ = self.weight_packing, self.activation_packing, self.result_packing

    def _check_reduction(self) -> None:
        reduction = self.arithmetic.reduction
        stationary = self.dataflow is Dataflow.WEIGHT_STATIONARY
        require(
            not stationary or reduction.chain in (None, self.rows), "chain",
            f"left out, or rows ({self.rows}) in a weight_stationary array", reduction.chain,
        )  # fmt: skip
        require(
            stationary or self.outlier_lanes == 0,
            "outlier_lanes",
            "0 in an output_stationary array",
            self.outlier_lanes,
        )
        require(
            reduction.lanes * max(self.rows, self.cols) <= 256, "lanes", "at most 256 over all rows, or all columns",
            reduction.lanes,
        )  # fmt: skip
        for name, register in (("tree", reduction.tree), ("psum", reduction.psum), ("acc", reduction.acc)):
            if register is not None:
                require(
                    register.bits >= self.product_bits, name,
                    f"at least {self.product_bits} bits wide, as one product of {self.activation} and "
                    f"int{self.weight_bits} is (zero points: {reduction.zero_points.value})", register,
                )  # fmt: skip

    @property
    def weight(self) -> Format:
        """Integers on the weight port."""
        return Format(self.weight_bits)

    @property
    def operand_range(self) -> tuple[int, int]:
        """Smallest and largest activation that a multiplier sees."""
        low, high = self.activation.lo, self.activation.hi
        if self.arithmetic.reduction.zero_points is ZeroPoints.SUBTRACT:
            return low - high, high - low
        return low, high

    @property
    def operand(self) -> Format:
        """The format of what a multiplier sees of an activation."""
        low, high = self.operand_range
        return Format(bits_for(low, high)) if low < 0 else Format(high.bit_length(), signed=False)

    @property
    def product_bits(self) -> int:
        """Signed width that holds every product of an activation and a weight."""
        products = [a * w for a in self.operand_range for w in (self.weight.lo, self.weight.hi)]
        return bits_for(min(products), max(products))

    @property
    def lanes(self) -> int:
        """Products per adder tree."""
        return self.arithmetic.reduction.lanes

    @property
    def tile_pixels(self) -> int:
        """The most pixels of an output tile."""
        return self.pixels if self.dataflow is Dataflow.WEIGHT_STATIONARY else self.rows

    @property
    def tile_products(self) -> int:
        """Products per output of one K tile: what the held weights serve, or one group of lanes."""
        return self.lanes * (self.rows if self.dataflow is Dataflow.WEIGHT_STATIONARY else 1)

    @property
    def weight_packing(self) -> Packing:
        """A vector on the weight port: `lanes` weights for each column, those of column 0 first."""
        return Packing.of(self.cols * self.lanes, self.weight_bits, self.weight_bus_bits, "weight_bus_bits")

    @property
    def activation_packing(self) -> Packing:
        """A vector on the activation port: `lanes` activations for each row, those of row 0 first."""
        return Packing.of(self.rows * self.lanes, self.activation.bits, self.activation_bus_bits, "activation_bus_bits")

    @property
    def result_packing(self) -> Packing:
        """A vector on the result port: one pixel, column 0 first."""
        bits = self.arithmetic.reduction.acc.bits if self.output is None else self.output.bits
        return Packing.of(self.cols, bits, self.result_bus_bits, "result_bus_bits")

    @property
    def bias_bits(self) -> int:
        """Signed width of a bias in a parameter record; 0 where none is needed."""
        reduction = self.arithmetic.reduction
        if reduction.bias_at is BiasAt.START:
            return reduction.acc.bits
        return 0 if self.output is None else max(32, reduction.acc.bits)

    @property
    def record_bits(self) -> int:
        """Bits of one column's parameters: bias, then multiplier and shift where results are requantized."""
        return self.bias_bits + (0 if self.output is None else MULTIPLIER_BITS + SHIFT_BITS)

    @property
    def record_beats(self) -> int:
        """Beats of one column's parameters on the weight port, each record padded to whole beats."""
        return -(-self.record_bits // self.weight_packing.bus_bits)

    @property
    def requantize_cycles(self) -> int:
        """Cycles that one row of results takes in the requantizers; 1 where accumulators leave as they are."""
        return 1 if self.output is None else self.cols // (self.requantizers or self.cols)

    @property
    def outlier_index_bits(self) -> int:
        """Width of an outlier's position within the K tile."""
        return (self.tile_products - 1).bit_length()

    @property
    def outlier_column_bits(self) -> int:
        """Width of an outlier's column."""
        return (self.cols - 1).bit_length()

    @property
    def outlier_bus_bits(self) -> int:
        """Width of the outlier port: one entry (value, index, column, last) in whole bytes."""
        return -(-(self.outlier_bits + self.outlier_index_bits + self.outlier_column_bits + 1) // 8) * 8
