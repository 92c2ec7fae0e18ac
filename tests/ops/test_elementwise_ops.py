"""Sums, products and changes of scale on integers against the oracle; the SIMD tables of `Add` against the golden sum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layer_cases import per_tensor
from op_cases import INT8, INT16, SEEDS, UINT8, draw_images, quantizations, run, tensors

import oracle
from hwsim.graph import Quantization, Tensor
from hwsim.kernels.jit import ENABLED
from hwsim.ops import Activation, Add, Concat, Mul, Quantize, Rectify, elementwise
from hwsim.ops.quantize import round_half_away
from hwsim.spec import Arithmetic, Format, InputError, Profile, Reduction

PROFILES = (Profile.TFLITE, Profile.TFLITE, Profile.TFLITE_SINGLE, Profile.ORT_FLOAT32)
FORMATS = (INT8, UINT8, INT16, Format(4), Format(7, False))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    quantizations(FORMATS), quantizations(FORMATS), quantizations(FORMATS), SEEDS, st.sampled_from(PROFILES),
    st.sampled_from(Activation), st.integers(1, 140),
)  # fmt: skip
def test_sums_equal_the_oracle(
    first: Quantization,
    second: Quantization,
    result: Quantization,
    seed: int,
    profile: Profile,
    activation: Activation,
    size: int,
) -> None:
    op = Add(activation)
    inputs, output = tensors(op, [(1, size), (1, size)], [first, second], result)
    a, b = (draw_images(seed + i, q.format, (1, size)) for i, q in enumerate((first, second)))
    out = run(op, inputs, output, [a, b], profile)
    three = (first, second, result)
    scales, zeros = [float(q.scale) for q in three], [int(q.zero_point) for q in three]
    headroom = 20 if max(q.format.bits for q in three) <= 8 else 15
    lo, hi = activation.clamp(result)
    expected = [
        oracle.add(x, y, scales, zeros, lo, hi, profile, headroom)
        for x, y in zip(a[0].tolist(), b[0].tolist(), strict=True)
    ]
    assert out[0].tolist() == expected


@pytest.mark.skipif(not ENABLED, reason="the SIMD tables need the JIT")
@pytest.mark.parametrize("forms", [(INT8, INT8, INT8), (UINT8, UINT8, UINT8), (Format(4), UINT8, INT8)])
def test_the_simd_sum_equals_the_golden_sum_on_all_pairs_of_integers(
    forms: tuple[Format, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [np.arange(form.lo, form.hi + 1).astype(form.storage) for form in forms[:2]]
    a, b = (np.ascontiguousarray(grid).reshape(1, -1) for grid in np.meshgrid(*values))
    rng = np.random.default_rng(12)
    for _ in range(6):
        a_q, b_q, y_q = (
            per_tensor(form, float(2.0 ** rng.uniform(-7, -3)), int(rng.integers(form.lo, form.hi + 1)))
            for form in forms
        )
        inputs, output = tensors(Add(), [a.shape, b.shape], [a_q, b_q], y_q)
        monkeypatch.setattr(elementwise, "ENABLED", True)
        fast = run(Add(), inputs, output, [a, b])
        monkeypatch.setattr(elementwise, "ENABLED", False)
        slow = run(Add(), inputs, output, [a, b])
        assert np.array_equal(fast, slow)
        assert len(np.unique(slow)) > 5


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    quantizations(FORMATS), quantizations(FORMATS), quantizations(FORMATS), SEEDS, st.sampled_from(PROFILES),
    st.sampled_from(Activation),
)  # fmt: skip
def test_products_equal_the_oracle(
    first: Quantization, second: Quantization, result: Quantization, seed: int, profile: Profile, activation: Activation
) -> None:
    op = Mul(activation)
    inputs, output = tensors(op, [(1, 41), (1, 41)], [first, second], result)
    a, b = (draw_images(seed + i, q.format, (1, 41)) for i, q in enumerate((first, second)))
    out = run(op, inputs, output, [a, b], profile)
    real = float(np.float32(first.scale) * np.float32(second.scale) / np.float32(result.scale))
    three = (first, second, result)
    scales, zeros = [float(q.scale) for q in three], [int(q.zero_point) for q in three]
    lo, hi = activation.clamp(result)
    assert out[0].tolist() == [
        oracle.mul(x, y, scales, zeros, lo, hi, profile, real)
        for x, y in zip(a[0].tolist(), b[0].tolist(), strict=True)
    ]


@pytest.mark.parametrize("op", [Add(), Mul()])
def test_operands_of_other_shapes_are_broadcast_like_repeated_ones(op: Any) -> None:
    q = per_tensor(INT8, 0.1, 3)
    a, b = draw_images(1, INT8, (2, 3, 5, 7)), draw_images(2, INT8, (2, 1, 1, 7))
    inputs, output = tensors(op, [(1, 3, 5, 7), (1, 1, 1, 7)], [q, q], per_tensor(INT8, 0.2, -1))
    whole, _ = tensors(op, [(1, 3, 5, 7)] * 2, [q, q], q)
    repeated = np.ascontiguousarray(np.broadcast_to(b, a.shape))
    assert np.array_equal(run(op, inputs, output, [a, b]), run(op, whole, output, [a, repeated]))
    with pytest.raises(
        InputError, match=rf"^{op.kind}: inputs must have shapes that broadcast, not \(1, 2\) and \(1, 3\)$"
    ):
        op.infer([Tensor("a", (1, 2)), Tensor("b", (1, 3))])


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    quantizations(FORMATS),
    quantizations(FORMATS),
    SEEDS,
    st.sampled_from(PROFILES),
    st.booleans(),
    st.sampled_from(Activation),
)
def test_a_change_of_scale_equals_the_oracle_in_quantize_rectify_and_concat(
    source: Quantization, result: Quantization, seed: int, profile: Profile, same: bool, activation: Activation
) -> None:
    if same:
        result = Quantization(result.format, source.scale, result.zero_point)
    real = float(source.scale) / float(result.scale)
    values = draw_images(seed, source.format, (2, 3, 5))

    zeros = int(source.zero_point), int(result.zero_point)

    def expected(lo: int, hi: int) -> list[int]:
        # Equal scales are a plain shift of the zero point, with no rounding.
        if profile is Profile.ORT_FLOAT32 and not same and real != 1:
            reals = [oracle.dequantize_float32(q, float(source.scale), zeros[0]) for q in values.reshape(-1).tolist()]
            return [oracle.quantize_float32(x, float(result.scale), zeros[1], lo, hi) for x in reals]
        return [
            max(lo, min(hi, q - zeros[0] + zeros[1])) if same or real == 1 else
            oracle.requantize(q - zeros[0], real, profile, zeros[1], lo, hi)
            for q in values.reshape(-1).tolist()
        ]  # fmt: skip

    form = result.format
    for op, lo, hi in ((Quantize(), form.lo, form.hi), (Rectify(activation), *activation.clamp(result))):
        inputs, output = tensors(op, [(1, 3, 5)], [source], result)
        assert run(op, inputs, output, [values], profile).reshape(-1).tolist() == expected(lo, hi)
    other = draw_images(seed + 1, form, (2, 2, 5))
    joined = Concat(1)
    inputs, output = tensors(joined, [(1, 3, 5), (1, 2, 5)], [source, result], result)
    out = run(joined, inputs, output, [values, other], profile)
    wished = expected(form.lo, form.hi)
    if profile is Profile.TFLITE and form == UINT8 and not (same and zeros[0] == zeros[1]):
        scales = float(source.scale), float(result.scale)
        wished = [oracle.rescale_float32(q, scales, zeros, form.lo, form.hi) for q in values.reshape(-1).tolist()]
    assert out[:, :3].reshape(-1).tolist() == wished
    assert np.array_equal(out[:, 3:], other)


def test_power_of_two_scales_need_power_of_two_factors() -> None:
    arithmetic = Arithmetic(Reduction(), Profile.POWER_OF_TWO)
    inputs, output = tensors(Quantize(), [(1, 4)], [per_tensor(INT8, 0.25, 1)], per_tensor(INT8, 1.0, 2))
    values = np.array([[-128, 3, 7, 127]], np.int8)
    (out,) = Quantize().prepare(inputs, [output], arithmetic).run([values])
    # (q - 1) / 4 with ties up, plus 2: -129/4 = -32.25, 2/4, 6/4, 126/4 = 31.5.
    assert out.tolist() == [[-30, 3, 4, 34]]
    inputs, output = tensors(Quantize(), [(1, 4)], [per_tensor(INT8, 0.3)], per_tensor(INT8, 1.0))
    with pytest.raises(
        InputError, match=r"must be a power of two of at least 2\*\*-32 in the profile power-of-two, not 0.3"
    ):
        Quantize().prepare(inputs, [output], arithmetic)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(quantizations(FORMATS), SEEDS)
def test_quantizing_reals_rounds_ties_away_from_zero_in_float32_and_clamps(q: Quantization, seed: int) -> None:
    """TFLite's ``AffineQuantize``: TfLiteRound(x / scale) in float32, plus the zero point, clamped."""
    rng = np.random.default_rng(seed)
    scale = np.float32(q.scale)
    reals = (rng.integers(-(2**9), 2**9, 60) / np.float32(2) * scale).astype(np.float32)
    reals = np.concatenate([reals, rng.uniform(-1e6, 1e6, 9).astype(np.float32), np.float32([0, -0.0, 3e38, -3e38])])
    assume(np.all(np.isfinite(reals)))
    op, x, y = Quantize(), Tensor("x", (1, len(reals))), Tensor("y", (1, len(reals)), q)
    with np.errstate(over="ignore"):
        out = run(op, [x], y, [reals[None]])
        quotients = (reals / scale).tolist()
    for quotient, result in zip(quotients, out[0].tolist(), strict=True):
        finite = oracle.Fraction(max(-1e9, min(1e9, quotient)))
        assert result == max(q.format.lo, min(q.format.hi, oracle.round_half_away(finite) + int(q.zero_point)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_half_away_is_exact_beside_a_half_and_on_large_numbers(dtype: Any) -> None:
    """Adding 0.5 first would round 0.49999997 up to 1, and large odd numbers to even ones."""
    half, digits = dtype(0.5), 23 if dtype is np.float32 else 52
    values = [
        0.0,
        half,
        np.nextafter(half, dtype(0)),
        np.nextafter(half, dtype(1)),
        dtype(1.5),
        dtype(2.5),
        dtype(2**digits + 1),
    ]
    array = np.array(values + [-value for value in values], dtype)
    got = round_half_away(array)
    assert got.dtype == dtype
    assert got.tolist() == [oracle.round_half_away(oracle.Fraction(value)) for value in array.tolist()]


def test_huge_factors_are_refused_by_name() -> None:
    inputs, output = tensors(Quantize(), [(1, 2)], [per_tensor(INT8, 2.0**20)], per_tensor(INT8, 1.0))
    with pytest.raises(
        InputError, match=r"^quantize: input scale / output scale must be below 2\*\*20, not 1048576.0$"
    ):
        Quantize().prepare(inputs, [output], Arithmetic())
    inputs, output = tensors(Mul(), [(1, 2)] * 2, [per_tensor(INT8, 2.0**10)] * 2, per_tensor(INT8, 1.0))
    with pytest.raises(InputError, match=r"^mul: product of input scales / output scale must be below 2\*\*20"):
        Mul().prepare(inputs, [output], Arithmetic())
    inputs, output = tensors(Add(), [(1, 2)] * 2, [per_tensor(INT8, 2.0**39)] * 2, per_tensor(INT8, 1.0))
    with pytest.raises(InputError, match=r"^add: input scale / output scale must be below 2\*\*39"):
        Add().prepare(inputs, [output], Arithmetic())


def test_bytes_that_only_change_their_sign() -> None:
    """The same reals counted from 0 or from -128: 128 apart for every one of the 256 integers."""
    signed, unsigned = per_tensor(INT8, 0.5, -3), per_tensor(UINT8, 0.5, 125)
    whole = np.arange(-128, 128).astype(np.int8).reshape(2, 4, 4, 8)
    counted = (whole.astype(np.int64) + 128).astype(np.uint8)
    for source, result, images, expected in ((signed, unsigned, whole, counted), (unsigned, signed, counted, whole)):
        inputs, output = tensors(Quantize(), [(1, 4, 4, 8)], [source], result)
        assert np.array_equal(run(Quantize(), inputs, output, [images]), expected)
