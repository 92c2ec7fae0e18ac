"""Latencies of a `GemmCore` by its configuration: what the time model knows of the pipelines. The RTL's tests hold it to them."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.spec import BiasAt, Core, Dataflow, Profile

SPARE_PLACES = 8
"""Places of the result FIFO beyond what array and drain may have under way."""

READ_CYCLES = 2
"""From a bank's address to the accumulator."""

SELECT_BITS = 3
"""Bits of an outlier's index that choose its activation per cycle."""


LIMB_BITS = 17
"""Of a requantizer's factors: as many as a DSP multiplies without their sign."""


@dataclass(frozen=True)
class CoreTiming:
    """Cycles, but for `fifo_depth`; see ``docs/rtl-core.md``.

    Attributes
    ----------
    engine_latency
        From a slot that enters the array to its (output stationary: first) row: A.
    minimum_slots
        The fewest slots of a K tile (output stationary: of an output tile): H.
    fifo_depth
        Rows that find room between array and requantizers: F.
    row_pace
        From one row that leaves the FIFO to the next at the earliest: P.
    result_latency
        From the cycle in which a row leaves the FIFO to that of its last beat: z - x.
    """

    engine_latency: int
    minimum_slots: int
    fifo_depth: int
    row_pace: int
    result_latency: int

    @classmethod
    def of(cls, core: Core) -> CoreTiming:
        """Return the timing of a core."""
        engine = _weight_stationary if core.dataflow is Dataflow.WEIGHT_STATIONARY else _output_stationary
        latency, slots = engine(core)
        beats = core.result_packing.beats
        requantize = 0 if core.output is None else core.requantize_cycles + requantizer_latency(core) + 2
        return cls(
            engine_latency=latency,
            minimum_slots=slots,
            fifo_depth=1 << (latency + core.rows + SPARE_PLACES - 1).bit_length(),
            row_pace=max(core.requantize_cycles, beats),
            result_latency=requantize + beats,
        )


def _output_stationary(core: Core) -> tuple[int, int]:
    """Return A and H.

    A: products (two cycles), tree, partial sum and accumulator of an element, the way to the far corner, the start of the
    drain. H: a column drains its rows, and one cycle apart.
    """
    reduction = core.arithmetic.reduction
    element = 3 + (reduction.lanes > 1) + (reduction.chain is not None)
    return element + core.rows + core.cols - 1, core.rows + 1


def _weight_stationary(core: Core) -> tuple[int, int]:
    """Return A and H, both from what happens to a slot in column 0.

    Operands, products (two cycles), tree and sum of an element, and one cycle per row below it; with a chain the accumulator's
    sum; the outliers, one cycle each, but not before their products are there. What was written is read `READ_CYCLES` before
    the sum that it starts, by the next K tile's slot of the same pixel, H or more slots later.
    """
    reduction = core.arithmetic.reduction
    element = 4 + (reduction.lanes > 1)
    array = element + core.rows - 1
    starts = element - 1 if reduction.chain is None else array
    summed = array + (reduction.chain is not None)
    if core.outlier_lanes:
        summed = max(summed, 3 + -(-core.outlier_index_bits // SELECT_BITS))
    written = summed + core.outlier_lanes
    return written + core.cols - 1, written - (starts - READ_CYCLES) + 1


def requantizer_latency(core: Core) -> int:
    """Return the cycles from an accumulator to its result: bias, product in limbs of 17 bits, shift, clamp: L."""
    reduction = core.arithmetic.reduction
    # Where there is a bias to add, a carry chain of more than 36 bits is cut in two.
    add = 2 if reduction.bias_at is BiasAt.END and _requantized_bits(core) > 36 else 1
    # The operands, the partial products (twice), the columns, and each column's carry but the lowest one's.
    limbs = len(requantizer_limbs(core))
    return add + (4 + limbs if limbs else 0) + 4 + 3


def requantizer_limbs(core: Core) -> tuple[int, ...]:
    """Return the bits of the limbs of what a requantizer multiplies, lowest first, each by two; none where it does not.

    All but the highest, which has the sign, are of `LIMB_BITS`.
    """
    if core.arithmetic.profile is Profile.POWER_OF_TWO:
        return ()
    bits = _requantized_bits(core)
    lower = max(1, -(-(bits - 1) // LIMB_BITS)) - 1
    return (*[LIMB_BITS] * lower, bits - lower * LIMB_BITS)


def _requantized_bits(core: Core) -> int:
    """Return the bits of an accumulator with its bias."""
    bits = core.arithmetic.reduction.acc.bits
    return max(bits, core.bias_bits) + 1 if core.arithmetic.reduction.bias_at is BiasAt.END else bits
