"""Which multiplications of a netlist get hardware multipliers, and which are made of LUTs.

A hardware multiplier takes 18 x 18 bits whatever it is given, and there are few of them; 2 x 9 bits are 28 LUTs. So a factor of
at most `NARROW_BITS` is left to LUTs, and of the others the widest come first: all of one size or none, as many as the
device has multipliers for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

NARROW_BITS = 4
"""The widest smaller factor that never takes a hardware multiplier."""

MAP_FILE = "multipliers.v"
"""How Yosys makes a multiplication of LUTs: see there."""

Sizes = Mapping[tuple[int, int], int]
"""How many multiplications there are, by the widths of their factors as they stand in the netlist."""

_CELL = re.compile(r"^  cell \$mul .*\n((?:    .*\n)*)", re.MULTILINE)
_WIDTH = re.compile(r"parameter (?:signed )?\\([AB])_WIDTH (\d+)")


@dataclass(frozen=True)
class Mapped:
    """Sizes of multiplications, by what they are made of."""

    dsp: Sizes
    lut: Sizes

    def lists(self) -> dict[str, list[list[int]]]:
        """Return plain data for JSON: by what they are made of, lists of both widths and the number."""
        return {
            name: [[*size, number] for size, number in sorted(getattr(self, name).items())] for name in ("dsp", "lut")
        }

    @classmethod
    def from_lists(cls, lists: Mapping[str, list[list[int]]]) -> Mapped:
        """Return what `lists` was made of."""
        return cls(*({(a, b): number for a, b, number in lists[name]} for name in ("dsp", "lut")))


def sizes_of(rtlil: str) -> Counter[tuple[int, int]]:
    """Return the multiplications in a netlist that Yosys wrote (``write_rtlil``)."""
    found: Counter[tuple[int, int]] = Counter()
    for cell in _CELL.finditer(rtlil):
        widths = dict(_WIDTH.findall(cell[1]))
        found[int(widths["A"]), int(widths["B"])] += 1
    return found


def choose(sizes: Sizes, capacity: int, factor_bits: tuple[int, int]) -> Mapped:
    """Decide which multiplications get hardware multipliers.

    Parameters
    ----------
    sizes
        What there is.
    capacity
        Hardware multipliers that may be used.
    factor_bits
        Widths of a hardware multiplier's factors, the wider one first.
    """
    dsp: dict[tuple[int, int], int] = {}
    lut: dict[tuple[int, int], int] = {}
    left = capacity
    # One that takes several hardware multipliers comes behind those that take one.
    each = {(a, b): -(-max(a, b) // factor_bits[0]) * -(-min(a, b) // factor_bits[1]) for a, b in sizes}
    for size in sorted(sizes, key=lambda size: (each[size], -size[0] * size[1], size)):
        needed = sizes[size] * each[size]
        if min(size) <= NARROW_BITS or needed > left:
            lut[size] = sizes[size]
        else:
            dsp[size] = sizes[size]
            left -= needed
    return Mapped(dsp, lut)


def script(lut: Sizes) -> str:
    """Return Yosys commands that make multiplications of these sizes of LUTs; they read `MAP_FILE`."""
    if not lut:
        return ""
    selected = " ".join(f"t:$mul r:A_WIDTH={a} %i r:B_WIDTH={b} %i" for a, b in sorted(lut))
    return f"chtype -set $__hwsim_mul {selected}; techmap -map {MAP_FILE}; "


def map_text() -> str:
    """Return the content of `MAP_FILE`."""
    return (resources.files("hwsim.hardware") / MAP_FILE).read_text("utf-8")
