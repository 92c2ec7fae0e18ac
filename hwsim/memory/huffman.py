"""Canonical Huffman codes of a tensor's elements, with the table that a decoder needs."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.memory.bitstream import Bits, Ints, checked, pack, signed, unpack
from hwsim.spec import Format

LENGTH_BITS = 6
"""Of a code's length in the table: lengths up to 63, which takes more elements than there are."""


@dataclass(frozen=True, slots=True)
class Huffman:
    """A code per value of the tensor (Huffman 1952), as in Deep Compression; canonical, so the table holds lengths only.

    The table begins with a bit: 0, then 6 bits of length for each value of the format, 0 for those that do not occur; or 1, then
    the number of values that occur, less one, and for each its bits and 6 bits of length; whichever is shorter. A tensor of a
    single value has a code of one bit. Codes are sorted by length, then by value.
    """

    @property
    def name(self) -> str:
        return "huffman"

    def size_bits(self, values: npt.NDArray[Any], form: Format, zero: int = 0) -> int:
        symbols, counts = np.unique(checked(values, form, zero), return_counts=True)
        if not len(symbols):
            return 0
        return _table_bits(len(symbols), form) + int(code_lengths(counts) @ counts)

    def encode(self, values: npt.NDArray[Any], form: Format, zero: int = 0) -> Bits:
        flat = checked(values, form, zero)
        symbols, places, counts = np.unique(flat, return_inverse=True, return_counts=True)
        if not len(symbols):
            return np.zeros(0, np.uint8)
        lengths = code_lengths(counts)
        codes = canonical_codes(lengths)
        return np.concatenate([_table(symbols, lengths, form), pack(codes[places], lengths[places])])

    def decode(self, stream: Bits, elements: int, form: Format, zero: int = 0) -> Ints:
        if not elements:
            return np.zeros(0, np.int64)
        symbols, lengths, at = _read_table(stream, form)
        known = {
            (int(length), int(code)): int(symbol)
            for symbol, length, code in zip(symbols, lengths, canonical_codes(lengths), strict=True)
        }
        found = np.empty(elements, np.int64)
        for element in range(elements):
            code = length = 0
            while (length, code) not in known:
                code |= int(stream[at]) << length
                length += 1
                at += 1
            found[element] = known[length, code]
        return found


def code_lengths(counts: Ints) -> Ints:
    """Return the bits of each symbol's code in a code of least total length, by how often symbols occur."""
    if len(counts) == 1:
        return np.ones(1, np.int64)
    heap = [(int(count), number) for number, count in enumerate(counts)]
    heapq.heapify(heap)
    above = np.zeros(2 * len(counts) - 1, np.int64)
    for joined in range(len(counts), 2 * len(counts) - 1):
        (one, left), (other, right) = heapq.heappop(heap), heapq.heappop(heap)
        above[left] = above[right] = joined
        heapq.heappush(heap, (one + other, joined))
    depth = np.zeros(len(above), np.int64)
    # A node is made after those below it.
    for node in range(len(above) - 2, -1, -1):
        depth[node] = depth[above[node]] + 1
    return depth[: len(counts)]


def canonical_codes(lengths: Ints) -> Ints:
    """Return the code of each symbol, its first bit lowest: ascending numbers by length, then by place."""
    order = np.argsort(lengths, kind="stable")
    codes = np.zeros(len(lengths), np.int64)
    code = 0
    for before, symbol in itertools.pairwise([None, *order.tolist()]):
        if before is not None:
            code = (code + 1) << int(lengths[symbol] - lengths[before])
        codes[symbol] = int(f"{code:0{int(lengths[symbol])}b}"[::-1], 2)
    return codes


def _table_bits(symbols: int, form: Format) -> int:
    dense = LENGTH_BITS << form.bits
    return 1 + min(dense, form.bits + symbols * (form.bits + LENGTH_BITS))


def _table(symbols: Ints, lengths: Ints, form: Format) -> Bits:
    dense = LENGTH_BITS << form.bits
    if _table_bits(len(symbols), form) == 1 + dense:
        by_value = np.zeros(1 << form.bits, np.int64)
        by_value[symbols - form.lo] = lengths
        return np.concatenate([np.zeros(1, np.uint8), pack(by_value, np.full(len(by_value), LENGTH_BITS))])
    fields = np.concatenate([[1, len(symbols) - 1], np.column_stack([symbols, lengths]).reshape(-1)])
    widths = [1, form.bits, *[form.bits, LENGTH_BITS] * len(symbols)]
    return pack(fields, np.array(widths))


def _read_table(stream: Bits, form: Format) -> tuple[Ints, Ints, int]:
    """Return the values, the lengths of their codes, and where the codes begin."""
    if not stream[0]:
        by_value = unpack(stream, 1 + LENGTH_BITS * np.arange(1 << form.bits), LENGTH_BITS)
        used = np.flatnonzero(by_value)
        return used + form.lo, by_value[used], 1 + (LENGTH_BITS << form.bits)
    number = int(unpack(stream, np.array([1]), form.bits)[0]) + 1
    width = form.bits + LENGTH_BITS
    starts = 1 + form.bits + width * np.arange(number)
    symbols = signed(unpack(stream, starts, form.bits), form)
    return symbols, unpack(stream, starts + form.bits, LENGTH_BITS), 1 + form.bits + width * number
