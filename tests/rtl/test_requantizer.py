# amaranth: UnusedElaboratable=no
"""Requantizer in Amaranth's simulator, against the kernel."""

from __future__ import annotations

import doctest
from collections.abc import Iterable
from dataclasses import asdict, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from amaranth.lib import data
from amaranth.sim import Simulator
from requantizer_cases import CONFIGURATIONS, Configuration, Job, Sample, expected_of, jobs_of, samples_of
from rtl_mutation import put_mutant

import oracle
from hwsim.rtl import requantizer, wide_multiplier
from hwsim.spec import Format, InputError, Profile


def packed(layout: data.StructLayout, sample: Sample) -> int:
    """Return a sample's bits; Amaranth's own way from a dictionary would take as long as the simulation."""
    values = {
        "acc": sample.acc,
        "bias": sample.bias,
        "multiplier": sample.factor.multiplier,
        "shift": sample.factor.shift,
    }
    return sum((values[name] & ((1 << field.width) - 1)) << field.offset for name, field in layout)


def simulate(configuration: Configuration, jobs: Iterable[tuple[Job, list[Sample]]]) -> list[list[int]]:
    """Return the results of each job: a sample in every cycle, and only between jobs a wait for the last results."""
    dut = configuration.make()
    results: list[list[int]] = []

    async def run(ctx: Any) -> None:
        for job, samples in jobs:
            ctx.set(dut.constants, asdict(job))
            words = [packed(dut.input.shape(), sample) for sample in samples]
            out = []
            for word in [*words, *words[: dut.latency]]:
                ctx.set(dut.input.as_value(), word)
                await ctx.tick()
                out.append(ctx.get(dut.output))
            # An input is in the first register after one edge, and its result in the last one after `latency`.
            results.append(out[dut.latency - 1 :][: len(samples)])

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(run)
    simulator.run()
    return results


def differences(configuration: Configuration) -> int:
    """Return in how many results the hardware differs from the kernel."""
    rng = np.random.default_rng(1)
    drawn = [(job, samples_of(configuration, job, rng)) for job in jobs_of(configuration)]
    found = simulate(configuration, drawn)
    wrong = 0
    for (job, samples), results in zip(drawn, found, strict=True):
        assert len(results) == len(samples)
        wrong += sum(a != b for a, b in zip(results, expected_of(configuration, job, samples), strict=True))
    return wrong


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=str)
def test_equals_the_kernel(configuration: Configuration) -> None:
    assert differences(configuration) == 0


NARROW = Configuration(20, 0, Profile.TFLITE, Format(8), 1)
WIDE = Configuration(48, 48, Profile.TFLITE, Format(4), 1)

MUTANTS = {
    "the rounding constant of the first rounding is one too small": (
        NARROW, requantizer, "_NUDGE = 1 << (30 - LIMB_BITS)", "_NUDGE = (1 << (30 - LIMB_BITS)) - 1",
    ),
    "ties of the second rounding go toward zero": (
        NARROW, requantizer, "Mux(x < 0, -_NUDGE, _NUDGE)", "Mux(x < 0, _NUDGE, -_NUDGE)",
    ),
    "the sign is missing: ties of the second rounding go toward +inf": (
        NARROW, requantizer, "Mux(x < 0, -_NUDGE, _NUDGE)", "_NUDGE",
    ),
    "without a right shift there are two roundings too": (
        NARROW, requantizer, "self.input.shift < 0", "self.input.shift <= 0",
    ),
    "once and twice are swapped": (NARROW, requantizer, "~self.constants.single", "self.constants.single"),
    "nothing rounds up": (NARROW, requantizer, "Cat(C(1, 1), zero_point)", "Cat(C(0, 1), zero_point)"),
    "the zero point is missing": (NARROW, requantizer, "Cat(C(1, 1), zero_point)", "C(1, 2)"),
    "the clamp's ends are swapped": (
        NARROW, requantizer, "Mux(above, hi, Mux(below, lo,", "Mux(above, lo, Mux(below, hi,",
    ),
    "the lower clamp cuts one more": (
        NARROW, requantizer, "value < self._as_output(lo)", "value <= self._as_output(lo) + 1",
    ),
    "the shift is one too long": (
        NARROW, requantizer, "self.max_left_shift - self.input.shift)", "self.max_left_shift + 1 - self.input.shift)",
    ),
    "the fine amount is of the sample after": (NARROW, requantizer, "delay(m, fine, 2,", "delay(m, fine, 1,"),
    "saturated one bit too narrow before the fine shift": (
        NARROW, requantizer, "bits + (1 << _FINE_BITS) - 1", "bits + (1 << _FINE_BITS) - 2",
    ),
    "saturated one bit too narrow before the clamp": (
        NARROW, requantizer, "bits = self.format.bits + 2", "bits = self.format.bits + 1",
    ),
    "the bias's carry is lost": (WIDE, requantizer, "high[0] + high[1] + low[half]", "high[0] + high[1]"),
    "a limb is one bit short": (NARROW, wide_multiplier, "self.a[low : low + n]", "self.a[low : low + n - 1]"),
    "the highest limb has no sign": (NARROW, wide_multiplier, "self.a[top:].as_signed()", "self.a[top:]"),
    "a carry loses its lowest bit": (
        NARROW, wide_multiplier, "shift_right(self.limb_bits)", "shift_right(self.limb_bits + 1)",
    ),
    "a column waits one cycle too few": (WIDE, wide_multiplier, "delay(m, column, cycle,", "delay(m, column, cycle // 2,"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MUTANTS)
def test_a_mistake_is_seen(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration, module, old, new = MUTANTS[mistake]
    put_mutant(monkeypatch, module, old, new)
    assert differences(configuration) > 0


def test_the_stimulus_has_ties_of_every_rounding_and_sign() -> None:
    """A tie of one rounding, of the first one and of the second one, by their definitions as fractions."""
    seen = set()
    for job in jobs_of(NARROW):
        for sample in samples_of(NARROW, job, np.random.default_rng(1)):
            factor, sign = sample.factor, sample.acc < 0
            scaled = Fraction(sample.acc * factor.multiplier) * Fraction(2) ** (factor.shift - 31)
            first = Fraction(sample.acc * factor.multiplier * 2 ** max(factor.shift, 0), 2**31)
            second = Fraction(oracle.round_half_up(first), 2 ** max(-factor.shift, 0))
            if job.single:
                seen |= {("once", sign)} if scaled.denominator == 2 else set()
            else:
                seen |= {("first", sign)} if first.denominator == 2 else set()
                seen |= {("second", sign)} if second.denominator == 2 else set()
    assert seen == {(rounding, sign) for rounding in ("once", "first", "second") for sign in (False, True)}


def test_examples() -> None:
    failures, attempted = doctest.testmod(requantizer)
    assert attempted > 0
    assert failures == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"acc_bits": 7}, "acc_bits must be an integer from 8 to 48, not 7"),
        ({"bias_bits": 49}, "bias_bits must be 0 or an integer from 8 to 48, not 49"),
        ({"output": Format(17)}, "output_bits must be an integer from 2 to 16, not 17"),
        ({"max_left_shift": 31}, "max_left_shift must be an integer from 0 to 30, not 31"),
        (
            {"profile": Profile.ORT_FLOAT32},
            "requantize must be tflite, tflite-single or power-of-two in hardware, not ort-float32",
        ),
    ],
)
def test_errors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        replace(NARROW, **changes).make()
    assert str(error.value) == message
