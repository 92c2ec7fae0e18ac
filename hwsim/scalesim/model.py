"""A layer in SCALE-Sim 3's way: every figure of its reports, in its "CALC" mode, which never stalls."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from hwsim.scalesim.config import Config
from hwsim.scalesim.defects import reported_cycles, reported_ofmap_writes
from hwsim.scalesim.drain import WriteTimes, drain
from hwsim.scalesim.folds import Folds
from hwsim.scalesim.layer import Layer
from hwsim.scalesim.replay import Replay, filter_operand, ifmap_operand, replay
from hwsim.spec import require

PREFETCH_WORDS_PER_CYCLE = 10
"""A constant of the code, whatever the file says."""
SETS = 50
"""Of a read buffer, in the half that can be hit."""
MOST_WORDS, MOST_READS, MOST_FOLDS = 1 << 29, 10**11, 1 << 22
"""Of an operand, of all operands by the array, and of a layer: beyond, a replay takes too much memory or too many minutes."""


@dataclass(frozen=True, slots=True)
class Access:
    """Accesses of one operand at one memory: the cycles of the first and the last (negative: before the array starts), words."""

    start_cycle: int
    stop_cycle: int
    words: int

    @property
    def bandwidth(self) -> float:
        """Words per cycle while it is accessed."""
        return self.words / float(self.stop_cycle - self.start_cycle + 1)


@dataclass(frozen=True, slots=True)
class LayerResult:
    """What SCALE-Sim 3 reports of a layer.

    Parameters
    ----------
    layer, folds
        What was run.
    sram, dram
        Reads of activations, reads of weights, writes of outputs.
    """

    layer: Layer
    folds: Folds
    sram: tuple[Access, Access, Access]
    dram: tuple[Access, Access, Access]

    @property
    def cycles(self) -> int:
        """Its "Total Cycles"."""
        return reported_cycles(self.folds)

    @property
    def cycles_with_prefetch(self) -> int:
        """From the first DRAM read, before the array starts, to the last DRAM write."""
        return self.dram[2].stop_cycle - min(self.dram[0].start_cycle, self.dram[1].start_cycle)

    @property
    def utilization_percent(self) -> float:
        """Products per element and cycle."""
        return (self.layer.macs * 100) / (self.cycles * (self.folds.rows * self.folds.cols))

    @property
    def mapping_efficiency_percent(self) -> float:
        """Share of the array that the folds occupy."""
        return self.folds.mapping_efficiency * 100

    @property
    def compute_utilization_percent(self) -> float:
        """Its "Compute Util %"."""
        return self.folds.compute_utilization * 100


def simulate(layers: Iterable[Layer], config: Config) -> list[LayerResult]:
    """Return SCALE-Sim 3's figures of each layer on a machine; equal layers are computed once.

    Raises
    ------
    InputError
        Where SCALE-Sim itself would divide by zero: a buffer so small that it is full twice in a cycle, or an array and a layer
        of one element. For a layer that is too large to be replayed.
    """
    known: dict[Layer, LayerResult] = {}
    results = []
    for layer in layers:
        shape = replace(layer, name="")
        if shape not in known:
            known[shape] = _simulate(layer, config)
        results.append(replace(known[shape], layer=layer))
    return results


def _simulate(layer: Layer, config: Config) -> LayerResult:
    folds = Folds.of(layer, config)
    require(folds.cycles > 1, f"{layer.name}: cycles", "2 or more (SCALE-Sim divides by one less)", folds.cycles)
    words = max(layer.ifmap_height * layer.ifmap_width * layer.channels, layer.window * layer.filters, layer.pixels)
    for what, number, most in (
        ("words of an operand", words, MOST_WORDS),
        ("SRAM reads", folds.ifmap_reads + folds.filter_reads, MOST_READS),
        ("folds", folds.number, MOST_FOLDS),
    ):
        require(number <= most, f"{layer.name}: {what}", f"at most {most}", number)
    # The stationary operand is loaded; the others stream in, along the rows but for the weights of an output stationary array.
    ifmap = replay(
        ifmap_operand(layer), folds, _set_words(config.ifmap_kb) * SETS, stays=folds.dataflow == "is", by_columns=False
    )
    weights = replay(
        filter_operand(layer), folds, _set_words(config.filter_kb) * SETS, stays=folds.dataflow == "ws",
        by_columns=folds.dataflow == "os",
    )  # fmt: skip
    writes = WriteTimes(folds)
    drained = drain(folds, config.ofmap_kb)
    # A read is answered a cycle later, a write at once.
    return LayerResult(
        layer,
        folds,
        (
            Access(ifmap.first_request + 1, ifmap.last_request + 1, folds.ifmap_reads),
            Access(weights.first_request + 1, weights.last_request + 1, folds.filter_reads),
            Access(writes.first, writes.last, reported_ofmap_writes(folds)),
        ),
        (
            _dram_reads(layer, ifmap, _set_words(config.ifmap_kb), "IfmapSramSzkB", config.ifmap_kb),
            _dram_reads(layer, weights, _set_words(config.filter_kb), "FilterSramSzkB", config.filter_kb),
            Access(drained.start, drained.stop, drained.writes),
        ),
    )


def _set_words(buffer_kb: int) -> int:
    return 1024 * buffer_kb // 100


def _dram_reads(layer: Layer, found: Replay, set_words: int, field: str, buffer_kb: int) -> Access:
    """Return when a read buffer is filled.

    The first filling ends before its first word is asked for, and takes as long as all of it (or all sets that are ever in use)
    does at 10 words per cycle; each of the others takes the time between the two before it.
    """
    require(
        not found.stuck, field, f"larger: with {layer.name!r} it is full twice in one cycle, where SCALE-Sim divides by zero",
        buffer_kb,
    )  # fmt: skip
    if found.drops:
        filling = math.ceil(SETS * set_words / PREFETCH_WORDS_PER_CYCLE)
        return Access(found.first_request - filling, found.last_drop + 1, found.reads)
    filling = math.ceil(-(-found.reads // set_words) * set_words / PREFETCH_WORDS_PER_CYCLE)
    return Access(-filling, -1, found.reads)
