"""What a bench of a GEMM core runs: cases constructed bin by bin, cases that fill queues, and random ones. NumPy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt

from hwsim.cosim.coverage import WAITS, shape_bins
from hwsim.cosim.golden import GemmCase, Outliers, golden
from hwsim.cosim.reveal import revealing
from hwsim.cosim.targets import ONE, Settings, Target, largest_left_shift, targets_of
from hwsim.dataflow import plan_gemm
from hwsim.dataflow.core_timing import CoreTiming
from hwsim.spec import Core, Format, Multiplier, Profile, ZeroPoints

Int64 = npt.NDArray[np.int64]

MOST_PIXELS = 512
"""A bank with more accumulators per column is not filled."""


@dataclass(frozen=True)
class NamedCase:
    """A case, what it is called in messages, and the port that the bench holds back until everything else waits for it."""

    name: str
    case: GemmCase
    held: str | None = None


@dataclass(frozen=True)
class Stimulus:
    """Cases in the order in which a bench should run them, and the coverage bins that they were constructed to hit."""

    cases: tuple[NamedCase, ...]
    reachable: tuple[str, ...]


def stimulus(core: Core, seed: int, jobs: int) -> Stimulus:
    """Return the cases of a bench: all constructed ones and `jobs` random ones; the same arguments give the same cases."""
    rng = np.random.default_rng([seed, 0])
    targets = targets_of(core)
    cases = list(target_cases(core, targets))
    bins = [target.name for target in targets]
    if core.outlier_lanes:
        cases.append(NamedCase("outliers", outlier_case(core, rng)))
        bins += outlier_bins(core)
    cases += list(shape_cases(core, rng))
    bins += sorted({name for named in cases[-2:] for name in _shape_bins(core, named.case)})
    cases += [NamedCase(f"random {i}", random_case(core, np.random.default_rng([seed, 1, i]))) for i in range(jobs)]
    for wait in WAITS:
        port = wait.removeprefix("WAIT_").lower()
        possible = {"outliers": core.outlier_lanes > 0, "results": results_can_wait(core)}.get(port, True)
        if possible:
            case = flood_case(core, rng) if port == "results" else random_case(core, rng)
            cases.append(NamedCase(f"{port} held back", case, port))
            bins.append(wait)
    return Stimulus(tuple(cases), tuple(bins))


def target_cases(core: Core, targets: Sequence[Target]) -> Iterator[NamedCase]:
    """Yield cases with one target each on the diagonal of their outputs; what is beside the diagonal is chance."""
    size = core.cols if core.cols >= 6 else 2 * core.cols
    # Like settings go together, then like depths: a case is as deep as its deepest target.
    order = sorted(targets, key=lambda target: (repr(target.settings), target.products))
    for _, group in groupby(order, key=lambda target: repr(target.settings)):
        alike = list(group)
        for start in range(0, len(alike), size):
            chosen = alike[start : start + size]
            yield NamedCase(", ".join(target.name for target in chosen), _diagonal(core, chosen))


def _diagonal(core: Core, targets: Sequence[Target]) -> GemmCase:
    settings = targets[0].settings
    depth = max(target.products for target in targets)
    operands, weights = np.zeros((len(targets), depth), np.int64), np.zeros((depth, len(targets)), np.int64)
    for i, target in enumerate(targets):
        for k, (operand, weight) in target.factors.items():
            operands[i, k], weights[k, i] = operand, weight
    removed = settings.activation_zero_point if _subtracts(core) else 0
    bias, multiplier, shift = (
        np.array([getattr(target, name) for target in targets], np.int64) for name in ("bias", "multiplier", "shift")
    )
    entries = sorted((k, i, value) for i, target in enumerate(targets) for k, value in target.outliers.items())
    sparse = _outliers(core, [entry[:2] for entry in entries], np.array([entry[2] for entry in entries], np.int64))
    case = GemmCase(operands + removed, weights, bias, multiplier, shift, outliers=sparse, **asdict(settings))
    if core.output is None:
        return case
    accumulators = golden(replace(core, output=None, result_bus_bits=None), case)[0]
    for i, target in enumerate(targets):
        if target.reveal:
            bias[i], multiplier[i], shift[i] = revealing(core, int(accumulators[i, i]), target.bias)
    return case


def random_case(core: Core, rng: np.random.Generator) -> GemmCase:
    """Draw a case: shapes that are rarely whole tiles, operands from corners to noise, biases near the accumulator's ends."""
    rows = int(rng.integers(1, 1 + min(2 * core.tile_pixels, 20)))
    reduction = core.arithmetic.reduction
    span = max(core.tile_products, reduction.lanes * (reduction.chain or 1), 6)
    depth = int(rng.integers(1, 2 + int(rng.choice([1, 3])) * span))
    channels = int(rng.integers(1, 2 + 2 * core.cols))
    case = _drawn(core, rng, rows, depth, channels)
    if not core.outlier_lanes:
        return case
    positions = []
    for start in range(0, depth, core.tile_products):
        places = min(core.tile_products, depth - start) * channels
        count = int(rng.integers(0, min(places, core.outlier_lanes + 2), endpoint=True))
        positions += [start * channels + int(at) for at in np.sort(rng.choice(places, count, replace=False))]
    values = _draw(rng, Format(core.outlier_bits), (len(positions),))
    return replace(case, outliers=_outliers(core, [divmod(at, channels) for at in positions], values))


def outlier_case(core: Core, rng: np.random.Generator) -> GemmCase:
    """Fill every lane of a K tile with outliers, where it has room for so many, as many as fit with those of channel 0."""
    depth = core.tile_products
    case = _drawn(core, rng, 3, depth, core.cols)
    places = sorted((k, n) for n, k in [divmod(at, depth) for at in range(min(core.outlier_lanes, depth * core.cols))])
    limits = Format(core.outlier_bits)
    values = np.resize([limits.lo, limits.hi], len(places))
    if len(places) == 1:
        # One lane: the second value goes to a second K tile.
        case, places, values = (
            _drawn(core, rng, 3, 2 * depth, core.cols),
            [*places, (depth, 0)],
            np.array([limits.lo, limits.hi]),
        )
    return replace(case, outliers=_outliers(core, places, values))


def outlier_bins(core: Core) -> list[str]:
    """Return the bins that `outlier_case` hits."""
    bins = ["outlier of the smallest value", "outlier of the largest value"]
    if core.outlier_lanes <= core.tile_products * core.cols:
        bins.append("outliers in every lane")
    if min(core.outlier_lanes, core.tile_products) > 1:
        bins.append("outliers of one channel")
    return bins


def shape_cases(core: Core, rng: np.random.Generator) -> Iterator[NamedCase]:
    """Yield the smallest and the largest output tile, the latter unless its pixels are more than a bench has time for."""
    yield NamedCase("one pixel", _drawn(core, rng, 1, 1, 2 * core.cols))
    rows = core.tile_pixels if core.tile_pixels <= MOST_PIXELS else 2
    yield NamedCase(f"{rows} pixels", _drawn(core, rng, rows, 2 * core.tile_products, core.cols))


def _shape_bins(core: Core, case: GemmCase) -> set[str]:
    jobs = plan_gemm(core, *case.shape).jobs
    sizes = [{"PIXELS": job.pixels, "K_TILES": job.k_tiles, "OUTPUT_TILES": job.output_tiles} for job in jobs]
    return set().union(*(shape_bins(core, size) for size in sizes))


def flood_case(core: Core, rng: np.random.Generator) -> GemmCase:
    """Draw a case with more rows of results than all queues behind the array hold, as far as its tiles are large enough."""
    rows = min(core.tile_pixels, _queued_rows(core))
    tiles = max(2, 1 + -(-_queued_rows(core) // rows)) if core.record_beats == 0 else 2
    return _drawn(core, rng, rows, core.tile_products, core.cols * tiles)


def results_can_wait(core: Core) -> bool:
    """Whether rows can fill every queue behind the array: where there are parameters, only two output tiles are under way."""
    return core.record_beats == 0 or 2 * core.tile_pixels > _queued_rows(core)


def _queued_rows(core: Core) -> int:
    """Return more rows than FIFO, requantizers and result port hold together."""
    timing = CoreTiming.of(core)
    return timing.fifo_depth + 2 * timing.result_latency + 16


def _drawn(core: Core, rng: np.random.Generator, rows: int, depth: int, channels: int) -> GemmCase:
    activations = _draw(rng, core.activation, (rows, depth))
    weights = _draw(rng, core.weight, (depth, channels))
    zero_point = _near_end(rng, core.activation)
    sums = (activations - (zero_point if _subtracts(core) else 0)) @ weights
    bias = _biases(core, rng, sums)
    settings = Settings(zero_point)
    if core.output is not None:
        ends = np.sort(rng.integers(core.output.lo, core.output.hi, 2, endpoint=True))
        lo, hi = (core.output.lo, core.output.hi) if rng.random() < 0.7 else (int(ends[0]), int(ends[1]))
        single = core.arithmetic.profile is Profile.TFLITE and rng.random() < 0.3
        settings = Settings(zero_point, _near_end(rng, core.output), lo, hi, bool(single))
    multiplier, shift = _factors(core, rng, np.abs(sums + bias).max(axis=0))
    none = _outliers(core, [], np.zeros(0, np.int64))
    return GemmCase(activations, weights, bias, multiplier, shift, outliers=none, **asdict(settings))


def _draw(rng: np.random.Generator, number: Format, shape: tuple[int, ...]) -> Int64:
    """Draw integers of a format: noise, corners, small ones, or all the same end."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.integers(number.lo, number.hi, shape, endpoint=True)
    if kind == 1:
        return rng.choice(np.array([number.lo, number.hi, 0, 1, max(-1, number.lo)]), shape)
    if kind == 2:
        return rng.integers(max(-1, number.lo), 1, shape, endpoint=True)
    return np.full(shape, rng.choice([number.lo, number.hi]), np.int64)


def _near_end(rng: np.random.Generator, number: Format) -> int:
    return int(rng.choice([number.lo, number.hi, int(rng.integers(number.lo, number.hi, endpoint=True))]))


def _biases(core: Core, rng: np.random.Generator, sums: Int64) -> Int64:
    """Draw a bias per channel of exact sums [M, N]: any, an end of the register, or what brings an output to an end."""
    channels = sums.shape[1]
    if core.bias_bits == 0:
        return np.zeros(channels, np.int64)
    limits = Format(core.bias_bits)
    acc = core.arithmetic.reduction.acc.format
    ends = rng.choice(np.array([acc.lo, acc.hi]), channels)
    drawn = np.stack(
        [
            np.zeros(channels, np.int64),
            rng.integers(limits.lo, limits.hi, channels, endpoint=True),
            ends,
            ends
            - sums[rng.integers(sums.shape[0], size=channels), np.arange(channels)]
            + rng.integers(-1, 2, channels),
        ]
    )
    chosen = drawn[rng.integers(len(drawn), size=channels), np.arange(channels)]
    return np.asarray(np.clip(chosen, limits.lo, limits.hi), np.int64)


def _factors(core: Core, rng: np.random.Generator, largest: Int64) -> tuple[Int64, Int64]:
    """Draw multipliers and shifts [N] that spread sums of that magnitude over the output's range, and a few that do not."""
    channels = len(largest)
    if core.output is None:
        return np.zeros(channels, np.int64), np.zeros(channels, np.int64)
    power_of_two = core.arithmetic.profile is Profile.POWER_OF_TWO
    highest = largest_left_shift(core)
    multipliers, shifts = [], []
    for magnitude in largest.tolist():
        real = (1 << core.output.bits) / (1 + magnitude) * 2.0 ** rng.uniform(-2, 1)
        factor = Multiplier.from_real(real)
        shift = int(rng.integers(-31, highest, endpoint=True)) if rng.random() < 0.2 else factor.shift
        zero = not power_of_two and rng.random() < 0.05
        multipliers.append(0 if zero else ONE if power_of_two else factor.multiplier)
        shifts.append(0 if zero else min(max(shift, -31), highest))
    return np.array(multipliers, np.int64), np.array(shifts, np.int64)


def _outliers(core: Core, places: Sequence[tuple[int, int]], values: Int64) -> Outliers | None:
    if not core.outlier_lanes:
        return None
    at = np.array(places, np.int64).reshape(-1, 2)
    return Outliers(at[:, 0], at[:, 1], values.astype(np.int64))


def _subtracts(core: Core) -> bool:
    return core.arithmetic.reduction.zero_points is ZeroPoints.SUBTRACT
