"""Tables, softmax and dequantization on integers against real arithmetic of their definitions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_cases import per_tensor
from op_cases import INT8, INT16, SEEDS, UINT8, draw_images, quantizations, run, tensors

from hwsim.graph import Quantization, Tensor
from hwsim.ops import Dequantize, Lookup, Softmax
from hwsim.spec import Arithmetic, Format, InputError, Profile

REAL: dict[str, Callable[[float], float]] = {
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)) if x > -700 else 0.0,
    "tanh": math.tanh,
    "hard-sigmoid": lambda x: min(max(x / 6 + 0.5, 0.0), 1.0),
    "hard-swish": lambda x: x * min(max(x / 6 + 0.5, 0.0), 1.0),
}


@pytest.mark.parametrize("function", REAL)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(source=quantizations((INT8, UINT8, Format(5))), result=quantizations((INT8, UINT8, INT16)))
def test_every_entry_of_a_table_is_the_nearest_integer(
    function: str, source: Quantization, result: Quantization
) -> None:
    form = source.format
    values = np.arange(form.lo, form.hi + 1).astype(form.storage)[None]
    inputs, output = tensors(Lookup(function), [values.shape], [source], result)
    # In the profile tflite an 8-bit hard-swish is LiteRT's fixed-point one, which the LiteRT tests hold.
    out = run(Lookup(function), inputs, output, [values], Profile.TFLITE_SINGLE)
    for q, got in zip(values[0].tolist(), out[0].tolist(), strict=True):
        exact = REAL[function]((q - int(source.zero_point)) * float(source.scale)) / float(result.scale)
        clamped = max(result.format.lo, min(result.format.hi, exact + int(result.zero_point)))
        assert abs(got - clamped) <= 0.5 + 1e-9


@pytest.mark.parametrize("function", REAL)
def test_tables_of_16_bit_inputs_are_the_nearest_integer(function: str) -> None:
    source, result = per_tensor(INT16, 2.0**-12), per_tensor(INT16, 2.0**-13)
    values = np.arange(-32768, 32768, 37).astype(np.int16)[None]
    inputs, output = tensors(Lookup(function), [values.shape], [source], result)
    out = run(Lookup(function), inputs, output, [values])
    for q, got in zip(values[0].tolist(), out[0].tolist(), strict=True):
        exact = REAL[function](q * 2.0**-12) * 2.0**13
        assert abs(got - max(-32768, min(32767, exact))) <= 0.5 + 1e-9


def test_table_ties_round_away_from_zero() -> None:
    """hard-swish(x) is x from 3 on: halves appear at a scale ratio of 2."""
    inputs, output = tensors(Lookup("hard-swish"), [(1, 4)], [per_tensor(INT8, 1.0)], per_tensor(INT16, 2.0))
    out = run(Lookup("hard-swish"), inputs, output, [np.array([[5, 7, 9, 11]], np.int8)])
    assert out.tolist() == [[3, 4, 5, 6]]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(quantizations((INT8, UINT8)), st.floats(0.02, 0.2))
def test_the_fixed_point_hard_swish_is_within_a_step_of_the_exact_one(source: Quantization, scale: float) -> None:
    """With output scales that match the function's range; bit-exactness with LiteRT is held elsewhere."""
    result = per_tensor(INT8, scale, -20)
    form = source.format
    values = np.arange(form.lo, form.hi + 1).astype(form.storage)[None]
    inputs, output = tensors(Lookup("hard-swish"), [values.shape], [source], result)
    out = run(Lookup("hard-swish"), inputs, output, [values], Profile.TFLITE)
    for q, got in zip(values[0].tolist(), out[0].tolist(), strict=True):
        exact = REAL["hard-swish"]((q - int(source.zero_point)) * float(source.scale)) / scale - 20
        assert abs(got - max(-128, min(127, exact))) <= 1.01


def test_an_unknown_function_is_refused_with_the_known_ones() -> None:
    message = "^lookup: function must be one of sigmoid, tanh, hard-sigmoid, hard-swish, not gelu$"
    with pytest.raises(InputError, match=message):
        Lookup("gelu").infer([Tensor("x", (1, 1))])


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    quantizations((INT8, UINT8, Format(6))), st.sampled_from((INT8, UINT8, Format(6), Format(4, False))), SEEDS,
    st.sampled_from((1, 2, 10, 97)), st.sampled_from((1.0, 0.5, 2.0)),
)  # fmt: skip
def test_softmax_is_within_a_step_of_the_exact_one(
    source: Quantization, form: Format, seed: int, depth: int, beta: float
) -> None:
    """The fixed point of gemmlowp loses less than a step; bit-exactness with TFLite is held elsewhere."""
    result = per_tensor(form, 2.0**-form.bits, form.lo)
    values = draw_images(seed, source.format, (3, depth))
    inputs, output = tensors(Softmax(beta=beta), [(1, depth)], [source], result)
    out = run(Softmax(beta=beta), inputs, output, [values])
    for row, got in zip(values.tolist(), out.tolist(), strict=True):
        powers = [math.exp(beta * float(source.scale) * (q - max(row))) for q in row]
        for power, step in zip(powers, got, strict=True):
            exact = power / math.fsum(powers) * 2**form.bits + form.lo
            assert abs(step - min(exact, form.hi)) <= 1


def test_a_softmax_of_equal_inputs_is_uniform() -> None:
    inputs, output = tensors(Softmax(), [(1, 4)], [per_tensor(INT8, 0.1)], per_tensor(INT8, 2.0**-8, -128))
    assert run(Softmax(), inputs, output, [np.full((1, 4), 9, np.int8)]).tolist() == [[-64] * 4]


def test_a_softmax_needs_its_output_scale_and_the_last_axis() -> None:
    inputs, output = tensors(Softmax(), [(1, 4)], [per_tensor(INT8, 0.1)], per_tensor(INT8, 0.1, -128))
    with pytest.raises(
        InputError, match=r"^softmax: scale and zero point of 'y' must be 2\*\*-8 and -128, not 0.1 and -128$"
    ):
        Softmax().prepare(inputs, [output], Arithmetic())
    with pytest.raises(InputError, match=r"^softmax: axis must be the last, 2, not 1$"):
        Softmax(axis=1).infer([Tensor("x", (1, 2, 3))])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(quantizations(), SEEDS)
def test_dequantizing_is_one_product_rounded_to_float32(q: Quantization, seed: int) -> None:
    values = draw_images(seed, q.format, (2, 19))
    (out,) = Dequantize().prepare([Tensor("x", (1, 19), q)], [Tensor("y", (1, 19))], Arithmetic()).run([values])
    assert out.dtype == np.float32
    expected = [[np.float32((x - int(q.zero_point)) * float(q.scale)) for x in row] for row in values.tolist()]
    assert np.array_equal(out, np.array(expected, np.float32))
