"""Vectors to beats and back at every width, against the bits one by one."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_streams import field_beats, value_beats, vector_beats

import hwsim.cosim.packing as packing_module
from hwsim.cosim.packing import pack, pack_fields, unpack
from hwsim.spec import Format, Packing


def check(module: Any, bits: int, signed: bool, elements: int, units: int, count: int, seed: int) -> None:
    """Hold packing and unpacking to the bits; `units` is the width of the bus, 0 for one beat per vector."""
    number = Format(bits, signed)
    packing = Packing.of(elements, bits, math.lcm(8, bits) * units if units else None, "bus")
    vectors = np.random.default_rng(seed).integers(number.lo, number.hi, (count, elements), endpoint=True)
    beats = module.pack(vectors, packing)
    assert (beats.dtype, beats.shape) == (np.uint8, (count * packing.beats, packing.bus_bits // 8))
    slow = [beat for vector in vectors.tolist() for beat in vector_beats(vector, packing)]
    assert value_beats(beats.tolist(), packing.bus_bits) == slow
    assert np.array_equal(module.unpack(beats, packing, number), vectors)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.integers(2, 48), st.booleans(), st.integers(1, 20), st.integers(0, 4), st.integers(0, 3), st.integers(0, 999))
def test_beats_are_the_bits_and_come_back(
    bits: int, signed: bool, elements: int, units: int, count: int, seed: int
) -> None:
    check(packing_module, bits, signed, elements, units, count, seed)


def check_widths(module: Any) -> None:
    for bits in (3, 5, 12, 17):
        for signed in (True, False):
            check(module, bits, signed, 7, 3, 5, bits)


MUTANTS = {
    "bits of the neighbour stay": ("raw &= raw.dtype.type((1 << bits) - 1)", "pass"),
    "an element that crosses bytes is cut": ("if shift >= 0 else groups[:, i] << -shift", "if shift >= 0 else 0 * groups[:, i]"),
    "bytes are shifted by one bit": ("8 * j - i * bits)", "8 * j - i * bits + (i > 1))"),
    "the sign is lost": ("raw = (raw ^ sign) - sign", "pass"),
    "the sign is always there": ("if number.signed:", "if True:"),
    "what is empty comes back": ("per_beat)[:, : packing.elements]", "per_beat)[:, :]"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MUTANTS)
def test_a_mistake_in_the_packing_is_found(mistake: str) -> None:
    old, new = MUTANTS[mistake]
    source = Path(packing_module.__file__).read_text("utf-8")
    assert source.count(old) == 1, f"{source.count(old)} places like {old!r}; rewrite this mutant"
    copy = ModuleType(packing_module.__name__)
    exec(compile(source.replace(old, new), "<mutant of packing>", "exec"), copy.__dict__)
    with pytest.raises(AssertionError):
        check_widths(copy)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64"])
def test_any_type_can_be_packed_and_stays_as_it_was(dtype: str) -> None:
    vectors = np.array([[1, 2, 3], [100, 0, 127]], dtype)
    before = vectors.copy()
    for bits in (5, 8, 11):
        packing = Packing.of(3, bits, None, "bus")
        slow = [beat for vector in vectors.tolist() for beat in vector_beats(vector, packing)]
        assert value_beats(pack(vectors, packing).tolist(), packing.bus_bits) == slow
    assert np.array_equal(vectors, before)


def test_what_a_vector_does_not_need_is_zero_and_ignored() -> None:
    """5 elements of 4 bits over 16 bits: 4 and 1; three quarters of the second beat are empty."""
    packing = Packing.of(5, 4, 16, "bus")
    beats = pack(np.array([[-1, 1, 2, 3, -2]]), packing)
    assert beats.tolist() == [[0x1F, 0x32], [0x0E, 0]]
    beats[1] |= np.array([0xF0, 0xFF], np.uint8)
    assert unpack(beats, packing, Format(4)).tolist() == [[-1, 1, 2, 3, -2]]
    assert unpack(beats, packing, Format(4, signed=False)).tolist() == [[15, 1, 2, 3, 14]]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 64), min_size=1, max_size=5), st.integers(0, 3), st.integers(0, 5), st.integers(0, 999))
def test_records_are_their_fields_side_by_side(widths: list[int], spare: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = [rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), count) for bits in widths]
    length = -(-sum(widths) // 8) + spare
    packed = pack_fields(list(zip(columns, widths, strict=True)), length)
    assert packed.shape == (count, length)
    for i, record in enumerate(packed.tolist()):
        (slow,) = field_beats([(int(column[i]), bits) for column, bits in zip(columns, widths, strict=True)], 999)
        assert value_beats([record], 8 * length) == [slow]
