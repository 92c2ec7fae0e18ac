"""Numbers and names as people read them; the report and the command line share these.

Prefixes are decimal: k = 1e3, M = 1e6, G = 1e9. A number has three significant digits, and
counts below 1000 are exact. The minus sign is the plain hyphen, so that any terminal can print
it; `minus` makes it typographic for a page.
"""

from __future__ import annotations

from collections.abc import Sequence

_LARGE = ("", "k", "M", "G", "T", "P", "E")
_SMALL = ("", "m", "µ", "n", "p")


def si(value: float, unit: str = "") -> str:
    """Return `value` with a decimal prefix and three significant digits: ``12.5 M``, ``1.23 MB``, ``0 B``."""
    step = 0
    scaled = abs(float(value))
    # 999.5 would print as "1000": it belongs to the next prefix.
    while scaled >= 999.5 and step < len(_LARGE) - 1:
        scaled /= 1000
        step += 1
    prefix = _LARGE[step]
    if step == 0 and 0 < scaled < 1 and unit:
        small = 0
        while scaled < 0.9995 and small < len(_SMALL) - 1:
            scaled *= 1000
            small += 1
        prefix = _SMALL[small]
    sign = "-" if value < 0 else ""
    exact = prefix == "" and float(value).is_integer()
    digits = f"{scaled:.0f}" if exact or scaled >= 99.95 else f"{scaled:.1f}" if scaled >= 9.995 else f"{scaled:.2f}"
    return f"{sign}{digits} {prefix}{unit}".rstrip()


def grouped(value: int) -> str:
    """Return an exact count with separators: ``1,234,567``."""
    return f"{value:,}"


def rounded(value: float) -> str:
    """Return three significant digits, all digits above 1000, no prefix: ``0.52``, ``24.3``, ``3,098``."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else si(value)


def bytes_text(value: float) -> str:
    """Return a number of bytes: ``1.23 MB`` with MB = 1e6 bytes."""
    return si(value, "B")


def rate_text(bytes_per_second: float) -> str:
    """Return a bandwidth: ``45.6 MB/s``, ``1.20 GB/s``."""
    return si(bytes_per_second, "B/s")


def hertz_text(value: float) -> str:
    """Return a frequency: ``200 MHz``."""
    return si(value, "Hz")


def seconds_text(value: float) -> str:
    """Return a duration: ``6.05 ms``."""
    return si(value, "s")


def percent(fraction: float, decimals: int = 1) -> str:
    """Return a fraction as ``12.5 %``; a share too small to show is ``< 0.1 %``, never ``0.0 %``."""
    least = 10.0**-decimals
    if 0 < fraction * 100 < least / 2:
        return f"< {least:.{decimals}f} %"
    return f"{fraction * 100:.{decimals}f} %"


def points(difference: float) -> str:
    """Return a signed difference of two fractions in percentage points: ``-0.40 points``."""
    text = f"{difference * 100:+.2f}"
    return f"{'0.00' if float(text) == 0 else text} points"


def plural(count: int, noun: str) -> str:
    """Return ``1 layer``, ``1,200 layers``."""
    return f"{grouped(count)} {noun}{'' if count == 1 else 's'}"


def listing(parts: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, ``a, b and c``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape: ``1 × 32 × 32 × 3``; that of a scalar is ``scalar``."""
    return " × ".join(str(size) for size in shape) or "scalar"


def visible(text: str) -> str:
    """Return `text` with every character that cannot be seen spelled out: names come from untrusted files."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shorten(text: str, width: int) -> str:
    """Return `text` in at most `width` characters; both ends stay, because layer names differ in either."""
    text = visible(text)
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def minus(text: str) -> str:
    """Return a number text with the typographic minus sign."""
    return text.replace("-", "\N{MINUS SIGN}")
