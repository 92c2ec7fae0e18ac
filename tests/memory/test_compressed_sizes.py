"""`hwsim.memory.compression`: every size is the length of a stream that decodes to the tensor, and meets its closed form."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.memory.codebook import best_codebook
from hwsim.memory.compression import SCHEMES, Bitmask, RelativeIndex, RunLength, Scheme, compressed_bits
from hwsim.memory.huffman import Huffman, canonical_codes, code_lengths
from hwsim.spec import Format, InputError

Ints = npt.NDArray[np.int64]
ALL = [*SCHEMES, Bitmask(7), RelativeIndex(1), RelativeIndex(10), RunLength(3, 16, 32)]


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Ints, Format, int]:
    """Draw a tensor in which one value is frequent, its format, and that value."""
    form = Format(draw(st.integers(2, 16)), draw(st.booleans()))
    zero = draw(st.sampled_from([0, form.lo, form.hi]))
    runs = draw(st.lists(st.tuples(st.integers(0, 90), st.integers(form.lo, form.hi)), max_size=30))
    tail = draw(st.integers(0, 70))
    flat = list(itertools.chain.from_iterable([zero] * number + [value] for number, value in runs)) + [zero] * tail
    return np.array(flat, np.int64), form, zero


@pytest.mark.parametrize("scheme", ALL, ids=repr)
@settings(max_examples=40, deadline=None)
@given(tensors())
def test_round_trips_prove_the_sizes(scheme: Scheme, drawn: tuple[Ints, Format, int]) -> None:
    values, form, zero = drawn
    stream = scheme.encode(values, form, zero)
    assert len(stream) == scheme.size_bits(values, form, zero)
    assert np.array_equal(scheme.decode(stream, len(values), form, zero), values)


def sparse(density: float, elements: int = 1 << 18) -> Ints:
    """Return 8-bit values, nonzero at random."""
    random = np.random.default_rng(1)
    return np.where(random.random(elements) < density, random.integers(1, 128, elements), 0)


@pytest.mark.parametrize(
    ("density", "bits"),
    [
        (0.01, {4: 80.7, 5: 47.2, 6: 29.5, 7: 20.7, 8: 17.3, 10: 18.0}),
        (0.03, {4: 31.1, 5: 20.8, 6: 16.3, 7: 15.3, 8: 16.0, 10: 18.0}),
        (0.10, {4: 14.7, 5: 13.5, 6: 14.0, 7: 15.0, 8: 16.0, 10: 18.0}),
    ],
)
def test_bits_per_nonzero_of_relative_indices(density: float, bits: dict[int, float]) -> None:
    """Figures of an outside encoder that equals the CSC encoder of ETH's EBPC, on other random values: within 3 %."""
    values = sparse(density)
    nonzeros = np.count_nonzero(values)
    for index_bits, expected in bits.items():
        found = RelativeIndex(index_bits).size_bits(values, Format(8)) / nonzeros
        assert abs(found - expected) < 0.03 * expected


@pytest.mark.parametrize("density", [0.001, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("scheme", [Bitmask(), RunLength(), RelativeIndex(4), RelativeIndex(8)], ids=repr)
def test_sizes_are_those_expected_of_random_nonzeros(
    scheme: Bitmask | RunLength | RelativeIndex, density: float
) -> None:
    values = sparse(density, 1 << 20)
    actual_density = np.count_nonzero(values) / len(values)
    expected = scheme.expected_bits(len(values), actual_density, Format(8))
    assert abs(scheme.size_bits(values, Format(8)) - expected) < 0.01 * expected


def test_sizes_by_hand() -> None:
    """70 elements of 8 bits: 5 after 2 zeros, 7 after 40, then 26 zeros; b index bits.

    Bitmask: 70 + 2 * 8. Relative, b = 4: gaps of 2 and 40 = 2 * 16 + 8, so 2 + 2 pairs of 12 bits; b = 8: 2 of 16.
    Run length: 40 = 1 * 32 + 8, so 3 pairs: one word of 64. Huffman: 68 zeros in 1 bit, two values in 2, and a table of
    1 + 8 + 3 * (8 + 6) bits.
    """
    values = np.zeros(70, np.int64)
    values[2], values[43] = 5, 7
    found = compressed_bits(values, Format(8))
    assert found == {
        "dense": 560, "bitmask": 86, "run-length": 64, "relative-index-4": 48, "relative-index-5": 39,
        "relative-index-8": 32, "huffman": 68 + 4 + 51,
    }  # fmt: skip


def test_a_run_length_word_bit_by_bit() -> None:
    """Two values: runs of 1 and 0, levels 3 and -1, a pair of zeros, the flag: 5 + 16 + 5 + 16 + 21 + 1 bits, lowest first."""
    stream = RunLength().encode(np.array([0, 3, -1]), Format(8))
    word = sum(int(bit) << place for place, bit in enumerate(stream))
    assert word == 1 | 3 << 5 | 0 << 21 | 0xFFFF << 26 | 1 << 63


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=6))
def test_huffman_codes_are_shortest(counts: list[int]) -> None:
    """Against all lengths that satisfy Kraft's inequality."""
    lengths = code_lengths(np.array(counts))
    assert math.isclose(sum(2.0 ** -int(length) for length in lengths), 1)
    best = min(
        sum(map(int.__mul__, counts, tried))
        for tried in itertools.product(range(1, len(counts)), repeat=len(counts))
        if sum(2.0**-length for length in tried) <= 1
    )
    assert int(lengths @ counts) == best


def test_canonical_codes_of_the_deflate_specification() -> None:
    """RFC 1951, 3.2.2: lengths 3, 3, 3, 3, 3, 2, 4, 4 give 010, 011, 100, 101, 110, 00, 1110, 1111."""
    codes = canonical_codes(np.array([3, 3, 3, 3, 3, 2, 4, 4]))
    texts = ["010", "011", "100", "101", "110", "00", "1110", "1111"]
    assert codes.tolist() == [int(text[::-1], 2) for text in texts]


def test_huffman_is_within_a_bit_of_the_entropy() -> None:
    """Shannon's bound and Huffman's; the table is 1 + 256 * 6 bits."""
    random = np.random.default_rng(2)
    values = np.clip(np.rint(random.normal(0, 20, 20000)), -128, 127).astype(np.int64)
    counts = np.unique(values, return_counts=True)[1]
    entropy = -float(np.sum(counts * np.log2(counts / counts.sum())))
    size = Huffman().size_bits(values, Format(8)) - 1 - 256 * 6
    assert entropy <= size < entropy + len(values)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-40, 40), min_size=1, max_size=9), st.integers(1, 4))
def test_codebooks_are_best(values: list[int], number: int) -> None:
    """Against all ways to cut the sorted values, with means that are not rounded; rounding adds 1/4 per element at most."""
    flat = np.array(values)
    book = best_codebook(flat, Format(8), number)
    ordered = np.sort(flat)
    cuts = (
        (0, *inner, len(flat))
        for parts in range(min(number, len(flat)))
        for inner in itertools.combinations(range(1, len(flat)), parts)
    )
    best = min(
        sum(float(np.var(ordered[a:b])) * (b - a) for a, b in itertools.pairwise(cut)) for cut in cuts
    )  # fmt: skip
    assert best - 1e-6 <= book.squared_error <= best + len(flat) / 4 + 1e-6
    assert book.squared_error == int(np.sum((book.decode() - flat) ** 2))
    assert len(book.centroids) <= number


def test_a_codebook_of_all_values_loses_nothing() -> None:
    """16 values of 8 bits in 1000 elements: 4 bits each and 128; in a Huffman code with its table no more than 4 and a table."""
    values = np.random.default_rng(3).integers(0, 16, 1000) * 3 - 20
    book = best_codebook(values, Format(8), 16)
    assert np.array_equal(book.decode(), values)
    assert book.squared_error == 0
    assert book.size_bits == 1000 * 4 + 16 * 8
    assert book.huffman_bits <= book.size_bits + 1 + 16 * 6


def test_bad_arguments_are_errors() -> None:
    with pytest.raises(InputError, match=r"values must be in the range of int8, not 0\.\.200"):
        compressed_bits(np.array([0, 200]), Format(8))
    with pytest.raises(InputError, match="values must be integers, not of dtype float64"):
        compressed_bits(np.array([0.5]), Format(8))
    with pytest.raises(InputError, match="format must be of at most 16 bits for this code, not int17"):
        RunLength().size_bits(np.array([1]), Format(17))
    with pytest.raises(InputError, match="different values must be 1 to 4096, not 5000"):
        best_codebook(np.arange(5000), Format(16), 4)
