"""Jobs of a GEMM core behind a memory whose cycles can be counted by hand, from the rules in ``docs/rtl-core.md``.

The core is 2 x 3 without records; beats of 3 bytes (weights), 2 (activations) and 6 (results, one per row). The arithmetic
stands with each job; "taken" is the cycle in which the core takes a beat.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from small_core import small

from hwsim.dataflow import CoreTiming, Counters, predict
from hwsim.spec import Dataflow, StreamMemory
from hwsim.spec.stream_memory import beat_bytes

OS = Dataflow.OUTPUT_STATIONARY
AMPLE = Fraction(1000)
TIMING = CoreTiming(engine_latency=6, minimum_slots=5, fifo_depth=16, row_pace=1, result_latency=1)
"""A row is in the FIFO 6 + 3 = 9 cycles after its slot and leaves at once where the port is free; its beat follows."""


def test_beats_of_the_small_core() -> None:
    assert beat_bytes(small()) == (3, 3, 2, 6)


def test_latency_alone_comes_once() -> None:
    """Seven cycles to the first beats, and enough places that there is one in each cycle from then on.

    Weights taken in 7, 8: slot 0 in 9 after nine waits, 21 slots (7 pixels, 3 K tiles) in 9..29. The second K tile's weights
    are there from 9 on, taken in 10, 11. The last row is in the FIFO in 29 + 9, its beat is taken in 39.
    """
    assert predict(small(), 7, 3, 1, timing=TIMING, memory=StreamMemory(7, AMPLE)) == Counters(
        cycles=40, slots=21, wait_weights=9, beats_weights=6, beats_activations=21, beats_results=7
    )


def test_one_place_and_latency_is_a_beat_per_round_trip() -> None:
    """A place is free the cycle after its beat was taken, and the next beat comes 7 cycles later.

    Weights taken in 7, 15: slot 0 in 16. Activations: vector 0 in 7; vector 1 has been there since 15 and is taken in 16, with
    slot 0: slot 1 in 17. Vector 2 is requested in 17 and taken in 24, slot 2 in 25; vector 3 in 32, slot 3 in 33. Waits: 16 for
    weights, 7 + 7 for activations. One empty slot (minimum 5). Last beat in 33 + 9 + 1.
    """
    memory = StreamMemory(7, AMPLE, None, 1, 1, 1, 1)
    assert predict(small(), 4, 1, 1, timing=TIMING, memory=memory) == Counters(
        cycles=44, slots=5, wait_weights=16, wait_activations=14, beats_weights=2, beats_activations=4, beats_results=4
    )


def test_a_bus_of_one_byte_per_cycle() -> None:
    """Requests in 0: weights 0, activations 0; in 1: weights 1, activations 1; in 2, 3: activations 2, 3.

    Their last bytes cross in 2, 4, 7, 9, 11, 13. Weights are whole after 7: slot 0 in 8; vectors 1, 2, 3 are taken in 9, 11, 13,
    slots in 10, 12, 14: one wait each. Rows leave the FIFO in 17, 19, 21, 23, the last beat is taken in 24. That their 6 bytes
    cross for 6 cycles matters to nobody: there are 64 places.
    """
    assert predict(small(), 4, 1, 1, timing=TIMING, memory=StreamMemory(0, Fraction(1))) == Counters(
        cycles=25, slots=5, wait_weights=8, wait_activations=3, beats_weights=2, beats_activations=4, beats_results=4
    )


def test_one_place_for_results() -> None:
    """The same with one place: beat 0 is taken in 18 and crosses in 18..23, so the next ones are taken in 24, 30, 36."""
    memory = StreamMemory(0, Fraction(1), result_beats=1)
    found = predict(small(), 4, 1, 1, timing=TIMING, memory=memory)
    assert found == Counters(
        cycles=37, slots=5, wait_weights=8, wait_activations=3, beats_weights=2, beats_activations=4, beats_results=4
    )
    # Two bytes per cycle for results alone: 18, 21, 24, 27.
    own = replace(memory, write_bytes_per_cycle=Fraction(2))
    assert predict(small(), 4, 1, 1, timing=TIMING, memory=own) == replace(found, cycles=28)


def test_results_that_wait_hold_back_slots() -> None:
    """Results cross for 6 cycles each, alone on their bus, one place; 16 places in the FIFO; 20 pixels.

    Slots from 2 on. Row 0 leaves in 11, its beat is taken in 12; row 1 goes to the port in 12, is taken in 18, row 2 goes there
    in 18, and so on: row i leaves in 6 i + 6 from row 1 on. Slot 16 needs the place of row 0: cycle 18 anyway. Slot 17 needs that
    of row 1, left in 12: 19. Slot 18: row 2 left in 18: 20. Slot 19: row 3 left in 24, so 25 after four waits. The last row
    leaves in 6 * 19 + 6 = 120 and is taken in 126.
    """
    memory = StreamMemory(0, AMPLE, Fraction(1), result_beats=1)
    assert predict(small(pixels=20), 20, 1, 1, timing=TIMING, memory=memory) == Counters(
        cycles=127, slots=20, wait_weights=2, wait_results=4, beats_weights=2, beats_activations=20, beats_results=20
    )


def test_three_bytes_in_two_cycles() -> None:
    """Output stationary, 3 K tiles; weights take 2 cycles of the bus, activations 4/3, one after the other.

    They end after 2, 10/3, 16/3, 20/3, 26/3, 10 cycles, so their last bytes cross in 1, 3, 5, 6, 8, 9. Slots in 4, 7, 10. Waits:
    0, 1 for weights, 2, 3 for activations; 5 and 6; 8 and 9. Two rows in 19, 20; the last beat in 21.
    """
    timing = replace(TIMING, minimum_slots=3)
    memory = StreamMemory(0, Fraction(3, 2))
    assert predict(small(dataflow=OS), 2, 3, 1, timing=timing, memory=memory) == Counters(
        cycles=22, slots=3, wait_weights=4, wait_activations=4, beats_weights=3, beats_activations=3, beats_results=2
    )
