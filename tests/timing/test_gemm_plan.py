"""How a GEMM is cut into jobs: every output once, as few slots as can be, and jobs that the core's registers can hold."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.dataflow import CoreTiming, GemmPlan, plan_gemm
from hwsim.dataflow.gemm_plan import MOST_TILES
from hwsim.spec import BUILT_DATAFLOWS, Core, Dataflow, InputError

WS, OS = Dataflow.WEIGHT_STATIONARY, Dataflow.OUTPUT_STATIONARY


def covered(plan: GemmPlan) -> list[tuple[int, int]]:
    """Return (pixel, channel tile) of all outputs in the order of the streams, padded ones left out."""
    found = []
    for job in plan.jobs:
        for channel in job.channels:
            pixels = range(job.first_pixel, job.first_pixel + job.pixel_tiles * job.pixels)
            found += [(pixel, channel) for pixel in pixels if pixel < plan.m]
    return found


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from(BUILT_DATAFLOWS), st.integers(2, 40), st.integers(1, 200), st.integers(1, 60), st.integers(1, 30)
)
def test_every_output_is_computed_once(dataflow: Dataflow, pixels: int, m: int, k: int, n: int) -> None:
    core = Core(dataflow=dataflow, rows=3, cols=4, pixels=pixels)
    plan = plan_gemm(core, m, k, n)
    assert sorted(covered(plan)) == [(pixel, channel) for pixel in range(m) for channel in range(-(-n // 4))]
    for job in plan.jobs:
        assert job.k_tiles == -(-k // core.tile_products)
        assert 1 <= job.pixels <= core.tile_pixels
        assert job.output_tiles == len(job.channels) * job.pixel_tiles
    # One more job where pixels do not split evenly, and only the output-stationary array pads them.
    assert len(plan.jobs) <= (2 if dataflow is WS else 1)
    if dataflow is WS:
        assert sum(job.pixels * job.pixel_tiles for job in plan.jobs) == m


@pytest.mark.parametrize("pixels", [2, 3, 11, 12, 20])
def test_no_cut_needs_fewer_slots(pixels: int) -> None:
    """The least over all cuts of m pixels into tiles, by what the first tile takes."""
    core = Core(rows=8, cols=2, pixels=pixels)
    least = CoreTiming.of(core).minimum_slots
    assert least == 11

    @cache
    def fewest(m: int) -> int:
        return min((max(first, least) + fewest(m - first) for first in range(1, min(m, pixels) + 1)), default=0)

    for m in range(1, 70):
        jobs = plan_gemm(core, m, 1, 1).jobs
        assert sum(max(job.pixels, least) * job.pixel_tiles for job in jobs) == fewest(m)


def test_pixels_are_spread_evenly() -> None:
    """1024 pixels in tiles of at most 256: four of 256. 1001: one of 251 and three of 250."""
    core = Core()
    assert [(job.pixels, job.pixel_tiles) for job in plan_gemm(core, 1024, 9, 20).jobs] == [(256, 4)]
    jobs = plan_gemm(core, 1001, 9, 20).jobs
    assert [(job.first_pixel, job.pixels, job.pixel_tiles) for job in jobs] == [(0, 251, 1), (251, 250, 3)]
    assert [job.channels for job in jobs] == [(0, 1, 2)] * 2


def test_output_stationary_tiles_are_whole() -> None:
    plan = plan_gemm(Core(dataflow=OS), 13, 9, 20)
    assert [(job.pixels, job.pixel_tiles, job.channels) for job in plan.jobs] == [(8, 2, (0, 1, 2))]


def test_tiles_with_repeated_k_tiles_are_jobs_of_their_own() -> None:
    """3 channel tiles of 2 K tiles: the second needs one of them three times."""
    core = Core(rows=4, cols=4, outlier_lanes=1)
    plan = plan_gemm(core, 5, 8, 12, [[1, 1], [1, 3], [1, 1]])
    assert [(job.k_tiles, job.channels) for job in plan.jobs] == [(2, (0, 2)), (4, (1,))]
    assert plan.passes == ((1, 1), (1, 3), (1, 1))


@pytest.mark.parametrize(("m", "n"), [(3 * 65535 + 5, 2), (5, 2 * 65535 + 3), (3 * 40_000, 5)])
def test_jobs_have_as_many_tiles_as_a_register_can_count(m: int, n: int) -> None:
    plan = plan_gemm(Core(dataflow=OS, rows=3, cols=2), m, 1, n)
    assert all(1 <= job.output_tiles <= MOST_TILES for job in plan.jobs)
    outputs = sum(job.output_tiles for job in plan.jobs)
    assert outputs == -(-m // 3) * -(-n // 2)
    assert len(covered(plan)) == len(set(covered(plan))) == m * -(-n // 2)


@pytest.mark.parametrize(
    ("shape", "passes", "message"),
    [
        ((0, 1, 1), None, "m must be a positive integer, not 0"),
        ((1, 0, 1), None, "k must be a positive integer, not 0"),
        ((1, 1, -3), None, "n must be a positive integer, not -3"),
        ((1, 8 * 65535 + 1, 1), None, "K tiles of an output must be at most 65535, not 65536"),
        ((1, 1, 9), [[1]], "passes must be at least 1 for each of 2 channel tiles and 1 K tiles, not [[1]]"),
        ((1, 9, 1), [[1, 0]], "passes must be at least 1 for each of 1 channel tiles and 2 K tiles, not [[1, 0]]"),
    ],
)
def test_impossible_gemms_are_refused(
    shape: tuple[int, int, int], passes: list[list[int]] | None, message: str
) -> None:
    with pytest.raises(InputError) as error:
        plan_gemm(Core(), *shape, passes)
    assert str(error.value) == message
