"""A closer look at outputs: widths, struck and cancelled outputs, places and pixels of events, against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

import hwsim.kernels.reduce as reduce_module
import oracle
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.monitor import NEVER, REGISTERS, Closer, Monitor
from hwsim.kernels.reduce import reduce_panel
from hwsim.spec import BiasAt, Overflow, Reduction, Register, bits_for
from kernels.mutation import mutant
from kernels.reduction_cases import Case, Implementation, cases, integers

PLACES = 4


def look(case: Case, implementation: Implementation = reduce_panel) -> Monitor:
    monitor = Monitor(case.weights.shape[1], Closer(case.pixel + len(case.panel), PLACES), case.base)
    out = implementation(
        case.panel, case.weights, case.bias, case.reduction, monitor, image=case.image, pixel=case.pixel
    )
    plain = Monitor(case.weights.shape[1], observe=True, base=case.base)
    again = reduce_panel(case.panel, case.weights, case.bias, case.reduction, plain, image=case.image, pixel=case.pixel)
    assert np.array_equal(out, again)
    for name in ("counts", "low", "high", "first"):
        assert np.array_equal(getattr(monitor, name), getattr(plain, name)), name
    return monitor


@settings(max_examples=80 if ENABLED else 20, deadline=None, derandomize=True)
@given(cases(24))
def test_a_closer_look_counts_what_the_oracle_counts(case: Case) -> None:
    check(case)


def check(case: Case, implementation: Implementation = reduce_panel) -> None:
    """Assert that the details are the oracle's."""
    detail, reduction = look(case, implementation).detail, case.reduction
    assert detail is not None
    channels, depth = case.weights.shape[1], case.weights.shape[0]
    acc, at_start = reduction.acc.format, reduction.bias_at is BiasAt.START
    widths = np.zeros_like(detail.widths)
    struck, cancelled = [0] * channels, [0] * channels
    pixels = [0] * len(detail.pixels)
    until = np.zeros((3, 2, PLACES + 1), np.int64)
    for m in range(len(case.panel)):
        for n in range(channels):
            activations = (case.panel[m] if case.panel.ndim == 2 else case.panel[m, :, n]).tolist()
            weights = case.weights[:, n].tolist()
            bias = 0 if case.bias is None else int(case.bias[n])
            total, registers, running = oracle.reduce(activations, weights, bias, reduction)
            widths[n, bits_for(min(running), max(running))] += 1
            events = sum(registers.counts.values())
            pixels[case.pixel + m] += events
            hit = events > 0 or (at_start and not acc.lo <= bias <= acc.hi)
            struck[n] += hit
            cancelled[n] += hit and total == running[-1] + (0 if at_start else bias)
            for place in range(PLACES + 1):
                # Products of the groups whose first one lies before that part.
                starts = [k for k in range(0, depth, reduction.lanes) if k * PLACES // depth >= place]
                length = starts[0] if starts else depth
                seen = oracle.reduce(activations[:length], weights[:length], bias, reduction)[1] if length else None
                for r, name in enumerate(REGISTERS):
                    for kind in (0, 1):
                        until[r, kind, place] += seen.counts[name, oracle.KINDS[kind]] if seen else 0
    assert np.array_equal(detail.widths, widths)
    assert (detail.struck.tolist(), detail.cancelled.tolist()) == (struck, cancelled)
    assert detail.pixels.tolist() == pixels
    # Sums that are cut off close their chain early, which writes to the accumulator.
    same = slice(0, 3) if reduction.chain is None else slice(0, 2)
    assert np.array_equal(detail.places[same], np.diff(until, axis=2)[same])
    assert detail.places.sum(axis=2).tolist() == until[:, :, PLACES].tolist()


def test_partial_sums_keep_their_extremes() -> None:
    """Chains of 2: partial sums 3, 3 - 9 = -6, then 5, 5 + 1 = 6."""
    reduction = Reduction(chain=2, psum=Register(8, Overflow.WRAP))
    monitor = Monitor(1, Closer(1))
    reduce_panel(np.array([[3, -9, 5, 1]]), np.ones((4, 1), np.int64), None, reduction, monitor)
    assert monitor.detail is not None
    assert monitor.detail.psum.tolist() == [[-6], [6]]
    without = Monitor(1, Closer(1))
    reduce_panel(np.array([[3]]), np.ones((1, 1), np.int64), None, Reduction(), without)
    assert without.detail is not None
    assert without.detail.psum.tolist() == [[NEVER], [-NEVER]]


def test_a_sum_that_wraps_and_comes_back_is_struck_and_cancelled_and_one_that_saturates_is_not() -> None:
    """100 + 100 - 150 = 50 passes 127: wrapped it is 50 again, clamped it is 127 - 150 = -23."""
    panel, weights = np.array([[100, 100, -150]]), np.ones((3, 1), np.int64)
    for overflow, came_back in ((Overflow.WRAP, 1), (Overflow.SATURATE, 0)):
        monitor = Monitor(1, Closer(1))
        reduce_panel(panel, weights, None, Reduction(Register(8, overflow)), monitor)
        assert monitor.detail is not None
        assert (monitor.detail.struck.tolist(), monitor.detail.cancelled.tolist()) == ([1], [came_back])
        # 9 bits hold -256..255, and the worst running sum is 200.
        assert np.flatnonzero(monitor.detail.widths[0]).tolist() == [9]


def test_details_of_groups_and_images_merge() -> None:
    rng = np.random.default_rng(4)
    panel, weights = rng.integers(-128, 128, (6, 17)), rng.integers(-128, 128, (17, 4))
    reduction = Reduction(acc=Register(16, Overflow.WRAP), chain=3, psum=Register(15, Overflow.SATURATE))
    whole, merged = Monitor(4, Closer(6)), Monitor(4, Closer(6))
    reduce_panel(panel, weights, None, reduction, whole)
    for part in (slice(2, 4), slice(0, 2)):
        seen = Monitor(2, Closer(6))
        reduce_panel(panel, np.ascontiguousarray(weights[:, part]), None, reduction, seen)
        merged.merge(seen, part.start)
    assert whole.events > 0
    assert whole.detail is not None and merged.detail is not None
    for name in ("places", "pixels", "widths", "struck", "cancelled", "psum"):
        assert np.array_equal(getattr(whole.detail, name), getattr(merged.detail, name)), name


MUTANTS = {
    "the part of the products is that of the group after": (
        "here = tally[k0 *",
        "here = tally[min(k0 + lanes, depth - 1) *",
    ),
    "a bias that does not fit is forgotten": ("or initial[n] < lo or initial[n] > hi", ""),
    "an output with events in the tree alone is not struck": ("if hit[0, n] or hit[1, n]", "if hit[1, n]"),
    "every struck output is lost": ("np.int64(acc[n] == exact[n])", "np.int64(0)"),
    "every struck output comes back": ("np.int64(acc[n] == exact[n])", "np.int64(1)"),
    "negative sums need a bit more": ("-1 - extremes[0, n]", "-extremes[0, n]"),
    "the extremes are those of the row before as well": ("            extremes[:] = exact\n", ""),
    "the extremes leave out the end": ("_follow(exact, extremes[0], extremes[1])", "pass"),
    "a row's events are those of the row before as well": ("hit[:] = False", "pass"),
    "events of pixels are counted on the first": ("pixels[pixel + m] += events", "pixels[pixel] += events"),
}


def check_fixed(implementation: Implementation) -> None:
    """Check sums that overflow in every register, and biases that do not fit."""
    rng = np.random.default_rng(8)
    for reduction in (
        Reduction(Register(16, Overflow.WRAP)),
        Reduction(Register(17, Overflow.SATURATE), 4, Register(15, Overflow.WRAP), bias_at=BiasAt.END),
        Reduction(Register(17, Overflow.WRAP), 3, Register(15, Overflow.SATURATE), 2, Register(16, Overflow.WRAP)),
    ):
        for kind in ("uniform", "ends"):
            panel, weights = integers(rng, -128, 127, (4, 23), kind), integers(rng, -128, 127, (23, 3), "uniform")
            check(Case(panel, weights, np.array([0, 70000, -9]), reduction, 1, 2), implementation)
    weights = np.array([[1], [-1]])
    check(Case(np.array([[0, 128], [0, 0]]), weights, None, Reduction(Register(8, Overflow.WRAP))), implementation)


def test_the_true_kernel_passes() -> None:
    check_fixed(reduce_panel)


@pytest.mark.parametrize("mistake", MUTANTS)
def test_a_mistake_in_the_details_is_found(mistake: str) -> None:
    copy = mutant(reduce_module, *MUTANTS[mistake])
    with pytest.raises(AssertionError):
        check_fixed(copy.reduce_panel)
