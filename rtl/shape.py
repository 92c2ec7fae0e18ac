"""From the specification's integer formats to Amaranth shapes."""

from __future__ import annotations

from amaranth.hdl import Shape, signed, unsigned

from hwsim.spec import Format, bits_for


def to_shape(integer: Format) -> Shape:
    """Return the shape of a signal that holds exactly the integers of a format."""
    return signed(integer.bits) if integer.signed else unsigned(integer.bits)


def product_bits(a: Format, b: Format) -> int:
    """Return the smallest signed width that holds every product of two formats.

    >>> product_bits(Format(8), Format(8)), product_bits(Format(8, signed=False), Format(8)), product_bits(
    ...     Format(8, signed=False), Format(8, signed=False))
    (16, 16, 17)
    """
    corners = [x * y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    return bits_for(min(corners), max(corners))
