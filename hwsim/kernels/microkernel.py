"""One generator of SIMD micro-kernels: a register tile of sums, and an operation that adds one step of products.

Each kernel is a Numba intrinsic whose body is LLVM IR for ``rows x vectors`` accumulators held in registers: rows are output
pixels, vectors are `LANES` output channels. Only the pair product names an instruction, and only on x86; the rest is general IR.

Activations are an int16 image with its padding written out. A window over it is a list of segments, runs of neighbouring
elements, so that a convolution needs no im2col: segment s of pixel m starts at ``m * pixel_stride + offsets[s]``. Weights are
packed by `pack_weights` as [N / LANES][segments][length / 2][LANES][2]: neighbours in k side by side.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

I16, I32, I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)


def _host_lanes() -> int:
    """int32 lanes of the widest vector that the compiled-for processor computes in one instruction."""
    if config.CPU_NAME not in (None, "", "host"):
        return 4
    try:
        features = llvmlite.binding.get_host_cpu_features()
    except RuntimeError:
        return 4
    if features.get("avx512bw"):
        return 16
    return 8 if features.get("avx2") else 4


LANES = _host_lanes()
"""Channels per vector of accumulators."""

REGISTERS = 32 if LANES == 16 else 16
"""Vector registers that a tile may fill."""

VECTOR, PAIRS = ir.VectorType(I32, LANES), ir.VectorType(I16, 2 * LANES)


def pack_weights(weights: npt.NDArray[Any], segments: int) -> npt.NDArray[np.int16]:
    """Return [K, N] integers, K in `segments` equal runs, in the kernels' layout; flat int16.

    Runs of odd length and incomplete vectors are filled up with zeros.

    Raises
    ------
    OverflowError
        Where a weight does not fit int16 (the planner rules it out).
    """
    depth, channels = weights.shape
    if weights.size and (weights.min() < -(2**15) or weights.max() >= 2**15):
        raise OverflowError("weights must fit int16")
    length = depth // segments
    padded = np.zeros((segments, length + length % 2, -(-channels // LANES) * LANES), np.int16)
    padded[:, :length, :channels] = weights.reshape(segments, length, channels)
    split = padded.reshape(segments, padded.shape[1] // 2, 2, padded.shape[2] // LANES, LANES)
    return np.ascontiguousarray(split.transpose(3, 0, 1, 4, 2)).reshape(-1)


def _zero() -> ir.Constant:
    return VECTOR([0] * LANES)


def splat(builder: Any, value: Any) -> Any:
    """Return a vector with `value` in every lane."""
    single = builder.insert_element(VECTOR(ir.Undefined), value, I32(0))
    return builder.shuffle_vector(single, VECTOR(ir.Undefined), _zero())


def _halves(builder: Any, pairs: Any) -> tuple[Any, Any]:
    """Split <2L x i16> into its even and its odd elements, widened to i32."""
    even, odd = (
        builder.sext(
            builder.shuffle_vector(pairs, PAIRS(ir.Undefined), VECTOR(list(range(first, 2 * LANES, 2)))), VECTOR
        )
        for first in (0, 1)
    )
    return even, odd


State = list[Any]
Step = Callable[[Any, State, Any, Any, dict[str, Any]], State]


_PAIR_PRODUCT = {4: "llvm.x86.sse2.pmadd.wd", 8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}
_X86 = platform.machine() in ("x86_64", "AMD64")


def exact_step(b: Any, state: State, activations: Any, weights: Any, _: dict[str, Any]) -> State:
    """Add a pair of products modulo 2**32: exact where a bound says that the sum fits int32."""
    if _X86:
        # LLVM finds vpmaddwd in the general form below only where no half is shared, which a tile always does.
        # It joins the addition to it by itself where the processor has VNNI.
        multiply = b.module.declare_intrinsic(_PAIR_PRODUCT[LANES], (), ir.FunctionType(VECTOR, [PAIRS, PAIRS]))
        return [b.add(state[0], b.call(multiply, [activations, weights]))]
    a0, a1 = _halves(b, activations)
    w0, w1 = _halves(b, weights)
    return [b.add(state[0], b.add(b.mul(a0, w0), b.mul(a1, w1)))]


def _ordered_step(clamp: Callable[[Any, Any, dict[str, Any]], Any]) -> Step:
    def step(b: Any, state: State, activations: Any, weights: Any, limits: dict[str, Any]) -> State:
        acc, positive, negative = state
        for a, w in zip(_halves(b, activations), _halves(b, weights), strict=True):
            total = b.add(acc, b.mul(a, w))
            # A comparison is -1 where true.
            positive = b.sub(positive, b.sext(b.icmp_signed(">", total, limits["hi"]), VECTOR))
            negative = b.sub(negative, b.sext(b.icmp_signed("<", total, limits["lo"]), VECTOR))
            acc = clamp(b, total, limits)
        return [acc, positive, negative]

    return step


def _saturate(b: Any, total: Any, limits: dict[str, Any]) -> Any:
    low = b.select(b.icmp_signed(">", total, limits["lo"]), total, limits["lo"])
    return b.select(b.icmp_signed("<", low, limits["hi"]), low, limits["hi"])


def _wrap(b: Any, total: Any, limits: dict[str, Any]) -> Any:
    return b.ashr(b.shl(total, limits["spare"]), limits["spare"])


saturate_step = _ordered_step(_saturate)
"""Add two products one after the other to a saturating register, and count events.

Legal where `register + product` fits int32 for every value of either.
"""

wrap_step = _ordered_step(_wrap)
"""The same for a wrapping register."""


def make_kernel(step: Step, states: int, tiles: Sequence[tuple[int, int]]) -> Any:
    """Generate a micro-kernel, an intrinsic to be called in jitted code.

    Parameters
    ----------
    step
        The operation on one element of a tile: a list of `states` vectors, a pair of activations, a pair of weights.
    states
        Vectors per element: the accumulator first, then counters.
    tiles
        (rows, vectors) of the register tiles that the kernel can compute.

    Notes
    -----
    The kernel's arguments are, with offsets and strides in elements: the rows and vectors of the tile to compute, one of
    `tiles`; the image (int16), the tile's offset and the pixel stride; the segments' offsets (int64), their number and the
    pairs in each (1 or more); the packed weights and their offset; the initial accumulators (int32) and their offset; the
    output (int32), its offset and row stride; the tally (int32 [states - 1][channels], added to), its offset and row stride;
    and the limits `lo`, `hi` and `spare` = 32 - bits of the register.
    """
    index = types.int64
    i16s, i32s, i64s = (types.Array(kind, 1, "C") for kind in (types.int16, types.int32, types.int64))
    signature = types.void(
        index, index, i16s, index, index, i64s, index, index, i16s, index, i32s, index, i32s, index, index, i32s, index,
        index, types.int32, types.int32, types.int32,
    )  # fmt: skip

    def codegen(context: Any, b: Any, _signature: Any, arguments: Any) -> Any:
        def pointer(argument: int, offset: Any) -> Any:
            array = context.make_array(signature.args[argument])(context, b, value=arguments[argument])
            return b.gep(array.data, [offset])

        limits = {name: splat(b, arguments[18 + i]) for i, name in enumerate(("lo", "hi", "spare"))}
        for rows, vectors in tiles:
            chosen = [b.icmp_signed("==", arguments[i], I64(size)) for i, size in enumerate((rows, vectors))]
            with b.if_then(b.and_(*chosen)):
                _emit_tile(
                    b, step, states, rows, vectors, limits, (pointer(2, arguments[3]), arguments[4]),
                    (pointer(5, I64(0)), arguments[6], arguments[7]), pointer(8, arguments[9]), pointer(10, arguments[11]),
                    (pointer(12, arguments[13]), arguments[14]), (pointer(15, arguments[16]), arguments[17]),
                )  # fmt: skip
        return context.get_dummy_value()

    def kernel(  # type: ignore[no-untyped-def]
        typing_context, tile_rows, tile_vectors, image, image_at, pixel_stride, offsets, segments, pairs, weights,
        weights_at, start, start_at, out, out_at, out_stride, tally, tally_at, tally_stride, lo, hi, spare,
    ):  # fmt: skip
        return signature, codegen

    return intrinsic(kernel)


class _Loop:
    """A loop of 1 or more rounds that carries vectors, as phi nodes."""

    def __init__(self, b: Any, rounds: Any, carried: State, name: str) -> None:
        self.b, self.rounds = b, rounds
        before, self.body, self.after = b.block, b.append_basic_block(name), b.append_basic_block(f"{name}.after")
        b.branch(self.body)
        b.position_at_end(self.body)
        self.index = b.phi(I64)
        self.index.add_incoming(I64(0), before)
        self.carried = [b.phi(value.type) for value in carried]
        for phi, value in zip(self.carried, carried, strict=True):
            phi.add_incoming(value, before)

    def end(self, updated: State) -> State:
        """Close the loop; return the carried values after the last round."""
        following = self.b.add(self.index, I64(1))
        self.index.add_incoming(following, self.b.block)
        for phi, value in zip(self.carried, updated, strict=True):
            phi.add_incoming(value, self.b.block)
        self.b.cbranch(self.b.icmp_signed("<", following, self.rounds), self.body, self.after)
        self.b.position_at_end(self.after)
        return updated


def load_vector(b: Any, base: Any, offset: Any, kind: Any) -> Any:
    """Load a `kind` from `base` + `offset` elements, unaligned."""
    return b.load(b.bitcast(b.gep(base, [offset]), kind.as_pointer()), align=2)


def _emit_tile(
    b: Any, step: Step, states: int, rows: int, vectors: int, limits: dict[str, Any], image: tuple[Any, Any],
    window: tuple[Any, Any, Any], weights: Any, start: Any, out: tuple[Any, Any], tally: tuple[Any, Any],
) -> None:  # fmt: skip
    """Emit the loops over segments and pairs of products for one tile, and the stores of its accumulators and counters."""
    offsets, segments, pairs = window
    per_vector = b.mul(segments, pairs)
    initial = [load_vector(b, start, I64(j * LANES), VECTOR) for j in range(vectors)]
    tile = [value for _ in range(rows) for j in range(vectors) for value in (initial[j], *[_zero()] * (states - 1))]

    outer = _Loop(b, segments, tile, "segment")
    segment = b.gep(image[0], [b.load(b.gep(offsets, [outer.index]))])
    row_starts = [b.gep(segment, [b.mul(image[1], I64(i))]) for i in range(rows)]
    inner = _Loop(b, pairs, outer.carried, "pair")
    at = b.add(b.mul(outer.index, pairs), inner.index)
    places = [b.mul(b.add(b.mul(per_vector, I64(j)), at), I64(2 * LANES)) for j in range(vectors)]
    columns = [load_vector(b, weights, place, PAIRS) for place in places]
    updated: State = []
    for i in range(rows):
        both = b.bitcast(splat(b, load_vector(b, row_starts[i], b.mul(inner.index, I64(2)), I32)), PAIRS)
        for j in range(vectors):
            element = (i * vectors + j) * states
            updated += step(b, inner.carried[element : element + states], both, columns[j], limits)
    tile = outer.end(inner.end(updated))

    for j in range(vectors):
        for i in range(rows):
            place = b.gep(out[0], [b.add(b.mul(out[1], I64(i)), I64(j * LANES))])
            b.store(tile[(i * vectors + j) * states], b.bitcast(place, VECTOR.as_pointer()), align=4)
        for s in range(1, states):
            place = b.gep(tally[0], [b.add(b.mul(tally[1], I64(s - 1)), I64(j * LANES))])
            vector = b.bitcast(place, VECTOR.as_pointer())
            count = b.load(vector, align=4)
            for i in range(rows):
                count = b.add(count, tile[(i * vectors + j) * states + s])
            b.store(count, vector, align=4)


def make_depthwise(pixels: int) -> Any:
    """Generate the depthwise kernel: `pixels` neighbouring outputs of one vector of channels, sums modulo 2**32.

    An intrinsic whose arguments are the image (int16), the offset of the first pixel's window and the pixel stride; the taps'
    offsets (int64) and their number; the weights (int16 [taps, stride]), their offset and stride; the initial accumulators
    (int32) and their offset; the output (int32), its offset and row stride.
    """
    index = types.int64
    i16s, i32s, i64s = (types.Array(kind, 1, "C") for kind in (types.int16, types.int32, types.int64))
    signature = types.void(i16s, index, index, i64s, index, i16s, index, index, i32s, index, i32s, index, index)
    half = ir.VectorType(I16, LANES)

    def codegen(context: Any, b: Any, _signature: Any, arguments: Any) -> Any:
        def pointer(argument: int, offset: Any) -> Any:
            array = context.make_array(signature.args[argument])(context, b, value=arguments[argument])
            return b.gep(array.data, [offset])

        image, offsets, weights = pointer(0, arguments[1]), pointer(3, I64(0)), pointer(5, arguments[6])
        loop = _Loop(b, arguments[4], [load_vector(b, pointer(8, arguments[9]), I64(0), VECTOR)] * pixels, "tap")
        tap = b.gep(image, [b.load(b.gep(offsets, [loop.index]))])
        weight = b.sext(load_vector(b, weights, b.mul(loop.index, arguments[7]), half), VECTOR)
        sums = []
        for i, acc in enumerate(loop.carried):
            value = b.sext(load_vector(b, tap, b.mul(arguments[2], I64(i)), half), VECTOR)
            sums.append(b.add(acc, b.mul(value, weight)))
        out = pointer(10, arguments[11])
        for i, acc in enumerate(loop.end(sums)):
            b.store(acc, b.bitcast(b.gep(out, [b.mul(arguments[12], I64(i))]), VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    def kernel(  # type: ignore[no-untyped-def]
        typing_context, image, image_at, pixel_stride, offsets, taps, weights, weights_at, weights_stride, start,
        start_at, out, out_at, out_stride,
    ):  # fmt: skip
        return signature, codegen

    return intrinsic(kernel)
