"""Products that sum to a wanted number: right where they are found, and found wherever a search through all finds some."""

from __future__ import annotations

from itertools import combinations_with_replacement

import pytest

from hwsim.cosim.products import Products

SPANS = [((-4, 3), (-2, 1)), ((0, 7), (-4, 3)), ((-7, 0), (-2, 1)), ((-3, 3), (-8, 7))]


def check(products: Products, target: int, count: int) -> bool:
    found = products.sum_to(target, count)
    if found is None:
        return False
    assert len(found) <= count
    assert sum(a * w for a, w in found) == target
    for a, w in found:
        assert products.activations[0] <= a <= products.activations[1]
        assert products.weights[0] <= w <= products.weights[1]
        assert a * w * target >= 0, "a product of the other sign could leave a register's range on the way"
    return True


@pytest.mark.parametrize(("activations", "weights"), SPANS)
def test_one_and_two_products_are_found_wherever_there_are_any(
    activations: tuple[int, int], weights: tuple[int, int]
) -> None:
    products = Products(activations, weights)
    values = {a * w for a in range(activations[0], activations[1] + 1) for w in range(weights[0], weights[1] + 1)}
    for count in (1, 2):
        sums = {
            sum(chosen)
            for chosen in combinations_with_replacement(values, count)
            if all(value >= 0 for value in chosen) or all(value <= 0 for value in chosen)
        }
        for target in range(-2 * max(map(abs, values)) - 2, 2 * max(map(abs, values)) + 3):
            assert check(products, target, count) == (target in sums | {0}), (target, count)


@pytest.mark.parametrize(
    ("activations", "weights"), [*SPANS, ((-255, 255), (-128, 127)), ((0, 65535), (-32768, 32767))]
)
@pytest.mark.parametrize("bits", [8, 12, 16, 20])
def test_edges_of_registers_are_found_with_enough_products(
    activations: tuple[int, int], weights: tuple[int, int], bits: int
) -> None:
    products = Products(activations, weights)
    edge = 1 << (bits - 1)
    room = 2 + 2 * edge // min(
        max(a * w for a in activations for w in weights), -min(a * w for a in activations for w in weights)
    )
    for target in (edge - 2, edge - 1, edge, -edge + 1, -edge, -edge - 1):
        assert check(products, target, room), target


def test_too_large_a_sum_is_refused() -> None:
    products = Products((-128, 127), (-128, 127))
    assert products.largest == 1 << 14
    assert products.sum_to(2 * (1 << 14) + 1, 2) is None
    assert products.sum_to((1 << 14) - 1, 1) is None
    assert products.sum_to(0, 1) == []
    assert Products((0, 0), (-1, 1)).sum_to(5, 100) is None
