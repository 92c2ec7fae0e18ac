"""What there is to synthesize for: tools, devices, and which cells of a netlist take which part of a device."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hwsim.hardware.synthesis_tools import Tool
from hwsim.spec import require


@dataclass(frozen=True)
class Resource:
    """A kind of part that a device has.

    Parameters
    ----------
    name
        Such as ``lut``: the same for all targets.
    words
        In tables, plural.
    cells
        Regular expressions of cells of a netlist, and how many of the part each takes.
    capacity
        How many the device has, or None for parts that are not counted by themselves.
    bels
        What the report of place and route calls it, where there is one.
    """

    name: str
    words: str
    cells: Mapping[str, int]
    capacity: int | None
    bels: str | None = None

    def count(self, cells: Mapping[str, int]) -> int:
        """Return how many parts a netlist takes, from its cells by type."""
        return sum(
            number * each
            for pattern, each in self.cells.items()
            for cell, number in cells.items()
            if re.fullmatch(pattern, cell)
        )


@dataclass(frozen=True)
class Target:
    """A family of devices, and the one device that utilization and clock are reported for.

    Parameters
    ----------
    name
        On the command line.
    device
        With speed grade and package where they matter.
    synthesis, without_dsp
        The Yosys command, and what it needs to use no hardware multipliers.
    multiplier_bits
        Signed widths of both factors of a hardware multiplier, the wider first.
    resources
        What is counted.
    router
        Place and route, or None where there is only synthesis.
    router_options
        That choose the device.
    map_multipliers
        Yosys commands before `synthesis` that make hardware multipliers, where its own way is not taken.
    """

    name: str
    device: str
    synthesis: str
    without_dsp: str
    multiplier_bits: tuple[int, int]
    resources: tuple[Resource, ...]
    router: Tool | None = None
    router_options: tuple[str, ...] = ()
    map_multipliers: str = ""

    def resource(self, name: str) -> Resource:
        """Return the resource of a name."""
        return next(resource for resource in self.resources if resource.name == name)


ECP5 = Target(
    "ecp5", "LFE5U-85F-6, CABGA381", "synth_ecp5", "-nodsp", (18, 18),
    (
        # A carry cell is two LUTs with their carry logic, a distributed RAM four LUTs (and a slice's write port).
        Resource("lut", "LUTs", {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4}, 83640, "TRELLIS_COMB"),
        Resource("carry", "carry cells (two LUTs each)", {"CCU2C": 1}, None),
        Resource("lutram", "distributed RAMs (16 x 4 bits)", {"TRELLIS_DPR16X4": 1}, 10455, "TRELLIS_RAMW"),
        Resource("ff", "flip-flops", {"TRELLIS_FF": 1}, 83640, "TRELLIS_FF"),
        Resource("dsp", "multipliers (18 x 18)", {"MULT18X18D": 1}, 156, "MULT18X18D"),
        Resource("bram", "block RAMs (18 Kbit)", {"DP16KD": 1}, 208, "DP16KD"),
    ),
    # Its other router takes as long again for a full device, and gives a slower clock.
    Tool.NEXTPNR_ECP5, ("--85k", "--package", "CABGA381", "--speed", "6", "--lpf-allow-unconstrained", "--router", "router2"),
)  # fmt: skip

ICE40 = Target(
    "ice40", "iCE40UP5K", "synth_ice40 -device u", "", (16, 16),
    (
        Resource("lut", "LUTs", {"SB_LUT4": 1}, 5280, "ICESTORM_LC"),
        Resource("carry", "carry cells", {"SB_CARRY": 1}, None),
        Resource("ff", "flip-flops", {"SB_DFF.*": 1}, 5280),
        Resource("dsp", "multipliers (16 x 16)", {"SB_MAC16": 1}, 8, "ICESTORM_DSP"),
        Resource("bram", "block RAMs (4 Kbit)", {"SB_RAM40_4K.*": 1}, 30, "ICESTORM_RAM"),
    ),
    Tool.NEXTPNR_ICE40, ("--up5k", "--package", "sg48", "--pcf-allow-unconstrained"),
    # As `synth_ice40 -dsp` does, but for the pass ice40_dsp of Yosys 0.66: of two registers behind a product it takes in one too
    # many, and leaves a constant in place of the product.
    "techmap -map +/mul2dsp.v -map +/ice40/dsp_map.v -D DSP_A_MAXWIDTH=16 -D DSP_B_MAXWIDTH=16 -D DSP_A_MINWIDTH=2 "
    "-D DSP_B_MINWIDTH=2 -D DSP_Y_MINWIDTH=11 -D DSP_NAME=$__MUL16X16; setattr -unset mul2dsp a:mul2dsp; "
    "chtype -set $mul t:$__soft_mul; ",
)  # fmt: skip

XILINX = Target(
    "xilinx", "XC7A100T", "synth_xilinx -family xc7 -noiopad", "-nodsp", (25, 18),
    (
        Resource("lut", "LUTs", {"LUT[1-6]": 1, "SRL16E|SRLC32E": 1, "RAM32M|RAM64M": 4, "RAM(32|64)X1D": 2}, 63400),
        Resource("carry", "carry cells (four bits each)", {"CARRY4": 1}, 15850),
        Resource("lutram", "distributed RAMs and shift registers", {"RAM.*[DM]|SRL.*": 1}, None),
        Resource("ff", "flip-flops", {"FD[CPRS]E(_1)?": 1}, 126800),
        Resource("dsp", "DSP slices (25 x 18)", {"DSP48E1": 1}, 240),
        Resource("bram", "block RAMs (18 Kbit)", {"RAMB18E1": 1, "RAMB36E1": 2}, 270),
    ),
)  # fmt: skip

TARGETS = {target.name: target for target in (ECP5, ICE40, XILINX)}


def target_of(name: str) -> Target:
    """Return the target of a name on the command line."""
    require(name in TARGETS, "--target", ", ".join(TARGETS), name)
    return TARGETS[name]
