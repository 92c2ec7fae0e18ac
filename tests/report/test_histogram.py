"""Histograms: which bins count as clipped, and the cases without width."""

from __future__ import annotations

import math

from hwsim.report.histogram import WIDTH, view
from hwsim.sim.document import Histogram


def _histogram(**changes: object) -> Histogram:
    fields: dict[str, object] = {
        "lo": -4.0,
        "hi": 4.0,
        "counts": (1, 10, 100, 100, 10, 1, 0, 2),
        "grid_lo": -2.0,
        "grid_hi": 2.0,
        "grid_step": 0.5,
        "clipped": 3,
        "n": 224,
    }
    return Histogram.model_validate(fields | changes)


def test_bins_beyond_the_grid_are_drawn_as_clipped() -> None:
    drawn = view(_histogram())
    assert drawn is not None
    # Bins are 1 wide; the centres -3.5 and 3.5 lie beyond the grid, of which the bin at 2.5 is empty.
    assert drawn.outside.count("M") == 3
    assert drawn.inside.count("M") == 4
    assert "3 clipped (1.34 %)" in drawn.caption


def test_grid_values_are_ticks_while_they_can_be_told_apart() -> None:
    few, many = view(_histogram()), view(_histogram(grid_step=4 / 255))
    assert few is not None
    assert many is not None
    assert len(few.ticks) == 9
    assert many.ticks == ()


def test_equal_values_are_drawn_inside_the_plot() -> None:
    drawn = view(_histogram(lo=1.0, hi=1.0, grid_lo=1.0, grid_hi=1.0, grid_step=0.0, counts=(5,), n=5, clipped=0))
    assert drawn is not None
    assert drawn.inside.count("M") == 1
    assert all(0 <= x <= WIDTH for x, _, _ in drawn.labels)


def test_no_values_or_no_finite_edges_draw_nothing() -> None:
    assert view(_histogram(n=0)) is None
    assert view(_histogram(counts=())) is None
    assert view(_histogram(hi=math.inf)) is None
