"""The SIMD sums of products against the golden kernel: values, counts, and no write beyond a tile."""

from __future__ import annotations

import numpy as np
import pytest
from simd_cases import OPERATIONS, Block, check_block, random_block, tile_runner

from hwsim.kernels.gemm import EXACT
from hwsim.kernels.jit import ENABLED
from hwsim.kernels.microkernel import LANES, make_kernel, pack_weights, saturate_step, wrap_step
from hwsim.spec import Overflow, Register

pytestmark = pytest.mark.skipif(not ENABLED, reason="the SIMD kernels need the JIT")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_random_blocks_equal_the_golden_kernel(operation: str) -> None:
    rng = np.random.default_rng(5)
    events = [check_block(random_block(rng, OPERATIONS[operation])) for _ in range(150)]
    if operation != "exact":
        assert 50 < sum(count > 0 for count in events) < 150


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("pixels", range(1, 18))
def test_every_number_of_pixels_around_the_tiles(operation: str, pixels: int) -> None:
    rng = np.random.default_rng(pixels)
    for _ in range(2):
        check_block(random_block(rng, OPERATIONS[operation], pixels=pixels))


def edge_block(operation: int, bits: int, step: int, sign: int) -> Block:
    """Return a block whose first product brings the register to its end, plus `step`."""
    register = Register(bits, Overflow.SATURATE if operation == OPERATIONS["saturate"] else Overflow.WRAP)
    end = register.format.hi if sign > 0 else register.format.lo
    image, weights = np.array([sign, sign, -sign, 0, 0], np.int16), np.array([[3 + step], [0], [9]])
    return Block(
        operation, register, image, np.zeros(1, np.int64), 3, 1, 0, 1, 0, np.repeat(weights, LANES + 1, axis=1),
        np.full(LANES + 1, end - sign * 3),
    )  # fmt: skip


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bits", [8, 15, 16, 17, 30, 31])
@pytest.mark.parametrize("operation", ["saturate", "wrap"])
def test_sums_on_one_below_and_one_above_each_end_of_a_register(operation: str, bits: int, sign: int) -> None:
    for step in (-1, 0, 1):
        # After an overflow by one, a wrapped register comes back with the third product: a second event.
        events = (1 if operation == "saturate" else 2) * (LANES + 1)
        assert check_block(edge_block(OPERATIONS[operation], bits, step, sign)) == (events if step == 1 else 0)


def test_the_exact_operation_wraps_modulo_two_to_the_32_inside_and_comes_back() -> None:
    """Prefixes may leave int32 where the whole sum does not; the planner never asks for it, but the kernel holds it."""
    image = np.array([32767, 32767, 32767, -32768, -32768, -32768, 0, 0], np.int16)
    weights = np.full((6, 3), 32767)
    block = Block(
        EXACT, Register(32, Overflow.WRAP), image, np.zeros(1, np.int64), 6, 1, 0, 1, 0, weights, np.zeros(3, np.int64)
    )
    check_block(block)


def test_the_smallest_int16_pair_products_wrap_to_the_same_low_bits() -> None:
    """(-2**15)**2 * 2 is 2**31, the one pair sum that vpmaddwd cannot hold."""
    image = np.array([-32768, -32768, 1, 1], np.int16)
    weights = np.array([[-32768], [-32768], [-1]])
    block = Block(
        EXACT, Register(32, Overflow.WRAP), image, np.zeros(1, np.int64), 3, 1, 0, 1, 0, weights, np.zeros(1, np.int64)
    )
    check_block(block)


def test_the_tile_harness_of_the_mutants_accepts_the_true_steps() -> None:
    rng = np.random.default_rng(6)
    for operation, step in (("saturate", saturate_step), ("wrap", wrap_step)):
        run = tile_runner(make_kernel, step)
        assert sum(check_block(random_block(rng, OPERATIONS[operation]), run) for _ in range(20)) > 0


def test_packing_refuses_weights_beyond_int16() -> None:
    with pytest.raises(OverflowError, match=r"^weights must fit int16$"):
        pack_weights(np.array([[2**15]]), 1)
    assert pack_weights(np.array([[-(2**15)]]), 1)[0] == -(2**15)


def test_packed_weights_put_neighbours_in_k_side_by_side_and_fill_up_with_zeros() -> None:
    weights = np.arange(1, 1 + 6 * (LANES + 1)).reshape(6, LANES + 1)
    packed = pack_weights(weights, 2).reshape(2, 2, 2, LANES, 2)
    for k in range(6):
        for n in range(LANES + 1):
            assert packed[n // LANES, k // 3, k % 3 // 2, n % LANES, k % 3 % 2] == weights[k, n]
    assert np.count_nonzero(packed) == weights.size
