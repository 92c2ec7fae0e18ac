"""The golden GEMM of a core against the oracle: order of outliers, registers, requantization; and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gemm_cases import CORES, gemm_core, random_case

import hwsim.cosim.golden as golden_module
import oracle
from hwsim.cosim.golden import GemmCase, Outliers, golden
from hwsim.spec import BiasAt, Core, InputError, Multiplier, Profile, Register, ZeroPoints


def slow_sum(core: Core, case: GemmCase, pixel: int, channel: int) -> tuple[int, oracle.Registers]:
    """Return one accumulator, K tile by K tile, each followed by its outliers."""
    reduction = replace(core.arithmetic.reduction, bias_at=BiasAt.START)
    subtract = reduction.zero_points is ZeroPoints.SUBTRACT
    row = [a - case.activation_zero_point if subtract else a for a in case.activations[pixel].tolist()]
    line = case.weights[:, channel].tolist()
    entries = [] if case.outliers is None else list(
        zip(*(getattr(case.outliers, name).tolist() for name in ("k", "column", "value")), strict=True)
    )  # fmt: skip
    seen = oracle.Registers()
    acc = int(case.bias[channel]) if core.arithmetic.reduction.bias_at is BiasAt.START else 0
    # Without outliers a core may have any chain, so the sum must not be cut.
    length = core.tile_products if core.outlier_lanes else len(row)
    for start in range(0, len(row), length):
        tile = slice(start, start + length)
        acc, part, _ = oracle.reduce(row[tile], line[tile], acc, reduction)
        for key, count in part.counts.items():
            seen.counts[key] += count
        for k, column, value in entries:
            if column == channel and start <= k < start + length:
                acc = seen.write("acc", reduction.acc, acc + row[k] * value)
    return acc, seen


def slow_gemm(core: Core, case: GemmCase) -> tuple[list[list[int]], list[list[int]]]:
    m, _, n = case.shape
    events = [[0, 0] for _ in oracle.REGISTERS]
    results = [[0] * n for _ in range(m)]
    profile = Profile.TFLITE_SINGLE if case.single else core.arithmetic.profile
    for i in range(m):
        for j in range(n):
            acc, seen = slow_sum(core, case, i, j)
            for r, register in enumerate(oracle.REGISTERS):
                for side, kind in enumerate(oracle.KINDS):
                    events[r][side] += seen.counts[register, kind]
            if core.output is not None:
                if core.arithmetic.reduction.bias_at is BiasAt.END:
                    acc += int(case.bias[j])
                factor = Multiplier(int(case.multiplier[j]), int(case.shift[j]))
                acc = max(case.lo, min(case.hi, oracle.scale(acc, factor, profile) + case.output_zero_point))
            results[i][j] = acc
    return results, events


@pytest.mark.parametrize("name", CORES)
def test_equals_the_oracle(name: str) -> None:
    core = CORES[name]
    total = np.zeros((3, 2), np.int64)
    for seed in range(8):
        case = random_case(core, seed)
        results, events = golden(core, case)
        expected, counts = slow_gemm(core, case)
        assert results.tolist() == expected
        assert events.tolist() == counts
        total += events
    reduction = core.arithmetic.reduction
    for register, events in zip((reduction.tree, reduction.psum, reduction.acc), total, strict=True):
        if register is not None and register.bits <= core.product_bits + 2:
            assert events.all(), f"{register} does not overflow both ways in these cases"


def test_outliers_enter_after_their_k_tile_and_in_the_order_of_the_stream() -> None:
    """2 products per K tile; the dense sums of two K tiles are +100 and +50, from 101 below the accumulator's largest value.

    Outliers of +100 and -100 in the first one saturate at once or not at all, but then the +50 does.
    """
    core = gemm_core("16:saturate", 2, 1, outlier_lanes=2)
    top = 32767
    case = random_case(core, 0, (1, 4, 1))
    case = replace(
        case, activations=np.array([[1, 0, 1, 0]]), weights=np.array([[100], [0], [50], [0]]),
        bias=np.array([top - 101]), activation_zero_point=0,
    )  # fmt: skip
    raw = replace(core, output=None)
    for values, expected in (
        # From top - 1 to top, top - 100, top - 50; or to top - 101, top - 1, top.
        ([100, -100], top - 50),
        ([-100, 100], top),
    ):
        outliers = Outliers(np.array([0, 0]), np.array([0, 0]), np.array(values))
        results, events = golden(raw, replace(case, outliers=outliers))
        assert results.tolist() == [[expected]]
        assert events[2].tolist() == [1, 0]
    # In the second K tile: top - 1, top, top - 100, top.
    outliers = Outliers(np.array([2, 2]), np.array([0, 0]), np.array([-100, 100]))
    assert golden(raw, replace(case, outliers=outliers))[0].tolist() == [[top]]


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    core = CORES["outliers in chains"]
    case = random_case(core, 1, (13, 17, 5))
    whole, events = golden(core, case)
    monkeypatch.setattr(golden_module, "PANEL_ELEMENTS", 40)
    parts, counted = golden(core, case)
    assert np.array_equal(whole, parts)
    assert np.array_equal(events, counted)


def test_operands_may_be_of_any_integer_type() -> None:
    core = CORES["weight stationary"]
    case = random_case(core, 2)
    narrow = replace(case, activations=case.activations.astype(np.int8), weights=case.weights.astype(np.int8))
    assert np.array_equal(golden(core, case)[0], golden(core, narrow)[0])


def test_a_wrapping_accumulator_takes_any_bias_and_a_saturating_one_only_its_own() -> None:
    case = random_case(CORES["weight stationary"], 3, (1, 3, 1))
    case = replace(case, bias=np.array([1 << 17]), activations=np.zeros((1, 3), np.int64), activation_zero_point=0)
    wraps = gemm_core("16:wrap", 3, 5, output=None)
    assert golden(wraps, case)[0].tolist() == [[0]]
    with pytest.raises(InputError, match=r"^bias must be from -32768 to 32767, not 131072$"):
        golden(gemm_core("16:saturate", 3, 5, output=None), case)
    late = gemm_core("16:saturate", 3, 5, bias_at=BiasAt.END)
    assert golden(late, case)[1].tolist() == [[0, 0]] * 3


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "activations of another shape": (
        "weight stationary", {"activations": np.zeros((2, 4), int)}, "activations must be of shape (2, 5), not (2, 4)",
    ),
    "an activation out of range": (
        "outliers", {"activations": np.full((2, 5), 8)}, "activations must be from -8 to 7, not 8",
    ),
    "a weight out of range": ("outliers", {"weights": np.full((5, 3), -3)}, "weights must be from -2 to 1, not -3"),
    "weights that are no integers": (
        "weight stationary", {"weights": np.zeros((5, 3))}, "weights must be integers, not float64",
    ),
    "a bias per pixel": ("weight stationary", {"bias": np.zeros(2, int)}, "bias must be of shape (3,), not (2,)"),
    "a late bias out of range": (
        "outliers in chains", {"bias": np.full(3, 1 << 31)}, "bias must be from -2147483648 to 2147483647, not 2147483648",
    ),
    "a missing multiplier": (
        "weight stationary", {"multiplier": np.zeros(0, int)}, "multiplier must be of shape (3,), not (0,)",
    ),
    "a small multiplier": (
        "weight stationary", {"multiplier": np.full(3, 5)}, "multiplier must be 0, or from 2**30 to 2**31 - 1, not 5",
    ),
    "a large shift": ("weight stationary", {"shift": np.full(3, 2)}, "shift must be from -31 to 1, not 2"),
    "no power of two": (
        "power of two", {"multiplier": np.full(3, 3 << 29)},
        "requantization factor must be a power of two of at least 2**-32 in the profile power-of-two, not ",
    ),
    "a clamp the wrong way": ("weight stationary", {"lo": 5, "hi": 4}, "clamp must be ascending, within -128 to 127, not "),
    "a clamp beyond the output": ("weight stationary", {"hi": 128}, "clamp must be ascending, within -128 to 127, not "),
    "a zero point beyond the output": (
        "weight stationary", {"output_zero_point": 200}, "output_zero_point must be an integer from -128 to 127, not 200",
    ),
    "a zero point beyond the activations": (
        "outliers", {"activation_zero_point": -9}, "activation_zero_point must be an integer from -8 to 7, not -9",
    ),
    "one rounding in another profile": (
        "power of two", {"single": True}, "single must be false unless the profile is tflite, not True",
    ),
    "outliers without lanes": (
        "weight stationary", {"outliers": Outliers(*np.zeros((3, 2), int))},
        "outliers must be none for a core without outlier lanes, not 2",
    ),
    "an outlier beyond K": (
        "outliers", {"outliers": Outliers(np.array([5]), np.array([0]), np.array([0]))},
        "outliers.k must be from 0 to 4, not 5",
    ),
    "an outlier beyond N": (
        "outliers", {"outliers": Outliers(np.array([4]), np.array([3]), np.array([0]))},
        "outliers.column must be from 0 to 2, not 3",
    ),
    "an outlier out of range": (
        "outliers", {"outliers": Outliers(np.array([4]), np.array([2]), np.array([256]))},
        "outliers.value must be from -256 to 255, not 256",
    ),
    "outliers of two lengths": (
        "outliers", {"outliers": Outliers(np.array([4]), np.array([2, 2]), np.array([1]))},
        "outliers.column must be of shape (1,), not (2,)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_what_a_core_cannot_take_is_refused(fault: str) -> None:
    name, change, message = REFUSED[fault]
    case = replace(random_case(CORES[name], 4, (2, 5, 3)), lo=-3, hi=4, output_zero_point=0, activation_zero_point=0)
    golden(CORES[name], case)
    with pytest.raises(InputError) as error:
        golden(CORES[name], replace(case, **change))
    assert str(error.value).startswith(message)


MISTAKES: dict[str, Any] = {
    "another order of outliers": lambda core, case: (core, replace(case, outliers=Outliers(
        case.outliers.k[::-1], case.outliers.column[::-1], case.outliers.value[::-1]))),
    "another order of K tiles": lambda core, case: (replace(core, rows=3), case),
    "one rounding": lambda core, case: (core, replace(case, single=not case.single)),
    "another accumulator": lambda core, case: (
        replace(core, arithmetic=replace(core.arithmetic, reduction=replace(
            core.arithmetic.reduction, acc=Register.parse("13:wrap")))), case),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_seen_by_the_oracle(mistake: str) -> None:
    """What the hardware does otherwise differs somewhere from the oracle."""
    core = CORES["outliers"]
    different = 0
    for seed in range(6):
        case = replace(random_case(core, seed, (30, 13, 5)), lo=-128, hi=127)
        expected, counts = slow_gemm(core, case)
        results, events = golden(*MISTAKES[mistake](core, case))
        different += results.tolist() != expected or events.tolist() != counts
    assert different
