"""Mistakes put into the kernels on purpose, each of which the checks of the other test files must reject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mutation import mutant
from reduction_cases import Case, Implementation, case_of, check_reduction, check_starts, integers, products_of
from requantize_cases import Scale, check_scale, edges
from simd_cases import OPERATIONS, check_block, check_epilogue, epilogue_runner, random_block, tile_runner

import hwsim.kernels.epilogue as epilogue_module
import hwsim.kernels.microkernel as microkernel_module
import hwsim.kernels.reduce as reduce_module
import hwsim.kernels.requantize as requantize_module
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.microkernel import LANES
from hwsim.kernels.reduce import reduce_panel
from hwsim.kernels.requantize import Requantizer
from hwsim.spec import BiasAt, Multiplier, Overflow, Profile, Reduction, Register

needs_jit = pytest.mark.skipif(not ENABLED, reason="the SIMD kernels need the JIT")


def check_reductions(implementation: Implementation) -> None:
    """Hold an implementation of `reduce_panel` to the oracle: registers' ends, chains, trees, biases, random sums."""
    rng = np.random.default_rng(7)
    for overflow in Overflow:
        for bits in (8, 17, 33):
            register = Register(bits, overflow)
            for end, beyond in ((register.format.hi, 1), (register.format.lo, -1)):
                for step in (-1, 0, 1):
                    reduction = Reduction(acc=register)
                    check_reduction(
                        case_of(products_of(step + 3 * beyond), end - 3 * beyond, reduction), implementation
                    )
    check_reduction(case_of([(0, 0)], (1 << 40) + 5, Reduction(acc=Register(16, Overflow.WRAP))), implementation)
    for lanes, tree, chain, bias_at in (
        (1, None, 3, BiasAt.START),
        (4, Register(14, Overflow.SATURATE), None, BiasAt.END),
        (5, Register(15, Overflow.WRAP), 2, BiasAt.START),
        (3, None, 1, BiasAt.END),
    ):
        psum = None if chain is None else Register(15, Overflow.SATURATE)
        reduction = Reduction(Register(16, Overflow.SATURATE), lanes, tree, chain, psum, bias_at)
        for kind in ("uniform", "high", "ends"):
            panel, weights = integers(rng, -128, 127, (3, 23), kind), integers(rng, -128, 127, (23, 3), "uniform")
            check_reduction(Case(panel, weights, rng.integers(-999, 999, 3), reduction, 1, 2), implementation)
    check_starts(implementation)


REDUCE_MUTANTS = {
    "the partial sum is not cleared after a chain": ("\n                    psum[:] = 0", "\n                    pass"),
    "a short last chain is dropped": ("if links == chain or last:", "if links == chain:"),
    "the largest value is one less": ("register.format.hi)", "register.format.hi - 1)"),
    "the smallest value is one more": ("(register.format.lo,", "(register.format.lo + 1,"),
    "a register is one bit short": (
        "(register.format.lo, register.format.hi)", "(register.format.lo >> 1, register.format.hi >> 1)",
    ),
    "saturation wraps": ("return min(max(total, lo), hi)", "return ((total - lo) & (hi - lo)) + lo"),
    "saturation forgets the negative end": ("return min(max(total, lo), hi)", "return min(total, hi)"),
    "wrapping clamps": ("return ((total - lo) & (hi - lo)) + lo", "return min(max(total, lo), hi)"),
    "the largest value counts as an event": ("over = np.int64(total > hi)", "over = np.int64(total >= hi)"),
    "the smallest value counts as an event": ("under = np.int64(total < lo)", "under = np.int64(total <= lo)"),
    "negative events count as positive": ("negative[n] += under", "positive[n] += under"),
    "an incomplete group keeps old products": ("tree[lane, :] = 0", "pass"),
    "the odd one of a tree level is lost": ("tree[width // 2, :] = tree[width - 1, :]", "tree[width // 2, :] = 0"),
    "a wrapping accumulator starts clamped": ("ranges[2, 1], False)", "ranges[2, 1], True)"),
    "all rows start like the first one": ("start[min(m, start.shape[0] - 1)]", "start[0]"),
    "the bias at the end is forgotten": ("return out if at_start else out + offset", "return out"),
    "extremes leave out the bias": ("exact[:] = initial", "exact[:] = 0"),
    "extremes leave out the start": ("low[n] = min(low[n], exact[n])\n                high", "high"),
    "the first event is the last channel's": ("range(channels - 1, -1, -1)", "range(channels)"),
    "the first event's register is the last": ("range(2, -1, -1)", "range(3)"),
}  # fmt: skip


def test_the_true_kernel_passes() -> None:
    check_reductions(reduce_panel)


@pytest.mark.parametrize("mistake", REDUCE_MUTANTS)
def test_a_mistake_in_the_sum_is_found(mistake: str) -> None:
    copy = mutant(reduce_module, *REDUCE_MUTANTS[mistake])
    with pytest.raises(AssertionError):
        check_reductions(copy.reduce_panel)


def permuted(order: Callable[[int, int], Any]) -> Implementation:
    """Return the true kernel on products in another order, a function of their number and the lanes."""

    def run(panel: Any, weights: Any, bias: Any, reduction: Reduction, *rest: Any, **named: Any) -> Any:
        places = order(panel.shape[1], reduction.lanes)
        return reduce_panel(
            np.ascontiguousarray(panel[:, places]),
            np.ascontiguousarray(weights[places]),
            bias,
            reduction,
            *rest,
            **named,
        )

    return run


def rotated_in_groups(depth: int, lanes: int) -> Any:
    """Return an order that shifts the products of every whole group by one lane: other pairs meet in the tree."""
    places = np.arange(depth)
    whole = depth - depth % lanes
    places[:whole] = np.roll(places[:whole].reshape(-1, lanes), 1, axis=1).reshape(-1)
    return places


@pytest.mark.parametrize(
    "order", [lambda depth, _: np.arange(depth)[::-1], rotated_in_groups], ids=["backwards", "tree-pairs"]
)
def test_another_order_of_the_products_is_found(order: Callable[[int, int], Any]) -> None:
    with pytest.raises(AssertionError):
        check_reductions(permuted(order))


def check_scales(implementation: Scale) -> None:
    """Hold an implementation of `scale` to the oracle on the edges of many factors."""
    for multiplier in (1 << 30, 3 << 29, 1518500250, (1 << 31) - 1):
        for shift in (-31, -30, -9, -1, 0, 1, 5):
            factor = Multiplier(multiplier, shift)
            for x in edges(factor, 1 << 47):
                check_scale(x, factor, implementation)


SCALE_MUTANTS = {
    "the high multiply truncates": ("((lower * multiplier + (1 << 30)) >> 31)", "((lower * multiplier) >> 31)"),
    "the high multiply rounds one too low": ("multiplier + (1 << 30)) >> 31", "multiplier + (1 << 30) - 1) >> 31"),
    "the shift sends negative ties up": (" + np.int64(x < 0)\n", "\n"),
    "the shift sends positive ties down": ("np.int64(remainder > threshold)", "np.int64(remainder > threshold + 1)"),
    "the shift rounds ties up twice": ("np.int64(remainder > threshold)", "np.int64(remainder >= threshold)"),
    "a left shift is left out": ("doubling_high(x << max(shift, 0), multiplier)", "doubling_high(x, multiplier)"),
    "the single rounding misses its half": ("(low + (np.int64(1) << (total - 1)))", "low"),
    "the single rounding's half is one bit off": ("(np.int64(1) << (total - 32))", "(np.int64(1) << (total - 31))"),
    "the float product is not float32": ("np.float32(x) * real", "np.float64(x) * np.float64(real)"),
    "the float profile rounds ties up": ("np.rint(np.float32(x) * real)", "np.floor(np.float32(x) * real + 0.5)"),
    "the power of two truncates": ("(x + (np.int64(1) << (right - 1))) >> right", "x >> right"),
}


def test_the_true_scale_passes() -> None:
    check_scales(requantize_module.scale)


@pytest.mark.parametrize("mistake", SCALE_MUTANTS)
def test_a_mistake_in_the_rounding_is_found(mistake: str) -> None:
    copy = mutant(requantize_module, *SCALE_MUTANTS[mistake])
    with pytest.raises(AssertionError):
        check_scales(copy.scale)


def check_epilogues(make_epilogue: Callable[[int], Any]) -> None:
    """Hold a generator of epilogues to the golden requantization."""
    run = epilogue_runner(make_epilogue(8))
    reals = [2.0 ** -(1 + lane % 12) * (1 if lane % 2 else 1.4142) for lane in range(LANES)]
    reals[0] = 2.0
    requantizer = Requantizer(reals, Profile.TFLITE, 5, -128, 127, 24)
    acc = np.arange(-4000, 4000).repeat(LANES).reshape(-1, LANES)
    check_epilogue(run, requantizer, acc, "int8")


EPILOGUE_MUTANTS = {
    "negative ties go up": ('b.icmp_signed("<", high, zero)', 'b.icmp_signed("<", high, VECTOR([-(2**31)] * LANES))'),
    "the high multiply rounds one too low": ("_wide(1 << 30)", "_wide((1 << 30) - 1)"),
    "the left shift is left out": ("b.shl(acc, left)", "acc"),
    "the zero point is left out": ("b.ashr(b.sub(b.add(high, half), negative), right), zero_point)",
                                   "b.ashr(b.sub(b.add(high, half), negative), right), zero)"),
    "the upper clamp is left out": ('b.select(b.icmp_signed("<", low, hi), low, hi)', "low"),
    "the lower clamp is left out": ('b.select(b.icmp_signed(">", rounded, lo), rounded, lo)', "rounded"),
}  # fmt: skip


@needs_jit
def test_the_true_epilogue_passes() -> None:
    check_epilogues(epilogue_module.make_epilogue)


@needs_jit
@pytest.mark.parametrize("mistake", EPILOGUE_MUTANTS)
def test_a_mistake_in_the_simd_requantization_is_found(mistake: str) -> None:
    copy = mutant(epilogue_module, *EPILOGUE_MUTANTS[mistake])
    with pytest.raises(AssertionError):
        check_epilogues(copy.make_epilogue)


STEP_MUTANTS = {
    "pairs are added the other way round": (
        "for a, w in zip(_halves(b, activations), _halves(b, weights), strict=True):",
        "for a, w in list(zip(_halves(b, activations), _halves(b, weights), strict=True))[::-1]:",
    ),
    "the largest value counts as an event": ('">", total, limits["hi"]', '">=", total, limits["hi"]'),
    "the smallest value counts as an event": (
        'b.icmp_signed("<", total, limits["lo"])', 'b.icmp_signed("<=", total, limits["lo"])',
    ),
    "the negative end does not saturate": (
        'low = b.select(b.icmp_signed(">", total, limits["lo"]), total, limits["lo"])', "low = total",
    ),
    "wrapping keeps a bit too many": ('b.ashr(b.shl(total, limits["spare"]), limits["spare"])', "total"),
    "the sum starts at zero": (
        "initial = [load_vector(b, start, I64(j * LANES), VECTOR) for j in range(vectors)]",
        "initial = [_zero() for j in range(vectors)]",
    ),
}  # fmt: skip


def check_steps(module: Any) -> None:
    """Hold a copy of the micro-kernel generator, a pixel and a vector at a time, to the golden kernel."""
    for operation, step in (("saturate", module.saturate_step), ("wrap", module.wrap_step)):
        run = tile_runner(module.make_kernel, step)
        rng = np.random.default_rng(8)
        for bits in (8, 9, 9, 10, 10, 12, 12, 14):
            check_block(random_block(rng, OPERATIONS[operation], bits=bits), run)


@needs_jit
def test_the_true_steps_pass() -> None:
    check_steps(microkernel_module)


@needs_jit
@pytest.mark.parametrize("mistake", STEP_MUTANTS)
def test_a_mistake_in_a_simd_step_is_found(mistake: str) -> None:
    copy = mutant(microkernel_module, *STEP_MUTANTS[mistake])
    with pytest.raises(AssertionError):
        check_steps(copy)
