"""The machine: a MAC array, how it sums and rounds, its clock and its memory interface."""

from __future__ import annotations

from dataclasses import dataclass, field

from hwsim.spec.errors import require, within
from hwsim.spec.reduction import Reduction
from hwsim.spec.requantization import Profile


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What decides values, and nothing else: two machines with equal arithmetic compute equal bits."""

    reduction: Reduction = field(default_factory=Reduction)
    profile: Profile = Profile.TFLITE


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A hardware configuration.

    Parameters
    ----------
    name
        Shown in reports.
    rows, cols
        Size of the MAC array, 1..4096 each.
    clock_hz
        Clock frequency in Hz.
    dram_bytes_per_cycle
        Bandwidth of the external memory, bytes per clock cycle.
    arithmetic
        How it sums and rounds.
    """

    name: str = "custom"
    rows: int = 16
    cols: int = 16
    clock_hz: float = 200e6
    dram_bytes_per_cycle: float = 8.0
    arithmetic: Arithmetic = field(default_factory=Arithmetic)

    def __post_init__(self) -> None:
        require(within(self.rows, range(1, 4097)), "rows", "an integer from 1 to 4096", self.rows)
        require(within(self.cols, range(1, 4097)), "cols", "an integer from 1 to 4096", self.cols)
        require(0 < self.clock_hz <= 1e12, "clock_hz", "positive and at most 1e12", self.clock_hz)
        require(
            0 < self.dram_bytes_per_cycle <= 1e6,
            "dram_bytes_per_cycle",
            "positive and at most 1e6",
            self.dram_bytes_per_cycle,
        )


PRESETS: tuple[Accelerator, ...] = (
    Accelerator(name="edge-16x16"),
    Accelerator(name="micro-4x4", rows=4, cols=4, clock_hz=50e6, dram_bytes_per_cycle=1.0),
    Accelerator(name="server-128x128", rows=128, cols=128, clock_hz=700e6, dram_bytes_per_cycle=48.0),
)
"""Ready configurations with 32-bit wrapping accumulators; the first is the default."""
