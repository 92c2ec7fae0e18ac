"""Addresses of a `GemmCore`'s registers: what drivers, benches and the hardware itself share. See ``docs/rtl-core.md``."""

from __future__ import annotations

from hwsim.spec.core import Core
from hwsim.spec.memory import Dataflow

ADDRESS_BITS = 8
"""Width of the addresses of the AXI4-Lite port."""

ID_WORD = 0x4857534D
"""What the register ID reads as: "HWSM"."""

VERSION_WORD = 1
"""What the register VERSION reads as."""

REGISTERS: dict[str, int] = {
    "ID": 0x00,
    "VERSION": 0x04,
    "GEOMETRY": 0x08,
    "CONTROL": 0x0C,
    "STATUS": 0x10,
    "PIXELS": 0x14,
    "K_TILES": 0x18,
    "OUTPUT_TILES": 0x1C,
    "ACTIVATION_ZERO_POINT": 0x20,
    "OUTPUT_ZERO_POINT": 0x24,
    "CLAMP_LO": 0x28,
    "CLAMP_HI": 0x2C,
    "ROUNDING": 0x30,
}
"""Byte address by name, of all but the counters."""

SETTINGS: tuple[str, ...] = (
    "PIXELS",
    "K_TILES",
    "OUTPUT_TILES",
    "ACTIVATION_ZERO_POINT",
    "OUTPUT_ZERO_POINT",
    "CLAMP_LO",
    "CLAMP_HI",
    "ROUNDING",
)
"""Registers that describe a job: zero after a reset, written before a start."""

CONTROL_START = 1
"""Bit of CONTROL."""

STATUS_BUSY, STATUS_DONE = 1, 2
"""Bits of STATUS."""

COUNTERS: tuple[str, ...] = (
    "CYCLES",
    "SLOTS",
    "WAIT_WEIGHTS",
    "WAIT_OUTLIERS",
    "WAIT_ACTIVATIONS",
    "WAIT_RESULTS",
    "BEATS_WEIGHTS",
    "BEATS_ACTIVATIONS",
    "BEATS_OUTLIERS",
    "BEATS_RESULTS",
    "TREE_ABOVE",
    "TREE_BELOW",
    "PSUM_ABOVE",
    "PSUM_BELOW",
    "ACC_ABOVE",
    "ACC_BELOW",
)
"""Counters in the order of their addresses."""

COUNTER_BITS = 48
"""Width of a counter; it wraps."""

COUNTERS_BASE = 0x40
"""Address of the first counter's low word."""


def counter_address(name: str) -> int:
    """Return the address of a counter's low word; its high word is 4 above.

    Raises
    ------
    ValueError
        If there is no counter of that name.
    """
    return COUNTERS_BASE + 8 * COUNTERS.index(name)


def geometry_word(core: Core) -> int:
    """Return what the register GEOMETRY of a core reads as."""
    dataflow = int(core.dataflow is Dataflow.OUTPUT_STATIONARY)
    return core.rows | core.cols << 8 | core.lanes % 256 << 16 | dataflow << 31
