"""`hwsim.memory.energy`: the tables give back what their sources print, and results are counts times energies."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.memory.energy import TABLES, Energy, Events, Macs, SramAccesses, energies
from hwsim.memory.energy_tables import ACCELERGY, CACTI_22, CACTI_32, EYERISS, HOROWITZ, JOUPPI, ZIGZAG, EnergyTable
from hwsim.spec import InputError


def one(table: EnergyTable, events: Events) -> Energy:
    (result,) = energies(events, (table,))
    return result


@pytest.mark.parametrize(
    ("bits", "multiply", "add"), [(8, 0.2, 0.025), (32, 3.1, 0.1)], ids=str
)  # fmt: skip
def test_horowitz_products_and_sums(bits: int, multiply: float, add: float) -> None:
    """ISSCC 2014: multiply 0.2 (8 bits) and 3.1 (32); add 0.1 (32); for 8 bits the fit has 0.025 where the talk prints 0.03."""
    assert math.isclose(HOROWITZ.mac(bits, bits, bits) or 0, multiply + add, rel_tol=1e-6)


@pytest.mark.parametrize(("kib", "read"), [(8, 10), (32, 20), (1024, 100)])
def test_horowitz_memories(kib: int, read: float) -> None:
    """ISSCC 2014: 64 bits of these memories."""
    assert math.isclose(HOROWITZ.sram(1024 * kib, 64, False) or 0, read, rel_tol=1e-5)


@pytest.mark.parametrize(
    ("table", "kib", "bits", "read", "write"),
    [
        (ACCELERGY, 8, 64, 5.28833, 6.50229), (ACCELERGY, 2048, 256, 274.238, 257.02), (CACTI_32, 256, 64, 19.0932, 15.2256),
        (CACTI_22, 2, 64, 0.603036, 0.897205), (CACTI_22, 1024, 256, 54.6349, 49.3991),
    ],
)  # fmt: skip
def test_cacti_memories(table: EnergyTable, kib: int, bits: int, read: float, write: float) -> None:
    """The csv of CACTI's runs; 512-bit words are two accesses of 256, 8-bit words one of 64."""
    assert math.isclose(table.sram(1024 * kib, bits, False) or 0, read, rel_tol=1e-5)
    assert math.isclose(table.sram(1024 * kib, bits, True) or 0, write, rel_tol=1e-5)
    several = bits * 2 if bits == 256 else 8
    assert math.isclose(table.sram(1024 * kib, several, False) or 0, read * (2 if bits == 256 else 1), rel_tol=1e-5)


def test_aladdin_jouppi_eyeriss_zigzag() -> None:
    """Aladdin 32 bits: 12.68 + 0.21. Jouppi 8 bits: 0.07 + 0.007, 32: 1.48 + 0.03; memories 7.5, 8.5, 14. ZigZag: 2 MiB."""
    assert math.isclose(ACCELERGY.mac(32, 32, 32) or 0, 12.89)
    assert math.isclose(JOUPPI.mac(8, 8, 8) or 0, 0.077)
    assert math.isclose(JOUPPI.mac(32, 32, 32) or 0, 1.51)
    for kib, energy in ((8, 7.5), (32, 8.5), (1024, 14)):
        assert math.isclose(JOUPPI.sram(1024 * kib, 64, False) or 0, energy)
    assert EYERISS.mac(16, 16, 16) == 1
    assert [EYERISS.sram(512, 16, False), EYERISS.sram(100 * 1024, 16, True)] == [1, 6]
    assert [ZIGZAG.mac(8, 8, 16), ZIGZAG.sram(2 << 20, 2048, False), ZIGZAG.sram(2 << 20, 2048, True)] == [
        0.04,
        416.16,
        378.4,
    ]


def test_a_small_case_by_hand() -> None:
    """1000 MACs of 0.2 + 0.1 pJ; 10 reads and 5 writes of 20 pJ; 128 bits of 20.3125 pJ; registers: no number.

    Accelergy: 8 bits 12.68 / 16 + 0.21; 10 * 14.9248 + 5 * 12.6898; 128 * 8; 100 * 0.009; 37.0765 mW for a microsecond.
    """
    memory = SramAccesses("weights", 32 * 1024, 64, 10, 5)
    events = Events((Macs(1000, 8, 8),), (memory,), 64, 64, 100, 1e-6)
    horowitz, accelergy = one(HOROWITZ, events), one(ACCELERGY, events)
    assert horowitz.missing == ("registers",)
    assert horowitz.leakage is None
    assert math.isclose(horowitz.total, 300 + 300 + 2600, rel_tol=1e-6)
    assert accelergy.missing == ()
    assert math.isclose(accelergy.total, 792.5 + 210 + 149.248 + 63.449 + 1024 + 0.9, rel_tol=1e-6)
    assert math.isclose(accelergy.leakage or 0, 37076.5, rel_tol=1e-6)


def test_what_did_not_happen_is_zero_in_every_table() -> None:
    for result in energies(Events()):
        assert (result.total, result.missing) == (0, ())


@given(st.sampled_from(TABLES), st.integers(2, 16), st.integers(2, 16), st.integers(8, 48))
def test_wider_operands_cost_more(table: EnergyTable, weight: int, activation: int, acc: int) -> None:
    energy = table.mac(weight, activation, acc)
    wider = table.mac(weight + 1, activation, acc)
    assert (energy is None) == (wider is None)
    if energy is not None and wider is not None:
        assert 0 < energy < wider


@given(st.sampled_from(TABLES), st.integers(1, 1 << 24), st.integers(1, 512), st.booleans())
def test_larger_memories_cost_no_less(table: EnergyTable, capacity: int, bits: int, write: bool) -> None:
    small, large = table.sram(capacity, bits, write), table.sram(2 * capacity, bits, write)
    assert small is not None and large is not None
    assert 0 < small <= large * (1 + 1e-12)


def test_every_table_says_where_it_is_from() -> None:
    assert len({table.name for table in TABLES}) == len(TABLES) >= 3
    assert all(table.source and table.stretched and table.unit for table in TABLES)


def test_counts_below_zero_are_an_error() -> None:
    with pytest.raises(InputError, match="counts of events must be 0 or more, not -1"):
        Events(dram_read_bits=-1)
    with pytest.raises(InputError, match="widths and capacities must be positive, not 0"):
        Events((Macs(1, 0, 8),))
