"""What the AXI4-Lite port of a `GemmCore` has to answer, right or wrong: checks for a bench, as ``docs/rtl-core.md`` states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hwsim.cosim.gemm_core_driver import Driver
from hwsim.cosim.streams import JobStreams
from hwsim.spec import Core, Dataflow, Profile, ZeroPoints
from hwsim.spec.register_map import (
    ADDRESS_BITS,
    CONTROL_START,
    COUNTERS,
    ID_WORD,
    REGISTERS,
    SETTINGS,
    STATUS_BUSY,
    VERSION_WORD,
    counter_address,
    geometry_word,
)

MOST_TILES = 65535


async def check_after_reset(driver: Driver, core: Core) -> None:
    """Constants read as documented, everything else as zero."""
    constants = {"ID": ID_WORD, "VERSION": VERSION_WORD, "GEOMETRY": geometry_word(core)}
    for name in REGISTERS:
        expect(await driver.read(name), constants.get(name, 0), f"{name} after a reset")
    for name in COUNTERS:
        for half in (0, 4):
            expect(await driver.lite.read(counter_address(name) + half), (0, "OKAY"), f"{name} after a reset")


async def check_refusals(driver: Driver) -> None:
    """Unknown addresses and writes to what is read only."""
    counters = {counter_address(name) + half for name in COUNTERS for half in (0, 4)}
    known = set(REGISTERS.values()) | counters
    for address in range(0, 1 << ADDRESS_BITS, 4):
        if address not in known:
            expect(await driver.lite.read(address), (0, "SLVERR"), f"reading {address:#x}")
    read_only = {REGISTERS[name] for name in ("ID", "VERSION", "GEOMETRY", "STATUS")} | counters
    for address in sorted(read_only | {0x34, (1 << ADDRESS_BITS) - 4}):
        expect(await driver.lite.write(address, 0xFFFFFFFF), "SLVERR", f"writing {address:#x}")
    expect(await driver.read("ID"), ID_WORD, "ID after writing it")


async def check_strobes(driver: Driver) -> None:
    """Each byte of a register is written alone, and none without its strobe."""
    for name in SETTINGS:
        word = 0
        for strobe, data in (
            (0xF, 0x11223344),
            (0x1, 0xAAAAAAAA),
            (0x4, 0xBBBBBBBB),
            (0xA, 0xCCCCCCCC),
            (0x0, 0xDDDDDDDD),
        ):
            for byte in range(4):
                if strobe >> byte & 1:
                    word = word & ~(0xFF << 8 * byte) | data & 0xFF << 8 * byte
            expect(
                await driver.lite.write(REGISTERS[name], data, strobe), "OKAY", f"writing {name}, strobe {strobe:#x}"
            )
            expect(await driver.read(name), word, f"{name} after strobe {strobe:#x}")


async def check_starts(driver: Driver, core: Core, legal: Mapping[str, int]) -> None:
    """A start with any register out of range is refused, and the job that it would have been does not run."""
    for wrong in illegal_settings(core, legal):
        for name, value in {**legal, **wrong}.items():
            await driver.write(name, value)
        answer = await driver.lite.write(REGISTERS["CONTROL"], CONTROL_START)
        expect(answer, "SLVERR", f"a start with {wrong}")
        expect(await driver.read("STATUS") & STATUS_BUSY, 0, f"busy after a start with {wrong}")
    for name, value in legal.items():
        await driver.write(name, value)
    for data, strobe in ((0, 0xF), (CONTROL_START, 0xE), (0xFFFFFFFE, 0xF)):
        expect(await driver.lite.write(REGISTERS["CONTROL"], data, strobe), "OKAY", f"{data:#x} to CONTROL")
        expect(await driver.read("STATUS") & STATUS_BUSY, 0, f"busy after {data:#x} to CONTROL, strobe {strobe:#x}")


async def check_busy(driver: Driver, job: JobStreams) -> None:
    """While a job runs, here one that gets no results away, every write is refused and changes nothing."""
    await driver.start(job)
    expect(await driver.read("STATUS"), STATUS_BUSY, "STATUS after a start")
    for name in (*SETTINGS, "CONTROL"):
        before = await driver.read(name)
        expect(await driver.lite.write(REGISTERS[name], CONTROL_START), "SLVERR", f"writing {name} while busy")
        expect(await driver.read(name), before, f"{name} after a write while busy")
    expect(await driver.read("STATUS"), STATUS_BUSY, "STATUS while results wait")


def illegal_settings(core: Core, legal: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Yield registers that do not allow a start, just out of range; what a configuration does not use may be anything."""
    if core.dataflow is Dataflow.WEIGHT_STATIONARY:
        yield from ({"PIXELS": value} for value in (0, core.pixels + 1, -1))
    for name in ("K_TILES", "OUTPUT_TILES"):
        yield from ({name: value} for value in (0, MOST_TILES + 1, -1))
    if core.arithmetic.reduction.zero_points is ZeroPoints.SUBTRACT:
        limits = core.activation.lo - 1, core.activation.hi + 1
        yield from ({"ACTIVATION_ZERO_POINT": value} for value in limits)
    if core.output is None:
        return
    low, high = core.output.lo, core.output.hi
    yield from ({"OUTPUT_ZERO_POINT": value} for value in (low - 1, high + 1))
    yield from ({"CLAMP_LO": low - 1}, {"CLAMP_HI": high + 1}, {"CLAMP_LO": low + 1, "CLAMP_HI": low})
    yield {"ROUNDING": 2 if core.arithmetic.profile is Profile.TFLITE else 1}


def expect(got: object, wanted: object, what: str) -> None:
    """Raise AssertionError unless the two are equal."""
    if got != wanted:
        raise AssertionError(f"mismatch: {what} is {got}, documented is {wanted}")
