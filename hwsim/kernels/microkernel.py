"""One generator of SIMD micro-kernels: a register tile of sums, and an operation that adds one step of products.

Each kernel is a Numba intrinsic whose body is LLVM IR for ``rows x vectors`` accumulators held in registers. Only the pair
product names an instruction, and only on x86; the rest is general IR.

Operands are int16. Weights are packed by `pack_weights` as [N / LANES][K / 2][LANES][2]: neighbours in k side by side.
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


def pack_weights(weights: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """Return [K, N] integers in the kernels' layout, zero-padded to whole vectors and pairs; flat int16.

    Raises
    ------
    OverflowError
        Where a weight does not fit int16 (the planner rules it out).
    """
    depth, channels = weights.shape
    padded = np.zeros((depth + depth % 2, -(-channels // LANES) * LANES), np.int16)
    if weights.size and (weights.min() < -(2**15) or weights.max() >= 2**15):
        raise OverflowError("weights must fit int16")
    padded[:depth, :channels] = weights
    pairs, vectors = padded.shape[0] // 2, padded.shape[1] // LANES
    return np.ascontiguousarray(padded.reshape(pairs, 2, vectors, LANES).transpose(2, 0, 3, 1)).reshape(-1)


def _zero() -> ir.Constant:
    return VECTOR([0] * LANES)


def _splat(builder: Any, value: Any) -> Any:
    single = builder.insert_element(VECTOR(ir.Undefined), value, I32(0))
    return builder.shuffle_vector(single, VECTOR(ir.Undefined), _zero())


def _halves(builder: Any, pairs: Any) -> tuple[Any, Any]:
    """Split <2L x i16> into its even and its odd elements, widened to i32."""
    even, odd = (
        builder.sext(builder.shuffle_vector(pairs, PAIRS(ir.Undefined), VECTOR(list(range(first, 2 * LANES, 2)))), VECTOR)
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
    `tiles`; the panel (int16), its offset and row stride; the packed weights, their offset and the pairs K / 2 (1 or more);
    the initial accumulators (int32) and their offset; the output (int32), its offset and row stride; the tally (int32
    [states - 1][channels], added to), its offset and row stride; and the limits `lo`, `hi` and `spare` = 32 - bits of the
    register.
    """
    i16s, i32s, index = types.Array(types.int16, 1, "C"), types.Array(types.int32, 1, "C"), types.int64
    signature = types.void(
        index, index, i16s, index, index, i16s, index, index, i32s, index, i32s, index, index, i32s, index, index,
        types.int32, types.int32, types.int32,
    )  # fmt: skip

    def codegen(context: Any, b: Any, _signature: Any, arguments: Any) -> Any:
        def pointer(argument: int) -> Any:
            array = context.make_array(signature.args[argument])(context, b, value=arguments[argument])
            return b.gep(array.data, [arguments[argument + 1]])

        limits = {name: _splat(b, arguments[16 + i]) for i, name in enumerate(("lo", "hi", "spare"))}
        for rows, vectors in tiles:
            chosen = [b.icmp_signed("==", arguments[i], I64(size)) for i, size in enumerate((rows, vectors))]
            with b.if_then(b.and_(*chosen)):
                _emit_tile(
                    b, step, states, rows, vectors, limits,
                    (pointer(2), arguments[4]), (pointer(5), arguments[7]), pointer(8),
                    (pointer(10), arguments[12]), (pointer(13), arguments[15]),
                )  # fmt: skip
        return context.get_dummy_value()

    def kernel(typing_context, tile_rows, tile_vectors, panel, panel_at, panel_stride, weights, weights_at, pairs,  # type: ignore[no-untyped-def]
               start, start_at, out, out_at, out_stride, tally, tally_at, tally_stride, lo, hi, spare):  # fmt: skip
        return signature, codegen

    return intrinsic(kernel)


def _emit_tile(
    b: Any, step: Step, states: int, rows: int, vectors: int, limits: dict[str, Any],
    panel: tuple[Any, Any], weights: tuple[Any, Any], start: Any, out: tuple[Any, Any], tally: tuple[Any, Any],
) -> None:  # fmt: skip
    """Emit the loop over pairs of products for one tile, and the stores of its accumulators and counters."""

    def load(base: Any, offset: Any, kind: Any) -> Any:
        return b.load(b.bitcast(b.gep(base, [offset]), kind.as_pointer()), align=2)

    pairs = weights[1]
    row_starts = [b.gep(panel[0], [b.mul(panel[1], I64(i))]) for i in range(rows)]
    initial = [load(start, I64(j * LANES), VECTOR) for j in range(vectors)]
    before, body, after = b.block, b.append_basic_block("pairs"), b.append_basic_block("stored")
    b.branch(body)

    b.position_at_end(body)
    k = b.phi(I64)
    k.add_incoming(I64(0), before)
    tile = [[[b.phi(VECTOR) for _ in range(states)] for _ in range(vectors)] for _ in range(rows)]
    columns = [
        load(weights[0], b.add(b.mul(pairs, I64(j * 2 * LANES)), b.mul(k, I64(2 * LANES))), PAIRS)
        for j in range(vectors)
    ]
    for i in range(rows):
        both = b.bitcast(_splat(b, load(row_starts[i], b.mul(k, I64(2)), I32)), PAIRS)
        for j in range(vectors):
            updated = step(b, list(tile[i][j]), both, columns[j], limits)
            for phi, initially, value in zip(tile[i][j], [initial[j], _zero(), _zero()], updated, strict=False):
                phi.add_incoming(initially, before)
                phi.add_incoming(value, body)
            tile[i][j] = updated
    following = b.add(k, I64(1))
    k.add_incoming(following, body)
    b.cbranch(b.icmp_signed("<", following, pairs), body, after)

    b.position_at_end(after)
    for j in range(vectors):
        for i in range(rows):
            at = b.add(b.mul(out[1], I64(i)), I64(j * LANES))
            b.store(tile[i][j][0], b.bitcast(b.gep(out[0], [at]), VECTOR.as_pointer()), align=4)
        for s in range(1, states):
            at = b.add(b.mul(tally[1], I64(s - 1)), I64(j * LANES))
            place = b.bitcast(b.gep(tally[0], [at]), VECTOR.as_pointer())
            count = b.load(place, align=4)
            for i in range(rows):
                count = b.add(count, tile[i][j][s])
            b.store(count, place, align=4)
