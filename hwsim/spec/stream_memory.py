"""The memory in front of a `GemmCore`'s ports: what its time model, its benches and its drivers share.

``docs/rtl-core.md`` ("Memory in front of the ports") says what it does in which cycle.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hwsim.spec.core import Core
from hwsim.spec.errors import require, within

MEMORY_PORTS = ("weights", "outliers", "activations", "results")
"""The core's streams, in the order in which requests of the same cycle are served."""

MOST_LATENCY = 1_000_000
MOST_BEATS = 65536
MOST_RATIO = 1_000_000
"""The largest numerator, and denominator, of a bandwidth."""


@dataclass(frozen=True, slots=True)
class StreamMemory:
    """A memory of constant latency behind a bus of constant bandwidth, with a FIFO for each port of the core.

    Parameters
    ----------
    latency_cycles
        From the cycle in which the last byte of a beat crosses the bus to that in which the core can take it, 0..1000000.
    bytes_per_cycle
        Of the bus that all ports share, as an exact ratio. What a long job does repeats the sooner, and is predicted the faster,
        the smaller the terms are.
    write_bytes_per_cycle
        Of a bus that results have for themselves; None: they share the other one.
    weight_beats, outlier_beats, activation_beats
        Places of the prefetch FIFOs, 1..65536: so many beats of a port are under way or waiting at most. A port of one beat per
        cycle needs ``latency_cycles + 1``.
    result_beats
        Places of the write buffer, 1..65536.
    """

    latency_cycles: int = 0
    bytes_per_cycle: Fraction = Fraction(16)
    write_bytes_per_cycle: Fraction | None = None
    weight_beats: int = 64
    outlier_beats: int = 64
    activation_beats: int = 64
    result_beats: int = 64

    def __post_init__(self) -> None:
        require(
            within(self.latency_cycles, range(MOST_LATENCY + 1)),
            "latency_cycles", f"an integer from 0 to {MOST_LATENCY}", self.latency_cycles,
        )  # fmt: skip
        for name in ("bytes_per_cycle", "write_bytes_per_cycle"):
            ratio = getattr(self, name)
            if ratio is not None or name == "bytes_per_cycle":
                allowed = f"a positive ratio of integers up to {MOST_RATIO}"
                require(isinstance(ratio, Fraction) and _is_ratio(ratio), name, allowed, ratio)
        for name in ("weight_beats", "outlier_beats", "activation_beats", "result_beats"):
            places = getattr(self, name)
            require(within(places, range(1, MOST_BEATS + 1)), name, f"an integer from 1 to {MOST_BEATS}", places)

    @property
    def places(self) -> tuple[int, ...]:
        """Beats that find room, by port in the order of `MEMORY_PORTS`."""
        return self.weight_beats, self.outlier_beats, self.activation_beats, self.result_beats

    @property
    def bandwidths(self) -> tuple[Fraction, Fraction]:
        """Bytes per cycle of the bus that weights, outliers and activations use, and of that of results."""
        return self.bytes_per_cycle, self.write_bytes_per_cycle or self.bytes_per_cycle

    def bus_costs(self, core: Core) -> tuple[int, ...]:
        """Return what a beat of each port takes of its bus, in units of which a cycle has `bus_units`."""
        reads, writes = (bandwidth.denominator for bandwidth in self.bandwidths)
        weights, outliers, activations, results = beat_bytes(core)
        return weights * reads, outliers * reads, activations * reads, results * writes

    @property
    def bus_units(self) -> tuple[int, int]:
        """Units that the bus of the inputs, and that of the results, carries in a cycle."""
        reads, writes = self.bandwidths
        return reads.numerator, writes.numerator


def beat_bytes(core: Core) -> tuple[int, ...]:
    """Return the bytes of a beat by port, in the order of `MEMORY_PORTS`; of outliers also where a core has none."""
    bits = core.weight_packing, core.activation_packing, core.result_packing
    weights, activations, results = (packing.bus_bits // 8 for packing in bits)
    return weights, core.outlier_bus_bits // 8, activations, results


def _is_ratio(value: Fraction) -> bool:
    return 0 < value.numerator <= MOST_RATIO and value.denominator <= MOST_RATIO
