"""The hardware's configuration: derived sizes by hand, and one clear line for each impossible one."""

from __future__ import annotations

from typing import Any

import pytest

from hwsim.spec import (
    Arithmetic,
    BiasAt,
    Core,
    Dataflow,
    Format,
    InputError,
    Packing,
    Profile,
    Reduction,
    Register,
    ZeroPoints,
)

UNSIGNED = False


def arithmetic(acc: str = "32:wrap", profile: Profile = Profile.TFLITE, **fields: Any) -> Arithmetic:
    registers = {name: Register.parse(fields.pop(name)) for name in ("psum", "tree") if name in fields}
    return Arithmetic(Reduction(acc=Register.parse(acc), **registers, **fields), profile)


def test_sizes_of_the_default() -> None:
    """int8 - int8 is -255..255: 9 bits; its largest product 255 * 128 = 32640 still fits in 16."""
    core = Core()
    assert (core.operand_range, core.operand, core.product_bits) == ((-255, 255), Format(9), 16)
    assert core.weight_packing == Packing(8, 8, 64)
    assert (core.weight_packing.per_beat, core.weight_packing.beats) == (8, 1)
    # bias 32 + multiplier 32 + shift 8 on a 64-bit bus.
    assert (core.record_bits, core.record_beats) == (72, 2)
    assert (core.tile_pixels, core.tile_products, core.requantize_cycles) == (256, 8, 1)


def test_sizes_of_an_odd_one() -> None:
    """3 x 5 PEs of 2 lanes, 3-bit weights: 10 weights of 3 bits need lcm(8, 3) = 24 * 2 = 48 bits or two beats of 24."""
    core = Core(
        dataflow=Dataflow.OUTPUT_STATIONARY, rows=3, cols=5, activation=Format(4, UNSIGNED), weight_bits=3,
        arithmetic=arithmetic("11:saturate", lanes=2, chain=4, psum="9:wrap", bias_at=BiasAt.END,
                              zero_points=ZeroPoints.FOLD),
        output=Format(6), weight_bus_bits=24, requantizers=1,
    )  # fmt: skip
    assert (core.operand, core.product_bits) == (Format(4, UNSIGNED), bits_of(15 * -4))
    assert (core.weight_packing.per_beat, core.weight_packing.beats) == (8, 2)
    assert core.activation_packing == Packing(6, 4, 24)
    assert core.result_packing == Packing(5, 6, 48)
    assert (core.bias_bits, core.record_bits, core.record_beats) == (32, 72, 3)
    assert (core.tile_pixels, core.tile_products, core.requantize_cycles) == (3, 2, 5)


def bits_of(value: int) -> int:
    """Signed width of a negative number, by trying."""
    return next(bits for bits in range(1, 64) if -(1 << (bits - 1)) <= value)


def test_accumulators_that_leave_as_they_are() -> None:
    start = Core(output=None, arithmetic=arithmetic("20:wrap", Profile.ORT_FLOAT32))
    assert (start.result_packing.element_bits, start.record_bits) == (20, 20)
    end = Core(output=None, arithmetic=arithmetic("20:wrap", bias_at=BiasAt.END))
    assert (end.record_bits, end.record_beats) == (0, 0)


def test_outlier_entry() -> None:
    """Value 16 + index 0..11 in 4 + column 0..4 in 3 + last 1 = 24 bits."""
    core = Core(rows=4, cols=5, outlier_lanes=2, arithmetic=arithmetic(lanes=3))
    assert (core.outlier_index_bits, core.outlier_column_bits, core.outlier_bus_bits) == (4, 3, 24)
    assert Core(rows=1, cols=1, outlier_lanes=1, outlier_bits=2).outlier_bus_bits == 8


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rows": 0}, "rows must be an integer from 1 to 64, not 0"),
        ({"cols": 65}, "cols must be an integer from 1 to 64, not 65"),
        ({"rows": True}, "rows must be an integer from 1 to 64, not True"),
        ({"weight_bits": 17}, "weight_bits must be an integer from 2 to 16, not 17"),
        ({"activation": Format(1)}, "activation_bits must be an integer from 2 to 16, not 1"),
        ({"output": Format(17)}, "output_bits must be an integer from 2 to 16, not 17"),
        ({"pixels": 1}, "pixels must be an integer from 2 to 65536, not 1"),
        ({"requantizers": 3}, "requantizers must be a divisor of cols (8), not 3"),
        ({"requantizers": 0}, "requantizers must be a divisor of cols (8), not 0"),
        ({"outlier_lanes": 9}, "outlier_lanes must be an integer from 0 to 8, not 9"),
        (
            {"weight_bits": 3, "weight_bus_bits": 64},
            "weight_bus_bits must be a multiple of 8 and of the element's 3 bits, from 8 to 4096, not 64",
        ),
        (
            {"activation_bus_bits": 12},
            "activation_bus_bits must be a multiple of 8 and of the element's 8 bits, from 8 to 4096, not 12",
        ),
        (
            {"result_bus_bits": 0},
            "result_bus_bits must be a multiple of 8 and of the element's 8 bits, from 8 to 4096, not 0",
        ),
        (
            {"arithmetic": arithmetic("15:wrap")},
            "acc must be at least 16 bits wide, as one product of int8 and int8 is (zero points: subtract), not 15:wrap",
        ),
        (
            {"arithmetic": arithmetic(chain=8, psum="12:saturate")},
            (
                "psum must be at least 16 bits wide, as one product of int8 and int8 is (zero points: subtract), "
                "not 12:saturate"
            ),
        ),
        (
            {"arithmetic": arithmetic(lanes=2, tree="8:wrap")},
            "tree must be at least 16 bits wide, as one product of int8 and int8 is (zero points: subtract), not 8:wrap",
        ),
        (
            {"arithmetic": arithmetic(chain=4, psum="16:wrap")},
            "chain must be left out, or rows (8) in a weight_stationary array, not 4",
        ),
        (
            {"dataflow": Dataflow.OUTPUT_STATIONARY, "outlier_lanes": 1},
            "outlier_lanes must be 0 in an output_stationary array, not 1",
        ),
        ({"arithmetic": arithmetic(lanes=33)}, "lanes must be at most 256 over all rows, or all columns, not 33"),
        (
            {"arithmetic": arithmetic(profile=Profile.ORT_FLOAT32)},
            "requantize must be tflite, tflite-single or power-of-two in hardware, not ort-float32",
        ),
    ],
)  # fmt: skip
def test_errors(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        Core(**fields)
    assert str(error.value) == message
