"""The table of tilings against a simulation of each, and the best of them against all that there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.memory.choice import SLACK, least_rooms, least_traffic, shortlist
from hwsim.memory.steps import steps_of
from hwsim.memory.tiling import Room, TileProblem
from hwsim.memory.tiling_table import tiling_table
from timing.tile_oracle import simulate, tilings
from timing.time_cases import problem, problems

PLENTY = 1 << 40


@settings(max_examples=25, deadline=None, derandomize=True)
@given(problems(), st.randoms(use_true_random=False))
def test_every_entry_is_what_its_loops_move_and_need(given_problem: TileProblem, random: st.random.Random) -> None:  # type: ignore[name-defined]
    table = tiling_table(given_problem)
    for index in random.sample(range(len(table)), min(8, len(table))):
        tiling = table.tiling(index)
        channels = min(tiling.units * given_problem.unit_channels, given_problem.channels)
        found = simulate(given_problem, tiling.order, tiling.height, tiling.width, channels, max(tiling.products, 1))
        assert (table.weight_bytes[index], table.input_bytes[index], table.output_bytes[index]) == (
            found.weights, found.inputs, found.outputs,
        )  # fmt: skip
        assert (table.weight_need[index], table.input_need[index], table.output_need[index]) == (
            found.weight_need, found.input_need, found.output_need,
        )  # fmt: skip
        assert (table.residual_bytes[index], table.residual_need[index]) == (found.residual, found.residual_need)
        assert table.tiles[index] == found.steps


@settings(max_examples=25, deadline=None, derandomize=True)
@given(problems(), st.booleans(), st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test_steps_add_up_to_the_table(
    given_problem: TileProblem, input_kept: bool, output_kept: bool, residual_kept: bool, random: st.random.Random  # type: ignore[name-defined]
) -> None:  # fmt: skip
    table, room = tiling_table(given_problem), Room(PLENTY, 0, 0, 0, input_kept, output_kept, residual_kept)
    sliding = given_problem.sliding
    for index in random.sample(range(len(table)), min(8, len(table))):
        steps = steps_of(given_problem, table.tiling(index), room)
        moved = (
            steps.weight_bytes.sum(), steps.input_bytes.sum(), steps.output_bytes.sum(), steps.residual_bytes.sum()
        )  # fmt: skip
        assert moved == (
            table.weight_bytes[index], 0 if input_kept else table.input_bytes[index],
            0 if output_kept else table.output_bytes[index], 0 if residual_kept else table.residual_bytes[index],
        )  # fmt: skip
        assert table.traffic(room)[index] == sum(moved)
        assert len(steps.pixels) == table.tiles[index]
        products = steps.pixels * steps.channels * (steps.done - steps.due)
        assert products.sum() == np.prod(sliding.output) * given_problem.channels * given_problem.products


@pytest.mark.parametrize("shared", [True, False])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(problems(), st.floats(0, 1))
def test_the_best_tiling_is_the_best_there_is(shared: bool, given_problem: TileProblem, share: float) -> None:
    """Among equal cuts exactly; tiles of every other size are at most 5 % better, and only by where the last one ends."""
    table = tiling_table(given_problem)
    smallest, largest = int(table.needs(Room(PLENTY)).min()), int(table.needs(Room(PLENTY)).max())
    size = int(smallest + share * (largest - smallest))
    third = max(1, size // 2)
    room = Room(size) if shared else Room(None, third, third, third)
    best = {True: None, False: None}  # type: dict[bool, int | None]
    for every_size in (False, True):
        moves = []
        for tiling in tilings(given_problem, every_size=every_size):
            found = simulate(given_problem, *tiling)
            needs = (found.weight_need, found.input_need + found.residual_need, found.output_need)
            if sum(needs) <= size if shared else max(needs) <= third:
                moves.append(found.weights + found.inputs + found.outputs + found.residual)
        best[every_size] = min(moves, default=None)
    assert least_traffic(table, room) == best[False]
    if best[False] is not None and best[True] is not None:
        assert best[False] <= 1.05 * best[True]


def test_the_least_room_is_the_least() -> None:
    table = tiling_table(problem())
    (least,) = least_rooms(table, Room(PLENTY))
    assert least_traffic(table, Room(least)) is not None
    assert least_traffic(table, Room(least - 1)) is None
    for room in (Room(None, 1, 1, 1), Room(None, 300, 1, 500), Room(None, 1, 300, 1)):
        weights, inputs, outputs = least_rooms(table, room)
        assert least_traffic(table, Room(None, weights, inputs, outputs)) is not None
        assert least_traffic(table, room) is None


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems(), st.integers(0, 4000), st.integers(0, 4000), st.booleans())
def test_more_room_never_costs_traffic(given_problem: TileProblem, size: int, more: int, kept: bool) -> None:
    table = tiling_table(given_problem)
    small, large = (least_traffic(table, Room(bytes_, input_kept=kept)) for bytes_ in (size, size + more))
    assert small is None or (large is not None and large <= small)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems(), st.integers(0, 10**6))
def test_the_shortlist_has_least_traffic_and_nearly_least_cycles(given_problem: TileProblem, seed: int) -> None:
    table, room = tiling_table(given_problem), Room(PLENTY)
    about = np.random.default_rng(seed).integers(1, 1000, len(table))
    moved = table.traffic(room)
    equal = moved == moved.min()
    for tiling in shortlist(table, room, lambda some: about[some]):
        (index,) = [i for i in range(len(table)) if table.tiling(i) == tiling]
        assert equal[index]
        assert about[index] <= max(SLACK) * about[equal].min()
