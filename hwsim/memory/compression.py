"""Exact sizes of tensors in compressed formats. Each has an encoder and a decoder, so that a round trip proves its size.

A format leaves out, or counts, the elements that equal `zero`: 0, or the zero point of an affine activation. The sizes are of one
stream: pointers to parts of it (one per column of EIE, say) are the hardware's, and come on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hwsim.memory.bitstream import Bits, Ints, checked, pack, signed, unpack
from hwsim.memory.huffman import Huffman
from hwsim.spec import Format, require
from hwsim.spec.errors import within


class Scheme(Protocol):
    """A lossless format."""

    @property
    def name(self) -> str:
        """In reports."""
        ...

    def size_bits(self, values: npt.NDArray[Any], form: Format, zero: int = 0) -> int:
        """Return the bits of a tensor's stream."""
        ...

    def encode(self, values: npt.NDArray[Any], form: Format, zero: int = 0) -> Bits:
        """Return the stream."""
        ...

    def decode(self, stream: Bits, elements: int, form: Format, zero: int = 0) -> Ints:
        """Return the elements of a stream, int64."""
        ...


@dataclass(frozen=True, slots=True)
class Bitmask:
    """Zero-value compression: per 32 elements a bit each, then those that are not zero.

    Rhu et al., Compressing DMA Engine, HPCA 2018. With n elements of w bits: ``n + w * nonzeros``; the last mask has only the
    elements that are left.
    """

    elements: int = 32

    def __post_init__(self) -> None:
        require(within(self.elements, range(1, 65)), "elements", "an integer from 1 to 64", self.elements)

    @property
    def name(self) -> str:
        return "bitmask"

    def size_bits(self, values: npt.NDArray[Any], form: Format, zero: int = 0) -> int:
        flat = checked(values, form, zero)
        return len(flat) + form.bits * int(np.count_nonzero(flat != zero))

    def expected_bits(self, elements: int, density: float, form: Format) -> float:
        """Return the size for nonzeros at random."""
        return elements * (1 + form.bits * density)

    def encode(self, values: npt.NDArray[Any], form: Format, zero: int = 0) -> Bits:
        flat = checked(values, form, zero)
        groups = -(-len(flat) // self.elements)
        kept = np.zeros((groups, self.elements), bool)
        kept.reshape(-1)[: len(flat)] = flat != zero
        padded = np.zeros(groups * self.elements, np.int64)
        padded[: len(flat)] = flat
        # A row per group: the mask's bits as fields of one bit, then the elements.
        mask_widths = np.ones((groups, self.elements), np.int64)
        mask_widths.reshape(-1)[len(flat) :] = 0
        fields = np.hstack([kept.astype(np.int64), padded.reshape(groups, self.elements)])
        widths = np.hstack([mask_widths, np.where(kept, form.bits, 0)])
        return pack(fields.reshape(-1), widths.reshape(-1))

    def decode(self, stream: Bits, elements: int, form: Format, zero: int = 0) -> Ints:
        found = np.full(elements, zero, np.int64)
        at = 0
        for first in range(0, elements, self.elements):
            number = min(self.elements, elements - first)
            kept = np.flatnonzero(stream[at : at + number])
            at += number
            found[first + kept] = signed(unpack(stream, at + form.bits * np.arange(len(kept)), form.bits), form)
            at += form.bits * len(kept)
        return found


@dataclass(frozen=True, slots=True)
class RelativeIndex:
    """A value and the number of zeros before it; where there are too many, a zero is stored among them.

    EIE (Han et al., ISCA 2016) and SCNN (Parashar et al., ISCA 2017) with 4 index bits, Deep Compression with 8 and 5. Nothing is
    stored for zeros at the end. Nonzeros at random with density d take ``(w + b) / (1 - (1 - d)^(2^b))`` bits each.
    """

    index_bits: int = 4

    def __post_init__(self) -> None:
        _index_bits(self.index_bits)

    @property
    def name(self) -> str:
        return f"relative-index-{self.index_bits}"

    def size_bits(self, values: npt.NDArray[Any], form: Format, zero: int = 0) -> int:
        return (form.bits + self.index_bits) * entries(checked(values, form, zero), zero, self.index_bits)

    def expected_bits(self, elements: int, density: float, form: Format) -> float:
        """Return the size for nonzeros at random."""
        if not density:
            return 0.0
        return elements * density * (form.bits + self.index_bits) / (1 - (1 - density) ** (1 << self.index_bits))

    def encode(self, values: npt.NDArray[Any], form: Format, zero: int = 0) -> Bits:
        skipped, levels = runs(checked(values, form, zero), zero, self.index_bits)
        fields = np.column_stack([skipped, levels]).reshape(-1)
        return pack(fields, np.tile(np.array([self.index_bits, form.bits]), len(levels)))

    def decode(self, stream: Bits, elements: int, form: Format, zero: int = 0) -> Ints:
        width = self.index_bits + form.bits
        starts = np.arange(len(stream) // width) * width
        skipped = unpack(stream, starts, self.index_bits)
        return expand(skipped, signed(unpack(stream, starts + self.index_bits, form.bits), form), elements, zero)


@dataclass(frozen=True, slots=True)
class RunLength:
    """Eyeriss' run-length code (Chen et al., JSSC 2017): in 64 bits three pairs of run (5 bits) and level (16), and a flag.

    The flag marks the last word, whose pairs that are left have a run of 0 and a level of zero. With other widths a word holds
    as many pairs as fit beside the flag.
    """

    run_bits: int = 5
    level_bits: int = 16
    word_bits: int = 64

    def __post_init__(self) -> None:
        _index_bits(self.run_bits)
        require(within(self.level_bits, range(1, 65)), "level_bits", "an integer from 1 to 64", self.level_bits)
        least = self.run_bits + self.level_bits + 1
        require(self.word_bits >= least, "word_bits", f"at least {least}: a pair and the flag", self.word_bits)

    @property
    def name(self) -> str:
        return "run-length"

    @property
    def pairs(self) -> int:
        """Per word."""
        return (self.word_bits - 1) // (self.run_bits + self.level_bits)

    def size_bits(self, values: npt.NDArray[Any], form: Format, zero: int = 0) -> int:
        number = entries(checked(values, self._fits(form), zero), zero, self.run_bits)
        return -(-number // self.pairs) * self.word_bits

    def expected_bits(self, elements: int, density: float, form: Format) -> float:
        """Return the size for nonzeros at random."""
        self._fits(form)
        if not density:
            return 0.0
        number = elements * density / (1 - (1 - density) ** (1 << self.run_bits))
        return math.ceil(number / self.pairs) * self.word_bits

    def encode(self, values: npt.NDArray[Any], form: Format, zero: int = 0) -> Bits:
        skipped, levels = runs(checked(values, self._fits(form), zero), zero, self.run_bits)
        words = -(-len(levels) // self.pairs)
        pairs = np.zeros((words * self.pairs, 2), np.int64)
        pairs[:, 1] = zero
        pairs[: len(levels)] = np.column_stack([skipped, levels])
        flags = np.zeros((words, 1), np.int64)
        flags[-1:] = 1
        widths = [*[self.run_bits, self.level_bits] * self.pairs, self._flag_bits]
        return pack(
            np.hstack([pairs.reshape(words, 2 * self.pairs), flags]).reshape(-1), np.tile(np.array(widths), words)
        )

    def decode(self, stream: Bits, elements: int, form: Format, zero: int = 0) -> Ints:
        words = np.arange(len(stream) // self.word_bits) * self.word_bits
        width = self.run_bits + self.level_bits
        starts = (words[:, None] + np.arange(self.pairs) * width).reshape(-1)
        levels = signed(unpack(stream, starts + self.run_bits, self.level_bits), Format(self.level_bits, form.signed))
        return expand(unpack(stream, starts, self.run_bits), levels, elements, zero)

    @property
    def _flag_bits(self) -> int:
        return self.word_bits - self.pairs * (self.run_bits + self.level_bits)

    def _fits(self, form: Format) -> Format:
        require(form.bits <= self.level_bits, "format", f"of at most {self.level_bits} bits for this code", form)
        return form


def entries(flat: Ints, zero: int, index_bits: int) -> int:
    """Return how many pairs of a run and a value a tensor takes: one per nonzero, and per ``2**index_bits`` zeros of a run."""
    places = np.flatnonzero(flat != zero)
    return len(places) + int(np.sum(np.diff(places, prepend=-1) - 1 >> index_bits))


def runs(flat: Ints, zero: int, index_bits: int) -> tuple[Ints, Ints]:
    """Return the pairs: how many zeros are skipped, at most ``2**index_bits - 1``, and the value after them."""
    places = np.flatnonzero(flat != zero)
    gaps = np.diff(places, prepend=-1) - 1
    fillers = gaps >> index_bits
    last = np.cumsum(fillers + 1) - 1
    skipped = np.full(int(np.sum(fillers)) + len(places), (1 << index_bits) - 1, np.int64)
    levels = np.full(len(skipped), zero, np.int64)
    skipped[last] = gaps & (1 << index_bits) - 1
    levels[last] = flat[places]
    return skipped, levels


def expand(skipped: Ints, levels: Ints, elements: int, zero: int) -> Ints:
    """Return the tensor of some pairs; pairs beyond its end are padding."""
    places = np.cumsum(skipped + 1) - 1
    found = np.full(elements, zero, np.int64)
    inside = places < elements
    found[places[inside]] = levels[inside]
    return found


def _index_bits(value: int) -> None:
    require(within(value, range(1, 33)), "index bits", "an integer from 1 to 32", value)


SCHEMES: tuple[Scheme, ...] = (Bitmask(), RunLength(), *(RelativeIndex(bits) for bits in (4, 5, 8)), Huffman())
"""In the order of reports."""


def scheme_named(name: str, field: str) -> Scheme:
    """Return a format of `SCHEMES`; raise `InputError`, which calls it `field`, where there is none of that name."""
    known = {scheme.name: scheme for scheme in SCHEMES}
    require(name in known, field, f"one of {', '.join(known)}", repr(name))
    return known[name]


def compressed_bits(values: npt.NDArray[Any], form: Format, zero: int = 0) -> dict[str, int]:
    """Return the size of a tensor under every scheme, by name, and packed at its bits under ``dense``."""
    sizes = {"dense": checked(values, form, zero).size * form.bits}
    return sizes | {scheme.name: scheme.size_bits(values, form, zero) for scheme in SCHEMES}
