"""Integer formats and registers: how many bits, signed or not, and what happens when a sum does not fit."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from hwsim.spec.errors import InputError, require, within

OPERAND_BITS = range(2, 17)
"""Widths that a weight or an activation may have."""

REGISTER_BITS = range(8, 49)
"""Widths that an accumulator, a partial sum or an adder-tree node may have."""


class Overflow(enum.Enum):
    """What a register does with a sum that it cannot represent."""

    WRAP = "wrap"
    SATURATE = "saturate"


@dataclass(frozen=True, slots=True)
class Format:
    """A two's-complement or unsigned integer format.

    Parameters
    ----------
    bits
        Width, 1..64. Weights and activations are further limited to 2..16, see `operand_format`.
    signed
        Two's complement if true, else unsigned.
    """

    bits: int
    signed: bool = True

    def __post_init__(self) -> None:
        require(within(self.bits, range(1, 65)), "bits", "an integer from 1 to 64", self.bits)

    @property
    def lo(self) -> int:
        """The smallest representable integer."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """The largest representable integer."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def storage(self) -> str:
        """Name of the smallest NumPy integer dtype that holds every value."""
        container = next(size for size in (8, 16, 32, 64) if size >= self.bits)
        return f"{'' if self.signed else 'u'}int{container}"

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.bits}"


def operand_format(bits: int, signed: bool = True, field: str = "bits") -> Format:
    """Return the format of a weight or an activation; `field` names the option in the error."""
    require(within(bits, OPERAND_BITS), field, "an integer from 2 to 16", bits)
    return Format(bits, signed)


def bits_for(lo: int, hi: int) -> int:
    """Return the smallest signed width that holds every integer of ``lo..hi``.

    >>> bits_for(-128, 127), bits_for(0, 128), bits_for(0, 0)
    (8, 9, 1)
    """
    return 1 + max((~value if value < 0 else value).bit_length() for value in (lo, hi))


@dataclass(frozen=True, slots=True)
class Register:
    """A signed register that sums are written to.

    Parameters
    ----------
    bits
        Width, 8..48.
    overflow
        Wrap (keep the low bits) or saturate (clamp to the nearest end).
    """

    bits: int
    overflow: Overflow

    def __post_init__(self) -> None:
        require(within(self.bits, REGISTER_BITS), "register bits", "an integer from 8 to 48", self.bits)

    @property
    def format(self) -> Format:
        """The signed format of the stored value."""
        return Format(self.bits)

    @classmethod
    def parse(cls, text: str, field: str = "register") -> Register:
        """Read ``BITS:wrap`` or ``BITS:saturate``, for example ``16:saturate``; `field` names the option."""
        bits, _, mode = text.partition(":")
        allowed = "BITS:wrap or BITS:saturate with BITS from 8 to 48"
        require(
            bits.isascii() and bits.isdigit() and len(bits) < 4 and int(bits) in REGISTER_BITS,
            field,
            allowed,
            repr(text),
        )
        try:
            return cls(int(bits), Overflow(mode))
        except ValueError:
            raise InputError(f"{field} must be {allowed}, not {text!r}") from None

    def __str__(self) -> str:
        return f"{self.bits}:{self.overflow.value}"
