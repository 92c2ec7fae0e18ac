"""Energy of counted events under several published tables, side by side.

The events are exact counts; the tables differ by factors of 4 to 10, which is why none of them is *the* energy. No table has
wires, networks on chip, clock trees or control. What one table has no number for stays empty in its result and is named; it is
never zero. Energies are in pJ, except in a table of relative numbers, whose `unit` says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.memory.energy_tables import TABLES, EnergyTable
from hwsim.spec import require

PARTS = ("macs", "sram", "dram", "registers")


@dataclass(frozen=True, slots=True)
class Macs:
    """Multiply-accumulates of one kind: how many, and the bits of weight, activation and accumulator."""

    number: int
    weight_bits: int
    activation_bits: int
    acc_bits: int = 32


@dataclass(frozen=True, slots=True)
class SramAccesses:
    """Accesses of one on-chip memory.

    Parameters
    ----------
    name
        In reports.
    capacity_bytes, word_bits
        Of the memory: its energy per access follows from both.
    reads, writes
        Whole words.
    """

    name: str
    capacity_bytes: int
    word_bits: int
    reads: int
    writes: int


@dataclass(frozen=True, slots=True)
class Events:
    """What happened: all that energy is computed from.

    Parameters
    ----------
    macs, sram
        By kind, by memory.
    dram_read_bits, dram_write_bits
        Over the memory interface.
    register_bits
        Bits written into pipeline registers, each with the read that follows.
    seconds
        How long it took, for leakage; None leaves that out.
    """

    macs: tuple[Macs, ...] = ()
    sram: tuple[SramAccesses, ...] = ()
    dram_read_bits: int = 0
    dram_write_bits: int = 0
    register_bits: int = 0
    seconds: float | None = None

    def __post_init__(self) -> None:
        counts = [kind.number for kind in self.macs] + [count for ram in self.sram for count in (ram.reads, ram.writes)]
        counts += [self.dram_read_bits, self.dram_write_bits, self.register_bits]
        require(min(counts, default=0) >= 0, "counts of events", "0 or more", min(counts, default=0))
        sizes = [bits for kind in self.macs for bits in (kind.weight_bits, kind.activation_bits, kind.acc_bits)]
        sizes += [size for ram in self.sram for size in (ram.capacity_bytes, ram.word_bits)]
        require(min(sizes, default=1) >= 1, "widths and capacities", "positive", min(sizes, default=1))


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy of some events under one table, in the table's unit; None for what the table has no number for.

    Parameters
    ----------
    table
        Where the numbers are from.
    macs, sram, dram, registers
        Dynamic energy.
    leakage
        Of the memories over the time, where both are known. Not in `total`.
    """

    table: EnergyTable
    macs: float | None
    sram: float | None
    dram: float | None
    registers: float | None
    leakage: float | None

    @property
    def missing(self) -> tuple[str, ...]:
        """The parts without a number."""
        return tuple(part for part in PARTS if getattr(self, part) is None)

    @property
    def total(self) -> float:
        """The sum of the parts that have a number; compare it between tables only where `missing` is equal."""
        return math.fsum(getattr(self, part) or 0.0 for part in PARTS)


def energies(events: Events, tables: Sequence[EnergyTable] = TABLES) -> tuple[Energy, ...]:
    """Return the energy of the same events under each table.

    A part without events is 0 in every table.
    """
    return tuple(_energy(events, table) for table in tables)


def _energy(events: Events, table: EnergyTable) -> Energy:
    return Energy(
        table,
        _sum([
            (kind.number, table.mac(kind.weight_bits, kind.activation_bits, kind.acc_bits)) for kind in events.macs
        ]),
        _sum([
            (count, table.sram(ram.capacity_bytes, ram.word_bits, write))
            for ram in events.sram
            for count, write in ((ram.reads, False), (ram.writes, True))
        ]),
        _sum([(events.dram_read_bits, table.dram_read_bit), (events.dram_write_bits, table.dram_write_bit)]),
        _sum([(events.register_bits, table.register_bit)]),
        None if events.seconds is None else _leakage(events.sram, events.seconds, table),
    )  # fmt: skip


def _sum(counted: Sequence[tuple[int, float | None]]) -> float | None:
    """Return the sum of counts times energies; None where an energy of something that happened is not known."""
    happened = [(count, each) for count, each in counted if count]
    if any(each is None for _, each in happened):
        return None
    return math.fsum(count * each for count, each in happened if each is not None)


def _leakage(memories: Sequence[SramAccesses], seconds: float, table: EnergyTable) -> float | None:
    """Return pJ: a milliwatt for a second is a millijoule, 1e9 pJ."""
    powers = [table.sram_leakage_mw(ram.capacity_bytes, ram.word_bits) for ram in memories]
    if any(power is None for power in powers):
        return None
    return math.fsum(power * seconds * 1e9 for power in powers if power is not None)
