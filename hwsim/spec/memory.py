"""The memory of a machine: buffers beside the array, and how the external memory is reached."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from hwsim.spec.errors import require, within

SRAM_BYTES = range(1, (1 << 40) + 1)
"""Sizes that a buffer may have."""


class Dataflow(enum.Enum):
    """What stays in the processing elements while the rest moves past."""

    WEIGHT_STATIONARY = "weight_stationary"
    OUTPUT_STATIONARY = "output_stationary"
    INPUT_STATIONARY = "input_stationary"


BUILT_DATAFLOWS = (Dataflow.WEIGHT_STATIONARY, Dataflow.OUTPUT_STATIONARY)
"""Those that the RTL has."""


class Fusion(enum.Enum):
    """Whether layers may be executed together."""

    NONE = "none"
    DEPTH_FIRST = "depth_first"


@dataclass(frozen=True, slots=True)
class Memory:
    """Buffers on the chip, and transfers to and from the DRAM. The bandwidth is the accelerator's ``dram_bytes_per_cycle``.

    Parameters
    ----------
    sram_bytes
        One buffer for everything, or None where each operand has its own.
    weight_sram_bytes, activation_sram_bytes, result_sram_bytes
        Buffers of weights (with biases and scales), of activations that are read, and of results on their way to the DRAM;
        given together, and instead of `sram_bytes`.
    double_buffered
        Whether the next tile is loaded, and the last one stored, while the array works on a tile. Of an operand that
        comes in several tiles, two are then held.
    dram_latency_cycles
        From the start of a tile's transfer to its first byte, 0..1e6.
    direct
        No buffers at all: the array's ports are at the DRAM, behind the FIFOs of `hwsim.spec.StreamMemory`. The sizes, bursts and
        `double_buffered` are then not used.
    burst_bytes
        A transfer moves whole bursts, and each of its runs of neighbouring bytes begins with one; 1..4096.
    fusion
        ``depth_first``: consecutive layers are executed together, some lines at a time, where that moves fewer bytes.
    prefetch_weights
        Whether the first weights of the next layer are loaded while a layer computes, where there is room; only with
        `double_buffered`.
    """

    sram_bytes: int | None = None
    weight_sram_bytes: int | None = None
    activation_sram_bytes: int | None = None
    result_sram_bytes: int | None = None
    double_buffered: bool = True
    dram_latency_cycles: int = 32
    burst_bytes: int = 32
    direct: bool = False
    fusion: Fusion = Fusion.NONE
    prefetch_weights: bool = False

    def __post_init__(self) -> None:
        own = {
            "weight_sram_bytes": self.weight_sram_bytes,
            "activation_sram_bytes": self.activation_sram_bytes,
            "result_sram_bytes": self.result_sram_bytes,
        }
        given = [name for name, size in own.items() if size is not None]
        if self.sram_bytes is None and not given:
            object.__setattr__(self, "sram_bytes", DEFAULT_SRAM_BYTES)
        require(
            len(given) == (0 if self.sram_bytes is not None else 3), "SRAM sizes",
            "either sram_bytes, or weight_sram_bytes, activation_sram_bytes and result_sram_bytes",
            " and ".join([*(["sram_bytes"] if self.sram_bytes is not None else []), *given]),
        )  # fmt: skip
        for name, size in (("sram_bytes", self.sram_bytes), *own.items()):
            if size is not None:
                require(within(size, SRAM_BYTES), name, "an integer from 1 to 2**40", size)
        require(
            within(self.dram_latency_cycles, range(1_000_001)), "dram_latency_cycles", "an integer from 0 to 1000000",
            self.dram_latency_cycles,
        )  # fmt: skip
        require(within(self.burst_bytes, range(1, 4097)), "burst_bytes", "an integer from 1 to 4096", self.burst_bytes)

        require(
            self.double_buffered or not self.prefetch_weights, "prefetch_weights", "false without double_buffered",
            self.prefetch_weights,
        )  # fmt: skip

    @property
    def total_bytes(self) -> int:
        """All buffers together."""
        if self.direct:
            return 0
        own = (self.weight_sram_bytes, self.activation_sram_bytes, self.result_sram_bytes)
        return self.sram_bytes if self.sram_bytes is not None else sum(size or 0 for size in own)

    def __str__(self) -> str:
        if self.direct:
            return f"no buffers: ports at the DRAM, latency {self.dram_latency_cycles} cycles"
        if self.sram_bytes is not None:
            sizes = f"{self.sram_bytes} bytes of SRAM"
        else:
            sizes = (
                f"{self.weight_sram_bytes}, {self.activation_sram_bytes} and {self.result_sram_bytes} bytes of SRAM "
                "for weights, activations and results"
            )
        return (
            f"{sizes}, {'double' if self.double_buffered else 'single'} buffered; DRAM latency "
            f"{self.dram_latency_cycles} cycles, bursts of {self.burst_bytes} bytes"
            f"{'; layers depth first' if self.fusion is Fusion.DEPTH_FIRST else ''}"
            f"{'; weights prefetched' if self.prefetch_weights else ''}"
        )


DEFAULT_SRAM_BYTES = 256 << 10
"""Of one buffer for everything, where a machine does not say."""
