# amaranth: UnusedElaboratable=no
"""The serial line: frames as bits, bit lengths that differ at both ends, frames that are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from rtl_mutation import put_mutant
from stream_sim import send, simulate

from hwsim.rtl import uart
from hwsim.rtl.uart import UartReceiver, UartTransmitter
from hwsim.spec import InputError

BYTES = (0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, 0x0D)


def frame(byte: int) -> list[int]:
    """Return the bits of a byte on the line, in order."""
    return [0, *(byte >> bit & 1 for bit in range(8)), 1]


def transmitted(payloads: Sequence[int], bit_cycles: int, gap: float = 0.0) -> list[int]:
    """Return what the line is in each cycle, from the first payload on."""
    dut, line = UartTransmitter(bit_cycles), []
    total = len(payloads) * 10 * bit_cycles

    async def source(ctx: Any) -> None:
        for payload in payloads:
            await send(ctx, dut.bytes, [payload], gap)

    async def sink(ctx: Any) -> None:
        for _ in range(3 * total):
            _, _, level = await ctx.tick().sample(dut.line)
            line.append(level)

    simulate(dut, source, sink)
    return line


def received(line: Sequence[int], bit_cycles: int) -> list[int]:
    """Return the bytes of a line that is given cycle by cycle, and then idle."""
    dut, found = UartReceiver(bit_cycles), []

    async def bench(ctx: Any) -> None:
        for level in [1] * 5 + [*line] + [1] * 3 * bit_cycles:
            ctx.set(dut.line, level)
            _, _, valid, byte = await ctx.tick().sample(dut.valid, dut.byte)
            if valid:
                found.append(byte)

    simulate(dut, bench)
    return found


def stretched(bits: Sequence[int], bit_cycles: float) -> list[int]:
    """Return bits as a line, each for so many cycles on average."""
    return [bits[int(cycle / bit_cycles)] for cycle in range(round(len(bits) * bit_cycles))]


@pytest.mark.parametrize("bit_cycles", [8, 13])
def test_the_transmitter_sends_frames_back_to_back(bit_cycles: int) -> None:
    line = transmitted(BYTES, bit_cycles)
    begin = line.index(0)
    bits = [bit for byte in BYTES for bit in frame(byte)]
    # One idle cycle between frames, in which the next byte is taken.
    found = []
    for i in range(len(BYTES)):
        start = begin + i * (10 * bit_cycles + 1)
        found += [line[start + bit * bit_cycles : start + (bit + 1) * bit_cycles] for bit in range(10)]
    assert found == [[bit] * bit_cycles for bit in bits]
    assert set(line[:begin] + line[start + 10 * bit_cycles :]) == {1}


@pytest.mark.parametrize("bit_cycles", [8, 17])
def test_what_is_transmitted_is_received(bit_cycles: int) -> None:
    assert received(transmitted(BYTES, bit_cycles, gap=0.3), bit_cycles) == [*BYTES]


@pytest.mark.parametrize("ratio", [0.96, 1.04])
def test_the_other_end_may_be_four_percent_off(ratio: float) -> None:
    line = [level for byte in BYTES for level in stretched(frame(byte), 217 * ratio)]
    assert received(line, 217) == [*BYTES]


def test_a_spike_is_no_start_bit_and_a_break_no_byte() -> None:
    cycles = 16
    spike = [0] * 5 + [1] * 12 * cycles
    no_stop = [level for bit in [*frame(0x5A)[:-1], 0] for level in [bit] * cycles] + [1] * 2 * cycles
    good = stretched(frame(0x5A), cycles)
    assert received(spike + good + [1] * cycles + no_stop + good, cycles) == [0x5A, 0x5A]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.bit_cycles // 2 - 1", "0"),
        ("byte.eq(bits[1:-1])", "byte.eq(bits[2:])"),
        ("self.valid.eq(line)", "self.valid.eq(1)"),
        ("(left == FRAME_BITS) & line", "(left == FRAME_BITS) & 0"),
    ],
)
def test_mistakes_in_the_receiver_are_seen(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    put_mutant(monkeypatch, uart, old, new)
    monkeypatch.setitem(globals(), "UartReceiver", uart.UartReceiver)
    with pytest.raises(AssertionError):
        _all_of_the_receiver()


def _all_of_the_receiver() -> None:
    test_a_spike_is_no_start_bit_and_a_break_no_byte()
    test_the_other_end_may_be_four_percent_off(0.96)
    test_the_other_end_may_be_four_percent_off(1.04)


@pytest.mark.parametrize("bit_cycles", [7, 1 << 20])
def test_bits_too_short_or_too_long_are_refused(bit_cycles: int) -> None:
    for unit in (UartReceiver, UartTransmitter):
        with pytest.raises(InputError, match="bit_cycles must be from 8"):
            unit(bit_cycles)
