"""Random and adversarial sums of products, and the one check that every implementation of a reduction has to pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

import oracle
from hwsim.kernels.monitor import NEVER, REGISTERS, Monitor
from hwsim.kernels.reduce import reduce_panel
from hwsim.spec import BiasAt, Overflow, Reduction, Register

Int64 = npt.NDArray[np.int64]
Implementation = Callable[..., Int64]


@dataclass(frozen=True)
class Case:
    """Arguments of `reduce_panel`."""

    panel: Int64
    weights: Int64
    bias: Int64 | None
    reduction: Reduction
    image: int = 0
    pixel: int = 0
    base: int = 0


def case_of(products: list[tuple[int, int]], bias: int, reduction: Reduction) -> Case:
    """Return a case of one row and one channel with those factors."""
    a, w = np.array(products, np.int64).reshape(-1, 2).T
    return Case(np.ascontiguousarray(a)[None], np.ascontiguousarray(w)[:, None], np.array([bias], np.int64), reduction)


def check_reduction(case: Case, implementation: Implementation = reduce_panel) -> oracle.Sums:
    """Assert that outputs, counters, extremes and the first event are the oracle's; return what the oracle saw."""
    channels = case.weights.shape[1]
    bias = [0] * channels if case.bias is None else case.bias.tolist()
    expected = oracle.reduce_rows(
        case.panel.tolist(), case.weights.tolist(), bias, case.reduction, image=case.base + case.image, pixel=case.pixel
    )
    monitor = Monitor(channels, observe=True, base=case.base)
    out = implementation(
        case.panel, case.weights, case.bias, case.reduction, monitor, image=case.image, pixel=case.pixel
    )
    assert out.tolist() == expected.out[0]
    for r, register in enumerate(REGISTERS):
        for kind in (0, 1):
            assert monitor.counts[r, kind].tolist() == expected.counts[register, oracle.KINDS[kind]], (register, kind)
    assert monitor.low.tolist() == expected.low
    assert monitor.high.tolist() == expected.high
    assert monitor.first.tolist() == list(expected.first or [NEVER] * 4)
    assert monitor.first_image == (expected.first[0] if expected.first else None)
    return expected


def check_starts(implementation: Implementation = reduce_panel) -> None:
    """Assert that rows that start from sums of their own are those rows alone, in outputs, counters and extremes."""
    rng = np.random.default_rng(5)
    reduction = Reduction(Register(14, Overflow.SATURATE), chain=3, psum=Register(15, Overflow.WRAP))
    panel, weights, starts = (rng.integers(-128, 128, shape) for shape in ((4, 17), (17, 3), (4, 3)))
    starts[1:3] = [[reduction.acc.format.hi], [reduction.acc.format.lo]]
    together, alone = Monitor(3, observe=True), Monitor(3, observe=True)
    out = implementation(panel, weights, starts, reduction, together)
    rows = [reduce_panel(panel[[m]], weights, starts[m], reduction, alone, pixel=m) for m in range(len(panel))]
    assert np.array_equal(out, np.concatenate(rows))
    assert alone.events > 0
    for name in ("counts", "low", "high", "first"):
        assert np.array_equal(getattr(together, name), getattr(alone, name)), name


def registers(bits: int) -> st.SearchStrategy[Register]:
    """Draw a register, often of a width near `bits`."""
    near = st.integers(max(8, min(bits - 3, 48)), max(8, min(bits + 4, 48)))
    return st.builds(Register, st.one_of(near, st.integers(8, 48)), st.sampled_from(Overflow))


@st.composite
def reductions(draw: Any, bits: int = 16) -> Reduction:
    """Draw an order of sums with registers near `bits` wide."""
    lanes = draw(st.integers(1, 9))
    chain = draw(st.sampled_from((None, 1, 3, 4, 7)))
    return Reduction(
        acc=draw(registers(bits + 2)),
        lanes=lanes,
        tree=draw(st.none() | registers(bits)) if lanes > 1 else None,
        chain=chain,
        psum=None if chain is None else draw(registers(bits + 1)),
        bias_at=draw(st.sampled_from(BiasAt)),
    )


def integers(rng: np.random.Generator, lo: int, hi: int, shape: tuple[int, ...], kind: str) -> Int64:
    """Draw integers of a range: all alike, only its ends and zero, or mostly near the top."""
    if kind == "uniform":
        return rng.integers(lo, hi + 1, shape)
    if kind == "ends":
        return rng.choice(np.array([lo, hi, 0]), shape)
    return np.maximum(hi - rng.integers(0, 3, shape), lo)


@st.composite
def cases(draw: Any, largest: int = 40) -> Case:
    """Draw a panel of up to 3 x `largest` with up to 5 channels, formats of 2..16 bits, and a reduction that may overflow."""
    activation_bits, weight_bits = draw(st.integers(2, 16)), draw(st.integers(2, 16))
    signed = draw(st.booleans())
    reduction = draw(reductions(activation_bits + weight_bits - 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, depth, channels = draw(st.integers(1, 3)), draw(st.integers(1, largest)), draw(st.integers(1, 5))
    shared = draw(st.booleans())
    a_lo = -(2 ** (activation_bits - 1)) if signed else 0
    a_hi = a_lo + 2**activation_bits - 1
    kinds = st.sampled_from(("uniform", "ends", "high"))
    panel = integers(rng, a_lo, a_hi, (rows, depth) if shared else (rows, depth, channels), draw(kinds))
    weights = integers(rng, -(2 ** (weight_bits - 1)), 2 ** (weight_bits - 1) - 1, (depth, channels), draw(kinds))
    acc, bias = reduction.acc.format, None
    if draw(st.booleans()):
        free = reduction.acc.overflow is Overflow.WRAP or reduction.bias_at is BiasAt.END
        reach = 8 if free and draw(st.booleans()) else 1
        bias = integers(rng, acc.lo * reach, acc.hi * reach, (channels,), draw(kinds))
    places = [draw(st.integers(0, 5)) for _ in range(3)]
    return Case(panel, weights, bias, reduction, *places)


def products_of(total: int) -> list[tuple[int, int]]:
    """Return factors below 2**17 in magnitude whose products sum to `total` without ever passing it."""
    sign, rest = (-1, -total) if total < 0 else (1, total)
    factors = [(65536, 65536 * sign)] * (rest >> 32)
    rest &= 2**32 - 1
    factors += [(rest // 65535, 65535 * sign), (rest % 65535, sign)]
    return factors
