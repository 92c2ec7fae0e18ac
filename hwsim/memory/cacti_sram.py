"""Energy and leakage of SRAMs from CACTI: a table, and what is read from it.

CACTI (HP Labs) compiled from its sources, itrs-hp cells, one read-write port, no error correction; 54 runs, one per row. High
performance cells leak much: leakage is kept apart from energy per access.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SramRow:
    """One memory: capacity in KiB, width of its port in bits, pJ per access of that width, leakage in mW."""

    kib: int
    port_bits: int
    read_pj: float
    write_pj: float
    leakage_mw: float


PORT_BITS = (64, 256)
"""Port widths in the table."""

# fmt: off
SRAM: dict[int, tuple[SramRow, ...]] = {
    45: (
        SramRow(2, 64, 2.35132, 3.51593, 2.7068),
        SramRow(2, 256, 7.22116, 10.007, 2.64188),
        SramRow(8, 64, 5.28833, 6.50229, 9.87618),
        SramRow(8, 256, 9.0578, 21.1564, 9.96379),
        SramRow(32, 64, 14.9248, 12.6898, 37.0765),
        SramRow(32, 256, 21.6778, 41.414, 37.1837),
        SramRow(64, 64, 28.9844, 17.1907, 67.3404),
        SramRow(64, 256, 41.7095, 51.8869, 67.4855),
        SramRow(128, 64, 32.9568, 21.1631, 134.681),
        SramRow(128, 256, 56.2922, 66.4696, 134.971),
        SramRow(256, 64, 40.6252, 28.8314, 269.361),
        SramRow(256, 256, 86.7138, 107.534, 268.738),
        SramRow(512, 64, 52.0225, 40.2287, 538.723),
        SramRow(512, 256, 124.758, 115.818, 511.775),
        SramRow(1024, 64, 67.6875, 55.8938, 1077.45),
        SramRow(1024, 256, 179.969, 171.029, 1023.55),
        SramRow(2048, 64, 90.0212, 78.2275, 2154.89),
        SramRow(2048, 256, 274.238, 257.02, 2039.07),
    ),
    32: (
        SramRow(2, 64, 1.24147, 1.84444, 1.46192),
        SramRow(2, 256, 3.85576, 5.35155, 1.42441),
        SramRow(8, 64, 2.90825, 3.43055, 5.31647),
        SramRow(8, 256, 4.96566, 11.4447, 5.36537),
        SramRow(32, 64, 8.50977, 6.71577, 19.7105),
        SramRow(32, 256, 12.2378, 22.4613, 19.7723),
        SramRow(64, 64, 12.0341, 8.16645, 35.9544),
        SramRow(64, 256, 23.6644, 28.0881, 35.8035),
        SramRow(128, 64, 14.4453, 10.5777, 71.9088),
        SramRow(128, 256, 31.8612, 36.2849, 71.6069),
        SramRow(256, 64, 19.0932, 15.2256, 143.818),
        SramRow(256, 256, 47.5926, 52.0163, 143.214),
        SramRow(512, 64, 25.6683, 21.8007, 287.635),
        SramRow(512, 256, 70.6936, 63.5176, 271.52),
        SramRow(1024, 64, 38.3567, 30.7628, 571.467),
        SramRow(1024, 256, 101.767, 94.5913, 543.041),
        SramRow(2048, 64, 50.9188, 43.325, 1142.93),
        SramRow(2048, 256, 146.599, 139.423, 1086.08),
    ),
    22: (
        SramRow(2, 64, 0.603036, 0.897205, 0.725845),
        SramRow(2, 256, 1.93812, 2.70638, 0.71806),
        SramRow(8, 64, 1.50402, 1.68587, 2.62912),
        SramRow(8, 256, 2.58545, 5.88596, 2.66426),
        SramRow(32, 64, 3.49505, 2.81918, 9.502),
        SramRow(32, 256, 6.61704, 11.5921, 9.47912),
        SramRow(64, 64, 4.6885, 4.01263, 19.004),
        SramRow(64, 256, 12.8837, 14.4551, 17.3463),
        SramRow(128, 64, 7.49484, 5.10354, 34.7505),
        SramRow(128, 256, 17.0912, 18.6626, 34.6925),
        SramRow(256, 64, 9.93381, 7.54251, 69.5011),
        SramRow(256, 256, 25.3885, 26.9599, 69.3851),
        SramRow(512, 64, 13.3682, 10.9769, 139.002),
        SramRow(512, 256, 38.6001, 40.1715, 138.77),
        SramRow(1024, 64, 18.4356, 15.9466, 277.256),
        SramRow(1024, 256, 54.6349, 49.3991, 264.69),
        SramRow(2048, 64, 25.1826, 22.7587, 554.836),
        SramRow(2048, 256, 78.8032, 82.0628, 551.624),
    ),
}
# fmt: on
"""By technology node in nm."""


def sram(nm: int, capacity_bytes: float, port_bits: int) -> SramRow:
    """Return a memory of a size that is not in the table, from those around it.

    Energies and leakage follow straight lines in logarithms of capacity, beyond the ends the last one.

    Parameters
    ----------
    nm, port_bits
        Of the table.
    capacity_bytes
        Of the memory, positive.
    """
    rows = [row for row in SRAM[nm] if row.port_bits == port_bits]
    kib = capacity_bytes / 1024
    above = next((i for i, row in enumerate(rows) if row.kib >= kib), len(rows) - 1)
    low, high = rows[max(0, above - 1) : max(0, above - 1) + 2]
    part = math.log(kib / low.kib) / math.log(high.kib / low.kib)
    values = [
        one * (other / one) ** part
        for one, other in (
            (low.read_pj, high.read_pj), (low.write_pj, high.write_pj), (low.leakage_mw, high.leakage_mw),
        )
    ]  # fmt: skip
    return SramRow(math.ceil(kib), port_bits, *values)
