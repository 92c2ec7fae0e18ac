"""Integers of any width to the bytes of bus beats and back, without a loop over beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwsim.spec import Format, Packing

Bytes = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Integers = npt.NDArray[Any]


def pack(vectors: Integers, packing: Packing) -> Bytes:
    """Return vectors of integers as beats.

    Parameters
    ----------
    vectors
        Integers [V, elements] of any NumPy type; of each, the low ``packing.element_bits`` bits are sent.
    packing
        Of a vector.

    Returns
    -------
    uint8 [V * beats, bus_bits / 8]
        Bits 8i to 8i + 7 of a beat are its byte i.
    """
    bits, count = packing.element_bits, len(vectors)
    if bits == 8 and packing.elements == packing.beats * packing.per_beat:
        return vectors.astype(np.uint8, order="C").reshape(-1, packing.bus_bits // 8)
    raw = np.zeros((count, packing.beats * packing.per_beat), _unsigned(bits))
    raw[:, : packing.elements] = vectors
    raw &= raw.dtype.type((1 << bits) - 1)
    # The fewest elements that fill whole bytes: a bus is a multiple of them.
    length = math.lcm(8, bits)
    groups = raw.reshape(-1, length // bits)
    packed = np.zeros((len(groups), length // 8), np.uint8)
    for i, j, shift in _overlaps(length, bits):
        # The type of `raw` may be wider than a byte: what does not fit into one belongs to its neighbours.
        part = groups[:, i] >> shift if shift >= 0 else groups[:, i] << -shift
        packed[:, j] |= part.astype(np.uint8)
    return packed.reshape(-1, packing.bus_bits // 8)


def unpack(beats: Bytes, packing: Packing, number: Format) -> Int64:
    """Return beats uint8 [V * beats, bus_bits / 8] as the vectors int64 [V, elements] that they carry.

    Parameters
    ----------
    beats
        See `pack`.
    packing
        Of a vector.
    number
        What its bits mean; ``packing.element_bits`` wide.
    """
    bits = packing.element_bits
    length = math.lcm(8, bits)
    groups = np.ascontiguousarray(beats).reshape(-1, length // 8)
    raw = np.zeros((len(groups), length // bits), np.int64)
    for i, j, shift in _overlaps(length, bits):
        byte = groups[:, j].astype(np.int64)
        raw[:, i] |= byte << shift if shift >= 0 else byte >> -shift
    raw &= (1 << bits) - 1
    if number.signed:
        sign = 1 << (bits - 1)
        raw = (raw ^ sign) - sign
    return raw.reshape(-1, packing.beats * packing.per_beat)[:, : packing.elements]


def pack_fields(fields: Sequence[tuple[Integers, int]], length: int) -> Bytes:
    """Return records of fields side by side from the lowest bit.

    Parameters
    ----------
    fields
        Integers [records] and their width in bits, at most 64 each; the low bits are sent.
    length
        Bytes per record; what the fields do not need is zero.

    Returns
    -------
    uint8 [records, length]
    """
    columns = [(values[:, None].astype(np.int64) >> np.arange(bits)) & 1 for values, bits in fields]
    packed = np.packbits(np.concatenate(columns, axis=1).astype(np.uint8), axis=1, bitorder="little")
    return np.pad(packed, ((0, 0), (0, length - packed.shape[1])))


def _unsigned(bits: int) -> str:
    """Return the type for elements on their way: wide enough for one, shifted by less than a byte."""
    return next(f"uint{size}" for size in (8, 16, 32, 64) if size >= bits)


def _overlaps(length: int, bits: int) -> list[tuple[int, int, int]]:
    """Return which element i and byte j share bits of a group: (i, j, shift), byte = element >> shift (negative: <<)."""
    elements = range(length // bits)
    return [(i, j, 8 * j - i * bits) for i in elements for j in range(i * bits // 8, ((i + 1) * bits - 1) // 8 + 1)]
