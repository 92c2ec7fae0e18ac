"""The requantization of int32 accumulators in SIMD: the TFLITE profile where nothing exceeds int32."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from hwsim.kernels.microkernel import I64, LANES, VECTOR, load_vector, splat

WIDE = ir.VectorType(I64, LANES)


def _wide(value: int) -> ir.Constant:
    return WIDE([value] * LANES)


def make_epilogue(storage_bits: int) -> Any:
    """Generate the requantization of one vector of accumulators into integers of 8 or 16 bits.

    An intrinsic with the arguments: accumulators (int32) and offset; multipliers, left shifts and right shifts (int32) and their
    common offset; zero point, lo, hi (int32); output (bytes, as int8) and its offset in elements of `storage_bits`. All `LANES`
    elements are written.

    Equal to `hwsim.kernels.requantize.scale` in the profile TFLITE where `Requantizer.fits_int32`: the 62-bit product
    needs no split, and gemmlowp's rounding shift adds half, less one for a negative number:
    ``(y + half - (y < 0)) >> right`` with half = 2**(right - 1), or y itself for right = 0. That is the definition: for
    y >= 0 ties go up; for y < 0 a tie y = -(2q + 1) * half gives (-(2q + 1) * half + half - 1) >> right = -q - 1, away
    from zero.
    """
    element = ir.IntType(storage_bits)
    i32s, i8s, index = types.Array(types.int32, 1, "C"), types.Array(types.int8, 1, "C"), types.int64
    signature = types.void(i32s, index, i32s, i32s, i32s, index, types.int32, types.int32, types.int32, i8s, index)

    def codegen(context: Any, b: Any, _signature: Any, arguments: Any) -> Any:
        def vector(argument: int, offset: Any) -> Any:
            array = context.make_array(signature.args[argument])(context, b, value=arguments[argument])
            return load_vector(b, array.data, offset, VECTOR)

        acc = vector(0, arguments[1])
        multiplier, left, right = (vector(argument, arguments[5]) for argument in (2, 3, 4))
        zero_point, lo, hi = (splat(b, arguments[argument]) for argument in (6, 7, 8))
        product = b.mul(b.sext(b.shl(acc, left), WIDE), b.sext(multiplier, WIDE))
        high = b.trunc(b.ashr(b.add(product, _wide(1 << 30)), _wide(31)), VECTOR)
        zero, one = VECTOR([0] * LANES), VECTOR([1] * LANES)
        shifts = b.icmp_signed(">", right, zero)
        half = b.select(shifts, b.shl(one, b.sub(right, b.select(shifts, one, zero))), zero)
        negative = b.select(b.and_(shifts, b.icmp_signed("<", high, zero)), one, zero)
        rounded = b.add(b.ashr(b.sub(b.add(high, half), negative), right), zero_point)
        low = b.select(b.icmp_signed(">", rounded, lo), rounded, lo)
        clamped = b.select(b.icmp_signed("<", low, hi), low, hi)
        out = context.make_array(signature.args[9])(context, b, value=arguments[9])
        elements = b.bitcast(out.data, element.as_pointer())
        kind = ir.VectorType(element, LANES)
        place = b.bitcast(b.gep(elements, [arguments[10]]), kind.as_pointer())
        b.store(b.trunc(clamped, kind), place, align=1)
        return context.get_dummy_value()

    def kernel(  # type: ignore[no-untyped-def]
        typing_context, acc, acc_at, multiplier, left, right, channel, zero_point, lo, hi, out, out_at
    ):  # fmt: skip
        return signature, codegen

    return intrinsic(kernel)
