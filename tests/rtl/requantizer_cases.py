# amaranth: UnusedElaboratable=no
"""What a `Requantizer` is tried with, and what the kernel makes of it; where the kernel refuses the width, the oracle."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from fractions import Fraction

import numpy as np

import oracle
from hwsim.kernels.requantize import Requantizer as Kernel
from hwsim.rtl import requantizer
from hwsim.spec import Format, Multiplier, Profile

KERNEL_BITS = 62
"""Of an accumulator that is shifted to the left, in the kernel."""


@dataclass(frozen=True)
class Configuration:
    """A requantizer's parameters."""

    acc_bits: int
    bias_bits: int
    profile: Profile
    output: Format
    max_left_shift: int

    @property
    def sum_bits(self) -> int:
        """Of an accumulator and its bias."""
        return max(self.acc_bits, self.bias_bits) + bool(self.bias_bits)

    def make(self) -> requantizer.Requantizer:
        return requantizer.Requantizer(self.acc_bits, self.bias_bits, self.profile, self.output, self.max_left_shift)

    def __str__(self) -> str:
        bias = f"+{self.bias_bits}" if self.bias_bits else ""
        return f"{self.profile.value}-{self.acc_bits}{bias}-{self.output}-left{self.max_left_shift}"


@dataclass(frozen=True)
class Job:
    """What stays while results are under way."""

    zero_point: int
    lo: int
    hi: int
    single: bool = False


@dataclass(frozen=True)
class Sample:
    """One input."""

    acc: int
    bias: int
    factor: Multiplier


SMALL = Configuration(20, 0, Profile.TFLITE, Format(8), 1)

CONFIGURATIONS = [
    *(
        Configuration(*sizes)
        for profile in (Profile.TFLITE, Profile.TFLITE_SINGLE, Profile.POWER_OF_TWO)
        for sizes in (
            (8, 0, profile, Format(4), 0),
            (16, 0, profile, Format(8), 1),
            (20, 32, profile, Format(8, signed=False), 2),
            (32, 0, profile, Format(8), 1),
            (48, 0, profile, Format(16), 14),
        )
    ),
    Configuration(8, 8, Profile.TFLITE, Format(2, signed=False), 30),
    Configuration(32, 32, Profile.TFLITE, Format(8), 0),
    Configuration(18, 0, Profile.TFLITE, Format(16, signed=False), 8),
    Configuration(19, 0, Profile.TFLITE, Format(16), 3),
    Configuration(35, 0, Profile.TFLITE, Format(16), 1),
    Configuration(36, 0, Profile.TFLITE, Format(8), 1),
    Configuration(36, 36, Profile.TFLITE, Format(8), 1),
    Configuration(48, 48, Profile.TFLITE, Format(16), 30),
    Configuration(48, 48, Profile.POWER_OF_TWO, Format(8), 30),
]


def jobs_of(configuration: Configuration) -> list[Job]:
    """Zero points at both ends of the format and within, open and tight clamps, and where there is a choice both roundings."""
    output = configuration.output
    middle = (output.lo + output.hi) // 2
    jobs = [
        Job(middle, output.lo, output.hi),
        Job(middle, middle, output.hi, single=True),
        Job(output.lo, output.lo, output.hi),
        Job(output.hi, output.lo, output.hi, single=True),
        Job(output.hi, output.lo, output.lo),
    ]
    return jobs if configuration.profile is Profile.TFLITE else [replace(job, single=False) for job in jobs]


def factors_of(configuration: Configuration, rng: np.random.Generator) -> Iterator[Multiplier]:
    """Yield for every shift a factor that has ties and one of many that have none."""
    for shift in range(-31, configuration.max_left_shift + 1):
        if configuration.profile is Profile.POWER_OF_TWO:
            yield Multiplier(1 << 30, shift)
            continue
        # A sum times these bits of odd value is an odd number of halves; to the left no power of two leaves any.
        left = max(shift, 0)
        yield Multiplier((2 ** (left + 1) - 1) << (30 - left), shift)
        yield Multiplier(int(rng.choice([0, (1 << 31) - 1, *rng.integers(1 << 30, 1 << 31, 3)])), shift)


def by_factor(samples: list[Sample]) -> Iterator[tuple[Multiplier, Iterator[Sample]]]:
    """Yield the samples of each factor; shifts ascend, so those that fit into the kernel come first."""
    return itertools.groupby(samples, key=lambda sample: sample.factor)


def targets(factor: Multiplier, job: Job, least: int, most: int) -> set[int]:
    """Return sums at and beside the halves around 0 and around both clamps, of both signs, and the ends."""
    found = {0, -1, least, least + 1, most, most - 1}
    if factor.multiplier:
        real = Fraction(factor.multiplier) * Fraction(2) ** (factor.shift - 31)
        ends = {2 * (end - job.zero_point) + side for end in (job.lo, job.hi) for side in (-1, 1)}
        for halves in {-3, -1, 1, 3} | ends:
            centre = math.floor(Fraction(halves, 2) / real)
            found |= {centre - 1, centre, centre + 1}
    return {value for value in found if least <= value <= most}


def samples_of(configuration: Configuration, job: Job, rng: np.random.Generator) -> list[Sample]:
    """Return what a job is tried with, each sum split into an accumulator and a bias, often the largest or smallest."""
    acc = Format(configuration.acc_bits)
    lo, hi = (
        (0, 0)
        if not configuration.bias_bits
        else (Format(configuration.bias_bits).lo, Format(configuration.bias_bits).hi)
    )
    samples = []
    for factor in factors_of(configuration, rng):
        anything = int(rng.integers(acc.lo, acc.hi, endpoint=True)) >> int(rng.integers(acc.bits))
        for total in sorted(targets(factor, job, acc.lo + lo, acc.hi + hi) | {anything}):
            wished = int(rng.choice([lo, hi, rng.integers(lo, hi, endpoint=True)]))
            bias = min(max(wished, total - acc.hi), total - acc.lo)
            samples.append(Sample(total - bias, bias, factor))
    return samples


def expected_of(configuration: Configuration, job: Job, samples: list[Sample]) -> list[int]:
    """Return what the kernel makes of the samples, or the oracle where a sum, shifted, may be too wide for the kernel."""
    profile = Profile.TFLITE_SINGLE if job.single else configuration.profile
    columns = [(factor, [sample.acc + sample.bias for sample in group]) for factor, group in by_factor(samples)]
    fitting = [column for column in columns if configuration.sum_bits + max(column[0].shift, 0) <= KERNEL_BITS]
    multiplier, shift = np.array([astuple(factor) for factor, _ in fitting]).T
    sums = np.array(list(itertools.zip_longest(*(sums for _, sums in fitting), fillvalue=0)))
    kernel = Kernel.from_integers(multiplier, shift, profile, job.zero_point, job.lo, job.hi, configuration.sum_bits)
    by_kernel = kernel(sums, slice(None), "int64").T.tolist()
    results: list[int] = []
    for column, (factor, sums) in enumerate(columns):
        if column < len(fitting):
            results += by_kernel[column][: len(sums)]
        else:
            scaled = [oracle.scale(total, factor, profile) + job.zero_point for total in sums]
            results += [min(max(value, job.lo), job.hi) for value in scaled]
    return results
