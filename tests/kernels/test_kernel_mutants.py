"""Mistakes put into the kernels on purpose, each of which the checks of the other test files must reject."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from mutation import mutant
from reduction_cases import Case, Implementation, case_of, check_reduction, check_starts, integers, products_of
from requantize_cases import Scale, check_scale, edges
from simd_cases import Shape, check, compiled_anew, drawn

import hwsim.kernels.assemble as assemble_module
import hwsim.kernels.finish as finish_module
import hwsim.kernels.listed as listed_module
import hwsim.kernels.listed_panels as listed_panels_module
import hwsim.kernels.ordered_panels as ordered_panels_module
import hwsim.kernels.ordered_writer as ordered_module
import hwsim.kernels.panels as panels_module
import hwsim.kernels.reduce as reduce_module
import hwsim.kernels.registers as registers_module
import hwsim.kernels.requantize as requantize_module
import hwsim.kernels.rounding as rounding_module
import hwsim.kernels.tile as tile_module
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.reduce import reduce_panel
from hwsim.kernels.targets import runnable
from hwsim.spec import BiasAt, Multiplier, Overflow, Reduction, Register

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


WRITTEN = """over = np.int64(total > hi)
        under = np.int64(total < lo)
        positive"""
"""Where a register of every channel is written to."""

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
    "the largest value counts as an event": (
        WRITTEN, WRITTEN.replace("total > hi", "total >= hi"),
    ),
    "the smallest value counts as an event": (
        WRITTEN, WRITTEN.replace("total < lo", "total <= lo"),
    ),
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


def check_kernels() -> None:
    """Hold the generated kernels, compiled anew, to the golden ones: exact, ordered, chains, trees and their roundings."""
    rng = np.random.default_rng(9)
    with compiled_anew():
        target = runnable()[0]
        check(drawn(Shape(outputs=21), Reduction(Register(32, Overflow.WRAP)), rng, ends=True), target)
        check(drawn(Shape(9, 7, 24, depthwise=True), Reduction(Register(32, Overflow.WRAP)), rng), target)
        for overflow in Overflow:
            check(drawn(Shape(), Reduction(Register(13, overflow)), rng), target)
            check(drawn(Shape(channels=13), Reduction(Register(17, overflow), bias_at=BiasAt.END), rng), target)
        chain = Reduction(Register(20, Overflow.WRAP), 1, None, 4, Register(15, Overflow.SATURATE))
        check(drawn(Shape(), chain, rng), target)
        check(drawn(Shape(), Reduction(Register(16, Overflow.WRAP), 3, Register(15, Overflow.SATURATE)), rng), target)


BOTH = (tile_module, ordered_module)

KERNEL_MUTANTS: dict[str, tuple[ModuleType, str, str, str, tuple[ModuleType, ...]]] = {
    "negative ties go up": (finish_module, "FinishWriter", "b.and_(b.ashr(x, constant(w.lanes, 31)), slot(5))", "slot(7)",
                             BOTH),
    "the doubling is left out": (
        finish_module, "FinishWriter", "b.add(x, x) if finish.right_only else b.shl(x, slot(4))", "x", BOTH,
    ),
    "halves of negative numbers go up whatever the clamp": (
        rounding_module, "Rounding", "bool(bounded.all())", "True", (assemble_module,),
    ),
    "the lower row of a pair has the upper one's weights": (
        panels_module, "depthwise_calls", "found[0, :, :3], found[1, :, 1:] =", "found[0, :, :3], found[1, :, :3] =",
        (assemble_module,),
    ),
    "the clamp is left out": (
        finish_module, "FinishWriter", "w.clamp(w.call(second, w.octets, *halves), self.lo, self.hi)",
        "w.call(second, w.octets, *halves)", BOTH,
    ),
    "the largest value counts as an event": (
        registers_module, "RegisterWriter", 'event = b.icmp_signed("!=", end, total)',
        'event = b.or_(b.icmp_signed("!=", end, total), b.icmp_signed("==", end, self.hi))', (ordered_module,),
    ),
    "saturation forgets the ends of a narrow register": (
        registers_module, "RegisterWriter", "end = w.clamp(end, self.lo, self.hi)", "end = w.named('llvm.smin', end, self.hi)",
        (ordered_module,),
    ),
    "wrapping keeps a bit too many": (
        registers_module, "RegisterWriter", "held = b.ashr(b.shl(total, self.spare), self.spare)", "held = total",
        (ordered_module,),
    ),
    "negative activations count on the wrong side": (
        listed_panels_module, "listed_fields", "ABOVE + BELOW - rising", "rising", (ordered_panels_module,),
    ),
    "the products behind a list's last whole turn are left out": (
        listed_module, "Listed", "b.add(found, I64(self.UNROLLED - 1)), I64(self.UNROLLED", "found, I64(self.UNROLLED",
        (listed_panels_module, ordered_panels_module),
    ),
    "above is below": (registers_module, "RegisterWriter", "enumerate((above, b.sub(events, above)))",
                       "enumerate((b.sub(events, above), above))", (ordered_module,)),
}  # fmt: skip


@needs_jit
def test_the_true_kernels_pass() -> None:
    check_kernels()


@needs_jit
@pytest.mark.parametrize("mistake", KERNEL_MUTANTS)
def test_a_mistake_in_a_generated_kernel_is_found(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, old, new, users = KERNEL_MUTANTS[mistake]
    copy = mutant(module, old, new)
    for user in users:
        monkeypatch.setattr(user, name, getattr(copy, name))
    with pytest.raises(AssertionError):
        check_kernels()
