"""Published energies per event. Each table says where its numbers are from and where they are stretched.

All of them give multiplications of equal widths only. A multiplier of w x a bits is taken as w rows of a cells: n^2 becomes w a,
and n the mean of the two. None has a term for wires, networks on chip or clocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hwsim.memory import cacti_sram


def _no_leakage(capacity_bytes: int, word_bits: int) -> float | None:
    del capacity_bytes, word_bits
    return None


@dataclass(frozen=True, slots=True)
class EnergyTable:
    """Energies of a technology.

    Parameters
    ----------
    name, unit
        In reports; the unit of every number of the table.
    source
        Where the numbers are from.
    stretched
        What this module does beyond them.
    mac
        Of a multiply-accumulate by weight, activation and accumulator bits.
    sram
        Of an access by capacity in bytes, bits of a word, and whether it is a write.
    dram_read_bit, dram_write_bit, register_bit
        Of a bit; a register's is for writing and reading it. None where the table has none, as for the functions.
    sram_leakage_mw
        Of a memory by capacity in bytes and bits of a word.
    """

    name: str
    unit: str
    source: str
    stretched: str
    mac: Callable[[int, int, int], float | None]
    sram: Callable[[int, int, bool], float | None]
    dram_read_bit: float | None
    dram_write_bit: float | None
    register_bit: float | None
    sram_leakage_mw: Callable[[int, int], float | None] = _no_leakage


def horowitz_mac(weight_bits: int, activation_bits: int, acc_bits: int) -> float:
    """Return pJ at 45 nm: QKeras' fits of Horowitz, add 0.003125 n, multiply 0.0029948 n^2 + 0.0010417 n."""
    multiply = 0.002994791667 * weight_bits * activation_bits + 0.001041666667 * (weight_bits + activation_bits) / 2
    return multiply + 0.003125 * acc_bits


def horowitz_sram(capacity_bytes: int, word_bits: int, write: bool) -> float:
    """Return pJ at 45 nm: QKeras' cubic in ``L = log2(capacity in bits)``, per bit.

    It reproduces Horowitz' 10, 20 and 100 pJ for 64 bits of 8 KiB, 32 KiB and 1 MiB. Smaller and larger memories take the
    nearest end: below 8 KiB the cubic would rise again.
    """
    del write
    size = math.log2(min(max(8 * capacity_bytes, 1 << 16), 1 << 23))
    return word_bits * size * (size * (9.02427321e-04 * size - 2.68847858e-02) + 2.08900804e-01)


def aladdin_mac(weight_bits: int, activation_bits: int, acc_bits: int) -> float:
    """Return pJ at 40 nm, 1 ns: 12.68 for a 32-bit product, quadratic; 0.21 for a 32-bit sum, linear."""
    return 12.68 * weight_bits * activation_bits / 1024 + 0.21 * acc_bits / 32


def cacti_access(nm: int) -> Callable[[int, int, bool], float | None]:
    """Return the function of an access of CACTI's memories: ports of 256 bits for words of so many or more, else of 64.

    A narrower word takes a whole access, a wider one several.
    """

    def access(capacity_bytes: int, word_bits: int, write: bool) -> float:
        port = _port(word_bits)
        row = cacti_sram.sram(nm, capacity_bytes, port)
        return -(-word_bits // port) * (row.write_pj if write else row.read_pj)

    return access


def cacti_leakage(nm: int) -> Callable[[int, int], float | None]:
    """Return the function of CACTI's leakage."""
    return lambda capacity_bytes, word_bits: cacti_sram.sram(nm, capacity_bytes, _port(word_bits)).leakage_mw


def _port(word_bits: int) -> int:
    return max((port for port in cacti_sram.PORT_BITS if port <= word_bits), default=min(cacti_sram.PORT_BITS))


def jouppi_mac(weight_bits: int, activation_bits: int, acc_bits: int) -> float:
    """Return pJ at 7 nm: products 0.07 (8 bits) and 1.48 (32), sums 0.007 and 0.03, power laws through each pair."""
    # 32 bits are 16 times 8 x 8 cells, and 4 times 8 bits.
    multiply = 0.07 * math.pow(weight_bits * activation_bits / 64, math.log(1.48 / 0.07, 16))
    return multiply + 0.007 * math.pow(acc_bits / 8, math.log(0.03 / 0.007, 4))


def jouppi_sram(capacity_bytes: int, word_bits: int, write: bool) -> float:
    """Return pJ at 7 nm: 7.5, 8.5, 14 for 64 bits of 8 KiB, 32 KiB, 1 MiB; straight lines in logarithms; the ends beyond."""
    del write
    kib = min(max(capacity_bytes / 1024, 8), 1024)
    (low, one), (high, other) = ((8, 7.5), (32, 8.5)) if kib <= 32 else ((32, 8.5), (1024, 14.0))
    part: float = math.log(kib / low) / math.log(high / low)
    return word_bits / 64 * one * math.pow(other / one, part)


def eyeriss_mac(weight_bits: int, activation_bits: int, acc_bits: int) -> float:
    """Return the energy relative to a 16-bit multiply-accumulate, which is the one that is published."""
    del acc_bits
    return weight_bits * activation_bits / 256


def eyeriss_sram(capacity_bytes: int, word_bits: int, write: bool) -> float:
    """Return the relative energy: 1 for 16 bits of a register file (up to 1 KiB), 6 for the global buffer (beyond)."""
    del write
    return word_bits / 16 * (1 if capacity_bytes <= 1024 else 6)


def zigzag_mac(weight_bits: int, activation_bits: int, acc_bits: int) -> float:
    """Return pJ: 0.04 for 8 x 8 bits, in proportion to the product of the widths."""
    del acc_bits
    return 0.04 * weight_bits * activation_bits / 64


def zigzag_sram(capacity_bytes: int, word_bits: int, write: bool) -> float:
    """Return pJ: 416.16 to read and 378.4 to write 2048 bits of 2 MiB; 0.095 for 8 bits of a register file (up to 1 KiB)."""
    if capacity_bytes <= 1024:
        return 0.095 * word_bits / 8
    return (378.4 if write else 416.16) * word_bits / 2048


HOROWITZ = EnergyTable(
    "horowitz-45nm",
    "pJ",
    "M. Horowitz, ISSCC 2014, in the fits of QKeras (qtools/config_public.py)",
    "memories below 8 KiB and above 1 MiB cost what these do; a write costs a read; no registers",
    horowitz_mac,
    horowitz_sram,
    20.3125,
    20.3125,
    None,
)
ACCELERGY = EnergyTable(
    "accelergy-45nm",
    "pJ",
    "Accelergy's plug-ins: Aladdin at 40 nm and 1 ns (products quadratic, sums linear, registers 0.009 per bit), LPDDR4 8 pJ per "
    "bit; memories: CACTI, itrs-hp, 45 nm",
    "memories between and beyond CACTI's sizes follow straight lines in logarithms",
    aladdin_mac,
    cacti_access(45),
    8.0,
    8.0,
    0.009,
    cacti_leakage(45),
)
CACTI_32 = EnergyTable(
    "cacti-32nm", "pJ", "CACTI, itrs-hp, 32 nm", "as accelergy-45nm; memories only",
    lambda *_: None, cacti_access(32), None, None, None, cacti_leakage(32),
)  # fmt: skip
CACTI_22 = EnergyTable(
    "cacti-22nm", "pJ", "CACTI, itrs-hp, 22 nm", "as accelergy-45nm; memories only",
    lambda *_: None, cacti_access(22), None, None, None, cacti_leakage(22),
)  # fmt: skip
JOUPPI = EnergyTable(
    "jouppi-7nm",
    "pJ",
    "N. Jouppi et al., ISCA 2021, table 2: 7 nm; DRAM: DDR4, 1300 pJ per 64 bits (HBM2: 250 to 450)",
    "widths between and beyond 8 and 32 bits follow power laws; memories beyond 8 KiB and 1 MiB cost what these do; no registers",
    jouppi_mac,
    jouppi_sram,
    1300 / 64,
    1300 / 64,
    None,
)
EYERISS = EnergyTable(
    "eyeriss-relative",
    "16-bit MACs",
    "Y.-H. Chen et al., Eyeriss: 16-bit multiply-accumulate and register file 1, global buffer of 100 KB 6, DRAM 200 per word",
    "other widths in proportion to bits, products to both widths; any memory beyond 1 KiB is a global buffer",
    eyeriss_mac,
    eyeriss_sram,
    200 / 16,
    200 / 16,
    None,
)
ZIGZAG = EnergyTable(
    "zigzag-tpu_like",
    "pJ",
    "ZigZag, inputs/hardware/tpu_like.yaml: MAC 0.04, registers 0.021 per access of 16 bits, DRAM 700 and 750 per 64 bits",
    "any memory beyond 1 KiB costs per bit what the one of 2 MiB does; the MAC is taken as 8 x 8 bits",
    zigzag_mac,
    zigzag_sram,
    700 / 64,
    750 / 64,
    2 * 0.021 / 16,
)

TABLES = (HOROWITZ, ACCELERGY, CACTI_32, CACTI_22, JOUPPI, EYERISS, ZIGZAG)
"""In the order of reports."""
