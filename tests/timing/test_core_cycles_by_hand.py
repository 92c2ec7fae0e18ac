"""Jobs of a GEMM core whose cycles can be counted by hand, from the rules in ``docs/rtl-core.md``.

The arithmetic stands with each. Cycles end with that of the last beat, so they are its number plus one.
"""

from __future__ import annotations

from small_core import small

from hwsim.dataflow import CoreTiming, Counters, predict
from hwsim.spec import Core, Dataflow

OS = Dataflow.OUTPUT_STATIONARY


def test_a_weight_stationary_job_by_hand() -> None:
    """2 rows, 3 columns, no chain: an element takes 4 cycles, the array 4 + 1 = 5, and column 2 two more: A = 5 + 2 = 7.

    A sum starts 3 cycles after its slot and its bank is asked 2 cycles before, the result is written in cycle 5:
    H = 5 - (3 - 2) + 1 = 5. F: 7 + 2 + 8 = 17, so 32 places. 7 pixels, 3 K tiles:

    weights in cycles 0, 1; slot 0 in cycle 2 (two waits); slots 0..6 in 2..8. The second K tile's weights come in 3, 4: no
    more waits. The last slot is number 20 in cycle 22; its row is in the FIFO in 22 + 7 + 3 = 32, leaves at once, and its
    beat is taken in 33: 34 cycles.
    """
    timing = CoreTiming.of(small())
    assert (timing.engine_latency, timing.minimum_slots, timing.fifo_depth) == (7, 5, 32)
    assert predict(small(), 7, 3, 1) == Counters(
        cycles=34, slots=21, wait_weights=2, beats_weights=6, beats_activations=21, beats_results=7
    )


def test_few_pixels_are_filled_up_to_the_minimum() -> None:
    """As above with 2 pixels: slots in 2, 3 and 3 empty ones, three times: the last with a pixel in cycle 2 + 10 + 1 = 13.

    Empty slots follow until cycle 16; the last beat is taken in 13 + 7 + 3 + 1 = 24.
    """
    assert predict(small(), 2, 3, 1) == Counters(
        cycles=25, slots=15, wait_weights=2, beats_weights=6, beats_activations=6, beats_results=2
    )


def test_weights_that_take_longer_than_the_slots_are_waited_for() -> None:
    """24 bits of weights over 8: 3 beats for a row, 6 for a K tile.

    Slot 0 in cycle 6, beats again in 7..12, so the next K tile's first slot in 13; between are 5 slots in 6..10 and 2 waits.
    The third: 20. 6 + 2 + 2 waits; last pixel in 24.
    """
    assert predict(small(weight_bus_bits=8), 5, 3, 1) == Counters(
        cycles=24 + 7 + 3 + 1 + 1, slots=15, wait_weights=10, beats_weights=18, beats_activations=15, beats_results=5
    )


def test_activations_over_two_beats_come_every_other_cycle() -> None:
    """One K tile of 6 pixels: vector 0 in cycles 0, 1; slot 0 in 2, as the weights say. Vector 1 is whole in 3, slot 1 in 4.

    Slots in 2, 4, 6, 8, 10, 12: five waits. Last beat in 12 + 7 + 3 + 1 = 23.
    """
    assert predict(small(activation_bus_bits=8), 6, 1, 1) == Counters(
        cycles=24, slots=6, wait_weights=2, wait_activations=5, beats_weights=2, beats_activations=12, beats_results=6
    )


def test_outliers_are_waited_for_after_weights() -> None:
    """One lane; a K tile's 4 entries in cycles 0..3, weights in 0, 1: slot 0 in 4 after two waits each.

    Of 2 products the index takes 1 bit, 1 cycle to choose: a product after 3 + 1 = 4 cycles, the sum after 5; written one later:
    A = 6 + 2 = 8, H = 6 - (3 - 2) + 1 = 6. With 6 pixels the second K tile starts in 10; its 2 entries were taken in 5, 6. Last
    pixel in 15.
    """
    assert predict(small(outlier_lanes=1), 6, 2, 1, [4, 2]) == Counters(
        cycles=15 + 8 + 3 + 1 + 1, slots=12, wait_weights=2, wait_outliers=2,
        beats_weights=4, beats_activations=12, beats_outliers=6, beats_results=6,
    )  # fmt: skip


def test_an_output_stationary_job_by_hand() -> None:
    """2 x 3, no chain, one lane: an element takes 3 cycles, the far corner 4 more: A = 3 + 2 + 3 - 1 = 7, H = 3, F = 32.

    4 K tiles, 2 output tiles: vectors in cycles 0, 1, ...; slots from 1 to 8. The last slot's rows are in the FIFO in
    8 + 7 + 3 = 18 and 19; the beat of the second is taken in 20.
    """
    core = small(dataflow=OS)
    timing = CoreTiming.of(core)
    assert (timing.engine_latency, timing.minimum_slots, timing.fifo_depth) == (7, 3, 32)
    assert predict(core, 1, 4, 2) == Counters(
        cycles=21, slots=8, wait_weights=1, beats_weights=8, beats_activations=8, beats_results=4
    )


def test_a_slow_result_port_holds_back_slots() -> None:
    """3 columns of 16 bits over 16: a row every 3 cycles. 2 rows every 3 cycles (H) are twice as many as can leave.

    Slots 1, 4, 7, ... write their rows 10 and 11 cycles later: the first row leaves in 11, row i in 11 + 3i. 32 places: 16
    tiles, up to slot 46. Tile 16 needs the places of rows 0 and 1, the latter left in 14: no wait, slot 49. Tile j needs row
    2j - 31, so 11 + 3(2j - 31) + 1 = 6j - 81 <= 3j + 1 up to j = 27 and slot 82. Tile 28: cycle 87 instead of 85, two waits.
    Each tile from 29 on waits 3 more cycles (6 instead of 3): 36 tiles have 2 + 7 * 3 = 23 waits. The last row is number 71
    and leaves in 11 + 213 = 224; its last beat is taken in 227. Weights and activations: vector 0 in cycle 0, a wait.
    """
    assert predict(small(dataflow=OS, result_bus_bits=16), 1, 1, 36) == Counters(
        cycles=228,
        slots=108,
        wait_weights=1,
        wait_results=23,
        beats_weights=36,
        beats_activations=36,
        beats_results=216,
    )


def test_requantizers_and_records_by_hand() -> None:
    """4 x 1 x 8 bits of weights: records of 32 + 40 = 72 bits over 32 are 3 beats, of 4 columns 12, then 1 row: beats 0..12.

    The only slot of the K tile with a pixel in 13. R = 1: A = 4 + 3 = 7. L: 32 bits need one cycle for the bias, the
    multiplier 2 limbs by 2: 1 for the operands, 2 for the products, 3 for the columns, shift 4, clamp 3: 14. 4 columns over 2
    requantizers: the last beat is taken 2 + 14 + 2 + 1 = 19 cycles after the row left in 13 + 7 + 3 = 23: in 42.
    """
    core = Core(rows=1, cols=4, pixels=2, requantizers=2)
    assert predict(core, 1, 1, 1) == Counters(
        cycles=43, slots=CoreTiming.of(core).minimum_slots, wait_weights=13,
        beats_weights=13, beats_activations=1, beats_results=1,
    )  # fmt: skip
